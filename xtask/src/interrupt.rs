//! Ctrl-C and the like in a task of many parts: it is over, whichever part runs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long the parts that run may take to end by themselves: guests remove their disks.
const ORDERLY: Duration = Duration::from_secs(5);

/// From now on a signal that asks us to end does so, at the latest after [`ORDERLY`]. Guests and test programs end with
/// us.
pub fn watch() -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("watch for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            thread::sleep(ORDERLY);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
