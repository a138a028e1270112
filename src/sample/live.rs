//! The live source: one thread that keeps every cgroup's files open, sweeps them each interval, and
//! listens to the kernel's notifications in between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Event, Sample};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::error::Result;

/// What to sample, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/proc`, or a fixture.
    pub proc: PathBuf,
    /// `/dev/kmsg`; `None` to do without the kernel log.
    pub kmsg: Option<PathBuf>,
    /// The host's hierarchy, with its v2 mount.
    pub hierarchy: Hierarchy,
    /// The subtree to sample, relative to the v2 mount; empty for all of it.
    pub subtree: PathBuf,
    /// Time between two sweeps.
    pub interval: Duration,
}

/// Which dear files are worth reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Interest {
    /// Everything, for tables without a screen and for records.
    #[default]
    All,
    /// Only what is looked at.
    Some {
        /// Cgroups on the screen: `memory.stat`.
        stats: HashSet<CgroupId>,
        /// The selected cgroup: its processes.
        processes: Option<CgroupId>,
    },
}

/// A running live source. Dropping it ends its thread.
#[derive(Debug)]
pub struct Live {
    /// The newest sample; a slow reader misses samples, never the newest.
    pub samples: watch::Receiver<Option<Arc<Sample>>>,
    /// Every event, in order.
    pub events: mpsc::UnboundedReceiver<Event>,
}

impl Live {
    /// Opens the tree and starts the thread. The first sample follows at once.
    pub fn start(options: Options) -> Result<Self> {
        let _ = options;
        unimplemented!()
    }

    /// Says what is looked at from the next sweep on.
    pub fn set_interest(&self, interest: Interest) {
        let _ = interest;
    }

    /// Changes the time between two sweeps.
    pub fn set_interval(&self, interval: Duration) {
        let _ = interval;
    }
}
