//! The cpu controller: `cpu.stat` and `cpu.max`.

use std::fmt;

use super::parse;
use super::unit::{Limit, Malformed, Micros};

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
