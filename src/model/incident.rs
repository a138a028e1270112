//! OOM kills as a time line: each with what was known about it, kept when its cgroup is gone.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::history::History;
use super::oom;
use super::row::Row;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::sample::{OomKill, Victim};

/// How many incidents are kept; each takes less than 6 KiB.
pub const INCIDENTS: usize = 200;
/// How long a past each keeps.
pub const BEFORE: Duration = Duration::from_mins(2);
/// How many points of it.
const POINTS: usize = 240;

/// One or more kills in one cgroup.
#[derive(Debug, Clone)]
pub struct Incident {
    /// The how-manieth it is, counted from 1: its identity.
    pub number: u64,
    /// When.
    pub time: SystemTime,
    /// When, on the clock that counts from boot.
    pub at: Duration,
    /// The victims' cgroup.
    pub cgroup: CgroupId,
    /// Its path. Foreign text.
    pub path: Arc<str>,
    /// How many processes were killed.
    pub kills: u64,
    /// Those that the kernel log names. Foreign text inside.
    pub victims: Vec<Victim>,
    /// Whose limit it was, in words. Foreign text inside.
    pub limit: String,
    /// The path of the cgroup whose limit was hit, where that is certain. Foreign text.
    pub limit_path: Option<Arc<str>>,
    /// The limit, or the one that most likely was it.
    pub limit_bytes: Option<Bytes>,
    /// `memory.current` of the victims' cgroup before it: seconds before, bytes; oldest first.
    pub before: Vec<(f32, f32)>,
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
        let points: Vec<(f32, f32)> = history
            .points()
            .filter(|point| point.at <= at && at.saturating_sub(point.at) <= BEFORE)
            .filter_map(|point| {
                let age = at.saturating_sub(point.at).as_secs_f32();
                // A chart needs no more digits.
                #[allow(clippy::cast_precision_loss)]
                point.memory.map(|memory| (age, memory.0 as f32))
            })
            .collect();
        let surplus = points.len().saturating_sub(POINTS);
        Self {
            number,
            time: kill.time,
            at,
            cgroup: kill.cgroup,
            path: Arc::clone(&kill.path),
            kills: kill.kills,
            victims: kill.victims.clone(),
            limit: oom::limit(kill, row, label),
            limit_path: kill.limit_path.clone(),
            limit_bytes: kill.limit.and_then(Limit::value).or_else(likely),
            before: points[surplus..].to_vec(),
        }
    }

    /// The largest value in each of `columns` equal slices of the past, newest last.
    pub fn columns(&self, columns: usize) -> Vec<Option<f64>> {
        let mut values: Vec<Option<f64>> = vec![None; columns];
        for (age, memory) in &self.before {
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
        let seconds = f64::from(first.0 - last.0);
        (seconds > 0.0).then(|| f64::from(last.1 - first.1) / seconds)
    }
}
