//! The io controller: `io.stat` and `io.max`, both one line per block device.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parse;
use super::unit::{Limit, Malformed};

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
