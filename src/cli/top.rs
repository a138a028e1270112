//! Arguments of `ringfence top`.

use std::path::PathBuf;
use std::time::Duration;

use super::value::duration;
use crate::command;
use crate::ui::theme;

/// Watch every cgroup of the host live against the limits that bind it.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Show this cgroup and what is below it: a path from the v2 root (`system.slice`), or the name of a workload,
    /// a container or a unit.
    target: Option<String>,
    #[command(flatten)]
    pub watch: Watch,
}

/// How a dashboard is shown; shared by `top`, `up` and `demo`.
#[derive(Debug, Default, clap::Args)]
pub struct Watch {
    /// Print a text table every interval instead of the dashboard; also what happens without a terminal.
    #[arg(long)]
    plain: bool,
    /// Time between two samples: 0.5, 2s. A second where the configuration does not say otherwise.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
    /// End by itself after this time: 20, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Run this shell command for every OOM incident, with what is known of it in RINGFENCE_… variables.
    #[arg(long, value_name = "COMMAND")]
    on_oom: Option<String>,
    /// When it ends, save the last screen as an SVG picture.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// The theme: dark, light, high-contrast, colour-blind, 16 (the terminal's own colours) or plain.
    #[arg(long, value_name = "NAME")]
    theme: Option<theme::Name>,
    /// Read this configuration in place of ~/.config/ringfence/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        command::top::run(&command::top::Options {
            target: self.target,
            watch: self.watch.options()?,
        })
    }
}

impl Watch {
    /// With what the configuration says where the arguments say nothing.
    pub fn options(self) -> anyhow::Result<command::top::Watch> {
        let config = command::config::load(self.config.as_deref())?;
        let mut settings = config.settings;
        settings.theme = self.theme.or(settings.theme);
        Ok(command::top::Watch {
            plain: self.plain,
            interval: self
                .interval
                .or(config.interval)
                .unwrap_or(command::config::INTERVAL),
            duration: self.duration,
            on_oom: self.on_oom,
            picture: self.picture,
            settings,
        })
    }
}
