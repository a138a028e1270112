//! Counters into rates: the only place where two counters are subtracted.
//!
//! A rate exists between two readings of the *same* cgroup (same [`CgroupId`](crate::kernel::cgroup::CgroupId)).
//! A counter that went backwards, a new cgroup, or two samples of the same instant have no rate: the
//! answer is [`Reading::NotAvailable`], never 0.

use std::time::Duration;

use crate::kernel::cpu::{Bandwidth, CpuStat};
use crate::kernel::unit::{Micros, Percent, Reading};

/// Seconds from one sample to a later one (both on the clock that counts from boot); `None` where the
/// second is not later.
pub fn seconds_between(earlier: Duration, later: Duration) -> Option<f64> {
    later
        .checked_sub(earlier)
        .map(|span| span.as_secs_f64())
        .filter(|seconds| *seconds > 0.0)
}

/// How much a counter grew in each second; `None` where it went backwards.
pub fn per_second(before: u64, after: u64, seconds: f64) -> Option<f64> {
    after
        .checked_sub(before)
        .map(|growth| growth as f64 / seconds)
}

/// What follows from two readings of one file. The later one decides which of the three states it is.
pub fn between<T, U>(
    before: Option<&Reading<T>>,
    after: &Reading<T>,
    change: impl FnOnce(&T, &T) -> Option<U>,
) -> Reading<U> {
    match (before.and_then(Reading::value), after) {
        (_, Reading::Unreadable(errno)) => Reading::Unreadable(*errno),
        (Some(before), Reading::Value(after)) => {
            change(before, after).map_or(Reading::NotAvailable, Reading::Value)
        }
        _ => Reading::NotAvailable,
    }
}

/// CPU time as a percentage of one core: 100 is one core kept busy.
pub fn cpu(before: Micros, after: Micros, seconds: f64) -> Option<Percent> {
    per_second(before.0, after.0, seconds).map(|micros| Percent(micros / 10_000.0))
}

/// The share of enforcement periods in which the quota ran out. Without a single period in between
/// (nothing was runnable) nothing was throttled: 0.
pub fn throttled(before: &CpuStat, after: &CpuStat) -> Option<Percent> {
    let (before, after) = (before.bandwidth?, after.bandwidth?);
    let Bandwidth {
        nr_periods: periods,
        nr_throttled: throttled,
        ..
    } = growth(before, after)?;
    // The two counters are not updated at the same instant, so the share can come out above the whole.
    let share = Percent::of(throttled as f64, periods as f64).unwrap_or_default();
    Some(Percent(share.0.min(100.0)))
}

/// How much each bandwidth counter grew; `None` where one went backwards.
pub fn growth(before: Bandwidth, after: Bandwidth) -> Option<Bandwidth> {
    Some(Bandwidth {
        nr_periods: after.nr_periods.checked_sub(before.nr_periods)?,
        nr_throttled: after.nr_throttled.checked_sub(before.nr_throttled)?,
        throttled_usec: Micros(
            after
                .throttled_usec
                .0
                .checked_sub(before.throttled_usec.0)?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_a_hundred_percent() {
        assert_eq!(
            cpu(Micros(1_000_000), Micros(2_500_000), 1.0),
            Some(Percent(150.0))
        );
    }

    #[test]
    fn a_counter_that_went_backwards_has_no_rate() {
        assert_eq!(per_second(10, 9, 1.0), None);
        assert_eq!(
            between(Some(&Reading::Value(10)), &Reading::Value(9), |a, b| {
                per_second(*a, *b, 1.0)
            }),
            Reading::NotAvailable
        );
    }

    #[test]
    fn an_instant_has_no_rate() {
        let instant = Duration::from_secs(5);
        assert_eq!(seconds_between(instant, instant), None);
        assert_eq!(seconds_between(instant, Duration::from_secs(4)), None);
    }
}
