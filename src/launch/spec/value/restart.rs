//! Whether a workload that ended is started again.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::BadValue;
use crate::kernel::unit::bad;

/// Whether a workload that ended is started again; the words are docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Never: `no`.
    #[default]
    No,
    /// When it ended with another exit code than 0, by a signal, or by the OOM killer: `on-failure`. With a number
    /// (`on-failure:3`), at most so many times.
    OnFailure(Option<NonZeroU32>),
    /// However it ended, unless it was told to: `always`.
    Always,
}

impl Restart {
    /// Whether to start again what ended with this exit code, after so many restarts.
    pub fn again(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(most) => code != 0 && most.is_none_or(|most| restarts < most.get()),
            Self::Always => true,
        }
    }
}

impl FromStr for Restart {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            None => match text {
                "no" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(None)),
                "always" => Ok(Self::Always),
                _ => bad(format!(
                    "`{text}` is no restart policy; there are no, on-failure, on-failure:N and always"
                )),
            },
            Some(("on-failure", number)) => match number.parse() {
                Ok(most) => Ok(Self::OnFailure(Some(most))),
                Err(_) => bad(format!(
                    "`{number}` is no number of restarts; write on-failure:3, or on-failure for any number"
                )),
            },
            Some((policy, _)) => bad(format!(
                "the restart policy `{policy}` takes no number; only on-failure does"
            )),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => out.write_str("no"),
            Self::OnFailure(None) => out.write_str("on-failure"),
            Self::OnFailure(Some(most)) => write!(out, "on-failure:{most}"),
            Self::Always => out.write_str("always"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were() {
        for word in ["no", "on-failure", "on-failure:3", "always"] {
            assert_eq!(word.parse::<Restart>().unwrap().to_string(), word);
        }
        for word in [
            "",
            "yes",
            "on-failure:",
            "on-failure:0",
            "on-failure:-1",
            "always:3",
        ] {
            word.parse::<Restart>().unwrap_err();
        }
    }

    #[test]
    fn who_is_started_again() {
        let again =
            |word: &str, code, restarts| word.parse::<Restart>().unwrap().again(code, restarts);
        assert!(!again("no", 1, 0));
        assert!(again("on-failure", 137, 1000));
        assert!(!again("on-failure", 0, 0));
        assert!(again("on-failure:2", 1, 1));
        assert!(!again("on-failure:2", 1, 2));
        assert!(again("always", 0, 1000));
    }
}
