//! Quantities with their unit in the type, and the three states of every reading.

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::parse;

/// Kernel text that is not what its document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unexpected text in {what}")]
pub struct Malformed {
    /// The file, by its kernel name.
    pub what: &'static str,
}

/// Parses a file that holds one decimal number, such as `memory.current`.
pub fn number(text: &[u8], what: &'static str) -> Result<u64, Malformed> {
    parse::number(text, what)
}

/// A number of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A duration in microseconds, the unit of `cpu.stat`, `cpu.max` and the pressure totals.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// A percentage: 100.0 is the whole (for CPU: one core).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub f64);

impl Percent {
    /// `part` of `whole` as a percentage; `None` where the whole is zero.
    pub fn of(part: f64, whole: f64) -> Option<Self> {
        (whole > 0.0).then(|| Self(part / whole * 100.0))
    }
}

/// A limit as the kernel states it: the word `max`, or a value. `At(_) < Max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit<T> {
    /// A value; 0 is a legal limit.
    At(T),
    /// No limit: `max`.
    Max,
}

impl<T> Limit<T> {
    /// The value, or `None` for `max`.
    pub fn value(self) -> Option<T> {
        match self {
            Self::At(value) => Some(value),
            Self::Max => None,
        }
    }

    /// The limit in another unit.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::At(value) => Limit::At(change(value)),
            Self::Max => Limit::Max,
        }
    }
}

impl<T: From<u64>> Limit<T> {
    /// Parses `max` or a decimal number, as the kernel prints it.
    pub fn parse(text: &[u8], what: &'static str) -> Result<Self, Malformed> {
        match text.trim_ascii() {
            b"max" => Ok(Self::Max),
            number => Ok(Self::At(parse::number(number, what)?.into())),
        }
    }
}

/// The kernel's own text: `max` or the number.
impl<T: Into<u64> + Copy> fmt::Display for Limit<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::At(value) => write!(out, "{}", value.into()),
            Self::Max => out.write_str("max"),
        }
    }
}

impl From<u64> for Bytes {
    fn from(value: u64) -> Self {
        Self(value)
    }
}
impl From<Bytes> for u64 {
    fn from(value: Bytes) -> Self {
        value.0
    }
}
impl From<u64> for Micros {
    fn from(value: u64) -> Self {
        Self(value)
    }
}
impl From<Micros> for u64 {
    fn from(value: Micros) -> Self {
        value.0
    }
}

/// What a person may write for a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a size; write a whole number of bytes with an optional suffix k, m, g or t (powers of 1024): 64m"
)]
pub struct BadSize(pub String);

/// Parses a size as docker does: a number with an optional suffix `b`, `k`, `m`, `g`, `t` (or `KiB`,
/// `MB`, …), all powers of 1024. 0 is a size; whether it makes sense is for the caller to say.
impl FromStr for Bytes {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        parse_size::Config::new()
            .with_binary()
            .parse_size(text.trim())
            .map(Self)
            .map_err(|_| BadSize(text.to_owned()))
    }
}

/// One value read from the kernel, or why there is none. Nothing but `Value` is ever drawn as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading<T> {
    /// The kernel answered.
    Value(T),
    /// Not available here: the controller is off, the kernel is too old, or it is the root cgroup.
    #[default]
    NotAvailable,
    /// The kernel refused (permission, mostly), or its text made no sense (`EIO`).
    Unreadable(Errno),
}

impl<T> Reading<T> {
    /// The value, where there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::NotAvailable | Self::Unreadable(_) => None,
        }
    }

    /// The reading of something computed from this one.
    pub fn map<U>(&self, change: impl FnOnce(&T) -> U) -> Reading<U> {
        match self {
            Self::Value(value) => Reading::Value(change(value)),
            Self::NotAvailable => Reading::NotAvailable,
            Self::Unreadable(errno) => Reading::Unreadable(*errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_below_max() {
        assert!(Limit::At(Bytes(u64::MAX)) < Limit::Max);
        assert!(Limit::At(1) < Limit::At(2));
    }

    #[test]
    fn limits_read_and_print_as_the_kernel_writes_them() {
        for text in ["max", "0", "67108864"] {
            let limit: Limit<Bytes> = Limit::parse(text.as_bytes(), "memory.max").unwrap();
            assert_eq!(limit.to_string(), text);
        }
        for text in ["", "-1", "1.5", "maximum", "18446744073709551616"] {
            assert!(
                Limit::<Bytes>::parse(text.as_bytes(), "memory.max").is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("64m", 64 << 20),
            ("1G", 1 << 30),
            ("512", 512),
            ("1KiB", 1024),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "m",
            "-1",
            "-5m",
            "12parsecs",
            "99999999999999999999",
            "18446744073709551616",
            "16777216t",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
