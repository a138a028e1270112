//! Memory in three parts: working set, reclaimable, headroom.

use crate::kernel::unit::{Bytes, Reading};
use crate::sample::{CgroupSample, HostSample};

/// `memory.current`, split. The third part, headroom, is a matter of the limit:
/// [`Level::headroom`](super::limit::Level::headroom).
///
/// The *working set* is `memory.current` less `inactive_file`, as docker and the kubelet count it. What is
/// *reclaimable* is `inactive_file` and nothing else, so that the two add up to `memory.current`:
/// reclaimable slabs stay in the working set, because the kernel gives them back slowly and in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All that is charged: `memory.current`.
    pub current: Reading<Bytes>,
    /// What is in use. Without a `memory.stat` of its own this sample, from the last one seen.
    pub working: Reading<Bytes>,
    /// What the kernel drops before it kills.
    pub reclaimable: Reading<Bytes>,
}

impl Memory {
    /// The host's. The root cgroup has no file for it.
    pub fn of_host(host: &HostSample) -> Self {
        let used = host.memory_used();
        Self {
            current: used,
            working: used,
            reclaimable: Reading::NotAvailable,
        }
    }

    /// Splits one cgroup's memory. `remembered` is the last `inactive_file` seen: `memory.stat` is only
    /// read for what is on the screen, and a row must not change its rank by scrolling out of sight.
    pub fn of(cgroup: &CgroupSample, remembered: Option<Bytes>) -> Self {
        let inactive = match &cgroup.memory_stat {
            Reading::Value(stat) => Some(stat.inactive_file),
            Reading::NotAvailable | Reading::Unreadable(_) => remembered,
        };
        let part = |current: &Bytes| Bytes(inactive.unwrap_or_default().0.min(current.0));
        Self {
            current: cgroup.memory_current,
            working: cgroup
                .memory_current
                .map(|current| Bytes(current.0 - part(current).0)),
            reclaimable: match inactive {
                Some(_) => cgroup.memory_current.map(part),
                None => cgroup.memory_stat.map(|stat| stat.inactive_file),
            },
        }
    }
}
