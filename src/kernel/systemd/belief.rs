//! What systemd takes the limits of a unit to be.

use std::collections::BTreeMap;

use nix::unistd::geteuid;

use super::{Telling, Unit};
use crate::kernel::cgroup::knob::{Knob, KnobValue};
use crate::kernel::cpu::CpuMax;
use crate::kernel::unit::{Limit, Micros};

/// The property that says so of each knob, as `systemctl show` has it.
///
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html>
const PROPERTIES: [(Knob, &str); 9] = [
    (Knob::MemoryMax, "MemoryMax"),
    (Knob::MemoryHigh, "MemoryHigh"),
    (Knob::MemoryLow, "MemoryLow"),
    (Knob::MemoryMin, "MemoryMin"),
    (Knob::SwapMax, "MemorySwapMax"),
    (Knob::PidsMax, "TasksMax"),
    (Knob::CpuWeight, "CPUWeight"),
    (Knob::CpusetCpus, "AllowedCPUs"),
    (Knob::CpuMax, "CPUQuotaPerSecUSec"),
];

impl Unit {
    /// What its manager takes its limits to be; what it says nothing of is left out.
    pub fn believes(&self) -> BTreeMap<Knob, KnobValue> {
        let mut words = self.systemctl("show", geteuid().is_root());
        words.extend(PROPERTIES.map(|(_, property)| format!("--property={property}")));
        words.extend(["--".to_owned(), self.name.clone()]);
        let Ok(answer) = Telling(words).start().output() else {
            return BTreeMap::new();
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        text.lines().filter_map(belief).collect()
    }
}

/// A line of `systemctl show`.
fn belief(line: &str) -> Option<(Knob, KnobValue)> {
    let (property, text) = line.split_once('=')?;
    let (knob, _) = PROPERTIES.into_iter().find(|(_, name)| *name == property)?;
    let value = match (knob, text) {
        (Knob::CpuMax, "infinity") => KnobValue::CpuMax(CpuMax::UNLIMITED),
        (Knob::CpuMax, text) => KnobValue::CpuMax(CpuMax {
            quota: Limit::At(Micros(time_span(text)? / 10)),
            ..CpuMax::UNLIMITED
        }),
        (knob, "infinity") => KnobValue::from_words(knob, "max").ok()?,
        (_, "[not set]") => return None,
        (knob, text) => KnobValue::from_words(knob, text).ok()?,
    };
    Some((knob, value))
}

/// `1min 1.500000s`, `500ms`, in microseconds.
///
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.time.html>
fn time_span(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 5] = [
        ("us", 1.0),
        ("ms", 1e3),
        ("min", 6e7),
        ("s", 1e6),
        ("h", 3.6e9),
    ];
    let part = |part: &str| {
        let (number, size) = UNITS
            .into_iter()
            .find_map(|(unit, size)| Some((part.strip_suffix(unit)?, size)))?;
        Some(number.parse::<f64>().ok()? * size)
    };
    let parts: Option<Vec<f64>> = text.split(' ').map(part).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    parts.map(|parts| parts.iter().sum::<f64>().round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_understood() {
        for (line, text) in [
            ("MemoryMax=67108864", Some("67108864")),
            ("MemoryHigh=infinity", Some("max")),
            ("TasksMax=1147", Some("1147")),
            ("CPUWeight=[not set]", None),
            ("CPUWeight=250", Some("250")),
            ("AllowedCPUs=0-1", Some("0-1")),
            ("CPUQuotaPerSecUSec=500ms", Some("50000 100000")),
            ("CPUQuotaPerSecUSec=1.500000s", Some("150000 100000")),
            ("CPUQuotaPerSecUSec=1min 2s", Some("6200000 100000")),
            ("CPUQuotaPerSecUSec=infinity", Some("max 100000")),
            ("MemoryMax=a", None),
            ("Id=a", None),
            ("", None),
        ] {
            let found = belief(line).map(|(knob, value)| value.to_text(knob.into()));
            assert_eq!(found.as_deref(), text, "{line}");
        }
    }
}
