//! An OOM kill: the cgroup, the limit and the victims, each with how it is known.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Fact, Means};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::kmsg::dump::{Choice, Exhausted};
use crate::kernel::kmsg::{OomProcess, OomSummary};
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Bytes, Limit};

/// One or more OOM kills in one cgroup, as one notification told them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OomKill {
    /// When it was noticed.
    #[serde(with = "humantime_serde")]
    pub time: SystemTime,
    /// When the kernel said so, on the clock of its log (since boot, without suspended time).
    pub logged_at: Option<Fact<Duration>>,
    /// The victims' cgroup: the deepest one whose `memory.events.local` counted the kill, or the one
    /// the kernel log names. Where nothing tells, the living one above it that counted it.
    pub cgroup: CgroupId,
    /// Its path, and how that is known.
    pub path: Fact<Arc<str>>,
    /// How many processes the counter says were killed since the last notification; at least 1.
    pub kills: u64,
    /// What the cgroup's own counter (`memory.events`, with those below) stood at by then, as
    /// [`kills`](crate::kernel::memory::MemoryEvents::kills) counts; `None` where it can no longer be read.
    pub total: Option<u64>,
    /// Whether the whole cgroup was killed together (`memory.oom.group`).
    pub group: Option<Fact<bool>>,
    /// What ran out.
    pub fired: Option<Fact<Fired>>,
    /// The victims that are known; may be fewer than `kills`. In a group kill the one that was chosen
    /// comes first, where it is known.
    pub victims: Vec<Victim>,
    /// What the cgroup's memory was made of when the kill was noticed, or at the last reading before.
    pub memory_stat: Option<Fact<MemoryStat>>,
    /// Who asked for memory, and who could have been killed: from the kernel log, and kept for the screen and for
    /// `events` alone.
    #[serde(skip)]
    pub choice: Option<Box<Choice>>,
}

/// What ran out of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fired {
    /// The host itself.
    Host,
    /// A cgroup, the victims' own or one above it, hit its `memory.max`.
    Cgroup {
        /// Its path.
        path: Arc<str>,
        /// Its `memory.max`, where that could be read.
        max: Option<Limit<Bytes>>,
    },
    /// Not the kernel killed, but a program did before memory ran out.
    Killer(Killer),
}

impl Fired {
    /// As the kernel log says it, with the limit as it was then; `exhausted` is what the report says of a cgroup that ran
    /// out.
    pub(super) fn logged<'a>(
        summary: &OomSummary,
        exhausted: impl FnOnce(&str) -> Option<&'a Exhausted>,
    ) -> Self {
        match &summary.oom_memcg {
            None => Self::Host,
            Some(path) => Self::Cgroup {
                path: path.as_str().into(),
                max: exhausted(path).and_then(|cgroup| Some(Limit::At(cgroup.limit?))),
            },
        }
    }
}

/// A program that kills before memory runs out: systemd-oomd, earlyoom, the kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killer {
    /// What it is called.
    pub name: Cow<'static, str>,
    /// What it said. Foreign text.
    pub text: String,
}

/// A process that the OOM killer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Victim {
    /// Its pid on the host.
    pub pid: u32,
    /// Its pid in its own pid namespace, where that is not the reader's and it was seen alive or could
    /// still be read.
    pub inner_pid: Option<u32>,
    /// Its command name; foreign text.
    pub comm: String,
    /// Resident anonymous memory when it was killed.
    pub anon: Bytes,
    /// Resident file pages.
    pub file: Bytes,
    /// Resident shared memory.
    pub shmem: Bytes,
    /// Its user, on the host.
    pub uid: Option<u32>,
    /// Its `oom_score_adj`, from -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// How all that is known; the pid inside was seen before.
    pub from: Means,
}

impl Victim {
    pub(super) fn new(pid: u32, inner_pid: Option<u32>, of: &OomProcess, from: Means) -> Self {
        Self {
            pid,
            inner_pid,
            comm: of.comm.clone(),
            anon: of.anon_rss,
            file: of.file_rss,
            shmem: of.shmem_rss,
            uid: of.uid,
            oom_score_adj: of.oom_score_adj,
            from,
        }
    }

    /// All resident memory.
    pub fn rss(&self) -> Bytes {
        let [anon, file, shmem] = [self.anon.0, self.file.0, self.shmem.0];
        Bytes(anon.saturating_add(file).saturating_add(shmem))
    }
}

impl OomKill {
    /// Whether this process is among the victims that are known.
    pub fn has_killed(&self, pid: u32) -> bool {
        self.victims.iter().any(|victim| victim.pid == pid)
    }

    /// The path of the cgroup whose limit was hit, where that is known.
    pub fn limit_path(&self) -> Option<&Arc<str>> {
        match &self.fired.as_ref()?.value {
            Fired::Cgroup { path, .. } => Some(path),
            Fired::Host | Fired::Killer(_) => None,
        }
    }

    /// The program that killed, where it was not the kernel.
    pub fn killer(&self) -> Option<&Killer> {
        match &self.fired.as_ref()?.value {
            Fired::Killer(killer) => Some(killer),
            Fired::Host | Fired::Cgroup { .. } => None,
        }
    }

    /// Whether it is known that the host itself ran out.
    pub fn is_the_hosts(&self) -> bool {
        self.fired
            .as_ref()
            .is_some_and(|fired| fired.value == Fired::Host)
    }

    /// That limit.
    pub fn limit(&self) -> Option<Limit<Bytes>> {
        match self.fired.as_ref()?.value {
            Fired::Cgroup { max, .. } => max,
            Fired::Host | Fired::Killer(_) => None,
        }
    }
}
