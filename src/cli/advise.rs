//! Arguments of `ringfence advise`.

use std::time::Duration;

use super::value::duration;
use crate::command::advise::{self, Form, Options};

/// Watch for a while, then suggest limits with the reasons, ready to paste: as flags, for systemd or for compose.
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
    #[arg(long, conflicts_with_all = ["systemd", "compose"])]
    json: bool,
    /// Print drop-ins for systemd, each below the file that it belongs in.
    #[arg(long, conflicts_with = "compose")]
    systemd: bool,
    /// Print services of a compose file.
    #[arg(long)]
    compose: bool,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        let form = match (self.json, self.systemd, self.compose) {
            (true, ..) => Form::Json,
            (_, true, _) => Form::Systemd,
            (.., true) => Form::Compose,
            _ => Form::Text,
        };
        advise::run(&Options {
            target: self.target,
            watch: self.watch,
            form,
        })
    }
}
