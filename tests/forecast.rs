//! Forecasts hold for any leak, and are never made up.

use std::time::Duration;

use proptest::prelude::*;
use ringfence::kernel::cgroup::CgroupId;
use ringfence::kernel::unit::Bytes;
use ringfence::model::forecast::fit::Fit;
use ringfence::model::forecast::growth::Growth;

const MIB: f64 = 1_048_576.0;

/// A growth through `(seconds, bytes)`.
fn growth(points: impl IntoIterator<Item = (f64, f64)>) -> Growth {
    let mut growth = Growth::default();
    for (at, bytes) in points {
        // A size: not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let demand = Bytes(bytes as u64);
        growth.push(CgroupId(1), 0, Duration::from_secs_f64(at), demand);
    }
    growth
}

proptest! {
    /// A leak of any slope, start and interval, seen with noise, is measured within a tenth.
    #[test]
    fn a_leak_of_any_slope_is_measured(
        slope in 0.2..200.0f64,
        start in 0.0..4000.0f64,
        interval in 0.2..2.0f64,
        wobble in proptest::collection::vec(-1.0..1.0f64, 40),
    ) {
        let noise = 0.02 * slope * interval * 40.0;
        let leak = growth(wobble.iter().enumerate().map(|(n, wobble)| {
            let seconds = interval * n as f64;
            (100.0 + seconds, MIB * (start + noise + slope * seconds + noise * wobble))
        }));
        let fit = leak.trend().expect("a trend").fit;
        prop_assert!((fit.slope / (slope * MIB) - 1.0).abs() < 0.1, "{fit:?}");
        prop_assert!(fit.low <= fit.slope && fit.slope <= fit.high, "{fit:?}");
        let last = MIB * (start + noise + slope * interval * 39.0);
        prop_assert!((fit.now - last).abs() <= 2.0 * noise * MIB, "{fit:?}");
    }

    /// What only comes and goes by less than the noise, or falls, has no trend.
    #[test]
    fn what_does_not_grow_has_no_trend(
        slope in -50.0..0.0f64,
        wobble in proptest::collection::vec(0.0..0.4f64, 6..300),
    ) {
        let flat = growth(wobble.iter().enumerate().map(|(n, wobble)| {
            let seconds = n as f64;
            (seconds, MIB * (20_000.0 + slope * seconds + wobble))
        }));
        prop_assert_eq!(flat.trend(), None);
    }

    /// A collector that takes back at least half of each tooth is no leak from its second tooth on.
    #[test]
    fn a_sawtooth_has_no_trend(
        slope in 1.0..50.0f64,
        period in 4u32..40,
        kept in 0.0..0.5f64,
        seconds in 0u32..200,
    ) {
        let value = |n: u32| {
            let tooth = slope * f64::from(period);
            let floor = 100.0 + kept * tooth;
            MIB * (floor + (1.0 - kept) * slope * f64::from(n % period))
        };
        let points = (0..=period + seconds).map(|n| (f64::from(n), value(n)));
        prop_assert_eq!(growth(points).trend(), None);
    }

    /// Whatever is seen, nothing overflows, and a trend grows.
    #[test]
    fn nothing_breaks_it(
        points in proptest::collection::vec((0.0..2000.0f64, 0.0..1e15f64, any::<bool>()), 0..700),
    ) {
        let mut growth = Growth::default();
        for (at, bytes, killed) in points {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let demand = Bytes(bytes as u64);
            growth.push(CgroupId(1), u64::from(killed), Duration::from_secs_f64(at), demand);
            if let Some(trend) = growth.trend() {
                let Fit { slope, low, spread, .. } = trend.fit;
                prop_assert!(slope > 0.0 && low > 0.0 && spread >= 0.0);
            }
        }
    }
}

#[test]
fn one_step_is_no_trend_and_many_are_one_with_a_wide_range() {
    let steps = |seconds: u32| {
        let points = (0..seconds).map(|n| (f64::from(n), MIB * f64::from(n / 5 * 8)));
        growth(points).trend()
    };
    assert_eq!(steps(8), None);
    let fit = steps(60).expect("a trend").fit;
    assert!((fit.slope / MIB - 1.6).abs() < 0.2, "{fit:?}");
    assert!(fit.spread > 2.0 * MIB, "{fit:?}");
}

#[test]
fn a_ramp_that_has_ended_is_no_trend() {
    let points = (0..40).map(|n| (f64::from(n), MIB * f64::from(n.min(30))));
    assert_eq!(growth(points).trend(), None);
}

#[test]
fn a_leak_that_grows_faster_is_measured_anew() {
    let value = |n: u32| MIB * f64::from(n + 4 * n.saturating_sub(100));
    let points = (0..112).map(|n| (f64::from(n), value(n)));
    let fit = growth(points).trend().expect("a trend").fit;
    assert!((fit.slope / MIB - 5.0).abs() < 0.5, "{fit:?}");
}
