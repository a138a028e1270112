//! Arguments of `ringfence up` and `ringfence demo`.

use std::path::PathBuf;

use super::top::Watch;
use crate::command;

/// Start the workloads of a file and watch them; leaving the dashboard stops them.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// The workloads, in TOML.
    file: PathBuf,
    #[command(flatten)]
    watch: Watch,
}

/// Five workloads that meet their limits: a throttled spinner, a leaker that is OOM-killed and restarts,
/// an I/O-capped writer, a fork-capped forker, and a careless one without limits.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    watch: Watch,
}

impl UpArgs {
    pub fn run(self) -> anyhow::Result<u8> {
        command::up::run(&command::up::Options {
            file: self.file,
            watch: self.watch.options()?,
        })
    }
}

impl DemoArgs {
    pub fn run(self) -> anyhow::Result<u8> {
        command::demo::run(self.watch.options()?)
    }
}
