//! `ringfence supervise`: one workload of `up`, or a detached one, in a process of its own, since cloning wants one
//! thread.
//!
//! The order comes as JSON on stdin, reports go as JSON lines to stdout. What a workload of `up` prints goes to stderr,
//! what a detached one prints, into its log. When `up` dies, so does this: as if told to stop. A detached one goes on
//! by itself.

use std::fs::File;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, dup2_stdout, getppid, setsid};
use serde::{Deserialize, Serialize};

use super::oom_hook::OomHook;
use crate::control::hook::Says;
use crate::kernel::process::protect_from_oom;
use crate::launch::spec::Stdio;
use crate::launch::state::{Record, Shelf, Terms};
use crate::launch::stdio::leave_streams;
use crate::launch::supervise::{OWN_FAILURE, supervise};
use crate::launch::{Plan, Report, Spec};

/// What to see to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    /// The workload.
    pub spec: Spec,
    /// How it is kept.
    #[serde(default)]
    pub terms: Terms,
    /// Whether it is one that has ended, with its history.
    #[serde(default)]
    pub again: bool,
}

/// Runs the workload until it ends or is stopped; the exit code is the program's. What goes wrong is a report too: on
/// stderr it would look like the workload's own words.
pub fn run() -> Result<u8> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGTERM).context("ask to be told when the parent dies")?;
    let mut text = String::new();
    stdin()
        .read_to_string(&mut text)
        .context("read the order")?;
    let Order { spec, terms, again } =
        serde_json::from_str(&text).context("understand the order")?;
    let mut reports = own_streams().context("set up the streams")?;
    let mut spec = spec.with_absolute_paths();
    if !terms.detached {
        // This process's output is the workload's own already, a pipe to `up`.
        spec.stdio = Stdio::Inherit;
    }
    if terms.detached {
        // Not part of whoever's session started it, and none of the files there.
        setsid().context("leave the session")?;
        std::env::set_current_dir("/").context("go to /")?;
        protect_from_oom(Path::new("/proc"));
    }
    anyhow::ensure!(getppid() == parent, "who started this died");

    let mut tell = move |report: &Report| {
        // Nobody listens any more: then nobody misses it.
        if let Ok(line) = serde_json::to_string(report) {
            let _ = writeln!(reports, "{line}");
        }
    };
    see_to(&spec, terms, again, &mut tell).or_else(|error| {
        tell(&Report::Failed {
            code: OWN_FAILURE,
            text: format!("{error:#}"),
        });
        Ok(OWN_FAILURE)
    })
}

fn see_to(spec: &Spec, terms: Terms, again: bool, tell: &mut dyn FnMut(&Report)) -> Result<u8> {
    let detached = terms.detached;
    let shelf = Shelf::own()?;
    for text in shelf.sweep() {
        tell(&Report::Notice { text });
    }
    let plan = Plan::new(spec)?;
    let says = if detached {
        Says::Nothing
    } else {
        Says::OnStderr
    };
    let mut hook = OomHook::new(terms.on_oom.as_deref(), says);
    let record = Record::new(&plan, spec, terms);
    let keep = |go_on: &mut dyn FnMut() -> bool| shelf.take(record, again, go_on);
    let code = supervise(&plan, keep, &mut |report| {
        let on_its_own = detached && matches!(report, Report::Started { .. });
        if on_its_own {
            // Before it is told: who hears it ends.
            let _ = prctl::set_pdeathsig(None);
        }
        tell(report);
        if on_its_own {
            let _ = leave_streams();
        }
        if let Report::OomKill { kill, text } = report
            && let Some(text) = hook.call(kill, &plan.name, text)
        {
            tell(&Report::Notice { text });
        }
    })?;
    hook.finish().for_each(drop);
    Ok(code)
}

/// Takes stdout for reports; the workload gets `/dev/null` and stderr.
fn own_streams() -> Result<File> {
    let reports = File::from(stdout().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    Ok(reports)
}
