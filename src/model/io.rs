//! I/O rates for each device, against the caps of `io.max` up the tree.

use super::limit::{self, Level, Of};
use super::rate;
use crate::kernel::cgroup::knob::Knob;
use crate::kernel::io::{Device, IoMax, IoStat};
use crate::kernel::unit::{Bytes, Limit};
use crate::text;

/// A cap counts as reached from this share on: the kernel's throttle lets through slightly less than
/// the cap, and a sample does not fall on its slices.
const CAPPED: f64 = 0.95;

/// The four things that `io.max` can cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes read per second.
    Rbps,
    /// Bytes written per second.
    Wbps,
    /// Read operations per second.
    Riops,
    /// Write operations per second.
    Wiops,
}

impl Kind {
    /// All four, in the kernel's order.
    pub const ALL: [Self; 4] = [Self::Rbps, Self::Wbps, Self::Riops, Self::Wiops];

    /// The kernel's word for it in `io.max`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rbps => "rbps",
            Self::Wbps => "wbps",
            Self::Riops => "riops",
            Self::Wiops => "wiops",
        }
    }

    /// Whether it is about reading.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Rbps | Self::Riops)
    }

    /// Whether it counts bytes, and not operations.
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Rbps | Self::Wbps)
    }

    /// So much of it for people: `2M`, `max`.
    pub fn text(self, rate: Limit<u64>) -> String {
        if self.is_bytes() {
            text::limit(rate.map(Bytes))
        } else {
            rate.to_string()
        }
    }

    fn counter(self, stat: &IoStat) -> u64 {
        match self {
            Self::Rbps => stat.rbytes,
            Self::Wbps => stat.wbytes,
            Self::Riops => stat.rios,
            Self::Wiops => stat.wios,
        }
    }

    /// The cap of this rate.
    pub fn cap(self, max: &IoMax) -> Limit<u64> {
        match self {
            Self::Rbps => max.rbps,
            Self::Wbps => max.wbps,
            Self::Riops => max.riops,
            Self::Wiops => max.wiops,
        }
    }
}

/// One cgroup's traffic with one device, per second, in the order of [`Kind::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceFlow {
    /// The device.
    pub device: Device,
    /// The four rates.
    pub rates: [f64; 4],
    /// The cap that binds each rate, its own or an ancestor's.
    pub caps: [Option<Level<f64>>; 4],
}

/// One cgroup's traffic with all devices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IoFlow {
    /// A line per device.
    pub devices: Vec<DeviceFlow>,
}

/// The caps of one level up the tree.
#[derive(Debug)]
pub struct CapLevel<'a> {
    /// Whose they are.
    pub of: Of,
    /// Its `io.max`.
    pub caps: &'a [(Device, IoMax)],
    /// Its own flow, all below it included.
    pub used: Option<&'a IoFlow>,
}

impl IoFlow {
    /// The rates between two readings of `io.stat`, without caps yet. A device that has no line had no
    /// traffic; one whose counters went backwards is left out.
    pub fn between(before: &[(Device, IoStat)], after: &[(Device, IoStat)], seconds: f64) -> Self {
        let devices = after
            .iter()
            .filter_map(|(device, now)| {
                let then = before
                    .iter()
                    .find(|(other, _)| other == device)
                    .map_or_else(IoStat::default, |(_, stat)| *stat);
                let mut rates = [0.0; 4];
                for (rate, kind) in rates.iter_mut().zip(Kind::ALL) {
                    *rate = rate::per_second(kind.counter(&then), kind.counter(now), seconds)?;
                }
                Some(DeviceFlow {
                    device: *device,
                    rates,
                    caps: [const { None }; 4],
                })
            })
            .collect();
        Self { devices }
    }

    /// The flow with one device; nothing where it has no line.
    pub fn rates(&self, device: Device) -> [f64; 4] {
        self.devices
            .iter()
            .find(|flow| flow.device == device)
            .map_or([0.0; 4], |flow| flow.rates)
    }

    /// One of the rates, summed over all devices.
    pub fn total(&self, kind: Kind) -> f64 {
        self.devices
            .iter()
            .map(|flow| flow.rates[kind as usize])
            .sum()
    }

    /// Bytes read per second, from all devices.
    pub fn read(&self) -> f64 {
        self.total(Kind::Rbps)
    }

    /// Bytes written per second, to all devices.
    pub fn written(&self) -> f64 {
        self.total(Kind::Wbps)
    }

    /// Whether reading (or writing) is held back by a cap on some device right now.
    pub fn is_capped(&self, reading: bool) -> bool {
        self.cap_met(reading).is_some()
    }

    /// The cap that holds back reading (or writing) right now.
    pub fn cap_met(&self, reading: bool) -> Option<&Level<f64>> {
        self.devices.iter().find_map(|flow| {
            Kind::ALL
                .into_iter()
                .zip(&flow.caps)
                .filter(|(kind, _)| kind.is_read() == reading)
                .filter_map(|(_, cap)| cap.as_ref())
                .find(|cap| cap.share() >= Some(CAPPED))
        })
    }

    /// Ties each device to the caps of the levels up the tree, nearest first. A capped device without
    /// traffic gets a line too.
    pub fn cap(&mut self, levels: &[CapLevel<'_>]) {
        for level in levels {
            for (device, _) in level.caps {
                if !self.devices.iter().any(|flow| flow.device == *device) {
                    self.devices.push(DeviceFlow {
                        device: *device,
                        rates: [0.0; 4],
                        caps: [const { None }; 4],
                    });
                }
            }
        }
        self.devices.sort_by_key(|flow| flow.device);
        for flow in &mut self.devices {
            for (index, kind) in Kind::ALL.into_iter().enumerate() {
                let found = levels.iter().filter_map(|level| {
                    let (_, max) = level
                        .caps
                        .iter()
                        .find(|(device, _)| *device == flow.device)?;
                    let limit = kind.cap(max).value()?;
                    Some(Level {
                        of: level.of.clone(),
                        knob: Knob::IoMax,
                        limit: limit as f64,
                        used: level.used.map(|used| used.rates(flow.device)[index]),
                        droppable: None,
                    })
                });
                flow.caps[index] = limit::ceiling(found).map(|ceiling| ceiling.binding);
            }
        }
    }
}
