//! The value of a knob, to and from the kernel's text.

use super::{Address, Kind, Knob};
use crate::kernel::cpu::CpuMax;
use crate::kernel::cpuset::CpuList;
use crate::kernel::io::IoMax;
use crate::kernel::parse;
use crate::kernel::unit::{BadValue, Bytes, Limit, Malformed, Weight, bad};
use crate::kernel::{pids, unit};

/// A value of the right kind for its knob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnobValue {
    /// Bytes.
    Size(Limit<Bytes>),
    /// On or off.
    Switch(bool),
    /// CPU time per period.
    CpuMax(CpuMax),
    /// A weight. `None`: `cpu.weight` where `cpu.idle` is on (kernels before 6.12 read 0), or for a disk
    /// that has no `io.weight` of its own.
    Weight(Option<Weight>),
    /// CPUs.
    Cpus(CpuList),
    /// The rates on one disk.
    IoMax(IoMax),
    /// Processes and threads.
    Count(Limit<u64>),
}

impl KnobValue {
    /// Parses what a person writes for a knob that is no `io.max`.
    pub fn from_words(knob: Knob, text: &str) -> Result<Self, BadValue> {
        Ok(match knob.entry().kind {
            Kind::Size => Self::Size(match text {
                "max" => Limit::Max,
                text => match text.parse()? {
                    Bytes(size) if i64::try_from(size).is_err() => {
                        return bad(format!(
                            "`{text}` is more than the kernel can count; write max for none"
                        ));
                    }
                    size => Limit::At(size),
                },
            }),
            Kind::Switch => Self::Switch(match text {
                "1" | "on" | "yes" | "true" => true,
                "0" | "off" | "no" | "false" => false,
                _ => return bad(format!("`{text}` is no switch; write 1 or 0")),
            }),
            Kind::CpuTime => Self::CpuMax(text.parse()?),
            Kind::Weight => Self::Weight(Some(match text {
                "default" => Weight::DEFAULT,
                text => text.parse()?,
            })),
            Kind::DeviceWeight => Self::Weight(match text {
                "default" => None,
                text => Some(text.parse()?),
            }),
            Kind::CpuList => Self::Cpus(text.parse()?),
            Kind::Count => Self::Count(match text {
                "max" => Limit::Max,
                text => match text.parse() {
                    Ok(count @ 0..=pids::MOST) => Limit::At(count),
                    _ => {
                        return bad(format!(
                            "`{text}` is not a number of processes; write 1 to {}, or max",
                            pids::MOST
                        ));
                    }
                },
            }),
            Kind::DeviceRates => return bad("io.max takes a disk: /dev/vda:wbps=2m"),
        })
    }

    /// Parses what the kernel reads. The rates of a disk that has no line are `max`.
    pub fn parse(address: Address, text: &[u8]) -> Result<Self, Malformed> {
        let what = address.knob.name();
        Ok(match address.knob.entry().kind {
            Kind::Size => Self::Size(Limit::parse(text, what)?),
            Kind::Switch => Self::Switch(unit::number(text, what)? != 0),
            Kind::CpuTime => Self::CpuMax(CpuMax::parse(text)?),
            Kind::Weight => Self::Weight(weight(text, what)?),
            Kind::CpuList => Self::Cpus(CpuList::parse(text)?),
            Kind::Count => Self::Count(Limit::parse(text, what)?),
            Kind::DeviceRates => {
                let all = IoMax::parse(text)?;
                let found = all.iter().find(|(of, _)| Some(*of) == address.device);
                Self::IoMax(found.map(|(_, max)| *max).unwrap_or_default())
            }
            Kind::DeviceWeight => {
                let key = match address.device {
                    Some(device) => device.to_string(),
                    None => "default".to_owned(),
                };
                let line = parse::lines(text)
                    .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b" "));
                Self::Weight(line.map_or(Ok(None), |text| weight(text, what))?)
            }
        })
    }

    /// The exact text that is written to the kernel's file, in one write.
    pub fn to_text(&self, address: Address) -> String {
        let default = || match address.knob.entry().kind {
            // The kernel has no word for it.
            Kind::DeviceWeight if address.device.is_none() => Weight::DEFAULT.to_string(),
            Kind::DeviceWeight => "default".to_owned(),
            _ => "0".to_owned(),
        };
        let value = match self {
            Self::Size(limit) => limit.to_string(),
            Self::Switch(on) => u8::from(*on).to_string(),
            Self::CpuMax(max) => max.to_string(),
            Self::Weight(weight) => weight.map_or_else(default, |weight| weight.to_string()),
            // An empty write would not reach the kernel.
            Self::Cpus(cpus) if cpus.is_empty() => "\n".to_owned(),
            Self::Cpus(cpus) => cpus.to_string(),
            Self::IoMax(max) => max.to_string(),
            Self::Count(limit) => limit.to_string(),
        };
        match (address.device, address.knob.entry().kind) {
            (Some(device), _) => format!("{device} {value}"),
            (None, Kind::DeviceWeight) => format!("default {value}"),
            (None, _) => value,
        }
    }

    /// The value as the kernel keeps it: sizes in whole pages, rounded down.
    #[must_use]
    pub fn in_pages(self, page: u64) -> Self {
        match self {
            Self::Size(Limit::At(Bytes(size))) => {
                Self::Size(Limit::At(Bytes(size - size % page.max(1))))
            }
            other => other,
        }
    }

    /// The limit as a number: bytes, CPUs, processes. `None` for what is no such limit.
    pub fn amount(&self) -> Option<Limit<f64>> {
        match self {
            Self::Size(limit) => Some(limit.map(|size| size.0 as f64)),
            Self::CpuMax(max) => Some(max.cpus()),
            Self::Count(limit) => Some(limit.map(|count| count as f64)),
            Self::Switch(_) | Self::Weight(_) | Self::Cpus(_) | Self::IoMax(_) => None,
        }
    }
}

/// 0 is what an idle cgroup reads.
fn weight(text: &[u8], what: &'static str) -> Result<Option<Weight>, Malformed> {
    match u16::try_from(unit::number(text, what)?) {
        Ok(0) => Ok(None),
        Ok(weight) => Weight::new(weight).ok_or(Malformed { what }).map(Some),
        Err(_) => Err(Malformed { what }),
    }
}
