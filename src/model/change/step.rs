//! Values between which a person steps or drags, and how far they reach.

use crate::kernel::cgroup::knob::{Kind, Knob, KnobValue};
use crate::kernel::cpu::CpuMax;
use crate::kernel::cpuset::CpuList;
use crate::kernel::unit::{Bytes, Limit, Weight};
use crate::model::io;

/// The least size that a step leads to: with less, hardly anything runs.
const LEAST: f64 = (1 << 20) as f64;
/// What a rate without a limit, of a disk without traffic, is shown against: 256 MiB or operations.
const RATE: f64 = (1 << 28) as f64;

/// The scale of a bar: from 0 to this.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Its end: bytes, CPUs, processes, weight, or per second.
    pub end: f64,
    /// Whether nothing beyond its end could ever be had, so that the end means no limit.
    pub is_bound: bool,
    /// The CPUs that can be chosen from.
    pub cpus: CpuList,
}

/// Which part of a knob is stepped: the whole, or one of the rates of `io.max`.
pub type Part = Option<io::Kind>;

/// The value as a number on its scale. `None` without a limit, and for what has no scale.
pub fn amount(value: &KnobValue, part: Part) -> Option<f64> {
    match (value, part) {
        (KnobValue::IoMax(max), Some(kind)) => kind.cap(max).value().map(|rate| rate as f64),
        (KnobValue::Weight(weight), _) => weight.map(|weight| f64::from(weight.get())),
        (value, _) => value.amount()?.value(),
    }
}

impl Scale {
    /// A scale for a value that is so much, where so much is used: the larger of the two in its first
    /// quarter, or up to where more could not be had.
    pub fn new(
        knob: Knob,
        value: Option<f64>,
        used: Option<f64>,
        bound: Option<f64>,
        cpus: CpuList,
    ) -> Self {
        let kind = knob.entry().kind;
        let wide = value.into_iter().chain(used).fold(0.0, f64::max) * 4.0;
        let (end, is_bound) = match (kind, bound) {
            (Kind::Weight | Kind::DeviceWeight, _) => (10_000.0, false),
            (Kind::CpuTime, Some(bound)) => (bound, true),
            (_, Some(bound)) if value.is_none() || wide >= bound => (bound, true),
            (_, _) if wide > 0.0 => (wide.log2().ceil().exp2(), false),
            _ => (RATE, false),
        };
        // What is above all that could be had is still shown.
        let end = value.map_or(end, |value| end.max(value));
        Self {
            end,
            is_bound,
            cpus,
        }
    }

    /// How far along the bar an amount is, 0 to 1.
    pub fn share(&self, knob: Knob, amount: f64) -> f64 {
        let share = match knob.entry().kind {
            // Between 1 and 10000, each tenfold takes the same room.
            Kind::Weight | Kind::DeviceWeight => amount.max(1.0).log10() / 4.0,
            _ => amount / self.end,
        };
        share.clamp(0.0, 1.0)
    }

    /// The value that a bar held at this share (0 to 1) stands for, rounded to where a step could lead;
    /// as a person would write it.
    pub fn at(&self, knob: Knob, part: Part, share: f64) -> Option<String> {
        let share = share.clamp(0.0, 1.0);
        let kind = knob.entry().kind;
        match kind {
            Kind::Switch | Kind::CpuList => return None,
            Kind::Weight | Kind::DeviceWeight => {
                let amount = 10f64.powf(share * 4.0);
                return Some(whole(
                    nearest(amount, width(kind, amount)).clamp(1.0, 10_000.0),
                ));
            }
            _ => {}
        }
        if share >= 1.0 && self.is_bound {
            return Some("max".to_owned());
        }
        let amount = share * self.end;
        let least = least(kind, part);
        let amount = nearest(amount, width(kind, amount).max(least)).max(least);
        Some(written(kind, part, amount))
    }

    /// The next value up or down from a value, as a person would write it. `None` where there is none.
    pub fn step(&self, knob: Knob, part: Part, value: &KnobValue, up: bool) -> Option<String> {
        let kind = knob.entry().kind;
        match value {
            KnobValue::Switch(_) => return Some(u8::from(up).to_string()),
            KnobValue::Cpus(cpus) => return self.step_cpus(cpus, up),
            _ => {}
        }
        let weight = matches!(kind, Kind::Weight | Kind::DeviceWeight);
        let now = match amount(value, part) {
            Some(now) => now,
            None if weight => f64::from(Weight::DEFAULT.get()),
            None if up => return None,
            // From no limit down to the most that could be had.
            None => return Some(written(kind, part, self.end)),
        };
        let least = least(kind, part);
        let next = if up {
            let step = width(kind, now).max(least);
            ((now / step + 1e-9).floor() + 1.0) * step
        } else {
            // Just below, the steps may be finer.
            let step = width(kind, now * 0.999).max(least);
            (((now / step - 1e-9).ceil() - 1.0) * step).max(least)
        };
        if weight {
            return Some(whole(next.clamp(1.0, 10_000.0)));
        }
        if up && self.is_bound && next > self.end {
            return Some("max".to_owned());
        }
        Some(written(kind, part, next))
    }

    fn step_cpus(&self, cpus: &CpuList, up: bool) -> Option<String> {
        if up {
            let free = self.cpus.beyond(cpus);
            return free.first().map(|cpu| cpus.with(cpu).to_string());
        }
        let all = if cpus.is_empty() { &self.cpus } else { cpus };
        let fewer = all.without(all.last()?);
        (!fewer.is_empty()).then(|| fewer.to_string())
    }
}

/// How wide steps are around an amount: an eighth of it, in round numbers.
fn width(kind: Kind, amount: f64) -> f64 {
    match kind {
        Kind::CpuTime if amount < 0.1 => 0.01,
        Kind::CpuTime if amount < 2.0 => 0.1,
        Kind::CpuTime => 0.5,
        Kind::Weight | Kind::DeviceWeight => {
            if amount < 10.0 {
                1.0
            } else {
                10f64.powf(amount.log10().floor())
            }
        }
        _ => (amount.max(1.0).log2().floor() - 3.0).exp2().max(1.0),
    }
}

/// The least that a step leads to, also the finest step.
fn least(kind: Kind, part: Part) -> f64 {
    match (kind, part) {
        (Kind::Size, _) | (_, Some(io::Kind::Rbps | io::Kind::Wbps)) => LEAST,
        (Kind::CpuTime, _) => 0.01,
        _ => 1.0,
    }
}

fn nearest(amount: f64, step: f64) -> f64 {
    (amount / step).round() * step
}

fn written(kind: Kind, part: Part, amount: f64) -> String {
    match (kind, part) {
        (Kind::CpuTime, _) => ((amount * 100.0).round() / 100.0).to_string(),
        (Kind::Size, _) | (_, Some(io::Kind::Rbps | io::Kind::Wbps)) => size(count(amount)),
        _ => whole(amount),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(amount: f64) -> u64 {
    amount.round() as u64
}

fn whole(amount: f64) -> String {
    count(amount).to_string()
}

/// A size as it is typed, exact: `64m`, `4097`.
fn size(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let unit = units
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(
        || bytes.to_string(),
        |(shift, letter)| format!("{}{letter}", bytes >> shift),
    )
}

/// A value as a person would type it, exactly.
pub fn words(value: &KnobValue, part: Part) -> String {
    let limit = |limit: Limit<u64>, words: fn(u64) -> String| {
        limit.value().map_or_else(|| "max".to_owned(), words)
    };
    match (value, part) {
        (KnobValue::Size(max), _) => limit(max.map(|Bytes(bytes)| bytes), size),
        (KnobValue::Count(max), _) => limit(*max, |count| count.to_string()),
        (KnobValue::IoMax(max), Some(kind @ (io::Kind::Rbps | io::Kind::Wbps))) => {
            limit(kind.cap(max), size)
        }
        (KnobValue::IoMax(max), Some(kind)) => limit(kind.cap(max), |count| count.to_string()),
        (KnobValue::IoMax(max), None) => max.to_string(),
        (KnobValue::CpuMax(max), _) if max.period == CpuMax::PERIOD => match max.cpus() {
            Limit::At(cpus) => cpus.to_string(),
            Limit::Max => "max".to_owned(),
        },
        (KnobValue::CpuMax(max), _) => max.to_string(),
        (KnobValue::Switch(on), _) => u8::from(*on).to_string(),
        (KnobValue::Weight(weight), _) => {
            weight.map_or_else(|| "default".to_owned(), |weight| weight.to_string())
        }
        (KnobValue::Cpus(cpus), _) => cpus.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale(knob: Knob, value: impl Into<Option<f64>>, bound: Option<f64>) -> Scale {
        let cpus = "0-3".parse().unwrap();
        Scale::new(knob, value.into(), None, bound, cpus)
    }

    fn walk(knob: Knob, from: &str, up: bool, steps: usize) -> Vec<String> {
        let mut value = KnobValue::from_words(knob, from).unwrap();
        let bound = match knob.entry().kind {
            Kind::CpuTime => Some(4.0),
            Kind::Size => Some(2f64.powi(30)),
            _ => None,
        };
        let scale = scale(knob, amount(&value, None), bound);
        let mut steps_taken = Vec::new();
        for _ in 0..steps {
            let Some(text) = scale.step(knob, None, &value, up) else {
                break;
            };
            value = KnobValue::from_words(knob, &text).unwrap();
            steps_taken.push(text);
        }
        steps_taken
    }

    #[test]
    fn steps_are_sensible() {
        assert_eq!(walk(Knob::MemoryMax, "64m", true, 3), ["72m", "80m", "88m"]);
        assert_eq!(
            walk(Knob::MemoryMax, "64m", false, 3),
            ["60m", "56m", "52m"]
        );
        assert_eq!(walk(Knob::MemoryMax, "50000000", true, 1), ["48m"]);
        assert_eq!(walk(Knob::MemoryMax, "2m", false, 3), ["1m", "1m", "1m"]);
        assert_eq!(walk(Knob::MemoryMax, "960m", true, 3), ["1g", "max"]);
        assert_eq!(walk(Knob::MemoryMax, "max", false, 2), ["1g", "960m"]);
        assert_eq!(walk(Knob::CpuMax, "0.5", true, 2), ["0.6", "0.7"]);
        assert_eq!(walk(Knob::CpuMax, "0.1", false, 2), ["0.09", "0.08"]);
        assert_eq!(walk(Knob::CpuMax, "3.5", true, 3), ["4", "max"]);
        assert_eq!(walk(Knob::CpuWeight, "100", true, 2), ["200", "300"]);
        assert_eq!(walk(Knob::CpuWeight, "100", false, 2), ["90", "80"]);
        assert_eq!(walk(Knob::PidsMax, "16", true, 2), ["18", "20"]);
        assert_eq!(walk(Knob::PidsMax, "2", false, 2), ["1", "1"]);
        assert_eq!(walk(Knob::OomGroup, "0", true, 1), ["1"]);
        assert_eq!(walk(Knob::CpusetCpus, "0-1", true, 3), ["0-2", "0-3"]);
        assert_eq!(walk(Knob::CpusetCpus, "", false, 2), ["0-2", "0-1"]);
    }

    #[test]
    fn the_end_of_a_bar_is_no_limit_where_more_could_not_be_had() {
        let bound = scale(Knob::MemoryMax, 2f64.powi(29), Some(2f64.powi(30)));
        let knob = Knob::MemoryMax;
        assert_eq!(bound.at(knob, None, 1.0).as_deref(), Some("max"));
        assert_eq!(bound.at(knob, None, 0.5).as_deref(), Some("512m"));
        let open = scale(knob, 2f64.powi(26), None);
        assert!((open.end - 2f64.powi(28)).abs() < 1.0);
        assert_eq!(open.at(knob, None, 1.0).as_deref(), Some("256m"));
        assert_eq!(open.at(knob, None, 0.0).as_deref(), Some("1m"));
    }

    proptest! {
        /// What a person sees can be typed again, and means the same.
        #[test]
        fn words_are_read_back(bytes in 0..u64::MAX / 4, cpus in 1..100_000u32, pids in 0..4_194_304u64) {
            for (knob, value) in [
                (Knob::MemoryMax, KnobValue::Size(Limit::At(Bytes(bytes)))),
                (Knob::PidsMax, KnobValue::Count(Limit::At(pids))),
                (Knob::CpuMax, KnobValue::CpuMax(CpuMax::of_cpus(f64::from(cpus) / 100.0).unwrap())),
            ] {
                let typed = words(&value, None);
                prop_assert_eq!(KnobValue::from_words(knob, &typed), Ok(value));
            }
        }

        /// A step up is up, a step down is down, and each can be read.
        #[test]
        fn steps_go_where_they_should(bytes in 1u64 << 21..1 << 40, share in 0.0..1.0) {
            let value = KnobValue::Size(Limit::At(Bytes(bytes)));
            let scale = scale(Knob::MemoryMax, bytes as f64, None);
            for up in [true, false] {
                let text = scale.step(Knob::MemoryMax, None, &value, up).unwrap();
                let next: Bytes = text.parse().unwrap();
                prop_assert_eq!(next.0 > bytes, up, "{} to {}", bytes, text);
            }
            let held = scale.at(Knob::MemoryMax, None, share).unwrap();
            prop_assert!(held.parse::<Bytes>().is_ok());
        }
    }
}
