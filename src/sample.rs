//! One instant of raw counters, nothing computed, and where it comes from.

pub mod cgroup;
pub mod event;
mod killers;
pub mod live;
mod oom;
mod stall;
mod sweep;
mod tree;
mod worker;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Mode;
use crate::kernel::pressure::Pressure;
use crate::kernel::unit::{Bytes, Micros, Reading};

pub use cgroup::{CgroupSample, Presence, ProcessSample};
pub use event::Event;

/// One instant of a host: raw counters, as the kernel gave them.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Wall-clock time, for people.
    pub time: SystemTime,
    /// Monotonic time since boot, for rates (`CLOCK_BOOTTIME`).
    pub since_boot: Duration,
    /// The host as a whole.
    pub host: HostSample,
    /// Every cgroup, parents before children, siblings together (depth first, by name). One of which nothing has changed is
    /// that of the sample before.
    pub cgroups: Vec<Arc<CgroupSample>>,
}

/// The host as a whole.
#[derive(Debug, Clone)]
pub struct HostSample {
    /// Host name; foreign text.
    pub name: String,
    /// Kernel release: `6.12.12-amd64`; foreign text.
    pub kernel: String,
    /// How the host arranges its cgroups.
    pub mode: Mode,
    /// Controllers of the v2 root.
    pub controllers: Arc<[String]>,
    /// CPUs online.
    pub cpus: usize,
    /// CPU time used by all since boot (user, nice, system, irq, softirq, steal), summed over CPUs.
    pub cpu_usage: Reading<Micros>,
    /// `MemTotal`.
    pub memory_total: Reading<Bytes>,
    /// `MemAvailable`.
    pub memory_available: Reading<Bytes>,
    /// `SwapTotal`.
    pub swap_total: Reading<Bytes>,
    /// `SwapFree`.
    pub swap_free: Reading<Bytes>,
    /// Host-wide pressure.
    pub cpu_pressure: Reading<Pressure>,
    /// Host-wide pressure.
    pub memory_pressure: Reading<Pressure>,
    /// Host-wide pressure.
    pub io_pressure: Reading<Pressure>,
}

impl HostSample {
    /// Memory that could not be had at once: `MemTotal` less `MemAvailable`.
    pub fn memory_used(&self) -> Reading<Bytes> {
        match (&self.memory_total, &self.memory_available) {
            (Reading::Value(total), Reading::Value(available)) => {
                Reading::Value(Bytes(total.0.saturating_sub(available.0)))
            }
            (Reading::Value(_), other) | (other, _) => *other,
        }
    }
}

impl Sample {
    /// Finds a cgroup by identity.
    pub fn cgroup(&self, id: CgroupId) -> Option<&CgroupSample> {
        self.cgroups
            .iter()
            .map(|cgroup| &**cgroup)
            .find(|cgroup| cgroup.id == id)
    }
}
