//! What one sample says of each sign.

use std::time::Duration;

use super::{AVERAGE, Countdown, Kind, Sign, Thresholds, Watch};
use crate::kernel::memory::MemoryEvents;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::model::limit::Of;
use crate::model::{Row, Severity, forecast, rate, row, tree};
use crate::sample::{CgroupSample, Presence, Sample};

/// Below this share of its threshold a standing warning no longer holds.
const HOLDS: f64 = 0.9;

/// Of two thresholds, the one for a warning and the one for a critical one.
const WARNING: usize = 0;
const CRITICAL: usize = 1;

impl Sign {
    /// How bad it is; `None` where it is nothing to warn of.
    pub(super) fn severity(&self, thresholds: &Thresholds) -> Option<Severity> {
        let often = match *self {
            Self::High { per_second, .. } => per_second >= thresholds.high,
            Self::Max { per_second, .. } => per_second >= thresholds.max,
            _ => true,
        };
        let reaches = |level| often && self.reaches(thresholds, level, 1.0);
        if reaches(CRITICAL) {
            Some(Severity::Critical)
        } else {
            reaches(WARNING).then_some(Severity::Warning)
        }
    }

    /// Whether it is still bad enough for a warning that stands.
    pub(super) fn holds(&self, thresholds: &Thresholds) -> bool {
        self.reaches(thresholds, WARNING, HOLDS)
    }

    /// Whether what was measured reaches this part of a threshold.
    fn reaches(&self, thresholds: &Thresholds, level: usize, part: f64) -> bool {
        let (measured, levels) = match *self {
            Self::Memory { share, .. } | Self::High { share, .. } | Self::Max { share, .. } => {
                (share, thresholds.memory)
            }
            Self::Pressure { share, .. } => (share, thresholds.pressure),
            Self::Forks { per_second, .. } => (per_second, [thresholds.forks, Thresholds::NEVER]),
            Self::Throttled { share, .. } => (share, thresholds.throttled),
            // The sooner, the worse.
            Self::Forecast(countdown) => {
                return part * f64::from(countdown.likely) < f64::from(thresholds.oom_in[level]);
            }
        };
        f64::from(measured) >= part * f64::from(levels[level])
    }
}

/// What a look for one sign found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Nothing can be said.
    Unknown,
    /// Nothing to warn of.
    Fine,
    At(Sign),
}

/// What a look for each kind of sign found.
pub(crate) type Looks = [(Kind, Look); 7];

/// A look for each sign at each row.
pub(crate) fn looks(
    sample: &Sample,
    rows: &[Row],
    before: Option<&row::Before<'_>>,
    watch: &Watch,
) -> Vec<Looks> {
    let blamed = blamed(rows, watch);
    let seconds = before
        .and_then(|before| rate::seconds_between(before.sample.since_boot, sample.since_boot));
    let cgroups = sample.cgroups.iter().enumerate();
    cgroups
        .map(|(at, cgroup)| {
            let alive = cgroup.presence == Presence::Alive;
            let one = One {
                sample,
                rows,
                at,
                cgroup,
                then: before.and_then(|before| before.of(cgroup.id)).zip(seconds),
                near: watch.thresholds.memory[0],
            };
            let of = |kind: Kind, look: Look| (kind, if alive { look } else { Look::Unknown });
            let pressure = if blamed[at] {
                one.pressure()
            } else {
                Look::Fine
            };
            [
                of(Kind::Memory, one.memory()),
                of(Kind::High, one.high()),
                of(Kind::Max, one.max()),
                of(Kind::Pressure, pressure),
                of(Kind::Forks, one.forks()),
                of(Kind::Throttled, one.throttled()),
                of(Kind::Forecast, one.forecast()),
            ]
        })
        .collect()
}

/// Whose waiting is its own: who has a limit and nobody below who has one and waits as well.
fn blamed(rows: &[Row], watch: &Watch) -> Vec<bool> {
    let inside = |row: &Row| {
        let root = watch.root.as_ref();
        root.is_none_or(|root| tree::is_in(&row.path, root))
    };
    let limited = |row: &Row| is_limit(&row.now.memory_max) || is_limit(&row.now.memory_high);
    let waits = |row: &Row| match pressure(row) {
        Look::At(sign) => sign.holds(&watch.thresholds),
        _ => false,
    };
    let may = |row: &Row| inside(row) && (limited(row) || row.parent.is_none());
    let mut found = vec![false; rows.len()];
    let mut below = vec![false; rows.len()];
    for (at, row) in rows.iter().enumerate().rev() {
        found[at] = !below[at] && may(row);
        if let Some(parent) = row.parent {
            below[parent] |= below[at] || (found[at] && waits(row));
        }
    }
    found
}

fn is_limit(reading: &Reading<Limit<Bytes>>) -> bool {
    matches!(reading, Reading::Value(Limit::At(_)))
}

fn pressure(row: &Row) -> Look {
    match &row.now.memory_pressure {
        Reading::Value(pressure) => Look::At(Sign::Pressure {
            share: whole(pressure.some.avg10.0),
            seconds: AVERAGE,
        }),
        _ => Look::Unknown,
    }
}

/// One cgroup in a sample.
struct One<'a> {
    sample: &'a Sample,
    rows: &'a [Row],
    at: usize,
    cgroup: &'a CgroupSample,
    /// The same in the sample before, and the seconds in between.
    then: Option<(&'a CgroupSample, f64)>,
    /// From this share of a limit on it matters what memory is made of.
    near: u32,
}

impl One<'_> {
    fn memory(&self) -> Look {
        let (limit, share) = match self.share(&self.cgroup.memory_max) {
            Ok(found) => found,
            Err(look) => return look,
        };
        Look::At(Sign::Memory { share, limit })
    }

    fn high(&self) -> Look {
        self.events(
            &self.cgroup.memory_high,
            |events| events.high,
            |limit, share, per_second| Sign::High {
                per_second,
                share,
                limit,
            },
        )
    }

    fn max(&self) -> Look {
        self.events(
            &self.cgroup.memory_max,
            |events| events.max,
            |limit, share, per_second| Sign::Max {
                per_second,
                share,
                limit,
            },
        )
    }

    fn pressure(&self) -> Look {
        pressure(&self.rows[self.at])
    }

    /// By its own limit: one above is warned of there.
    fn forks(&self) -> Look {
        match (&self.rows[self.at].forks_refused, self.then) {
            (Reading::Value(refused), Some((_, seconds)))
                if refused.count > 0 && refused.of == Of::Own =>
            {
                Look::At(Sign::Forks {
                    per_second: whole((refused.count as f64 / seconds).ceil()),
                    limit: self.cgroup.pids_max.value().and_then(|max| max.value()),
                })
            }
            (Reading::Unreadable(_), _) => Look::Unknown,
            _ => Look::Fine,
        }
    }

    fn throttled(&self) -> Look {
        let max = match &self.cgroup.cpu_max {
            Reading::Value(max) if max.quota != Limit::Max => *max,
            Reading::Unreadable(_) => return Look::Unknown,
            _ => return Look::Fine,
        };
        match &self.rows[self.at].parts.throttled {
            Reading::Value(share) => Look::At(Sign::Throttled {
                share: whole(share.0),
                limit: max,
            }),
            // No period has passed in which it ran.
            _ if self.then.is_some() => Look::Fine,
            _ => Look::Unknown,
        }
    }

    /// Who grows towards the limit of one above is not the one to warn of: that one grows, too.
    fn forecast(&self) -> Look {
        let forecast = self.rows[self.at].forecast.value();
        let countdown = forecast
            .filter(|forecast| forecast.of == Of::Own && forecast.is_settled())
            .and_then(|forecast| {
                let seconds = |time: Duration| whole(time.as_secs_f64().round());
                Some(Countdown {
                    likely: seconds(forecast.likely),
                    soonest: seconds(forecast.soonest),
                    latest: seconds(forecast.latest?),
                    rate: forecast.per_second(),
                    limit: forecast.limit,
                })
            });
        countdown.map_or(Look::Fine, |countdown| Look::At(Sign::Forecast(countdown)))
    }

    fn events(
        &self,
        limit: &Reading<Limit<Bytes>>,
        count: impl Fn(&MemoryEvents) -> u64,
        sign: impl Fn(Bytes, u32, u32) -> Sign,
    ) -> Look {
        let (limit, share) = match self.share(limit) {
            Ok(found) => found,
            Err(look) => return look,
        };
        let counted = |cgroup: &CgroupSample| cgroup.own_memory_events().value().map(&count);
        let often = self.then.and_then(|(then, seconds)| {
            rate::per_second(counted(then)?, counted(self.cgroup)?, seconds)
        });
        match often.map(|often| whole(often.ceil())) {
            None => Look::Unknown,
            Some(0) => Look::Fine,
            Some(per_second) => Look::At(sign(limit, share, per_second)),
        }
    }

    /// A limit of its own, and the percentage of it (and of the swap there is) that cannot be dropped.
    fn share(&self, limit: &Reading<Limit<Bytes>>) -> Result<(Bytes, u32), Look> {
        let limit = match limit {
            Reading::Value(Limit::At(limit)) => *limit,
            Reading::Value(Limit::Max) | Reading::NotAvailable => return Err(Look::Fine),
            Reading::Unreadable(_) => return Err(Look::Unknown),
        };
        let row = &self.rows[self.at];
        let room = forecast::ceiling(self.sample, self.rows, self.at, limit);
        let percent = |bytes: Bytes| whole(100.0 * bytes.0 as f64 / room.max(1.0));
        // What was seen before may be long over.
        if self.cgroup.memory_stat.value().is_some()
            && let Some(demand) = forecast::demand(row)
        {
            return Ok((limit, percent(demand)));
        }
        let Some(current) = self.cgroup.memory_current.value() else {
            return Err(Look::Unknown);
        };
        // It is never more than all that there is.
        let swap = self
            .cgroup
            .swap_current
            .value()
            .copied()
            .unwrap_or_default();
        let most = percent(Bytes(current.0.saturating_add(swap.0)));
        if f64::from(most) < HOLDS * f64::from(self.near) {
            Err(Look::Fine)
        } else {
            Err(Look::Unknown)
        }
    }
}

/// A percentage or a number of times without its fraction.
// It is bounded before.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX - 1)) as u32
}
