//! Clocks that run ahead or behind.

use std::fmt;
use std::str::FromStr;

use super::BadValue;
use crate::kernel::unit::bad;

/// A clock that a time namespace (Linux 5.6) has of its own.
///
/// <https://man7.org/linux/man-pages/man7/time_namespaces.7.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`.
    Monotonic,
    /// `CLOCK_BOOTTIME`, which the uptime is read from.
    Boottime,
}

/// How far a clock inside is ahead of the host's: `boottime=86400`; less than 0 for behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOffset {
    /// Which clock.
    pub clock: Clock,
    /// Seconds.
    pub seconds: i64,
}

impl FromStr for TimeOffset {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (clock, seconds) = text.split_once('=').unwrap_or((text, ""));
        let clock = match clock {
            "monotonic" => Clock::Monotonic,
            "boottime" => Clock::Boottime,
            _ => {
                return bad(format!(
                    "`{clock}` is no clock that can be set; write monotonic=SECONDS or boottime=SECONDS"
                ));
            }
        };
        match seconds.parse() {
            Ok(seconds) => Ok(Self { clock, seconds }),
            Err(_) => bad(format!(
                "`{seconds}` is no number of seconds; write {clock}=3600, or {clock}=-60 for a minute less"
            )),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        })
    }
}

impl fmt::Display for TimeOffset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}", self.clock, self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were() {
        for word in ["monotonic=0", "boottime=86400", "boottime=-5"] {
            assert_eq!(word.parse::<TimeOffset>().unwrap().to_string(), word);
        }
        for word in [
            "",
            "boottime",
            "realtime=1",
            "boottime=1.5",
            "boottime=x",
            "=1",
        ] {
            word.parse::<TimeOffset>().unwrap_err();
        }
    }
}
