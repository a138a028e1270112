//! What the kernel tells without being asked: OOM kills and lost cgroups, between two samples.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kernel::cgroup::CgroupId;
use crate::kernel::kmsg::OomVictim;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Bytes, Limit};

/// Something that happened between two samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The kernel killed for lack of memory.
    OomKill(Box<OomKill>),
    /// The kernel's trigger on `memory.pressure`: some task of a cgroup waited for memory.
    Stall {
        /// When it was noticed.
        time: SystemTime,
        /// Which cgroup.
        cgroup: CgroupId,
        /// For at least so many percent of the time.
        share: u32,
        /// Over how many seconds.
        seconds: u32,
    },
    /// Something the user should know about the observing itself (kernel log lost records, watch limit
    /// reached, …).
    Notice {
        /// When it was noticed.
        time: SystemTime,
        /// One sentence.
        text: String,
    },
}

/// How something about a kill is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Means {
    /// A line of the kernel log names it.
    KernelLog,
    /// The tracepoint `oom:mark_victim` names it.
    Tracepoint,
    /// A counter of `memory.events` or `memory.events.local` rose.
    Counter,
    /// It was read from a file while the process or the cgroup lived.
    Seen,
    /// Nothing says it; it is what fits best.
    Inferred,
}

impl Means {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::KernelLog => "kernel log",
            Self::Tracepoint => "tracepoint",
            Self::Counter => "event counter",
            Self::Seen => "seen before",
            Self::Inferred => "inferred",
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something about a kill, and how it is known. What is not known is `None` of an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact<T> {
    /// What.
    pub value: T,
    /// How it is known.
    pub from: Means,
}

impl<T> Fact<T> {
    /// A fact.
    pub fn new(value: T, from: Means) -> Self {
        Self { value, from }
    }
}

/// One or more OOM kills in one cgroup, as one notification told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKill {
    /// When it was noticed.
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
}

/// What ran out of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// A process that the OOM killer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The victim of a verdict in the kernel log.
    pub(super) fn logged(verdict: &OomVictim, inner_pid: Option<u32>) -> Self {
        Self {
            pid: verdict.pid,
            inner_pid,
            comm: verdict.comm.clone(),
            anon: verdict.anon_rss,
            file: verdict.file_rss,
            shmem: verdict.shmem_rss,
            uid: verdict.uid,
            oom_score_adj: verdict.oom_score_adj,
            from: Means::KernelLog,
        }
    }

    /// All resident memory.
    pub fn rss(&self) -> Bytes {
        let [anon, file, shmem] = [self.anon.0, self.file.0, self.shmem.0];
        Bytes(anon.saturating_add(file).saturating_add(shmem))
    }
}

impl OomKill {
    /// The path of the cgroup whose limit was hit, where that is known.
    pub fn limit_path(&self) -> Option<&Arc<str>> {
        match &self.fired.as_ref()?.value {
            Fired::Cgroup { path, .. } => Some(path),
            Fired::Host => None,
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
            Fired::Host => None,
        }
    }
}
