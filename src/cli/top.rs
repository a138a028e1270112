//! Arguments of `ringfence top`.

use std::path::PathBuf;
use std::time::Duration;

use super::value::duration;
use crate::command;

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
    /// Time between two samples: 0.5, 2s.
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = duration)]
    interval: Option<Duration>,
    /// End by itself after this time: 20, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// When it ends, save the last screen as an SVG picture.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        command::top::run(&command::top::Options {
            target: self.target,
            watch: self.watch.options(),
        })
    }
}

impl Watch {
    pub fn options(self) -> command::top::Watch {
        command::top::Watch {
            plain: self.plain,
            interval: self.interval.unwrap_or(Duration::from_secs(1)),
            duration: self.duration,
            picture: self.picture,
        }
    }
}
