//! Warnings in words.

use std::time::Duration;

use super::{AVERAGE, Cleared, Countdown, Sign, Warning};
use crate::model::field;
use crate::text;

impl Warning {
    /// What it is about: `91% of memory.max 64M cannot be dropped`.
    pub fn text(&self) -> String {
        match self.sign {
            Sign::Memory { share, limit } => {
                format!(
                    "{share}% of memory.max {} cannot be dropped",
                    text::bytes(limit)
                )
            }
            Sign::High {
                per_second,
                share,
                limit,
            } => format!(
                "held back by memory.high {}, {}; {share}% of it cannot be dropped",
                text::bytes(limit),
                times(per_second)
            ),
            Sign::Max {
                per_second,
                share,
                limit,
            } => format!(
                "meets memory.max {}, {}; {share}% of it cannot be dropped",
                text::bytes(limit),
                times(per_second)
            ),
            Sign::Pressure {
                share,
                seconds: AVERAGE,
            } => {
                format!("waits for memory {share}% of the time")
            }
            Sign::Pressure { share, seconds } => {
                let window = match seconds {
                    1 => "a second".to_owned(),
                    many => format!("{many} seconds"),
                };
                format!("waited for memory for {share}% of {window} or more")
            }
            Sign::Forks { per_second, limit } => {
                let limit = limit.map_or_else(String::new, |limit| format!(" {limit}"));
                let forks = match per_second {
                    1 => "a fork".to_owned(),
                    many => format!("{many} forks"),
                };
                format!("meets pids.max{limit}: {forks} refused within a second")
            }
            Sign::Throttled { share, limit } => {
                let cpus = limit.cpus().value().map(field::cpus).unwrap_or_default();
                format!("held back by cpu.max {cpus} in {share}% of the periods")
            }
            Sign::Forecast(countdown) => countdown.text(),
        }
    }
}

impl Countdown {
    fn text(&self) -> String {
        let left = |seconds: u32| text::time_left(Duration::from_secs(seconds.into()));
        let range = if self.soonest == self.latest {
            String::new()
        } else {
            format!(" ({} to {})", left(self.soonest), left(self.latest))
        };
        format!(
            "OOM in {}{range}: grows by {} a second towards memory.max {}",
            left(self.likely),
            text::bytes(self.rate),
            text::bytes(self.limit)
        )
    }
}

impl Cleared {
    /// What is over, and after how long.
    pub fn text(&self) -> String {
        let over = match self.warning.sign {
            Sign::Memory { .. } => "no longer close to memory.max",
            Sign::High { .. } => "no longer held back by memory.high",
            Sign::Max { .. } => "no longer meets memory.max",
            Sign::Pressure { .. } => "no longer waits for memory",
            Sign::Forks { .. } => "no longer meets pids.max",
            Sign::Throttled { .. } => "no longer held back by cpu.max",
            Sign::Forecast(_) => "no longer grows towards memory.max",
        };
        let over = if self.gone { "is gone" } else { over };
        format!("{over}, {} after the warning", text::time_left(self.after))
    }
}

fn times(per_second: u32) -> String {
    match per_second {
        1 => "once a second".to_owned(),
        many => format!("{many} times a second"),
    }
}
