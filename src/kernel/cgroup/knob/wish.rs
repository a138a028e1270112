//! What a person asks for: `memory.max=64m`.

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use super::{Address, Kind, Knob, KnobValue};
use crate::kernel::block::{Disk, NotADisk, find_disk};
use crate::kernel::cpu::CpuMax;
use crate::kernel::io::{IoMax, IoMaxEdit};
use crate::kernel::unit::BadValue;

/// A knob and the value it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which knob.
    pub knob: Knob,
    /// The disk, as it was named: `/dev/vda`, `254:0`.
    pub device: Option<String>,
    /// What it is to be.
    pub wanted: Wanted,
}

/// A value, or a change of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This value, whatever was there.
    Value(KnobValue),
    /// So many CPUs, in the period that there is.
    Cpus(CpuMax),
    /// Some of the rates of a disk.
    Rates(IoMaxEdit),
}

impl Wanted {
    /// What a person writes for a knob that is no `io.max`. CPUs without a period leave that as it is.
    pub fn from_words(knob: Knob, text: &str) -> Result<Self, BadValue> {
        Ok(match KnobValue::from_words(knob, text)? {
            KnobValue::CpuMax(max) if !text.contains(' ') => Self::Cpus(max),
            value => Self::Value(value),
        })
    }

    /// The whole value, from what is there.
    pub fn over(&self, old: &KnobValue) -> KnobValue {
        match (self, old) {
            (Self::Value(value), _) => value.clone(),
            (Self::Cpus(max), KnobValue::CpuMax(old)) => {
                KnobValue::CpuMax(max.in_period(old.period).unwrap_or(*max))
            }
            (Self::Cpus(max), _) => KnobValue::CpuMax(*max),
            (Self::Rates(edit), KnobValue::IoMax(old)) => KnobValue::IoMax(edit.edit(*old)),
            (Self::Rates(edit), _) => KnobValue::IoMax(edit.edit(IoMax::default())),
        }
    }
}

/// Why a word is no wish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWish {
    /// No `=` in it.
    #[error("`{0}` is no KEY=VALUE; write memory.max=64m")]
    NoValue(String),
    /// No knob.
    #[error("`{0}` is nothing that can be set; there are {all}", all = all())]
    NoKnob(String),
    /// Not for this knob.
    #[error("{0}: {1}")]
    Value(Knob, BadValue),
}

fn all() -> String {
    let mut names = String::new();
    for knob in Knob::ALL {
        let separator = if names.is_empty() { "" } else { ", " };
        let _ = write!(names, "{separator}{knob}");
    }
    names
}

impl FromStr for Wish {
    type Err = BadWish;

    fn from_str(text: &str) -> Result<Self, BadWish> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| BadWish::NoValue(text.to_owned()))?;
        let knob = Knob::named(key.trim()).ok_or_else(|| BadWish::NoKnob(key.to_owned()))?;
        let value = value.trim();
        let bad = |bad| BadWish::Value(knob, bad);
        let (device, value) = match knob.entry().kind {
            Kind::DeviceRates | Kind::DeviceWeight => split_device(value),
            _ => (None, value),
        };
        let wanted = match device {
            Some(_) if knob == Knob::IoMax => Wanted::Rates(value.parse().map_err(bad)?),
            _ => Wanted::from_words(knob, value).map_err(bad)?,
        };
        Ok(Self {
            knob,
            device: device.map(str::to_owned),
            wanted,
        })
    }
}

/// `/dev/vda:2m`, `254:0:wbps=2m`, or with a space as the kernel writes it. The word `default` in front is
/// the kernel's for no device.
fn split_device(text: &str) -> (Option<&str>, &str) {
    match text.split_once(' ').or_else(|| text.rsplit_once(':')) {
        Some(("default", value)) => (None, value),
        Some((device, value)) => (Some(device), value),
        None => (None, text),
    }
}

impl Wish {
    /// Finds the disk that is named, and says which one it is. `sys` is `/sys`, or a fixture.
    pub fn resolve(&self, sys: &Path) -> Result<(Address, Option<Disk>), NotADisk> {
        let disk = self
            .device
            .as_ref()
            .map(|device| find_disk(sys, device))
            .transpose()?;
        let address = Address {
            knob: self.knob,
            device: disk.as_ref().map(|disk| disk.device),
        };
        Ok((address, disk))
    }
}
