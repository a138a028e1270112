//! Ctrl-C and the like in a task of many parts: it is over, whichever part runs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long the parts that run may take to end by themselves: guests remove their disks.
const ORDERLY: Duration = Duration::from_secs(5);

const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// From now on a signal that asks us to end goes to a process group of ours, with whose end we end.
pub fn pass_on(group: Pid) -> Result<()> {
    let mut signals = Signals::new(ENDING).context("watch for signals")?;
    thread::spawn(move || {
        for signal in signals.forever().filter_map(Signal::from_named_raw) {
            // It may have just ended.
            let _ = kill_process_group(group, signal);
        }
    });
    Ok(())
}

/// From now on a signal that asks us to end does so, at the latest after [`ORDERLY`]. Guests and test programs end with
/// us.
pub fn watch() -> Result<()> {
    let mut signals = Signals::new(ENDING).context("watch for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            thread::sleep(ORDERLY);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
