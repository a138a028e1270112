//! When memory that grows will meet the limit that kills, as far as that can be told.
//!
//! Of each cgroup with a memory limit, what the kernel cannot drop ([`MemoryStat::firm`](crate::kernel::memory::MemoryStat::firm))
//! is followed together with its swap: its *demand*. Page cache and slabs that are given back do not count.
//! Where demand grows, a line through the newest straight stretch of it ([`fit`]) tells when it reaches what
//! there is: `memory.max`, and the swap that is left, of the cgroup itself or of one above it, whichever
//! comes first. The range comes from how much the slopes and the points differ.
//!
//! There is no forecast where there is none to make: without a limit, from too few points, for what is flat,
//! falls or has stopped growing, below a height from which it has fallen by itself before (a garbage
//! collector's sawtooth), and further ahead than twenty times as long as it was seen to grow.
//!
//! A `memory.high` slows growth down, the more the further it is passed. With one, a forecast is the least time only.
#![doc = include_str!("forecast/measured.md")]

pub mod fit;
pub mod growth;

use std::collections::HashSet;
use std::time::Duration;

use super::limit::Of;
use super::row::Row;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::sample::Sample;
use growth::Trend;

/// So many times the time in which it was seen to grow, a forecast looks ahead.
const AHEAD: f64 = 20.0;
/// What was last seen before this many seconds says nothing of now.
const STALE: f64 = 10.0;
/// So many suspects are looked at: reading `memory.stat` of one takes the kernel a twentieth of a
/// millisecond.
const SUSPECTS: usize = 64;
/// Who uses this share of a limit, or is so close to what is warned of, is a suspect even where page cache hides
/// its growth.
const FULL: f64 = 0.9;
/// Who grew by so many bytes of late is one.
const GROWN: f64 = (256 << 10) as f64;
/// From here on a kill is near.
pub const NEAR: Duration = Duration::from_mins(1);

/// When a cgroup meets the limit that kills, at the rate at which it grows.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// In how long, most likely; the least that it can be where [`latest`](Self::latest) is `None`.
    pub likely: Duration,
    /// The earliest.
    pub soonest: Duration,
    /// The latest; `None` where there is a `memory.high`, which slows it down.
    pub latest: Option<Duration>,
    /// Whose limit.
    pub of: Of,
    /// The limit: its `memory.max`, without swap.
    pub limit: Bytes,
    /// Bytes per second by which what has the limit grows.
    pub rate: f64,
    /// For how long it was seen to grow like that.
    pub seen: Duration,
}

impl Forecast {
    /// [`rate`](Self::rate) in whole bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what grows is above 0"
    )]
    pub fn per_second(&self) -> Bytes {
        Bytes(self.rate.round() as u64)
    }

    /// Whether the range is narrow: within a quarter of the time, or two seconds.
    pub fn is_sharp(&self) -> bool {
        let allowed = (self.likely / 4).max(Duration::from_secs(2));
        self.latest
            .is_some_and(|latest| latest.saturating_sub(self.soonest) <= allowed)
    }

    /// Whether to raise an alarm: a kill is to be expected within [`NEAR`].
    pub fn is_near(&self) -> bool {
        self.is_settled() && self.likely <= NEAR
    }

    /// Whether growth was seen for longer than what is ahead, by a quarter, and nothing slows it down. Whatever has just
    /// begun to grow may stop as soon, as a collector does that takes back at half of the limit.
    pub fn is_settled(&self) -> bool {
        self.latest.is_some() && self.likely.mul_f64(1.25) <= self.seen
    }
}

/// What a cgroup could not do without, in memory and in swap; `None` where it cannot be read.
pub fn demand(row: &Row) -> Option<Bytes> {
    let firm = row.parts.memory_stat.value()?.firm();
    let swap = row.now.swap_current.value().copied().unwrap_or_default();
    Some(Bytes(firm.0 + swap.0))
}

/// The cgroups whose memory may meet a limit, with those above that have one: the closest to it first, as
/// many as are worth reading. `near` is the percentage of a limit that is warned of, `grown` what
/// `memory.current` grew by of late.
pub fn suspects(rows: &[Row], near: u32, grown: impl Fn(&Row) -> Option<f64>) -> HashSet<CgroupId> {
    let full = FULL * f64::from(near.min(100)) / 100.0;
    let mut close: Vec<(f64, usize)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| {
            let ceiling = row.memory_limit.value().filter(|ceiling| ceiling.limited);
            let bound = ceiling.and_then(|ceiling| ceiling.binding.charged_share());
            let share = bound
                .into_iter()
                .chain(share_of_high(row))
                .reduce(f64::max)?;
            let suspect = share >= full || grown(row).is_some_and(|grown| grown >= GROWN);
            suspect.then_some((share, at))
        })
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0));
    close.truncate(SUSPECTS);
    let chains = close
        .into_iter()
        .flat_map(|(_, at)| std::iter::successors(Some(at), |&at| rows[at].parent));
    chains.map(|at| rows[at].id).collect()
}

/// The share of its own `memory.high` that a cgroup uses.
fn share_of_high(row: &Row) -> Option<f64> {
    let high = row.now.memory_high.value()?.value()?;
    let current = row.memory.current.value()?;
    Some(current.0 as f64 / (high.0 as f64).max(1.0))
}

/// Gives every row its forecast. `trends` has the growth of each row.
pub fn foretell(sample: &Sample, rows: &mut [Row], trends: &[Option<Trend>]) {
    for at in 0..rows.len() {
        rows[at].forecast = forecast(sample, rows, trends, at)
            .map_or(Reading::NotAvailable, |forecast| {
                Reading::Value(forecast.into())
            });
    }
}

/// The first of all limits up the tree that is met.
fn forecast(
    sample: &Sample,
    rows: &[Row],
    trends: &[Option<Trend>],
    at: usize,
) -> Option<Forecast> {
    // What does not grow itself is not the one to warn of.
    trends[at].as_ref()?;
    let swap = swap_left(sample, rows, at);
    let mut slowed = false;
    let mut first: Option<Forecast> = None;
    for level in std::iter::successors(Some(at), |&at| rows[at].parent) {
        let row = &rows[level];
        if let Reading::Value(Limit::At(high)) = row.now.memory_high {
            let max = row.now.memory_max.value().and_then(|max| max.value());
            slowed |= max.is_none_or(|max| high < max);
        }
        let Reading::Value(Limit::At(limit)) = row.now.memory_max else {
            continue;
        };
        let Some(trend) = &trends[level] else {
            continue;
        };
        let of = if level == at {
            Of::Own
        } else {
            Of::Ancestor(row.path.clone())
        };
        let ceiling = with_swap(row, limit, swap);
        let found = until(sample.since_boot, trend, ceiling, slowed).map(|times| Forecast {
            likely: times.0,
            soonest: times.1,
            latest: times.2,
            of,
            limit,
            rate: trend.fit.slope,
            seen: Duration::from_secs_f64(trend.fit.seconds),
        });
        if let Some(found) = found
            && first
                .as_ref()
                .is_none_or(|first| found.likely < first.likely)
        {
            first = Some(found);
        }
    }
    first
}

/// What the demand of a cgroup can be under a limit of it: the limit, and the swap that is used and left.
pub(super) fn ceiling(sample: &Sample, rows: &[Row], at: usize, limit: Bytes) -> f64 {
    with_swap(&rows[at], limit, swap_left(sample, rows, at))
}

fn with_swap(row: &Row, limit: Bytes, left: u64) -> f64 {
    let swapped = row.now.swap_current.value().copied().unwrap_or_default();
    limit.0.saturating_add(swapped.0).saturating_add(left) as f64
}

/// The likely time until a trend reaches a height, the soonest and the latest.
fn until(
    now: Duration,
    trend: &Trend,
    height: f64,
    slowed: bool,
) -> Option<(Duration, Duration, Option<Duration>)> {
    let fit = &trend.fit;
    let age = now.saturating_sub(trend.at).as_secs_f64();
    let room = height - fit.now;
    let after = |seconds: f64| {
        let seconds = (seconds - age).max(0.0);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    };
    let likely = room / fit.slope;
    if age > STALE || likely > AHEAD * fit.seconds {
        return None;
    }
    let soonest = after((room - fit.spread) / fit.high.max(fit.slope));
    let latest = after((room + fit.spread) / fit.low.min(fit.slope));
    Some((after(likely), soonest, (!slowed).then_some(latest)))
}

/// The swap that a cgroup may still use: what every `memory.swap.max` up the tree and the host leave.
fn swap_left(sample: &Sample, rows: &[Row], at: usize) -> u64 {
    let host = sample.host.swap_free.value().map_or(0, |free| free.0);
    std::iter::successors(Some(at), |&at| rows[at].parent).fold(host, |left, at| {
        let now = &rows[at].now;
        match (&now.swap_max, &now.swap_current) {
            (Reading::Value(Limit::At(max)), Reading::Value(used)) => {
                left.min(max.0.saturating_sub(used.0))
            }
            _ => left,
        }
    })
}
