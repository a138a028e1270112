//! Arguments of `ringfence doctor`.

use crate::command::doctor::{Options, run};

/// Say what this host offers, what is missing, and the command that would mend it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        run(Options { json: self.json })
    }
}
