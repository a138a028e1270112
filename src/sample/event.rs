//! What the kernel tells without being asked: OOM kills and lost cgroups, between two samples.

use std::time::SystemTime;

use crate::kernel::cgroup::CgroupId;
use crate::oom::OomKill;

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
