//! Pressure stall information: `cpu.pressure`, `memory.pressure`, `io.pressure`, and `/proc/pressure/*`.

pub mod trigger;

use super::parse;
use super::unit::{Malformed, Micros, Percent};

/// How much time was lost waiting for one resource. Since 5.2 per cgroup, where the kernel was built
/// with PSI and it is not switched off.
///
/// <https://docs.kernel.org/accounting/psi.html>
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// At least one task was stalled.
    pub some: Stall,
    /// All non-idle tasks were stalled at once. For cpu since 5.13.
    pub full: Option<Stall>,
}

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stall {
    /// Share of the last 10 s, 0 to 100.
    pub avg10: Percent,
    /// Share of the last minute, 0 to 100.
    pub avg60: Percent,
    /// Share of the last five minutes, 0 to 100.
    pub avg300: Percent,
    /// Time stalled since boot.
    pub total: Micros,
}

impl Pressure {
    /// Parses a pressure file.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        const WHAT: &str = "pressure file";
        let mut some = None;
        let mut full = None;
        for line in parse::lines(text) {
            let kind = line.split(|&byte| byte == b' ').next();
            let mut stall = Stall::default();
            for (key, value) in parse::nested_pairs(line) {
                match key {
                    b"avg10" => stall.avg10 = percent(value)?,
                    b"avg60" => stall.avg60 = percent(value)?,
                    b"avg300" => stall.avg300 = percent(value)?,
                    b"total" => stall.total = Micros(parse::number(value, WHAT)?),
                    _ => {}
                }
            }
            match kind {
                Some(b"some") => some = Some(stall),
                Some(b"full") => full = Some(stall),
                _ => {}
            }
        }
        Ok(Self {
            some: some.ok_or(Malformed { what: WHAT })?,
            full,
        })
    }
}

fn percent(text: &[u8]) -> Result<Percent, Malformed> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|value| value.is_finite() && *value >= 0.0)
        .map(Percent)
        .ok_or(Malformed {
            what: "pressure file",
        })
}
