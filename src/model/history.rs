//! The past of each cgroup, with a mark for each OOM kill: ten minutes in full, hours in coarse.
//!
//! Points that follow each other and say the same are kept as one run, so that a cgroup in which nothing happens costs next
//! to nothing. The bound: a path keeps at most 1200 runs of the last ten minutes (so every point, at two a second), the peaks
//! of six hours by the minute, and 600 kills. A run takes 24 bytes, a kill 4: less than 65 KiB a path with what the rings
//! reserve, and about 30 KiB at the usual one sample a second.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kernel::unit::{Bytes, Percent};

/// How far back a history goes in full.
pub const SPAN: Duration = Duration::from_mins(10);
/// How far back it goes at all: beyond [`SPAN`], the peak of each minute.
pub const LONG: Duration = Duration::from_hours(6);
/// How many runs it has in full, however short the interval.
const RUNS: usize = 1200;
/// Points farther apart than this, and than twice what the two before them were, are two runs: in between nobody looked.
const TOGETHER: Duration = Duration::from_secs(15);
/// A limit that differs by less than this share is the same: the host's own ceiling is a little different at every look.
const SAME_LIMIT: f32 = 0.001;
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

/// Rings of runs, oldest first, and the OOM kills among them.
#[derive(Debug, Clone, Default)]
pub struct History {
    fine: VecDeque<Run>,
    coarse: VecDeque<Run>,
    ooms: VecDeque<Tenths>,
    /// What was between the last two points.
    pace: Tenths,
}

/// Time since boot in tenths of a second: enough for 13 years.
type Tenths = u32;

/// Points that say the same, in 24 bytes. A chart needs no more digits than these have; NaN is no value.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: Tenths,
    last: Tenths,
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

impl From<Point> for Run {
    // Rounded on purpose.
    #[allow(clippy::cast_possible_truncation)]
    fn from(point: Point) -> Self {
        let bytes = |bytes: Option<Bytes>| bytes.map_or(f32::NAN, |bytes| bytes.0 as f32);
        let percent = |percent: Option<Percent>| percent.map_or(f32::NAN, |of| of.0 as f32);
        let at = tenths(point.at);
        Self {
            first: at,
            last: at,
            memory: bytes(point.memory),
            cpu: percent(point.cpu),
            limit: bytes(point.limit),
            stall: percent(point.stall),
        }
    }
}

impl Run {
    /// Takes in a later run, where that says the same and nothing longer than `pause` is in between.
    fn join(&mut self, later: Self, pause: Tenths) -> bool {
        let values = |run: &Self| [run.memory, run.cpu, run.stall].map(f32::to_bits);
        let is_limit_same = (self.limit.is_nan() && later.limit.is_nan())
            || (self.limit - later.limit).abs() <= SAME_LIMIT * self.limit;
        let is_next = (self.last..=self.last.saturating_add(pause)).contains(&later.first);
        if !is_next || !is_limit_same || values(self) != values(&later) {
            return false;
        }
        self.last = later.last;
        self.limit = later.limit;
        true
    }

    // It was a number of bytes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn at(&self, at: Tenths) -> Point {
        let value = |value: f32| (!value.is_nan()).then_some(value);
        let bytes = |packed: f32| value(packed).map(|bytes| Bytes(bytes as u64));
        let percent = |packed: f32| value(packed).map(|percent| Percent(percent.into()));
        Point {
            at: duration(at),
            memory: bytes(self.memory),
            cpu: percent(self.cpu),
            limit: bytes(self.limit),
            stall: percent(self.stall),
        }
    }
}

impl History {
    /// Adds the newest point and drops what is too old.
    pub fn push(&mut self, point: Point) {
        let run = Run::from(point);
        let pause = self.pace.saturating_mul(2).max(tenths(TOGETHER));
        if let Some(last) = self.fine.back() {
            self.pace = run.first.saturating_sub(last.last);
        }
        // `max` of a number and of no value is the number.
        match self.coarse.back_mut() {
            Some(minute)
                if duration(minute.first) + COARSE > point.at && minute.first <= run.first =>
            {
                minute.last = run.last;
                minute.memory = minute.memory.max(run.memory);
                minute.cpu = minute.cpu.max(run.cpu);
                minute.limit = run.limit;
                minute.stall = minute.stall.max(run.stall);
            }
            // The minute is over.
            _ => {
                if let Some(minute) = self.coarse.pop_back() {
                    append(&mut self.coarse, minute, pause);
                }
                push(&mut self.coarse, run);
            }
        }
        append(&mut self.fine, run, pause);
        if self.fine.len() > RUNS {
            self.fine.pop_front();
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
        let point = self.fine.back().map(|run| run.last);
        point.max(self.ooms.back().copied()).map(duration)
    }

    /// Whether nothing was known since this instant.
    pub fn is_older_than(&self, oldest: Duration) -> bool {
        self.newest().is_none_or(|newest| newest < oldest)
    }

    /// The points of the last ten minutes, oldest first; of those that say the same one each `step`, and the last.
    pub fn points(&self, step: Duration) -> impl Iterator<Item = Point> {
        let step = tenths(step).max(1) as usize;
        self.fine.iter().flat_map(move |run| {
            let instants = (run.first..run.last).step_by(step);
            instants.chain([run.last]).map(|at| run.at(at))
        })
    }

    /// What `memory.current` grew by in the last seconds, in bytes; below 0 where it fell.
    pub fn grown(&self, now: Duration) -> Option<f64> {
        let begin = tenths(now.saturating_sub(LATELY));
        let recent = self.fine.iter().rev().take_while(|run| run.last >= begin);
        let mut known = recent.filter(|run| !run.memory.is_nan());
        let newest = known.next()?;
        let oldest = known.last();
        let oldest = oldest.or((newest.first < newest.last).then_some(newest))?;
        Some(f64::from(newest.memory - oldest.memory))
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
        let begin = self.fine.front().map_or(0, |run| run.first);
        let coarse = self.coarse.iter().filter(|run| run.first < begin);
        let coarse = coarse.map(|run| Run {
            last: run.last.min(begin),
            ..*run
        });
        for run in coarse.chain(self.fine.iter().copied()) {
            let (Some(last), Some(value)) = (slice(duration(run.last)), value(&run.at(run.last)))
            else {
                continue;
            };
            // What began before the first slice is in it all the same.
            let first = slice(duration(run.first)).unwrap_or(0);
            for slice in &mut values[first..=last] {
                *slice = Some(slice.map_or(value, |other| other.max(value)));
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

/// Adds a run, to the last one where that says the same.
fn append(runs: &mut VecDeque<Run>, run: Run, pause: Tenths) {
    if !runs.back_mut().is_some_and(|last| last.join(run, pause)) {
        push(runs, run);
    }
}

/// Adds a run. Most cgroups never have many, so the first ones get no more room than they need.
fn push(runs: &mut VecDeque<Run>, run: Run) {
    if runs.len() < 4 {
        runs.reserve_exact(1);
    }
    runs.push_back(run);
}

/// Forgets what is older.
fn drop_before(runs: &mut VecDeque<Run>, oldest: Duration) {
    let oldest = tenths(oldest);
    while runs.front().is_some_and(|run| run.last < oldest) {
        runs.pop_front();
    }
    if let Some(run) = runs.front_mut() {
        run.first = run.first.max(oldest);
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
        assert_eq!(history.points(SPAN).count(), 601);
        assert!((360..=361).contains(&history.coarse.len()));
        let mut history = History::default();
        (0..5000).for_each(|_| history.push(point(7)));
        assert_eq!(history.points(SPAN).count(), 1);
        // Each says something else.
        let other = |number: u64| Point {
            memory: Some(Bytes(number)),
            ..point(7)
        };
        (0..5000).for_each(|number| history.push(other(number)));
        assert_eq!(history.points(SPAN).count(), RUNS);
        (0..5000).for_each(|second| history.mark_oom(Duration::from_secs(second)));
        assert_eq!(history.ooms().count(), OOMS);
        assert_eq!(size_of::<Run>(), 24);
    }

    /// Nothing happens in it, under the host's ceiling, which is a little different at every look.
    fn idle(second: u64) -> Point {
        Point {
            memory: Some(Bytes(1 << 20)),
            cpu: Some(Percent(0.0)),
            limit: Some(Bytes((1 << 30) - (second % 7) * 4096)),
            stall: Some(Percent(0.0)),
            ..point(second)
        }
    }

    #[test]
    fn a_cgroup_in_which_nothing_happens_costs_next_to_nothing() {
        let mut history = History::default();
        (0..30_000).for_each(|second| history.push(idle(second)));
        let runs = history.fine.len() + history.coarse.len();
        assert!(runs <= 3, "{runs}: {history:?}");
        let room = history.fine.capacity() + history.coarse.capacity();
        assert!(room <= 8, "{room}");
        // It looks as if each point had been kept.
        let now = Duration::from_secs(29_999);
        let memory = |point: &Point| Some(point.memory?.0 as f64);
        for span in [SPAN, LONG] {
            let (values, _) = history.columns(50, now, span, memory);
            assert_eq!(values, [Some(f64::from(1 << 20)); 50]);
        }
        assert_eq!(history.grown(now), Some(0.0));
        let ends: Vec<u64> = history
            .points(SPAN)
            .map(|point| point.at.as_secs())
            .collect();
        assert_eq!(ends, [29_399, 29_999]);
    }

    #[test]
    fn nothing_is_known_of_a_time_in_which_nobody_looked() {
        let mut history = History::default();
        (0..100).for_each(|second| history.push(idle(second)));
        (500..=600).for_each(|second| history.push(idle(second)));
        let (values, _) = history.columns(6, SPAN, SPAN, |point| Some(point.memory?.0 as f64));
        let known: Vec<bool> = values.iter().map(Option::is_some).collect();
        assert_eq!(known, [true, false, false, false, true, true]);
        // A single look is no growth.
        let mut history = History::default();
        history.push(idle(1));
        assert_eq!(history.grown(Duration::from_secs(1)), None);
    }

    /// Where there are very many cgroups, one look at all takes long.
    #[test]
    fn slow_looks_are_one_run_too() {
        let mut history = History::default();
        (0..50).for_each(|look| history.push(idle(80 * look)));
        let runs = history.fine.len() + history.coarse.len();
        assert!(runs <= 5, "{runs}: {history:?}");
        // A pause is still one.
        history.push(idle(80 * 53));
        assert_eq!(
            history.fine.back().unwrap().first,
            tenths(Duration::from_secs(80 * 53))
        );
    }

    #[test]
    fn a_changed_limit_is_a_new_run() {
        let mut history = History::default();
        (0..100).for_each(|second| history.push(idle(second)));
        let lowered = Some(Bytes((1 << 30) - (1 << 24)));
        (100..200).for_each(|second| {
            history.push(Point {
                limit: lowered,
                ..idle(second)
            });
        });
        let limits: Vec<_> = history.points(SPAN).map(|point| point.limit).collect();
        assert_eq!(limits[2..], [lowered; 2]);
        assert_ne!(limits[1], lowered);
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
