//! One cgroup with all above it, computed as every row of the tree is: what binds it as it is, and as it would be.

use std::collections::HashMap;
use std::sync::Arc;

use super::limit::{Ceiling, Level, Quantity};
use super::row::{Before, Row, index, rows};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::knob::{Knob, KnobValue};
use crate::kernel::cpuset::CpuList;
use crate::kernel::unit::{Bytes, Reading};
use crate::sample::{CgroupSample, Sample};

/// A cgroup and all above it, the root first.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// A moment before, for rates.
    before: Option<Sample>,
    /// As they are.
    pub now: Sample,
}

impl Chain {
    /// Takes what [`look`](crate::sample::chain::look) gives.
    pub fn new(before: Option<Sample>, now: Sample) -> Self {
        Self { before, now }
    }

    /// The cgroup itself.
    pub fn row(&self) -> Option<Row> {
        let index: HashMap<CgroupId, usize> = self.before.as_ref().map(index).unwrap_or_default();
        let before = self.before.as_ref().map(|sample| Before {
            sample,
            index: &index,
        });
        rows(&self.now, before.as_ref(), |_| None).pop()
    }

    /// Gives the cgroup another limit. Of CPUs, those count that its parent has too.
    pub fn set(&mut self, knob: Knob, value: &KnobValue, parents: Option<&CpuList>) {
        let Some(own) = self.now.cgroups.last_mut() else {
            return;
        };
        let own: &mut CgroupSample = Arc::make_mut(own);
        match (knob, value) {
            (Knob::MemoryMax, KnobValue::Size(limit)) => own.memory_max = Reading::Value(*limit),
            (Knob::MemoryHigh, KnobValue::Size(limit)) => own.memory_high = Reading::Value(*limit),
            (Knob::SwapMax, KnobValue::Size(limit)) => own.swap_max = Reading::Value(*limit),
            (Knob::PidsMax, KnobValue::Count(limit)) => own.pids_max = Reading::Value(*limit),
            (Knob::CpuMax, KnobValue::CpuMax(max)) => own.cpu_max = Reading::Value(*max),
            (Knob::CpusetCpus, KnobValue::Cpus(cpus)) => {
                let common = parents.map(|parents| cpus.common(parents));
                let common = common.filter(|common| !common.is_empty());
                if let Some(cpus) = common.as_ref().or(parents) {
                    let count = u32::try_from(cpus.count()).unwrap_or(u32::MAX);
                    own.cpus_effective = Reading::Value(count);
                }
            }
            _ => {}
        }
    }
}

/// The limit of what a knob limits that is met first, be it that it stops or that it slows down: bytes, CPUs, processes.
/// `None` where there is none, not even the host's.
pub fn first_met(row: &Row, knob: Knob) -> Option<Level<f64>> {
    fn first<T: Quantity>(limit: &Reading<Arc<Ceiling<T>>>) -> Option<Level<f64>> {
        let ceiling = limit.value()?;
        Some(ceiling.first().unwrap_or(&ceiling.binding).in_numbers())
    }
    match knob {
        Knob::MemoryMax | Knob::MemoryHigh => first(&row.memory_limit),
        Knob::SwapMax => first(&row.swap_limit),
        Knob::CpuMax | Knob::CpusetCpus => first(&row.cpu_limit),
        Knob::PidsMax => first(&row.pids_limit),
        _ => None,
    }
}

/// How much is used of what a knob limits or protects: bytes, CPUs, processes.
pub fn used(row: &Row, knob: Knob) -> Option<f64> {
    let bytes = |size: &Reading<Bytes>| size.value().map(|size| size.amount());
    match knob {
        Knob::MemoryMax | Knob::MemoryHigh | Knob::MemoryLow | Knob::MemoryMin => {
            bytes(&row.memory.current)
        }
        Knob::SwapMax => bytes(&row.now.swap_current),
        Knob::CpuMax => row.cpu.value().map(|cpu| cpu.0 / 100.0),
        Knob::PidsMax => row.pids.value().map(|pids| pids.amount()),
        _ => None,
    }
}

/// Of that, what the kernel drops before it kills, in bytes; of `memory.max` alone.
pub fn droppable(row: &Row, knob: Knob) -> Option<f64> {
    let stat = row.parts.memory_stat.value();
    let stat = stat.filter(|_| knob == Knob::MemoryMax)?;
    Some(stat.droppable().amount())
}
