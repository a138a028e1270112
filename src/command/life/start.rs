//! `ringfence run -d`, `start` and `restart`: a workload under a supervisor that goes on by itself.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{each, say, seconds, shelf};
use crate::command::supervise::Order;
use crate::control::workload::tell;
use crate::kernel::watch;
use crate::launch::Report;
use crate::launch::state::Shelf;

/// Starts workloads again that have ended.
pub fn start(names: &[String]) -> Result<u8> {
    let shelf = shelf()?;
    let (codes, failed) = each(names, |name| again(&shelf, name));
    Ok(codes.into_iter().fold(failed, u8::max))
}

/// Stops workloads, and starts them again.
pub fn restart(names: &[String], grace: Option<u32>) -> Result<u8> {
    let shelf = shelf()?;
    let (codes, failed) = each(names, |name| {
        let record = shelf.get(name)?;
        if !record.terms.keep {
            bail!("{name} is not detached and kept, so whoever started it must start it again");
        }
        if let Some(supervisor) = tell(&record, grace.map(seconds))? {
            watch::wait_until_over(supervisor.as_fd());
        }
        again(&shelf, name)
    });
    Ok(codes.into_iter().fold(failed, u8::max))
}

fn again(shelf: &Shelf, name: &str) -> Result<u8> {
    let record = shelf.get(name)?;
    if record.exit_code().is_none() {
        bail!("{name} runs already");
    }
    detach(&Order {
        spec: record.spec,
        terms: record.terms,
        again: true,
    })
}

/// Starts a supervisor, and leaves it alone as soon as its program runs, with the workload's name on stdout. Gives 0,
/// or the exit code of what could not be started.
pub fn detach(order: &Order) -> Result<u8> {
    let mut supervisor = Command::new("/proc/self/exe")
        .arg("supervise")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start a supervisor")?;
    let stdin = supervisor
        .stdin
        .take()
        .context("no pipe to the supervisor")?;
    serde_json::to_writer(stdin, order).context("hand the spec to its supervisor")?;
    let reports = supervisor
        .stdout
        .take()
        .context("no pipe from the supervisor")?;
    for line in BufReader::new(reports).lines() {
        let line = line.context("hear of the workload")?;
        match serde_json::from_str(&line).context("understand the supervisor")? {
            Report::Started { .. } => {
                if let Some(name) = &order.spec.name {
                    println!("{name}");
                }
                return Ok(0);
            }
            Report::Exited { .. } => {}
            report => say(&report.to_string()),
        }
    }
    let status = supervisor.wait().context("wait for the supervisor")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(125))
}
