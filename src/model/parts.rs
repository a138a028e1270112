//! What is known about a cgroup besides its limits: for the columns and the view of one resource.

use super::rate;
use crate::kernel::memory::{MemoryEvents, MemoryStat};
use crate::kernel::pressure::Pressure;
use crate::kernel::unit::{Bytes, Limit, Percent, Reading};
use crate::sample::CgroupSample;

/// The parts of one cgroup's resources. Rates are those since the sample before.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// CPU in user mode, 100 is one core.
    pub cpu_user: Reading<Percent>,
    /// CPU in the kernel.
    pub cpu_system: Reading<Percent>,
    /// Time that runnable tasks were held back, summed over CPUs; 100 is one core's worth.
    pub held_back: Reading<Percent>,
    /// `cpu.weight`.
    pub cpu_weight: Reading<u64>,
    /// `memory.stat`: of this sample, or the last one seen of this cgroup.
    pub memory_stat: Reading<MemoryStat>,
    /// `memory.high`.
    pub memory_high: Reading<Limit<Bytes>>,
    /// `memory.max`.
    pub memory_max: Reading<Limit<Bytes>>,
    /// `memory.peak`.
    pub memory_peak: Reading<Bytes>,
    /// `memory.swap.current`.
    pub swap: Reading<Bytes>,
    /// `memory.swap.max`.
    pub swap_max: Reading<Limit<Bytes>>,
    /// `memory.events`, with those below.
    pub memory_events: Reading<MemoryEvents>,
    /// Forks refused since the cgroup was made.
    pub forks_refused: Reading<u64>,
    /// `cpu.pressure`, `memory.pressure`, `io.pressure`.
    pub pressure: [Reading<Pressure>; 3],
}

impl Parts {
    /// Takes them from a sample, and from the one before with the seconds in between. `remembered` is
    /// the last `memory.stat` seen: it is only read for what is on the screen.
    pub fn of(
        now: &CgroupSample,
        then: Option<&CgroupSample>,
        seconds: f64,
        remembered: Option<MemoryStat>,
    ) -> Self {
        let cpu_stat = then.map(|then| &then.cpu_stat);
        Self {
            cpu_user: rate::between(cpu_stat, &now.cpu_stat, |a, b| {
                rate::cpu(a.user_usec, b.user_usec, seconds)
            }),
            cpu_system: rate::between(cpu_stat, &now.cpu_stat, |a, b| {
                rate::cpu(a.system_usec, b.system_usec, seconds)
            }),
            held_back: rate::between(cpu_stat, &now.cpu_stat, |a, b| {
                let (a, b) = (a.bandwidth?, b.bandwidth?);
                rate::cpu(a.throttled_usec, b.throttled_usec, seconds)
            }),
            cpu_weight: now.cpu_weight,
            memory_stat: match (now.memory_stat, remembered) {
                (Reading::NotAvailable, Some(stat)) => Reading::Value(stat),
                (stat, _) => stat,
            },
            memory_high: now.memory_high,
            memory_max: now.memory_max,
            memory_peak: now.memory_peak,
            swap: now.swap_current,
            swap_max: now.swap_max,
            memory_events: now.memory_events,
            forks_refused: now.pids_events.map(|events| events.max),
            pressure: [now.cpu_pressure, now.memory_pressure, now.io_pressure],
        }
    }

    /// What memory is made of, in parts that add up to about `memory.current`: heaps and stacks, page
    /// cache without shared memory, shared memory, and the kernel's own.
    pub fn composition(&self) -> Option<[(&'static str, Bytes); 4]> {
        let stat = self.memory_stat.value()?;
        let cache = Bytes(stat.file.0.saturating_sub(stat.shmem.0));
        Some([
            ("anon", stat.anon),
            ("file", cache),
            ("shmem", stat.shmem),
            ("kernel", stat.kernel),
        ])
    }
}
