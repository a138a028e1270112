//! The cpu controller: `cpu.stat` and `cpu.max`.

use std::fmt;
use std::str::FromStr;

use super::parse;
use super::unit::{BadValue, Limit, Malformed, Micros, bad};

/// `cpu.stat`. The first three exist in every cgroup, controller or not (since 4.15); the others only
/// where the cpu controller is on (in the root too, where they stay 0).
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuStat {
    /// CPU time used.
    pub usage_usec: Micros,
    /// Of it, in user mode.
    pub user_usec: Micros,
    /// Of it, in the kernel.
    pub system_usec: Micros,
    /// Bandwidth control, `None` without the cpu controller.
    pub bandwidth: Option<Bandwidth>,
}

/// The bandwidth-control part of `cpu.stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bandwidth {
    /// Enforcement periods that passed with something to run.
    pub nr_periods: u64,
    /// Of these, periods in which the quota ran out.
    pub nr_throttled: u64,
    /// Time that runnable tasks were held back, summed over CPUs.
    pub throttled_usec: Micros,
}

impl CpuStat {
    /// Parses `cpu.stat`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut stat = Self::default();
        for pair in parse::flat_keyed(text, "cpu.stat") {
            let (key, value) = pair?;
            let field = match key {
                b"usage_usec" => &mut stat.usage_usec.0,
                b"user_usec" => &mut stat.user_usec.0,
                b"system_usec" => &mut stat.system_usec.0,
                b"nr_periods" => &mut stat.bandwidth.get_or_insert_default().nr_periods,
                b"nr_throttled" => &mut stat.bandwidth.get_or_insert_default().nr_throttled,
                b"throttled_usec" => &mut stat.bandwidth.get_or_insert_default().throttled_usec.0,
                _ => continue,
            };
            *field = value;
        }
        Ok(stat)
    }
}

/// `cpu.max`: how much CPU time per period. Since 4.15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMax {
    /// Time that may be used in each period, by all threads together. The kernel's least is 1 ms.
    pub quota: Limit<Micros>,
    /// The period: 1 ms to 1 s, 100 ms by default.
    pub period: Micros,
}

impl CpuMax {
    /// docker's and the kernel's default period.
    pub const PERIOD: Micros = Micros(100_000);
    /// No limit.
    pub const UNLIMITED: Self = Self {
        quota: Limit::Max,
        period: Self::PERIOD,
    };
    /// The most that the kernel counts as a quota, in microseconds.
    const MOST: u64 = (1 << 44) - 1;

    /// So many CPUs, in the default period: 0.01 (the kernel's least quota is 1 ms) to a million (more
    /// than any host has). `None` for other numbers.
    pub fn of_cpus(cpus: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let quota = Micros((cpus * Self::PERIOD.0 as f64).round() as u64);
        (0.01..=1_000_000.0).contains(&cpus).then_some(Self {
            quota: Limit::At(quota),
            period: Self::PERIOD,
        })
    }

    /// Parses `cpu.max`: `max 100000`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        const WHAT: &str = "cpu.max";
        let mut words = text.trim_ascii().split(|&byte| byte == b' ');
        let quota = Limit::parse(words.next().unwrap_or_default(), WHAT)?;
        let period = parse::number(words.next().ok_or(Malformed { what: WHAT })?, WHAT)?;
        Ok(Self {
            quota,
            period: Micros(period),
        })
    }

    /// As many CPUs in another period; `None` where the kernel would not take it, as a quota is 1 ms at least.
    pub fn in_period(self, period: Micros) -> Option<Self> {
        let quota = |Micros(quota): Micros| {
            let quota = u128::from(quota) * u128::from(period.0) / u128::from(self.period.0.max(1));
            u64::try_from(quota).map_or(Micros(u64::MAX), Micros)
        };
        let max = Self {
            quota: self.quota.map(quota),
            period,
        };
        max.is_writable().then_some(max)
    }

    /// The limit in CPUs: 0.5 is half a core.
    pub fn cpus(self) -> Limit<f64> {
        self.quota
            .map(|quota| quota.0 as f64 / self.period.0.max(1) as f64)
    }
}

/// The kernel's own text, ready to be written to `cpu.max`.
impl fmt::Display for CpuMax {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.quota, self.period.0)
    }
}

/// What a person writes: `max`, a number of CPUs (`1.5`), a percentage of one CPU (`50%`), or the
/// kernel's own quota and period in microseconds (`50000 100000`).
impl FromStr for CpuMax {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let text = text.trim();
        let number = |text: &str| text.trim_end().parse::<f64>().ok();
        let max = if text == "max" {
            Some(Self::UNLIMITED)
        } else if let Some(percent) = text.strip_suffix('%') {
            number(percent).and_then(|percent| Self::of_cpus(percent / 100.0))
        } else if text.contains(' ') {
            Self::parse(text.as_bytes())
                .ok()
                .filter(|max| max.is_writable() && text.split(' ').count() == 2)
        } else {
            // A quota without a period is more likely than thousands of CPUs.
            number(text)
                .filter(|cpus| *cpus < 1000.0)
                .and_then(Self::of_cpus)
        };
        max.map_or_else(
            || {
                bad(format!(
                    "`{text}` is no CPU limit; write CPUs (1.5, at least 0.01), a percentage of one (50%), \
                     max, or quota and period in microseconds (50000 100000, at least 1000 each)"
                ))
            },
            Ok,
        )
    }
}

impl CpuMax {
    /// Whether the kernel takes it: a quota of at least 1 ms in a period of 1 ms to 1 s.
    fn is_writable(self) -> bool {
        (1_000..=1_000_000).contains(&self.period.0)
            && self
                .quota
                .value()
                .is_none_or(|quota| (1_000..=Self::MOST).contains(&quota.0))
    }
}
