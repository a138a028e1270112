//! Arguments of `ringfence why`.

use std::path::PathBuf;
use std::time::SystemTime;

use super::value::moment;
use crate::command;

/// Say why something died, also before ringfence was there: from the kernel log, the journal, docker's and podman's state,
/// systemd's units and ringfence's own records.
///
/// Each answer has how it is known, and how sure it is. Ends with 1 where nothing is known.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What died: the name or id of a container, a unit, a workload, a path from the v2 root, or the name of a command.
    /// All that ran out of memory or was killed where it is absent.
    name: Option<String>,
    /// Look no further back: 2h, 7d, or a time, 2026-07-01T12:03:41Z.
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "7d")]
    since: SystemTime,
    /// Print JSON, an object an answer; the README has the fields.
    #[arg(long)]
    json: bool,
    /// Write the answers to this file, too, as one self-contained HTML page for a ticket. What is there is replaced.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        command::why::run(&command::why::Options {
            name: self.name,
            since: self.since,
            json: self.json,
            html: self.html,
        })
    }
}
