//! Arguments of `ringfence config`.

use std::io;
use std::path::PathBuf;

use crate::command::config;

/// The configuration file: write one, or check it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write a file with every setting at its default, as comments, and print where it is.
    Init {
        /// Where to; the user's own file if absent.
        file: Option<PathBuf>,
        /// Overwrite a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Print what is in force, or every mistake with its line and column; then the exit code is 2.
    Check {
        /// Which file; the user's own if absent.
        file: Option<PathBuf>,
    },
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        match self.verb {
            Verb::Init { file, force } => config::init(file.as_deref(), force),
            Verb::Check { file } => config::check(file.as_deref(), &mut io::stdout().lock()),
        }
    }
}
