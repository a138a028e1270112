//! A test program of this host: what it prints is shown, and counted.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::tally::Tally;

/// A suite of this host.
pub struct HostSuite {
    pub name: String,
    pub command: Command,
}

/// What it gave.
pub struct HostReport {
    pub name: String,
    pub tally: Tally,
    pub time: Duration,
}

impl HostSuite {
    /// Runs it and shows what it prints: each line as it comes, or all of it at the end, where others print, too.
    pub fn run(mut self, shown: Shown) -> Result<HostReport> {
        let since = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", self.command.get_program().display()))?;
        let stdout = child.stdout.take().context("no pipe from the tests")?;
        let mut tally = Tally::default();
        let mut held = format!("\n     Running {}\n", self.name).into_bytes();
        let mut stdout = BufReader::new(stdout);
        loop {
            if shown == Shown::AsItComes {
                io::stdout().write_all(&std::mem::take(&mut held))?;
            }
            let mut line = Vec::new();
            let read = stdout.read_until(b'\n', &mut line);
            if read.context("read what the tests print")? == 0 {
                break;
            }
            if tally.take(String::from_utf8_lossy(&line).trim_end()) {
                held.extend(line);
            }
        }
        io::stdout().write_all(&held)?;
        // A suite that crashed has no closing line of its own.
        tally.close(&self.name, child.wait()?.success());
        Ok(HostReport {
            name: self.name,
            tally,
            time: since.elapsed(),
        })
    }
}

/// When the output of a suite is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    AsItComes,
    AtTheEnd,
}
