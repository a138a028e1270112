//! How much of what a detached workload says is kept.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::BadValue;
use crate::kernel::unit::{Bytes, bad};

/// One of docker's options for a log: `max-size=10m` or `max-file=3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOpt {
    /// When a file is full.
    MaxSize(Bytes),
    /// How many files there are at most.
    MaxFile(NonZeroU32),
}

/// What of a log is kept: so many files of such a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRules {
    /// When a file is full, and put away.
    pub max_size: Bytes,
    /// How many files there are at most.
    pub max_file: NonZeroU32,
}

impl LogRules {
    /// 10 MiB, three times, unless it is said otherwise; the last word of a kind counts.
    pub fn new(options: &[LogOpt]) -> Self {
        let mut rules = Self {
            max_size: Bytes(10 << 20),
            max_file: const { NonZeroU32::new(3).unwrap() },
        };
        for option in options {
            match option {
                LogOpt::MaxSize(size) => rules.max_size = *size,
                LogOpt::MaxFile(count) => rules.max_file = *count,
            }
        }
        rules
    }
}

impl FromStr for LogOpt {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once('=') {
            Some(("max-size", size)) => match size.parse()? {
                Bytes(0) => bad("a log of no size keeps nothing; write max-size=10m"),
                size => Ok(Self::MaxSize(size)),
            },
            Some(("max-file", count)) => match count.parse::<NonZeroU32>() {
                Ok(count) if count.get() <= 100 => Ok(Self::MaxFile(count)),
                _ => bad(format!(
                    "`{count}` is no number of files; write max-file=1 to 100"
                )),
            },
            _ => bad(format!(
                "`{text}` is no option of logs; there are max-size=10m and max-file=3"
            )),
        }
    }
}

impl fmt::Display for LogOpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxSize(size) => write!(out, "max-size={}", size.0),
            Self::MaxFile(count) => write!(out, "max-file={count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_the_last_counts() {
        let options = ["max-size=1048576", "max-file=1", "max-file=5"]
            .map(|word| word.parse::<LogOpt>().unwrap());
        assert_eq!(options[2].to_string(), "max-file=5");
        assert_eq!(options[0].to_string(), "max-size=1048576");
        let rules = LogRules::new(&options);
        assert_eq!((rules.max_size.0, rules.max_file.get()), (1 << 20, 5));
        for word in [
            "",
            "max-size",
            "max-size=0",
            "max-size=x",
            "max-file=0",
            "max-file=101",
            "mode=x",
        ] {
            word.parse::<LogOpt>().unwrap_err();
        }
    }
}
