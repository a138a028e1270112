//! Changing a limit, judged before it is done: what it is, what it would be, what is used, whether it
//! would bind, and what would happen.

mod judge;
pub mod step;
mod words;

pub use words::{amount_text, value_text};

use crate::kernel::cgroup::apply::Write;
use crate::kernel::cgroup::knob::{Address, Knob, KnobValue};
use crate::kernel::cgroup::standing::Standing;
use crate::kernel::cpuset::CpuList;
use crate::kernel::unit::{Bytes, Limit};

use super::chain;
use super::limit::{Level, Of};
use super::row::Row;

/// A change of one knob, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which knob, of which disk.
    pub address: Address,
    /// The disk's name: `vda`.
    pub disk: Option<String>,
    /// What it is.
    pub old: KnobValue,
    /// What it will be, as the kernel keeps it.
    pub new: KnobValue,
    /// What is used of it: bytes, CPUs, processes.
    pub used: Option<f64>,
    /// Of that, what the kernel drops before it kills, in bytes.
    pub droppable: Option<f64>,
    /// Who will stop the cgroup, or slow it down, first.
    pub bound: Bound,
    /// What is worth a line.
    pub remarks: Vec<Remark>,
}

/// Whose limit will be reached first.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// No such limit: a weight, a switch.
    NotALimit,
    /// Nobody's: there is none up the tree.
    Unlimited,
    /// The new one.
    Own,
    /// That of an ancestor or of the host, or another of its own.
    By(Level<f64>),
}

/// A remark on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How serious it is.
    pub gravity: Gravity,
    /// One sentence, without the knob's name.
    pub text: String,
}

/// How serious a remark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// Good to know.
    Note,
    /// Likely to break the workload: only where it is forced.
    Danger,
    /// The kernel would not take it.
    Impossible,
}

/// What a change is judged against.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Setting {
    /// The host's memory.
    pub host_memory: Option<Bytes>,
    /// The host's CPUs.
    pub host_cpus: CpuList,
    /// The CPUs that the parent hands down.
    pub parent_cpus: Option<CpuList>,
    /// The size of a page of memory, in bytes.
    pub page: u64,
    /// The `memory.max` that the cgroup will have.
    pub memory_max: Option<Limit<Bytes>>,
    /// Whether `cpu.idle` will be on.
    pub idle: bool,
}

impl Change {
    /// Judges a change. `wanted` is what was asked for, `levels` what the knob stands at, nearest first.
    /// `old` is the cgroup's own standing, `after` the cgroup as it will be, with all that is changed at once.
    pub fn new(
        address: Address,
        disk: Option<String>,
        old: KnobValue,
        wanted: &KnobValue,
        levels: &[Standing],
        setting: &Setting,
        after: &Row,
    ) -> Self {
        let new = wanted.clone().in_pages(setting.page);
        let mut change = Self {
            address,
            disk,
            old,
            used: chain::used(after, address.knob),
            droppable: chain::droppable(after, address.knob),
            bound: Bound::NotALimit,
            new,
            remarks: Vec::new(),
        };
        change.bound = change.bound_in(after);
        if change.new != *wanted {
            let text = format!(
                "rounded down to whole pages of memory: {} bytes",
                change.new.to_text(address)
            );
            change.remark(Gravity::Note, text);
        }
        judge::judge(&mut change, levels, setting);
        change
    }

    /// What is to be written.
    pub fn write(&self) -> Write {
        Write {
            address: self.address,
            old: self.old.clone(),
            new: self.new.clone(),
        }
    }

    /// The remarks of at least this gravity.
    pub fn at_least(&self, gravity: Gravity) -> impl Iterator<Item = &Remark> {
        self.remarks
            .iter()
            .filter(move |remark| remark.gravity >= gravity)
    }

    fn remark(&mut self, gravity: Gravity, text: impl Into<String>) {
        self.remarks.push(Remark {
            gravity,
            text: text.into(),
        });
    }

    /// Whether it takes nothing away.
    fn loosens(&self) -> bool {
        match (self.old.amount(), self.new.amount()) {
            (Some(old), Some(new)) => {
                new.value().unwrap_or(f64::INFINITY) >= old.value().unwrap_or(f64::INFINITY)
            }
            _ => self.address.knob == Knob::CpuIdle && self.new == KnobValue::Switch(false),
        }
    }

    /// Loosening comes first; what may kill or stop last, when all else was accepted.
    fn rank(&self) -> u8 {
        match self.address.knob {
            _ if self.loosens() => 0,
            Knob::MemoryMax => 3,
            Knob::PidsMax | Knob::MemoryHigh | Knob::SwapMax => 2,
            _ => 1,
        }
    }

    /// `after` is the cgroup as it will be.
    fn bound_in(&self, after: &Row) -> Bound {
        let knob = self.address.knob;
        let limits = matches!(
            knob,
            Knob::MemoryMax
                | Knob::MemoryHigh
                | Knob::SwapMax
                | Knob::CpuMax
                | Knob::CpusetCpus
                | Knob::PidsMax
        );
        if !limits {
            return Bound::NotALimit;
        }
        match chain::first_met(after, knob) {
            None => Bound::Unlimited,
            Some(level) if level.of == Of::Own && level.knob == knob => Bound::Own,
            Some(level) => Bound::By(level),
        }
    }
}

/// Puts changes in the order in which they are safe to make.
pub fn in_safe_order(changes: &mut [Change]) {
    changes.sort_by_key(Change::rank);
}

#[cfg(test)]
mod tests;
