//! A straight line through points of which some are off.
//!
//! [Theil and Sen](https://en.wikipedia.org/wiki/Theil%E2%80%93Sen_estimator): the slope is the median of the
//! slopes between all pairs of points, so that up to a quarter of them may be anywhere. How far to trust it
//! follows from the same slopes: between two of their quantiles, which Kendall's statistic gives, lies the true
//! one in 95 of 100 cases.

/// A point: seconds and bytes.
pub type Point = (f64, f64);

/// So many points are enough; more are thinned out, as the work grows with their square.
const MOST: usize = 40;
/// Standard deviations of the normal distribution that hold 95 %.
const SURE: f64 = 1.96;

/// A fitted line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Bytes per second.
    pub slope: f64,
    /// The least that it may be.
    pub low: f64,
    /// The most that it may be.
    pub high: f64,
    /// The line at the newest point.
    pub now: f64,
    /// How far the points are off it: nine of ten are nearer, and so are the newest ones.
    pub spread: f64,
    /// Seconds from the oldest point to the newest.
    pub seconds: f64,
}

impl Fit {
    /// Fits a line through points, oldest first; `None` through fewer than three, or at one instant.
    pub fn through(points: &[Point]) -> Option<Self> {
        let points = thinned(points);
        let (first, last) = (points.first()?, points.last()?);
        let seconds = last.0 - first.0;
        if points.len() < 3 || seconds <= 0.0 {
            return None;
        }
        let mut slopes: Vec<f64> = points
            .iter()
            .enumerate()
            .flat_map(|(at, from)| points[at + 1..].iter().map(move |to| (from, to)))
            .filter(|(from, to)| to.0 > from.0)
            .map(|(from, to)| (to.1 - from.1) / (to.0 - from.0))
            .collect();
        slopes.sort_by(f64::total_cmp);
        let slope = quantile(&slopes, 0.5);
        let n = points.len() as f64;
        let doubt = SURE * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let doubt = doubt / slopes.len() as f64 / 2.0;
        let mut heights: Vec<f64> = points
            .iter()
            .map(|(at, value)| value - slope * (at - last.0))
            .collect();
        let newest = &heights[heights.len() - 3..];
        let mut newest = newest.to_vec();
        heights.sort_by(f64::total_cmp);
        let now = quantile(&heights, 0.5);
        let mut off: Vec<f64> = heights.iter().map(|height| (height - now).abs()).collect();
        off.sort_by(f64::total_cmp);
        newest.sort_by(f64::total_cmp);
        Some(Self {
            slope,
            low: quantile(&slopes, 0.5 - doubt),
            high: quantile(&slopes, 0.5 + doubt),
            now,
            spread: quantile(&off, 0.9).max((quantile(&newest, 0.5) - now).abs()),
            seconds,
        })
    }

    /// What it grew by, from the oldest point to the newest.
    pub fn growth(&self) -> f64 {
        self.slope * self.seconds
    }
}

/// At most [`MOST`] of the points, evenly chosen, the newest with them.
fn thinned(points: &[Point]) -> Vec<Point> {
    let last = points.len().saturating_sub(1);
    let kept = MOST.min(points.len());
    let step = |n: usize| last * n / kept.saturating_sub(1).max(1);
    (0..kept).map(|n| points[step(n)]).collect()
}

/// The value below which this share of the sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    // A share of a length: small and not negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = (share.clamp(0.0, 1.0) * last as f64).round() as usize;
    sorted[at.min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: impl Fn(u32) -> f64, seconds: u32) -> Fit {
        let points: Vec<Point> = (0..=seconds).map(|n| (f64::from(n), values(n))).collect();
        Fit::through(&points).unwrap()
    }

    #[test]
    fn a_line_is_found_exactly() {
        let fit = line(|n| 7.0 + 3.0 * f64::from(n), 200);
        assert!((fit.slope - 3.0).abs() < 1e-9, "{fit:?}");
        assert!(
            (fit.now - 607.0).abs() < 1e-9 && fit.spread < 1e-9,
            "{fit:?}"
        );
        assert!((fit.growth() - 600.0).abs() < 1e-9, "{fit:?}");
    }

    #[test]
    fn a_point_that_is_off_moves_nothing() {
        let fit = line(|n| if n == 9 { 1e6 } else { 3.0 * f64::from(n) }, 20);
        assert!((fit.slope - 3.0).abs() < 0.01, "{fit:?}");
        assert!(fit.low > 0.0 && fit.spread < 1.0, "{fit:?}");
    }

    #[test]
    fn a_single_step_is_no_slope() {
        for seconds in [7, 15, 40, 300] {
            let fit = line(|n| f64::from(u8::from(n > seconds / 2)), seconds);
            assert!(fit.low <= 0.0, "{fit:?}");
        }
    }

    #[test]
    fn too_little_is_no_line() {
        assert_eq!(Fit::through(&[]), None);
        assert_eq!(Fit::through(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(Fit::through(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}
