//! The last minutes of each cgroup, bounded, with a mark for each OOM kill.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kernel::unit::{Bytes, Percent};

/// How far back a history goes.
pub const SPAN: Duration = Duration::from_mins(5);
/// How many points it has at most, however short the interval.
const POINTS: usize = 600;

/// One instant of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, on the clock that counts from boot.
    pub at: Duration,
    /// `memory.current`.
    pub memory: Option<Bytes>,
    /// CPU, 100 is one core.
    pub cpu: Option<Percent>,
}

/// A bounded ring of points, oldest first, and the OOM kills among them.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: VecDeque<Point>,
    ooms: VecDeque<Duration>,
}

impl History {
    /// Adds the newest point and drops what is too old.
    pub fn push(&mut self, point: Point) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.forget_before(point.at.saturating_sub(SPAN));
    }

    /// Marks an OOM kill.
    pub fn mark_oom(&mut self, at: Duration) {
        if self.ooms.len() == POINTS {
            self.ooms.pop_front();
        }
        self.ooms.push_back(at);
    }

    /// Drops what is older than this instant.
    pub fn forget_before(&mut self, oldest: Duration) {
        while self.points.front().is_some_and(|point| point.at < oldest) {
            self.points.pop_front();
        }
        while self.ooms.front().is_some_and(|at| *at < oldest) {
            self.ooms.pop_front();
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.ooms.is_empty()
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Point> {
        self.points.iter()
    }

    /// When OOM kills happened, oldest first.
    pub fn ooms(&self) -> impl Iterator<Item = Duration> {
        self.ooms.iter().copied()
    }

    /// The largest value in each of `columns` equal slices of the last [`SPAN`], newest last; `None` for
    /// a slice without a point. The second list says which slices hold an OOM kill.
    pub fn columns(
        &self,
        columns: usize,
        now: Duration,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> (Vec<Option<f64>>, Vec<bool>) {
        let slice = |at: Duration| -> Option<usize> {
            let age = now.saturating_sub(at).as_secs_f64() / SPAN.as_secs_f64();
            // Truncation is meant: the age is a share between 0 and 1.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let back = (age * columns as f64) as usize;
            columns.checked_sub(back + 1)
        };
        let mut values: Vec<Option<f64>> = vec![None; columns];
        for point in &self.points {
            if let (Some(index), Some(value)) = (slice(point.at), value(point)) {
                values[index] = Some(values[index].map_or(value, |other| other.max(value)));
            }
        }
        let mut marks = vec![false; columns];
        for at in &self.ooms {
            if let Some(index) = slice(*at) {
                marks[index] = true;
            }
        }
        (values, marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: u64) -> Point {
        Point {
            at: Duration::from_secs(seconds),
            memory: Some(Bytes(seconds)),
            cpu: None,
        }
    }

    #[test]
    fn a_history_is_bounded_by_time_and_by_number() {
        let mut history = History::default();
        (0..1000).for_each(|second| history.push(point(second)));
        assert_eq!(history.points().count(), 301);
        let mut history = History::default();
        (0..1000).for_each(|_| history.push(point(7)));
        assert_eq!(history.points().count(), POINTS);
    }

    #[test]
    fn columns_keep_the_peak_and_the_newest_is_last() {
        let mut history = History::default();
        (0..=300).for_each(|second| history.push(point(second)));
        history.mark_oom(Duration::from_mins(5));
        let (values, marks) = history.columns(3, Duration::from_mins(5), |point| {
            Some(point.memory?.0 as f64)
        });
        assert_eq!(values, [Some(100.0), Some(200.0), Some(300.0)]);
        assert_eq!(marks, [false, false, true]);
    }
}
