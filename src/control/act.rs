//! The life of a cgroup and of its processes: freeze and thaw, stop, kill, signal, reclaim, move up.
//!
//! What ends or moves processes is looked at first ([`survey`]): who would be hit, and what speaks
//! against it. The same is checked once more right before it is done, as both a path and a pid may have
//! become another's in between. [`spare`] knows whom nothing here may hit: ringfence itself, the session
//! it was started from, and init.

mod life;
mod memory;
mod moving;
mod rules;
pub mod signal;
pub mod spare;
pub mod survey;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::sync::mpsc::UnboundedSender;

use super::worker::Outcome;
use super::{again, workload};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::from_root;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::unit::Bytes;
use crate::text::{self, processes};
use spare::Spared;

/// How long a stop waits between TERM and the kill, as docker does.
pub const GRACE: Duration = Duration::from_secs(10);

/// A cgroup, and which one: another may come to the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its path from the v2 root. Foreign text.
    pub path: Arc<str>,
    /// Which one it is.
    pub id: CgroupId,
}

/// A process, and which one: another may come to the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its pid as we see it.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Hold all processes of a cgroup and below still (`cgroup.freeze`, since 5.2).
    Freeze(Target),
    /// Let them go on.
    Thaw(Target),
    /// TERM; what has not ended after the grace is killed. A service of systemd's is stopped by systemd, and a workload of
    /// ringfence's by its supervisor with the workload's own grace, as they would start it again otherwise.
    Stop(Target, Duration),
    /// End all processes of a cgroup and below at once (`cgroup.kill`, since 5.14); of a workload of ringfence's through
    /// its supervisor.
    Kill(Target),
    /// Send one process a signal.
    Signal(Chosen, Signal),
    /// Have the kernel take back so much memory (`memory.reclaim`, since 5.19).
    Reclaim(Target, Bytes),
    /// Move the processes of a cgroup, those below it left alone, to its parent.
    MoveUp(Target),
    /// Move one process from this cgroup to its parent.
    MoveProcessUp(Chosen, Target),
    /// Stop a detached workload of ringfence's, and start it again.
    Restart(Target),
    /// Start a workload of ringfence's again that is over, by its name.
    Start(String),
    /// Remove the record and the log of a workload of ringfence's that is over, by its name.
    Remove(String),
}

impl Act {
    /// Whether it cannot be taken back, so that one must be asked first.
    pub fn is_destructive(&self) -> bool {
        match self {
            Self::Freeze(_) | Self::Thaw(_) | Self::Reclaim(..) | Self::Start(_) => false,
            Self::Stop(..)
            | Self::Kill(_)
            | Self::Signal(..)
            | Self::MoveUp(_)
            | Self::MoveProcessUp(..)
            | Self::Restart(_)
            | Self::Remove(_) => true,
        }
    }

    /// Whether others must not wait for it.
    fn takes_long(&self) -> bool {
        matches!(self, Self::Reclaim(..)) || self.must_finish()
    }

    /// Whether whoever leaves must not leave it half done.
    fn must_finish(&self) -> bool {
        matches!(
            self,
            Self::Stop(..) | Self::Kill(_) | Self::Restart(_) | Self::Start(_)
        )
    }

    /// Does it; refused where the cgroup or process is another one by now, or is to be spared. `tell` is
    /// called with what is worth saying meanwhile, the answer is how it ended, each in one sentence.
    pub fn carry_out(&self, ground: &Ground, tell: &dyn Fn(String)) -> anyhow::Result<String> {
        match self {
            Self::Freeze(target) => life::freeze(ground, target),
            Self::Thaw(target) => life::thaw(ground, target),
            Self::Stop(target, grace) => life::stop(ground, target, *grace, tell),
            Self::Kill(target) => life::kill(ground, target),
            Self::Signal(chosen, signal) => signal::send(ground, chosen, *signal),
            Self::Reclaim(target, amount) => memory::reclaim(ground, target, *amount),
            Self::MoveUp(target) => moving::all(ground, target),
            Self::MoveProcessUp(chosen, from) => moving::one(ground, chosen, from),
            Self::Restart(target) => life::restart(ground, target, tell),
            Self::Start(name) => again::start(name),
            Self::Remove(name) => workload::remove(name),
        }
    }
}

/// What is being done, as a person would say it: `kill /ringfence.slice/leaker`. Foreign text.
impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze(target) => write!(out, "freeze {}", target.path),
            Self::Thaw(target) => write!(out, "thaw {}", target.path),
            Self::Stop(target, _) => write!(out, "stop {}", target.path),
            Self::Kill(target) => write!(out, "kill {}", target.path),
            Self::Signal(chosen, signal) => write!(out, "{} to pid {}", short(*signal), chosen.pid),
            Self::Reclaim(target, amount) => {
                write!(out, "reclaim {} of {}", text::bytes(*amount), target.path)
            }
            Self::MoveUp(target) => write!(out, "move up what is in {}", target.path),
            Self::MoveProcessUp(chosen, _) => write!(out, "move up pid {}", chosen.pid),
            Self::Restart(target) => write!(out, "restart {}", target.path),
            Self::Start(name) => write!(out, "start {name}"),
            Self::Remove(name) => write!(out, "remove {name}"),
        }
    }
}

/// `TERM`, as people say it.
pub fn short(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

/// Begins something, and answers when it is done. What takes long has a thread of its own. Gives the
/// thread of what must not be left half done: a stop without its kill.
pub(super) fn start(
    act: Act,
    mount: &Path,
    answers: &UnboundedSender<Outcome>,
) -> Option<JoinHandle<()>> {
    let ground = Ground::new(mount);
    let long = act.takes_long();
    let must_finish = act.must_finish();
    let refused = (act.clone(), answers.clone());
    let answers = answers.clone();
    let work = move || {
        let answer = |said: Result<String, String>| {
            let act = act.clone();
            let _ = answers.send(Outcome::Acted { act, said });
        };
        let end = act.carry_out(&ground, &|said| answer(Ok(said)));
        answer(end.map_err(|error| format!("{error:#}")));
    };
    if !long {
        work();
        return None;
    }
    match thread::Builder::new().name("act".into()).spawn(work) {
        Ok(thread) => Some(thread).filter(|_| must_finish),
        Err(error) => {
            let (act, answers) = refused;
            let said = Err(format!("{act}: no thread could be started: {error}"));
            let _ = answers.send(Outcome::Acted { act, said });
            None
        }
    }
}

/// Where all this happens.
#[derive(Debug, Clone)]
pub struct Ground {
    mount: PathBuf,
    proc: PathBuf,
}

impl Ground {
    /// The host's. `mount` is where cgroup v2 is mounted.
    pub fn new(mount: &Path) -> Self {
        Self {
            mount: mount.to_owned(),
            proc: "/proc".into(),
        }
    }

    /// Where a cgroup is in the file system.
    fn dir(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }

    /// The path from the v2 root of a place in the file system.
    fn path(&self, dir: &Path) -> String {
        let path = from_root(&self.mount, dir);
        path.to_string_lossy().into_owned()
    }

    /// Opens the very cgroup that is meant.
    fn open(&self, target: &Target) -> anyhow::Result<Cgroup> {
        Cgroup::open(self.dir(&target.path))
            .ok()
            .filter(|cgroup| cgroup.inode().is_ok_and(|inode| inode == target.id.0))
            .with_context(|| format!("{} is gone; nothing was done", target.path))
    }

    /// Opens it for something that must spare some.
    fn open_unless_spared(&self, target: &Target) -> anyhow::Result<Cgroup> {
        let cgroup = self.open(target)?;
        if let Some(why) = Spared::read(&self.proc)?.objection(&target.path) {
            bail!("{why}");
        }
        Ok(cgroup)
    }
}
