//! OOM kills as a time line: each with what was known about it, kept when its cgroup is gone.

use std::time::Duration;

use super::history::History;
use super::oom;
use super::row::Row;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::sample::OomKill;

/// How many incidents are kept; each takes less than 6 KiB.
pub const INCIDENTS: usize = 200;
/// How long a past each keeps.
pub const BEFORE: Duration = Duration::from_mins(2);
/// How many points of it.
const POINTS: usize = 240;

/// One or more kills in one cgroup, with what came before and after.
#[derive(Debug, Clone)]
pub struct Incident {
    /// The how-manieth it is, counted from 1: its identity.
    pub number: u64,
    /// When, on the clock that counts from boot.
    pub at: Duration,
    /// What the kernel told. Foreign text inside.
    pub kill: OomKill,
    /// What people called the victims' cgroup. Foreign text.
    pub name: String,
    /// Whose limit it was, in words. Foreign text inside.
    pub limit: String,
    /// The limit, or the one that most likely was it.
    pub limit_bytes: Option<Bytes>,
    /// The victims' cgroup before it, oldest first.
    pub before: Vec<Moment>,
    /// What became of it; `None` until that is known.
    pub outcome: Option<Outcome>,
}

/// A cgroup some time before a kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds before the kill.
    pub age: f32,
    /// `memory.current` in bytes.
    pub memory: f32,
    /// Share of time that some task waited for memory, 0 to 100.
    pub stall: Option<f32>,
}

/// What happened after a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Others in the cgroup live on.
    Survived {
        /// How many processes and threads, with those in cgroups below.
        left: u64,
    },
    /// Nobody is left in the cgroup.
    Emptied,
    /// The cgroup is gone.
    Removed,
    /// The cgroup is in use again, or a new one of its name is there.
    Restarted {
        /// How long after the kill.
        after: Duration,
    },
}

impl Incident {
    pub(super) fn new(
        number: u64,
        at: Duration,
        kill: &OomKill,
        row: Option<&Row>,
        history: &History,
        label: &dyn Fn(&str) -> String,
    ) -> Self {
        let likely = || match row.map(|row| &row.memory_limit) {
            Some(Reading::Value(ceiling)) => Some(ceiling.binding.limit),
            _ => None,
        };
        let points: Vec<Moment> = history
            .points()
            .filter(|point| point.at <= at && at.saturating_sub(point.at) <= BEFORE)
            .filter_map(|point| {
                let age = at.saturating_sub(point.at).as_secs_f32();
                // A chart needs no more digits.
                #[allow(clippy::cast_precision_loss)]
                point.memory.map(|memory| Moment {
                    age,
                    memory: memory.0 as f32,
                    stall: None,
                })
            })
            .collect();
        let surplus = points.len().saturating_sub(POINTS);
        Self {
            number,
            at,
            name: label(&kill.path.value),
            limit: oom::limit(kill, row, label),
            limit_bytes: kill.limit().and_then(Limit::value).or_else(likely),
            before: points[surplus..].to_vec(),
            outcome: None,
            kill: kill.clone(),
        }
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

    /// How much memory grew per second over what is known of the past; below 0 where it shrank.
    pub fn growth(&self) -> Option<f64> {
        let (first, last) = (self.before.first()?, self.before.last()?);
        let seconds = f64::from(first.age - last.age);
        (seconds > 0.0).then(|| f64::from(last.memory - first.memory) / seconds)
    }
}
