//! A change as a line for people.

use std::fmt;

use super::{Bound, Change};
use crate::kernel::cgroup::knob::{Kind, Knob, KnobValue};
use crate::kernel::cpu::CpuMax;
use crate::kernel::io::IoMax;
use crate::kernel::unit::{Bytes, Limit};
use crate::model::io;
use crate::model::limit::{Level, Of};
use crate::text;

impl Change {
    /// `memory.max`, `io.max vda`.
    fn what(&self) -> String {
        let Self { address, disk, .. } = self;
        match (disk, address.device) {
            (Some(disk), Some(_)) => format!("{} {disk}", address.knob),
            _ => address.to_string(),
        }
    }

    /// `64M → 32M`.
    fn step(&self) -> String {
        let Self { address, .. } = self;
        let (mut old, mut new) = (self.people(&self.old), self.people(&self.new));
        if old == new && self.old != self.new {
            (old, new) = (self.old.to_text(*address), self.new.to_text(*address));
        }
        format!("{old} → {new}")
    }

    /// `memory.max 64M → 32M`.
    pub fn in_short(&self) -> String {
        format!("{} {}", self.what(), self.step())
    }
}

/// `memory.max  64M → 32M  (8.1M in use; binding)`, two spaces between the columns. Paths in it are
/// foreign text.
impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, .. } = self;
        write!(out, "{}  {}", self.what(), self.step())?;
        let used = self
            .used
            .map(|used| format!("{} in use", amount_text(address.knob, used)));
        let bound = match &self.bound {
            Bound::NotALimit => None,
            Bound::Unlimited => Some("no limit".to_owned()),
            Bound::Own => Some("binding".to_owned()),
            Bound::By(level) => {
                let limit = limit_text(level);
                Some(match &level.of {
                    Of::Ancestor(path) => format!("bound by {} {limit} of {path}", level.knob),
                    Of::Own => format!("bound by its own {} {limit}", level.knob),
                    Of::Host => format!("bound by the host's {limit}"),
                })
            }
        };
        let beside: Vec<String> = used.into_iter().chain(bound).collect();
        if beside.is_empty() {
            return Ok(());
        }
        write!(out, "  ({})", beside.join("; "))
    }
}

impl Change {
    fn people(&self, value: &KnobValue) -> String {
        let (KnobValue::IoMax(max), KnobValue::IoMax(old), KnobValue::IoMax(new)) =
            (value, &self.old, &self.new)
        else {
            return value_text(self.address.knob, value);
        };
        rates(max, &[old, new])
    }
}

/// A limit for people: of a list of CPUs, their number.
fn limit_text(level: &Level<f64>) -> String {
    match level.knob {
        Knob::CpusetCpus => cpus(level.limit),
        knob => amount_text(knob, level.limit),
    }
}

/// So much of what a knob limits, for people: bytes, CPUs, processes.
pub fn amount_text(knob: Knob, amount: f64) -> String {
    match knob.entry().kind {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Kind::Size => text::bytes(Bytes(amount as u64)),
        Kind::CpuTime => cpus(amount),
        _ => amount.to_string(),
    }
}

/// The value of a knob for people.
pub fn value_text(knob: Knob, value: &KnobValue) -> String {
    match value {
        KnobValue::Size(limit) => text::limit(*limit),
        KnobValue::Switch(on) => u8::from(*on).to_string(),
        KnobValue::CpuMax(max) => cpu_max(*max),
        KnobValue::Weight(Some(weight)) => weight.to_string(),
        KnobValue::Weight(None) if knob == Knob::CpuWeight => "idle".to_owned(),
        KnobValue::Weight(None) => "default".to_owned(),
        KnobValue::Cpus(cpus) if cpus.is_empty() => "the parent's".to_owned(),
        KnobValue::Cpus(cpus) => cpus.to_string(),
        KnobValue::IoMax(max) => rates(max, &[max]),
        KnobValue::Count(limit) => limit.to_string(),
    }
}

/// The rates that are limited in one of `shown`.
fn rates(max: &IoMax, shown: &[&IoMax]) -> String {
    let limited: Vec<String> = io::Kind::ALL
        .into_iter()
        .filter(|kind| shown.iter().any(|shown| kind.cap(shown) != Limit::Max))
        .map(|kind| format!("{}={}", kind.name(), kind.text(kind.cap(max))))
        .collect();
    if limited.is_empty() {
        return "max".to_owned();
    }
    limited.join(" ")
}

/// `0.5 cpu`, with the period where it is not the default.
fn cpu_max(max: CpuMax) -> String {
    let Limit::At(number) = max.cpus() else {
        return "max".to_owned();
    };
    if max.period == CpuMax::PERIOD {
        return cpus(number);
    }
    format!("{} per {} ms", cpus(number), max.period.0 as f64 / 1000.0)
}

fn cpus(number: f64) -> String {
    format!("{} cpu", (number * 1000.0).round() / 1000.0)
}
