//! What went before a kill: memory, limit and pressure of the victims' cgroup.

use std::time::Duration;

use super::Incident;
use crate::kernel::pressure::Pressure;
use crate::kernel::unit::{Percent, Reading};
use crate::model::History;
use crate::sample::CgroupSample;

/// How long a past each incident keeps.
pub const BEFORE: Duration = Duration::from_mins(2);
/// How many points of it.
const POINTS: u32 = 240;
/// The past that is told in words, in seconds.
const TOLD: f32 = 60.0;
/// Memory that fell below this share of what it was has begun anew: a restart, an earlier kill.
const BEGAN_ANEW: f32 = 0.75;

/// A cgroup some time before a kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds before the kill.
    pub age: f32,
    /// `memory.current` in bytes.
    pub memory: f32,
    /// The memory limit that bound, in bytes.
    pub limit: Option<f32>,
    /// Share of the time since the moment before that some task waited for memory, 0 to 100.
    pub stall: Option<f32>,
}

/// How memory grew before a kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Bytes a second; below 0 where it shrank.
    pub rate: f64,
    /// Over how many seconds.
    pub seconds: f64,
}

/// A limit that was changed before a kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitChange {
    /// Bytes.
    pub from: f32,
    /// Bytes.
    pub to: f32,
    /// Seconds before the kill.
    pub age: f32,
}

impl Incident {
    /// Takes over the past of the victims' cgroup.
    pub(in crate::model) fn look_back(&mut self, history: &History) {
        let mut points: Vec<Moment> = history
            .points(BEFORE / POINTS)
            .filter(|point| point.at <= self.at && self.at.saturating_sub(point.at) <= BEFORE)
            .filter_map(|point| {
                // A chart needs no more digits.
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                Some(Moment {
                    age: self.at.saturating_sub(point.at).as_secs_f32(),
                    memory: point.memory?.0 as f32,
                    limit: point.limit.map(|limit| limit.0 as f32),
                    stall: point.stall.map(|stall| stall.0 as f32),
                })
            })
            .collect();
        // A sweep may come between the kill and the word of it: then its victims are gone already.
        if let [.., before, last] = &points[..]
            && last.memory < BEGAN_ANEW * before.memory
        {
            points.pop();
        }
        let surplus = points.len().saturating_sub(POINTS as usize);
        self.before = points[surplus..].to_vec();
    }

    /// The largest value in each of `columns` equal slices of the past, newest last.
    pub fn columns(&self, columns: usize) -> Vec<Option<f64>> {
        let mut values: Vec<Option<f64>> = vec![None; columns];
        for Moment { age, memory, .. } in &self.before {
            let share = f64::from(*age) / BEFORE.as_secs_f64();
            // Truncation is meant: the age is a share between 0 and 1.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let back = (share * columns as f64) as usize;
            if let Some(index) = columns.checked_sub(back + 1) {
                let memory = f64::from(*memory);
                values[index] = Some(values[index].map_or(memory, |other| other.max(memory)));
            }
        }
        values
    }

    /// The last minute, oldest first.
    fn last_minute(&self) -> &[Moment] {
        let old = self.before.partition_point(|moment| moment.age > TOLD);
        &self.before[old..]
    }

    /// How memory grew in the last minute, or since it last began anew.
    pub fn growth(&self) -> Option<Growth> {
        let moments = self.last_minute();
        let began = moments
            .windows(2)
            .rposition(|pair| pair[1].memory < BEGAN_ANEW * pair[0].memory)
            .map_or(0, |at| at + 1);
        let (first, last) = (moments.get(began)?, moments.last()?);
        let seconds = f64::from(first.age - last.age);
        (seconds > 0.0).then(|| Growth {
            rate: f64::from(last.memory - first.memory) / seconds,
            seconds,
        })
    }

    /// The last change of the limit that bound in the last minute.
    pub fn limit_change(&self) -> Option<LimitChange> {
        let moments = self.last_minute();
        moments.windows(2).rev().find_map(|pair| {
            let (from, to) = (pair[0].limit?, pair[1].limit?);
            let age = pair[1].age;
            // The host's own ceiling is a little different at every look.
            ((from - to).abs() > 0.001 * from.max(to)).then_some(LimitChange { from, to, age })
        })
    }

    /// The strongest memory pressure of the last minute: share of time that some task waited, 0 to 100.
    pub fn pressure(&self) -> Option<f32> {
        let stalls = self.last_minute().iter().filter_map(|moment| moment.stall);
        stalls.reduce(f32::max)
    }
}

/// The share of time that some task waited for memory since the sample before; the kernel's mean over
/// 10 s without one.
pub(in crate::model) fn stall(
    now: &CgroupSample,
    then: Option<(&CgroupSample, f64)>,
) -> Option<Percent> {
    let some = |pressure: &Reading<Pressure>| pressure.value().map(|pressure| pressure.some);
    let last = some(&now.memory_pressure)?;
    let before = then.and_then(|(then, seconds)| Some((some(&then.memory_pressure)?, seconds)));
    before
        .and_then(|(before, seconds)| {
            let waited = last.total.0.checked_sub(before.total.0)?;
            Percent::of(waited as f64, seconds * 1e6)
        })
        .map(|share| Percent(share.0.min(100.0)))
        .or(Some(last.avg10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::unit::Bytes;
    use crate::model::history::Point;
    use crate::model::incident::example;

    /// An incident after 100 s of `(memory, limit)`, one a second.
    fn incident(past: &[(u64, u64)]) -> Incident {
        let mut history = History::default();
        let begin = 100 - past.len() as u64;
        for (second, (memory, limit)) in (begin..).zip(past) {
            history.push(Point {
                at: Duration::from_secs(second),
                memory: Some(Bytes(*memory)),
                cpu: None,
                limit: Some(Bytes(*limit)),
                stall: Some(Percent(2.0)),
            });
        }
        let mut incident = example(None);
        incident.look_back(&history);
        incident
    }

    #[test]
    fn growth_is_that_since_it_began_anew() {
        let sawtooth: Vec<(u64, u64)> = (0..50).map(|n| (100 + n % 20 * 10, 400)).collect();
        let growth = incident(&sawtooth).growth().unwrap();
        assert_eq!((growth.rate, growth.seconds), (10.0, 9.0));
        // A little less than before is no new beginning.
        let wobbly = [(100, 400), (120, 400), (110, 400), (130, 400)];
        let rate = incident(&wobbly).growth().unwrap().rate;
        assert!((rate - 10.0).abs() < 1e-9, "{rate}");
        // The last reading was after the kill.
        let late = [(100, 400), (110, 400), (120, 400), (3, 400)];
        let seconds = incident(&late).growth().unwrap().seconds;
        assert!((seconds - 2.0).abs() < 1e-6, "{seconds}");
        assert_eq!(incident(&[]).growth(), None);
        assert_eq!(incident(&[(5, 5)]).growth(), None);
    }

    #[test]
    fn growth_is_that_of_the_last_minute() {
        let late: Vec<(u64, u64)> = (0..100).map(|n| (n.max(60), 400)).collect();
        let growth = incident(&late).growth().unwrap();
        assert!((growth.seconds - 59.0).abs() < 1e-3, "{growth:?}");
    }

    #[test]
    fn a_changed_limit_is_told() {
        let lowered = [(10, 96), (10, 96), (10, 64), (10, 64)];
        let change = incident(&lowered).limit_change().unwrap();
        assert_eq!((change.from, change.to, change.age), (96.0, 64.0, 2.0));
        assert_eq!(incident(&[(10, 96); 4]).limit_change(), None);
        assert_eq!(incident(&lowered).pressure(), Some(2.0));
    }
}
