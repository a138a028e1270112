//! The past of each cgroup, with a mark for each OOM kill: ten minutes in full, hours in coarse.
//!
//! The bound: a path keeps at most 1200 points of the last ten minutes (so all of them, at two a second),
//! one peak a minute for six hours, and 600 kills. A point takes 20 bytes, a kill 4: less than 65 KiB a
//! path with what the rings reserve, and about 28 KiB at the usual one sample a second.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kernel::unit::{Bytes, Percent};

/// How far back a history goes in full.
pub const SPAN: Duration = Duration::from_mins(10);
/// How far back it goes at all: beyond [`SPAN`], the peak of each minute.
pub const LONG: Duration = Duration::from_hours(6);
/// How many points it has in full, however short the interval.
const POINTS: usize = 1200;
/// What happened so long ago is recent.
const LATELY: Duration = Duration::from_secs(15);
/// A coarse point is the peak of so long.
const COARSE: Duration = Duration::from_mins(1);
/// How many OOM kills are marked.
const OOMS: usize = 600;

/// One instant of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, on the clock that counts from boot.
    pub at: Duration,
    /// `memory.current`.
    pub memory: Option<Bytes>,
    /// CPU, 100 is one core.
    pub cpu: Option<Percent>,
    /// The memory limit that binds.
    pub limit: Option<Bytes>,
    /// Share of the time since the point before that some task waited for memory.
    pub stall: Option<Percent>,
}

/// Rings of points, oldest first, and the OOM kills among them.
#[derive(Debug, Clone, Default)]
pub struct History {
    fine: VecDeque<Packed>,
    coarse: VecDeque<Packed>,
    ooms: VecDeque<Tenths>,
}

/// Time since boot in tenths of a second: enough for 13 years.
type Tenths = u32;

/// A point in 20 bytes. A chart needs no more digits than these have; NaN is no value.
#[derive(Debug, Clone, Copy)]
struct Packed {
    at: Tenths,
    memory: f32,
    cpu: f32,
    limit: f32,
    stall: f32,
}

fn tenths(at: Duration) -> Tenths {
    Tenths::try_from(at.as_millis() / 100).unwrap_or(Tenths::MAX)
}

fn duration(at: Tenths) -> Duration {
    Duration::from_millis(u64::from(at) * 100)
}

impl From<Point> for Packed {
    // Rounded on purpose.
    #[allow(clippy::cast_possible_truncation)]
    fn from(point: Point) -> Self {
        let bytes = |bytes: Option<Bytes>| bytes.map_or(f32::NAN, |bytes| bytes.0 as f32);
        let percent = |percent: Option<Percent>| percent.map_or(f32::NAN, |of| of.0 as f32);
        Self {
            at: tenths(point.at),
            memory: bytes(point.memory),
            cpu: percent(point.cpu),
            limit: bytes(point.limit),
            stall: percent(point.stall),
        }
    }
}

impl From<Packed> for Point {
    // It was a number of bytes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn from(packed: Packed) -> Self {
        let value = |value: f32| (!value.is_nan()).then_some(value);
        let bytes = |packed: f32| value(packed).map(|bytes| Bytes(bytes as u64));
        let percent = |packed: f32| value(packed).map(|percent| Percent(percent.into()));
        Self {
            at: duration(packed.at),
            memory: bytes(packed.memory),
            cpu: percent(packed.cpu),
            limit: bytes(packed.limit),
            stall: percent(packed.stall),
        }
    }
}

impl History {
    /// Adds the newest point and drops what is too old.
    pub fn push(&mut self, point: Point) {
        let packed = Packed::from(point);
        if self.fine.len() == POINTS {
            self.fine.pop_front();
        }
        self.fine.push_back(packed);
        // `max` of a number and of no value is the number.
        match self.coarse.back_mut() {
            Some(last) if duration(last.at) + COARSE > point.at && last.at <= packed.at => {
                last.memory = last.memory.max(packed.memory);
                last.cpu = last.cpu.max(packed.cpu);
                last.limit = packed.limit;
                last.stall = last.stall.max(packed.stall);
            }
            _ => self.coarse.push_back(packed),
        }
        drop_before(&mut self.fine, point.at.saturating_sub(SPAN));
        drop_before(&mut self.coarse, point.at.saturating_sub(LONG));
        let oldest = tenths(point.at.saturating_sub(LONG));
        while self.ooms.front().is_some_and(|at| *at < oldest) {
            self.ooms.pop_front();
        }
    }

    /// Marks an OOM kill.
    pub fn mark_oom(&mut self, at: Duration) {
        if self.ooms.len() == OOMS {
            self.ooms.pop_front();
        }
        self.ooms.push_back(tenths(at));
    }

    /// When anything was last known.
    pub fn newest(&self) -> Option<Duration> {
        let point = self.fine.back().map(|point| point.at);
        point.max(self.ooms.back().copied()).map(duration)
    }

    /// Whether nothing was known since this instant.
    pub fn is_older_than(&self, oldest: Duration) -> bool {
        self.newest().is_none_or(|newest| newest < oldest)
    }

    /// The points of the last ten minutes, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = Point> {
        self.fine.iter().copied().map(Point::from)
    }

    /// What `memory.current` grew by in the last seconds, in bytes; below 0 where it fell.
    pub fn grown(&self, now: Duration) -> Option<f64> {
        let begin = tenths(now.saturating_sub(LATELY));
        let recent = self.fine.iter().rev().take_while(|point| point.at >= begin);
        let mut known = recent.filter(|point| !point.memory.is_nan());
        let newest = known.next()?.memory;
        let oldest = known.last()?.memory;
        Some(f64::from(newest - oldest))
    }

    /// When OOM kills happened, oldest first.
    pub fn ooms(&self) -> impl Iterator<Item = Duration> {
        self.ooms.iter().copied().map(duration)
    }

    /// The largest value in each of `columns` equal slices of the last `span`, newest last; `None` for
    /// a slice without a point. The second list says which slices hold an OOM kill.
    pub fn columns(
        &self,
        columns: usize,
        now: Duration,
        span: Duration,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> (Vec<Option<f64>>, Vec<bool>) {
        let slice = |at: Duration| -> Option<usize> {
            let age = now.saturating_sub(at).as_secs_f64() / span.as_secs_f64();
            // Truncation is meant: the age is a share between 0 and 1.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let back = (age * columns as f64) as usize;
            columns.checked_sub(back + 1)
        };
        let mut values: Vec<Option<f64>> = vec![None; columns];
        // In full as far as that goes, before it in coarse.
        let begin = self.fine.front().map_or(0, |point| point.at);
        let long = self.coarse.iter().filter(|point| point.at < begin);
        for packed in long.chain(&self.fine) {
            let point = Point::from(*packed);
            if let (Some(index), Some(value)) = (slice(point.at), value(&point)) {
                values[index] = Some(values[index].map_or(value, |other| other.max(value)));
            }
        }
        let mut marks = vec![false; columns];
        for at in self.ooms() {
            if let Some(index) = slice(at) {
                marks[index] = true;
            }
        }
        (values, marks)
    }
}

fn drop_before(points: &mut VecDeque<Packed>, oldest: Duration) {
    let oldest = tenths(oldest);
    while points.front().is_some_and(|point| point.at < oldest) {
        points.pop_front();
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
            limit: None,
            stall: None,
        }
    }

    #[test]
    fn a_history_is_bounded_by_time_and_by_number() {
        let mut history = History::default();
        (0..30_000).for_each(|second| history.push(point(second)));
        assert_eq!(history.points().count(), 601);
        assert!((360..=361).contains(&history.coarse.len()));
        let mut history = History::default();
        (0..5000).for_each(|_| history.push(point(7)));
        assert_eq!(history.points().count(), POINTS);
        (0..5000).for_each(|second| history.mark_oom(Duration::from_secs(second)));
        assert_eq!(history.ooms().count(), OOMS);
        assert_eq!(size_of::<Packed>(), 20);
    }

    #[test]
    fn columns_keep_the_peak_and_the_newest_is_last() {
        let mut history = History::default();
        (0..=600).for_each(|second| history.push(point(second)));
        history.mark_oom(SPAN);
        let memory = |point: &Point| Some(point.memory?.0 as f64);
        let (values, marks) = history.columns(3, SPAN, SPAN, memory);
        assert_eq!(values, [Some(200.0), Some(400.0), Some(600.0)]);
        assert_eq!(marks, [false, false, true]);
    }

    #[test]
    fn what_is_older_is_kept_as_peaks() {
        let mut history = History::default();
        (0..=7200).for_each(|second| history.push(point(second)));
        let memory = |point: &Point| Some(point.memory?.0 as f64);
        let (values, _) = history.columns(2, Duration::from_hours(2), LONG / 3, memory);
        assert_eq!(values, [Some(3659.0), Some(7200.0)]);
        assert!(history.is_older_than(Duration::from_secs(7201)));
        assert!(!history.is_older_than(Duration::from_hours(2)));
    }
}
