//! The io controller: `io.stat` and `io.max`, both one line per block device.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parse;
use super::unit::{BadValue, Bytes, Limit, Malformed, bad};

/// A block device by its numbers, as the kernel names it: `254:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Device {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number = |text: &str| text.parse().map_err(|_| Malformed { what: "device" });
        let (major, minor) = text.split_once(':').ok_or(Malformed { what: "device" })?;
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// What one cgroup moved to and from one device: a line of `io.stat`. Since 4.5.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#io-interface-files>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoStat {
    /// Bytes read.
    pub rbytes: u64,
    /// Bytes written.
    pub wbytes: u64,
    /// Read operations.
    pub rios: u64,
    /// Write operations.
    pub wios: u64,
}

impl IoStat {
    /// Parses `io.stat`. Devices without counters are passed over: the kernel prints them as a bare
    /// `254:0`, on some versions without the end of the line, so that the next device follows in it.
    pub fn parse(text: &[u8]) -> Result<Vec<(Device, Self)>, Malformed> {
        const WHAT: &str = "io.stat";
        let mut devices = Vec::new();
        for line in parse::lines(text) {
            let mut stat = Self::default();
            let mut counted = false;
            for (key, value) in parse::nested_pairs(line) {
                let field = match key {
                    b"rbytes" => &mut stat.rbytes,
                    b"wbytes" => &mut stat.wbytes,
                    b"rios" => &mut stat.rios,
                    b"wios" => &mut stat.wios,
                    _ => continue,
                };
                *field = parse::number(value, WHAT)?;
                counted = true;
            }
            let words = line.split(|&byte| byte == b' ');
            let device = words
                .take_while(|word| !word.contains(&b'='))
                .filter(|word| !word.is_empty())
                .last();
            let device = device_number(device.unwrap_or_default(), WHAT)?;
            if counted {
                devices.push((device, stat));
            }
        }
        Ok(devices)
    }
}

/// The limits of one cgroup on one device: a line of `io.max`. Since 4.5. Whole disks only (a partition
/// is refused with `ENODEV`), never 0 (`ERANGE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoMax {
    /// Bytes read per second.
    pub rbps: Limit<u64>,
    /// Bytes written per second.
    pub wbps: Limit<u64>,
    /// Read operations per second.
    pub riops: Limit<u64>,
    /// Write operations per second.
    pub wiops: Limit<u64>,
}

impl Default for IoMax {
    fn default() -> Self {
        Self {
            rbps: Limit::Max,
            wbps: Limit::Max,
            riops: Limit::Max,
            wiops: Limit::Max,
        }
    }
}

impl IoMax {
    /// Parses `io.max`. Devices without a limit have no line.
    pub fn parse(text: &[u8]) -> Result<Vec<(Device, Self)>, Malformed> {
        const WHAT: &str = "io.max";
        parse::lines(text)
            .map(|line| {
                let mut max = Self::default();
                for (key, value) in parse::nested_pairs(line) {
                    let field = match key {
                        b"rbps" => &mut max.rbps,
                        b"wbps" => &mut max.wbps,
                        b"riops" => &mut max.riops,
                        b"wiops" => &mut max.wiops,
                        _ => continue,
                    };
                    *field = Limit::parse(value, WHAT)?;
                }
                Ok((device(line, WHAT)?, max))
            })
            .collect()
    }
}

/// The kernel's own text for one device, ready to be written to `io.max` behind the device.
impl fmt::Display for IoMax {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "rbps={} wbps={} riops={} wiops={}",
            self.rbps, self.wbps, self.riops, self.wiops
        )
    }
}

/// A rate in bytes per second, as a person writes it: `2m`.
pub fn bps(text: &str) -> Result<NonZeroU64, BadValue> {
    match NonZeroU64::new(text.parse::<Bytes>()?.0) {
        Some(rate) => Ok(rate),
        None => bad("a rate of 0 would stop the device; leave the limit out for none"),
    }
}

/// A rate in operations per second. The kernel keeps it in 32 bits.
pub fn iops(text: &str) -> Result<NonZeroU64, BadValue> {
    match text.parse::<NonZeroU64>() {
        Ok(rate) if u32::try_from(rate.get()).is_ok() => Ok(rate),
        _ => bad(format!(
            "`{text}` is not a number of operations per second; write 1 or more"
        )),
    }
}

/// A change of some of the rates of [`IoMax`]; those that are `None` stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoMaxEdit {
    /// Bytes read per second.
    pub rbps: Option<Limit<u64>>,
    /// Bytes written per second.
    pub wbps: Option<Limit<u64>>,
    /// Read operations per second.
    pub riops: Option<Limit<u64>>,
    /// Write operations per second.
    pub wiops: Option<Limit<u64>>,
}

impl IoMaxEdit {
    /// Those rates of the edit, all others as they were.
    pub fn edit(self, old: IoMax) -> IoMax {
        IoMax {
            rbps: self.rbps.unwrap_or(old.rbps),
            wbps: self.wbps.unwrap_or(old.wbps),
            riops: self.riops.unwrap_or(old.riops),
            wiops: self.wiops.unwrap_or(old.wiops),
        }
    }

    /// This edit and then another.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            rbps: later.rbps.or(self.rbps),
            wbps: later.wbps.or(self.wbps),
            riops: later.riops.or(self.riops),
            wiops: later.wiops.or(self.wiops),
        }
    }
}

/// What a person writes: `wbps=2m,rbps=max`, spaces instead of commas as the kernel has it, or `max` for
/// all four.
impl FromStr for IoMaxEdit {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut edit = Self::default();
        if text == "max" {
            let max = Some(Limit::Max);
            return Ok(Self {
                rbps: max,
                wbps: max,
                riops: max,
                wiops: max,
            });
        }
        for pair in text.split([',', ' ']) {
            let Some((key, value)) = pair.split_once('=') else {
                return bad(format!(
                    "`{pair}` is no rate; write wbps=2m, or max for all"
                ));
            };
            let (slot, rate): (_, fn(&str) -> _) = match key {
                "rbps" => (&mut edit.rbps, bps),
                "wbps" => (&mut edit.wbps, bps),
                "riops" => (&mut edit.riops, iops),
                "wiops" => (&mut edit.wiops, iops),
                _ => {
                    return bad(format!(
                        "`{key}` is no rate of io.max; there are rbps, wbps, riops and wiops"
                    ));
                }
            };
            let rate = match value {
                "max" => Limit::Max,
                value => Limit::At(rate(value)?.get()),
            };
            if slot.replace(rate).is_some() {
                return bad(format!("{key} is given twice"));
            }
        }
        Ok(edit)
    }
}

fn device(line: &[u8], what: &'static str) -> Result<Device, Malformed> {
    device_number(
        line.split(|&byte| byte == b' ').next().unwrap_or_default(),
        what,
    )
}

fn device_number(word: &[u8], what: &'static str) -> Result<Device, Malformed> {
    std::str::from_utf8(word)
        .ok()
        .and_then(|word| word.parse().ok())
        .ok_or(Malformed { what })
}
