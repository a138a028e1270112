//! `ringfence stop`, `kill` and `rm`.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::{each, say, seconds, shelf};
use crate::control::act::short;
use crate::control::workload::tell;
use crate::kernel::process::is_deaf;
use crate::kernel::watch;
use crate::launch::state::{Record, Shelf};
use crate::launch::supervise::AT_ONCE;

/// Stops workloads: TERM, the grace, then the kill. Gives the exit code.
pub fn stop(names: &[String], grace: Option<u32>) -> Result<u8> {
    Ok(end(&shelf()?, names, grace.map(seconds)))
}

/// Ends workloads at once, or sends their first process another signal.
pub fn kill(names: &[String], signal: Signal) -> Result<u8> {
    let shelf = shelf()?;
    if signal == Signal::SIGKILL {
        return Ok(end(&shelf, names, Some(AT_ONCE)));
    }
    let (_, code) = each(names, |name| {
        send(&shelf.get(name)?, signal)?;
        println!("{name}");
        Ok(())
    });
    Ok(code)
}

/// Removes the records and logs of workloads that have ended; with `force`, ends them before.
pub fn remove(names: &[String], force: bool) -> Result<u8> {
    let shelf = shelf()?;
    let (_, code) = each(names, |name| {
        if force && let Some(supervisor) = tell(&shelf.get(name)?, Some(AT_ONCE))? {
            watch::wait_until_over(supervisor.as_fd());
        }
        // What is not kept is gone with its end.
        if !(force && shelf.get(name).is_err()) {
            shelf.remove(name)?;
        }
        println!("{name}");
        Ok(())
    });
    Ok(code)
}

/// Tells all of them first, and waits for each then.
fn end(shelf: &Shelf, names: &[String], grace: Option<i32>) -> u8 {
    let (told, code) = each(names, |name| {
        Ok((name.to_owned(), tell(&shelf.get(name)?, grace)?))
    });
    for (name, supervisor) in told {
        if let Some(supervisor) = supervisor {
            watch::wait_until_over(supervisor.as_fd());
        }
        println!("{name}");
    }
    code
}

fn send(record: &Record, signal: Signal) -> Result<()> {
    let name = &record.name;
    let Some(init) = record.process().and_then(|process| process.hold()) else {
        bail!("{name} does not run, so it gets no signal");
    };
    if is_deaf(Path::new("/proc"), init.brief.pid, signal) {
        say(&format!(
            "the first process of {name} has no handler for {}, so it does not notice it (PID 1)",
            short(signal)
        ));
    }
    init.signal(signal)?;
    Ok(())
}
