//! Arguments of `ringfence top`.

use std::time::Duration;

use crate::command;

/// Watch every cgroup of the host live against the limits that bind it.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Show this cgroup and what is below it: a path from the v2 root (`system.slice`) or a workload's name.
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
    /// Time between two samples, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Option<Duration>,
    /// End by itself after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
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
        }
    }
}

/// Seconds, with an optional fraction: at least a hundredth, at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    text.strip_suffix('s')
        .unwrap_or(text)
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.01..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "a number of seconds from 0.01 to 86400 is wanted".to_owned())
}
