//! One signal to one process.

use std::path::Path;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::spare::Spared;
use super::{Chosen, Ground, rules, short};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::process::held::Held;
use crate::kernel::process::is_deaf;
use crate::kernel::task;

/// Those that can be chosen, with what each does unless the program handles it.
pub const SIGNALS: [(Signal, &str); 8] = [
    (
        Signal::SIGTERM,
        "asks it to end; a program may tidy up first",
    ),
    (
        Signal::SIGKILL,
        "ends it at once, without a chance to save anything",
    ),
    (
        Signal::SIGHUP,
        "its terminal went away: ends it; services often read their configuration again",
    ),
    (
        Signal::SIGINT,
        "as Ctrl-C does: ends it, or what it is doing",
    ),
    (
        Signal::SIGSTOP,
        "holds it still until CONT; the rest of its cgroup goes on",
    ),
    (Signal::SIGCONT, "lets it go on after STOP"),
    (
        Signal::SIGUSR1,
        "what the program made of it; one without a handler ends",
    ),
    (
        Signal::SIGUSR2,
        "what the program made of it; one without a handler ends",
    ),
];

/// Takes hold of the very process that was chosen.
pub(super) fn hold(ground: &Ground, chosen: &Chosen) -> anyhow::Result<Held> {
    let pid = chosen.pid;
    let held = Held::open(&ground.proc, pid)?
        .with_context(|| format!("pid {pid} has ended meanwhile; nothing was done"))?;
    if held.brief.start_time != chosen.start_time {
        bail!(
            "pid {pid} has ended meanwhile and is {} now; nothing was done",
            held.brief.comm
        );
    }
    if let Some(why) = Spared::read(&ground.proc)?.objection_to(&held.brief) {
        bail!("{why}");
    }
    Ok(held)
}

/// Sends it.
pub(super) fn send(ground: &Ground, chosen: &Chosen, signal: Signal) -> anyhow::Result<String> {
    let held = hold(ground, chosen)?;
    let name = held.brief.name();
    if let Some(why) = rules::signal(chosen.pid, &name) {
        bail!("{why}");
    }
    let always = matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGCONT);
    let deaf = !always && held.brief.inside == Some(1) && is_deaf(&ground.proc, chosen.pid, signal);
    let frozen = signal != Signal::SIGKILL && is_frozen(ground, chosen.pid);
    if !held.signal(signal)? {
        bail!("pid {name} has ended meanwhile; nothing was done");
    }
    let signal = short(signal);
    let remark = match (deaf, frozen) {
        (true, _) => {
            "; it is PID 1 of its namespace and has no handler for it, so it never notices"
        }
        (false, true) => "; its cgroup is frozen, so it notices when that is thawed",
        (false, false) => "",
    };
    Ok(format!("{signal} sent to pid {name}{remark}"))
}

fn is_frozen(ground: &Ground, pid: u32) -> bool {
    let cgroup = task::cgroup(&ground.proc, pid).unwrap_or_default();
    let path: &Path = &ground.dir(&cgroup);
    Cgroup::open(path)
        .and_then(|cgroup| cgroup.events())
        .is_ok_and(|events| events.frozen)
}
