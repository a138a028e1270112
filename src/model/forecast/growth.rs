//! How the memory that cannot be dropped grew, and whether it goes on growing.

use std::collections::VecDeque;
use std::time::Duration;

use super::fit::{Fit, Point};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::Bytes;

/// How much of the past counts; the bound of a path is 600 points of 16 bytes.
const SPAN: f64 = 320.0;
const POINTS: usize = 600;
/// A line needs so many points …
const LEAST_POINTS: usize = 6;
/// … over so many seconds.
const LEAST_SECONDS: f64 = 4.0;
/// What is less than this comes and goes in any process, and in the kernel's counters per CPU.
const NOISE: f64 = (512 << 10) as f64;
/// A fall takes back this share of what it had grown by.
const FALL: f64 = 0.25;
/// For so many seconds a height from which it fell is remembered.
const REMEMBERED: f64 = 600.0;
/// A line that is off by less than so many seconds of growth is a good one …
const GOOD_SECONDS: f64 = 1.0;
/// … or by less than this share of the time that it covers.
const GOOD: f64 = 0.03;

/// The past of one cgroup's demand: what it could not do without, in memory and in swap.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    cgroup: Option<CgroupId>,
    kills: u64,
    points: VecDeque<Point>,
    /// The least and the most since it last fell.
    bottom: f64,
    top: f64,
    /// The height from which it fell by itself: a garbage collector does it again.
    ceiling: Option<Ceiling>,
}

#[derive(Debug, Clone, Copy)]
struct Ceiling {
    /// When it fell.
    at: f64,
    top: f64,
    drop: f64,
}

/// A growth that goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// When it was last seen, on the clock that counts from boot.
    pub at: Duration,
    /// The line.
    pub fit: Fit,
}

impl Growth {
    /// Adds what was just seen. Another cgroup, or one in which something was killed, begins anew.
    pub fn push(&mut self, cgroup: CgroupId, kills: u64, at: Duration, demand: Bytes) {
        let (at, demand) = (at.as_secs_f64(), demand.0 as f64);
        let goes_back = self.points.back().is_some_and(|last| last.0 >= at);
        if self.cgroup != Some(cgroup) || self.kills != kills || goes_back {
            *self = Self {
                cgroup: Some(cgroup),
                kills,
                ..Self::default()
            };
        }
        if self.points.is_empty() {
            (self.bottom, self.top) = (demand, demand);
        }
        let drop = self.top - demand;
        if drop > NOISE.max(FALL * (self.top - self.bottom)) {
            self.fell(at, drop);
            self.points.clear();
            (self.bottom, self.top) = (demand, demand);
        }
        self.bottom = self.bottom.min(demand);
        self.top = self.top.max(demand);
        self.points.push_back((at, demand));
        while self.points.len() > POINTS
            || self.points.front().is_some_and(|first| at - first.0 > SPAN)
        {
            self.points.pop_front();
        }
    }

    /// Remembers the highest top it fell from; while it goes on falling, the top stays.
    fn fell(&mut self, at: f64, drop: f64) {
        let top = self.top;
        let before = self.ceiling.filter(|before| before.is_remembered(at));
        self.ceiling = Some(match before {
            Some(before) if before.top > top => Ceiling { at, ..before },
            _ => Ceiling { at, top, drop },
        });
    }

    /// [`trend`](Self::trend), where it is about this cgroup.
    pub fn trend_of(&self, cgroup: CgroupId) -> Option<Trend> {
        (self.cgroup == Some(cgroup)).then(|| self.trend())?
    }

    /// The growth that goes on; `None` where it is flat, falls, pauses, only comes and goes, or was not seen
    /// for long enough.
    pub fn trend(&self) -> Option<Trend> {
        let (now, demand) = *self.points.back()?;
        if let Some(ceiling) = self.ceiling.filter(|ceiling| ceiling.is_remembered(now))
            && demand < ceiling.top + FALL * ceiling.drop
        {
            return None;
        }
        let points: Vec<Point> = self.points.iter().copied().collect();
        let mut best: Option<Fit> = None;
        let mut span = SPAN;
        // The longest stretch that is straight; without one, the one that is least bent.
        while span > LEAST_SECONDS {
            let begin = points.partition_point(|point| now - point.0 > span);
            let stretch = &points[begin..];
            span /= 2.0;
            let Some(fit) = Fit::through(stretch) else {
                break;
            };
            if stretch.len() < LEAST_POINTS || fit.seconds < LEAST_SECONDS {
                break;
            }
            if fit.low <= 0.0 || fit.growth() < NOISE || pauses(stretch, &fit) {
                continue;
            }
            let good = fit.slope * GOOD_SECONDS.max(GOOD * fit.seconds);
            if fit.spread <= good {
                best = Some(fit);
                break;
            }
            let bend = |fit: &Fit| fit.spread / fit.growth();
            if best.as_ref().is_none_or(|best| bend(&fit) < bend(best)) {
                best = Some(fit);
            }
        }
        best.map(|fit| Trend {
            at: Duration::from_secs_f64(now),
            fit,
        })
    }
}

impl Ceiling {
    fn is_remembered(&self, now: f64) -> bool {
        now - self.at <= REMEMBERED
    }
}

/// Whether it has not grown for much longer than it ever paused before: it has all it wanted.
fn pauses(points: &[Point], fit: &Fit) -> bool {
    let step = 0.01 * fit.growth();
    let (mut since, mut top) = points[0];
    let mut longest: f64 = 0.0;
    for (at, value) in points {
        if *value > top + step {
            longest = longest.max(at - since);
            (top, since) = (*value, *at);
        }
    }
    let now = points[points.len() - 1].0;
    now - since > 2.0 * longest
}
