//! `ringfence supervise`: one workload of `up`, in a process of its own, since cloning wants one thread.
//!
//! The spec comes as JSON on stdin, reports go as JSON lines to stdout. What the workload itself prints
//! goes to stderr. When `up` dies, so does this: as if told to stop.

use std::fs::File;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, dup2_stdout, getppid};

use crate::launch::supervise::supervise;
use crate::launch::{Plan, Spec};

/// Runs the workload until it ends or is stopped; the exit code is the program's.
pub fn run() -> Result<u8> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGTERM).context("ask to be told when `up` dies")?;
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("read the spec")?;
    let spec: Spec = serde_json::from_str(&text).context("understand the spec")?;
    let mut reports = own_streams().context("set up the streams")?;
    anyhow::ensure!(getppid() == parent, "`up` died");

    let plan = Plan::new(&spec)?;
    let code = supervise(&plan, &mut |report| {
        // Nobody listens any more: then nobody misses it.
        if let Ok(line) = serde_json::to_string(report) {
            let _ = writeln!(reports, "{line}");
        }
    })?;
    Ok(code)
}

/// Takes stdout for reports; the workload gets `/dev/null` and stderr.
fn own_streams() -> Result<File> {
    let reports = File::from(stdout().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    Ok(reports)
}
