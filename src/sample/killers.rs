//! Programs that kill before the kernel must, as the journal tells it: systemd-oomd, earlyoom, the kubelet.

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use super::Event;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::of_process;
use crate::oom::journal::{Entry, KILLERS, Killed, What, journalctl};
use crate::oom::{Fact, Fired, Means, OomKill, Program};

/// Their units, below the mount of cgroup v2. Where none of them runs, nobody is listened to.
const UNITS: [&str; 3] = [
    "system.slice/systemd-oomd.service",
    "system.slice/earlyoom.service",
    "system.slice/kubelet.service",
];
/// A longer line of the journal is no kill.
const LONGEST: u64 = 64 << 10;

/// `journalctl --follow`, until this is dropped.
#[derive(Debug)]
pub(super) struct Killers(Child);

impl Killers {
    /// Listens where one of them runs and there is a journal; `None` where not.
    pub fn listen(mount: &Path, proc: &Path, events: UnboundedSender<Event>) -> Option<Self> {
        UNITS.iter().find(|unit| mount.join(unit).is_dir())?;
        let follow = journalctl();
        // It would outlive a killed dashboard until it had something to say.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(follow.get_program())
            .args(follow.get_args())
            .args(["--follow", "--lines=0"])
            .args(KILLERS)
            .envs(
                follow
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
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
        let killers = Self(child);
        started.ok()?;
        Some(killers)
    }
}

impl Drop for Killers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until it ends, or nobody listens any more.
fn hear(stdout: ChildStdout, proc: &Path, events: &UnboundedSender<Event>) {
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    // A process that does not end is told of again.
    let mut last = None;
    loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if read.is_err() || line.is_empty() {
            return;
        }
        let told = serde_json::from_slice(&line).ok();
        let kill = told.and_then(|entry: Entry| {
            let killed = entry.killed()?;
            let before = last.replace(killed.what.clone());
            let again =
                matches!(killed.what, What::Process { .. }) && before.as_ref() == last.as_ref();
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
fn kill(entry: &Entry, killed: Killed, proc: &Path) -> Option<OomKill> {
    let path = match killed.what {
        What::Cgroup(path) => Fact::new(path.into(), Means::Journal),
        // It may still live: it is told before it is killed.
        What::Process { pid, comm } => match of_process(proc, &pid.to_string()) {
            Ok(Some(path)) => Fact::new(path.to_string_lossy().into(), Means::Seen),
            _ => Fact::new(comm.into(), Means::Journal),
        },
        What::Pod { name, .. } => Fact::new(name.into(), Means::Journal),
    };
    let program = Program {
        name: Cow::Borrowed(killed.program),
        text: killed.text,
    };
    Some(OomKill {
        time: entry.written()?,
        logged_at: None,
        cgroup: CgroupId(0),
        path,
        kills: 1,
        total: None,
        group: None,
        fired: Some(Fact::new(Fired::Program(program), Means::Journal)),
        victims: Vec::new(),
        memory_stat: None,
        choice: None,
    })
}
