//! What is known about a cgroup besides its limits: for the columns and the view of one resource.

use std::sync::Arc;

use super::rate;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Limit, Percent, Reading};
use crate::sample::CgroupSample;

/// The parts of one cgroup's resources. Rates are those since the sample before.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// CPU in user mode, 100 is one core.
    pub cpu_user: Reading<Percent>,
    /// CPU in the kernel.
    pub cpu_system: Reading<Percent>,
    /// The share of periods in which its own `cpu.max` ran out; not available without one.
    pub throttled: Reading<Percent>,
    /// How often a second its own `memory.high` held back (`high` of `memory.events.local`); not available without one.
    pub high: Reading<f64>,
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
            throttled: match &now.cpu_max {
                Reading::Value(max) if max.quota != Limit::Max => {
                    rate::between(cpu_stat, &now.cpu_stat, rate::throttled)
                }
                Reading::Unreadable(errno) => Reading::Unreadable(*errno),
                _ => Reading::NotAvailable,
            },
            high: match &now.memory_high {
                Reading::Value(Limit::At(_)) => {
                    let then = then.map(CgroupSample::own_memory_events);
                    rate::between(then, now.own_memory_events(), |a, b| {
                        rate::per_second(a.high, b.high, seconds)
                    })
                }
                Reading::Unreadable(errno) => Reading::Unreadable(*errno),
                _ => Reading::NotAvailable,
            },
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
