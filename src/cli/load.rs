//! Arguments of `ringfence load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::value::{duration, percent};
use crate::command::load::{Load, Options, run};
use crate::kernel::unit::Bytes;

/// Use a resource on purpose, to watch a limit at work.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Burn CPU time.
    Cpu {
        /// How much: 100 is one core.
        #[arg(long, default_value = "100", value_parser = percent)]
        percent: f64,
        #[command(flatten)]
        time: Time,
    },
    /// Touch memory and hold it.
    Memory {
        /// How much in the end: 32m.
        #[arg(long)]
        size: Bytes,
        /// How much per second; all at once where not given.
        #[arg(long)]
        rate: Option<Bytes>,
        #[command(flatten)]
        time: Time,
    },
    /// Write to a file and flush it, over and over.
    Io {
        /// How much per second; as fast as the device allows where not given.
        #[arg(long)]
        rate: Option<Bytes>,
        /// The file to make; it is unlinked at once and never stays behind.
        #[arg(long, default_value = "/tmp/ringfence-load")]
        file: PathBuf,
        #[command(flatten)]
        time: Time,
    },
    /// Hold child processes.
    Forks {
        /// How many.
        #[arg(long)]
        count: usize,
        #[command(flatten)]
        time: Time,
    },
    /// Do nothing.
    Sleep {
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
        #[command(flatten)]
        time: Time,
    },
}

#[derive(Debug, clap::Args)]
struct Time {
    /// End after this long: 10s, 2m; never where not given.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        let (load, Time { time }) = match self.kind {
            Kind::Cpu { percent, time } => (
                Load::Cpu {
                    percent: crate::kernel::unit::Percent(percent),
                },
                time,
            ),
            Kind::Memory { size, rate, time } => (Load::Memory { size, rate }, time),
            Kind::Io { rate, file, time } => (Load::Io { rate, file }, time),
            Kind::Forks { count, time } => (Load::Forks { count }, time),
            Kind::Sleep {
                until_stdin_closes,
                time,
            } => (Load::Sleep { until_stdin_closes }, time),
        };
        run(&Options { load, time })
    }
}
