//! One instant of raw counters, nothing computed, and where it comes from.

pub mod cgroup;
pub mod chain;
pub mod event;
mod killers;
pub mod live;
mod oom;
mod stall;
mod sweep;
mod tree;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Mode;
use crate::kernel::host;
use crate::kernel::pressure::Pressure;
use crate::kernel::unit::{Bytes, Micros, Reading};

pub use cgroup::{CgroupSample, Presence, ProcessSample};
pub use event::Event;

/// One instant of a host: raw counters, as the kernel gave them.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
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
    /// Reads what `proc` says of the host.
    pub fn read(proc: &Path, mode: Mode, controllers: Arc<[String]>) -> Self {
        let (name, kernel) = host::names();
        let cpu = host::cpu_times(proc);
        let memory = host::memory(proc);
        Self {
            name,
            kernel,
            mode,
            controllers,
            cpus: cpu.value().map_or(1, |cpu| cpu.cpus),
            cpu_usage: cpu.map(|cpu| cpu.usage),
            memory_total: memory.map(|memory| memory.total),
            memory_available: match memory {
                Reading::Value(memory) => memory
                    .available
                    .map_or(Reading::NotAvailable, Reading::Value),
                Reading::NotAvailable => Reading::NotAvailable,
                Reading::Unreadable(errno) => Reading::Unreadable(errno),
            },
            swap_total: memory.map(|memory| memory.swap_total),
            swap_free: memory.map(|memory| memory.swap_free),
            cpu_pressure: host::pressure(proc, "cpu"),
            memory_pressure: host::pressure(proc, "memory"),
            io_pressure: host::pressure(proc, "io"),
        }
    }

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
