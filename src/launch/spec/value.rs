//! The values of a spec: each parses from one word and is right by construction.

mod clock;
mod image;
mod log;
mod port;
mod restart;
mod root;
mod storage;
mod ulimit;
mod word;

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::kernel::cpu::CpuMax;
use crate::kernel::unit::{Bytes, Limit, bad};
use crate::kernel::{io, pids};

pub use crate::kernel::unit::{BadValue, Weight as CpuWeight};
pub use clock::{Clock, TimeOffset};
pub use image::{ImageRef, User};
pub use log::{LogOpt, LogRules};
pub use port::{Protocol, Publish};
pub use restart::Restart;
pub use root::{HostDir, Tmpfs, Unmask, Volume};
pub use storage::StorageOpt;
pub use ulimit::Ulimit;
pub use word::{EnvVar, Hostname, Name, Seconds, Workdir};

/// A word in a file: text, or a number where that is natural (`cpus = 0.5`).
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Word;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// In files, each value is the word that the command line takes.
macro_rules! one_word {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Word::deserialize(from)?.0.parse().map_err(de::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}
one_word!(
    Memory, MemorySwap, Cpus, CpuWeight, PidsLimit, DeviceBps, DeviceIops, Name, Hostname, EnvVar,
    Workdir, Seconds, HostDir, Volume, Tmpfs, Restart, TimeOffset, LogOpt, StorageOpt, Publish,
    ImageRef, User, Unmask, Ulimit
);

/// An amount of memory: at least a page, at most what the kernel can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(Bytes);

impl Memory {
    /// The smallest page there is: the kernel rounds less down to nothing.
    const LEAST: u64 = 4096;

    /// The amount.
    pub fn bytes(self) -> Bytes {
        self.0
    }
}

impl FromStr for Memory {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse()? {
            Bytes(size) if size < Self::LEAST => bad(format!(
                "`{text}` is less than one page of memory (4096 bytes), so nothing could run"
            )),
            Bytes(size) if i64::try_from(size).is_err() => bad(format!(
                "`{text}` is more than the kernel can count; leave the limit out for none"
            )),
            size => Ok(Self(size)),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(out)
    }
}

/// Memory and swap together; -1 for as much swap as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySwap(Limit<Memory>);

impl MemorySwap {
    /// The total.
    pub fn limit(self) -> Limit<Bytes> {
        self.0.map(Memory::bytes)
    }
}

impl FromStr for MemorySwap {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(match text {
            "-1" => Limit::Max,
            size => Limit::At(size.parse()?),
        }))
    }
}

impl fmt::Display for MemorySwap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Limit::At(size) => size.fmt(out),
            Limit::Max => out.write_str("-1"),
        }
    }
}

/// A number of CPUs, with a fraction; kept as the time allowed in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(CpuMax);

impl Cpus {
    /// What to write to `cpu.max`.
    pub fn max(self) -> CpuMax {
        self.0
    }

    /// The number of CPUs.
    pub fn count(self) -> f64 {
        self.0.cpus().value().unwrap_or(f64::INFINITY)
    }
}

impl FromStr for Cpus {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse().ok().and_then(CpuMax::of_cpus) {
            Some(max) => Ok(Self(max)),
            None => bad(format!(
                "`{text}` is not a number of CPUs; write 0.01 or more: 1.5"
            )),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(out)
    }
}

/// A number of processes and threads; -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidsLimit(Limit<NonZeroU64>);

impl PidsLimit {
    /// What to write to `pids.max`.
    pub fn limit(self) -> Limit<u64> {
        self.0.map(NonZeroU64::get)
    }
}

impl FromStr for PidsLimit {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        const MOST: u64 = pids::MOST;
        match text.parse::<NonZeroU64>() {
            _ if text == "-1" => Ok(Self(Limit::Max)),
            Ok(count) if count.get() <= MOST => Ok(Self(Limit::At(count))),
            _ => bad(format!(
                "`{text}` is not a number of processes; write 1 to {MOST}, or -1 for no limit"
            )),
        }
    }
}

impl fmt::Display for PidsLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Limit::At(count) => count.fmt(out),
            Limit::Max => out.write_str("-1"),
        }
    }
}

/// Bytes per second on a block device: `/dev/vda:2m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBps {
    /// The device node.
    pub device: String,
    /// Bytes per second.
    pub rate: NonZeroU64,
}

impl FromStr for DeviceBps {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (device, rate) = split_device(text)?;
        let rate = io::bps(rate)?;
        Ok(Self { device, rate })
    }
}

impl fmt::Display for DeviceBps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.device, self.rate)
    }
}

/// Operations per second on a block device: `/dev/vda:100`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIops {
    /// The device node.
    pub device: String,
    /// Operations per second.
    pub rate: NonZeroU64,
}

impl FromStr for DeviceIops {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (device, rate) = split_device(text)?;
        let rate = io::iops(rate)?;
        Ok(Self { device, rate })
    }
}

impl fmt::Display for DeviceIops {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.device, self.rate)
    }
}

fn split_device(text: &str) -> Result<(String, &str), BadValue> {
    match text.rsplit_once(':') {
        Some((device, rate)) if device.starts_with('/') => Ok((device.to_owned(), rate)),
        _ => bad(format!(
            "`{text}` is not a device with a rate; write DEVICE:RATE: /dev/vda:2m"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused() {
        for text in ["0", "-1", "1", "12parsecs", "18446744073709551616", "16e"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
        for text in ["0", "-1", "0.001", "nan", "inf", "two"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
        for text in ["0", "-2", "1.5", "99999999999999999999"] {
            assert!(text.parse::<PidsLimit>().is_err(), "{text}");
        }
        for text in ["/dev/vda", "/dev/vda:0", "/dev/vda:-1", "vda:1m", ":1m"] {
            assert!(text.parse::<DeviceBps>().is_err(), "{text}");
        }
        for text in ["", ".", "..", "a/b", "memory.max", "-x", "a b"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_become_a_quota() {
        let max = |text: &str| text.parse::<Cpus>().unwrap().max().to_string();
        assert_eq!(max("0.5"), "50000 100000");
        assert_eq!(max("1.5"), "150000 100000");
        assert_eq!(max("0.01"), "1000 100000");
    }
}
