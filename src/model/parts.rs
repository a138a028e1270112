//! What is known about a cgroup besides its limits: for the columns and the view of one resource.

use std::sync::Arc;

use super::rate;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Percent, Reading};
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
    /// `memory.stat`: of this sample, or the last one seen of this cgroup.
    pub memory_stat: Reading<Arc<MemoryStat>>,
}

impl Parts {
    /// Takes them from a sample, and from the one before with the seconds in between. `remembered` is
    /// the last `memory.stat` seen: it is only read for what is on the screen.
    pub fn of(
        now: &CgroupSample,
        then: Option<&CgroupSample>,
        seconds: f64,
        remembered: Option<Arc<MemoryStat>>,
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
            memory_stat: match (&now.memory_stat, remembered) {
                (Reading::NotAvailable, Some(stat)) => Reading::Value(stat),
                (stat, _) => stat.clone(),
            },
        }
    }
}
