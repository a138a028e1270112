//! Programs that kill before the kernel must, as the journal tells it: systemd-oomd, earlyoom, the kubelet.

use std::borrow::Cow;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use super::Event;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::of_process;
use crate::oom::journal::{JournalEntry, KILLERS, ProgramKill, ProgramVictim, entries, follow};
use crate::oom::{Fact, Fired, Killer, Means, OomKill};

/// Their units, below the mount of cgroup v2. Where none of them runs, nobody is listened to.
const UNITS: [&str; 3] = [
    "system.slice/systemd-oomd.service",
    "system.slice/earlyoom.service",
    "system.slice/kubelet.service",
];

/// `journalctl --follow`, until this is dropped.
#[derive(Debug)]
pub(super) struct KillerListener(Child);

impl KillerListener {
    /// Listens where one of them runs and there is a journal; `None` where not.
    pub fn listen(mount: &Path, proc: &Path, events: UnboundedSender<Event>) -> Option<Self> {
        UNITS.iter().find(|unit| mount.join(unit).is_dir())?;
        let mut child = follow(&KILLERS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdout = child.stdout.take()?;
        let proc = proc.to_owned();
        let started = thread::Builder::new()
            .name("killers".into())
            .spawn(move || hear(stdout, &proc, &events));
        let listener = Self(child);
        started.ok()?;
        Some(listener)
    }
}

impl Drop for KillerListener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until it ends, or nobody listens any more.
fn hear(stdout: ChildStdout, proc: &Path, events: &UnboundedSender<Event>) {
    // A process that does not end is told of again.
    let mut last = None;
    for entry in entries(stdout) {
        let kill = entry.killed().and_then(|killed| {
            let before = last.replace(killed.victim.clone());
            let again = matches!(killed.victim, ProgramVictim::Process { .. }) && before == last;
            (!again).then(|| kill(&entry, killed, proc))?
        });
        if let Some(kill) = kill
            && events.send(Event::OomKill(Box::new(kill))).is_err()
        {
            return;
        }
    }
}

/// The kill, as one of the kernel's is told.
fn kill(entry: &JournalEntry, told: ProgramKill, proc: &Path) -> Option<OomKill> {
    let path = match told.victim {
        ProgramVictim::Cgroup(path) => Fact::new(path.into(), Means::Journal),
        // It may still live: it is told before it is killed.
        ProgramVictim::Process { pid, comm } => match of_process(proc, &pid.to_string()) {
            Ok(Some(path)) => Fact::new(path.to_string_lossy().into(), Means::Seen),
            _ => Fact::new(comm.into(), Means::Journal),
        },
        ProgramVictim::Pod { name, .. } => Fact::new(name.into(), Means::Journal),
    };
    let killer = Killer {
        name: Cow::Borrowed(told.program),
        text: told.text,
    };
    Some(OomKill {
        time: entry.written()?,
        logged_at: None,
        cgroup: CgroupId(0),
        path,
        kills: 1,
        total: None,
        group: None,
        fired: Some(Fact::new(Fired::Killer(killer), Means::Journal)),
        victims: Vec::new(),
        memory_stat: None,
        choice: None,
    })
}
