//! Arguments of `ringfence advise`.

use std::time::Duration;

use super::value::duration;
use crate::command;

/// Watch for a while, then suggest limits with the reasons, as flags ready to paste.
///
/// Everything that was seen counts for as long as it was watched: watch while the work is done that matters.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// This cgroup and what is below it: a path from the v2 root, or the name of a workload, a container or a unit.
    /// All workloads and containers where it is absent.
    target: Option<String>,
    /// How long to watch: 30, 5m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "30s")]
    watch: Duration,
    /// Print JSON, an object a cgroup.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        command::advise::run(&command::advise::Options {
            target: self.target,
            watch: self.watch,
            json: self.json,
        })
    }
}
