//! What the kernel tells without being asked: OOM kills and lost cgroups, between two samples.

use std::sync::Arc;
use std::time::SystemTime;

use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::{Bytes, Limit};

/// Something that happened between two samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The kernel killed for lack of memory.
    OomKill(OomKill),
    /// Something the user should know about the observing itself (kernel log lost records, watch limit
    /// reached, …).
    Notice {
        /// When it was noticed.
        time: SystemTime,
        /// One sentence.
        text: String,
    },
}

/// One or more OOM kills in one cgroup, as one notification told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKill {
    /// When it was noticed.
    pub time: SystemTime,
    /// The victims' cgroup: the deepest one whose `memory.events.local` counted the kill, or the one
    /// the kernel log names.
    pub cgroup: CgroupId,
    /// Its path.
    pub path: Arc<str>,
    /// How many processes the counter says were killed since the last notification; at least 1.
    pub kills: u64,
    /// The cgroup whose limit was hit, where the kernel log names it: itself or an ancestor.
    pub limit_path: Option<Arc<str>>,
    /// That limit (`memory.max`), where it is known.
    pub limit: Option<Limit<Bytes>>,
    /// The victims that the kernel log names; may be fewer than `kills` where the log is unreadable.
    pub victims: Vec<Victim>,
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
    /// Resident memory when it was killed.
    pub rss: Bytes,
}
