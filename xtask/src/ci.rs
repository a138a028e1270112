//! `cargo xtask ci`: what `.ci/run` does, in a fresh clone.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::Pid;

use crate::host;
use crate::interrupt;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// With an empty cache, too: everything is fetched again
    #[arg(long)]
    cold: bool,
}

/// Clones what is committed into a folder of its own, runs `.ci/run` there, and removes it.
pub fn run(args: &Args) -> Result<i32> {
    let source = host::workspace_dir();
    let folder = tempfile::Builder::new()
        .prefix("ringfence-ci-")
        .tempdir()
        .context("create a temporary directory")?;
    let clone = folder.path().join("ringfence");
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--no-local", "--"]);
    host::run(git.arg(&source).arg(&clone))?;
    let changes = host::output(
        Command::new("git")
            .current_dir(&source)
            .args(["status", "--porcelain"]),
    )?;
    if !changes.is_empty() {
        eprintln!("ci: what is not committed is left out");
    }

    let mut steps = Command::new(clone.join(".ci/run"));
    steps.current_dir(&clone);
    // What `cargo run` tells us is about this clone.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_")
            || ["CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"].contains(&&*told)
        {
            steps.env_remove(&name);
        }
    }
    if args.cold {
        steps.env("XDG_CACHE_HOME", folder.path().join("cache"));
    }
    // A group of its own, so that a signal that is for us alone ends its steps as well.
    let mut child = steps
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start .ci/run")?;
    interrupt::pass_on(Pid::from_child(&child))?;
    let status = child.wait().context("wait for .ci/run")?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
