//! THE catalogue of what can be written to a cgroup: each knob with its unit, range, default, kernel
//! version and document, and how its value is written by people and by the kernel.

mod value;
mod wish;

use std::fmt;

use crate::kernel::io::Device;

pub use value::KnobValue;
pub use wish::{BadWish, Wanted, Wish};

/// A writable file of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after the kernel's files")]
pub enum Knob {
    MemoryMax,
    MemoryHigh,
    MemoryLow,
    MemoryMin,
    SwapMax,
    OomGroup,
    CpuMax,
    CpuWeight,
    CpuIdle,
    CpusetCpus,
    IoMax,
    IoWeight,
    PidsMax,
}

/// What kind of value a knob takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes or `max`; the kernel rounds down to pages.
    Size,
    /// 0 or 1.
    Switch,
    /// CPU time per period, in microseconds, or `max`.
    CpuTime,
    /// A share under contention, 1 to 10000.
    Weight,
    /// A list of CPUs.
    CpuList,
    /// Bytes and operations per second, per disk.
    DeviceRates,
    /// A share under contention, 1 to 10000: a default, and one for each disk.
    DeviceWeight,
    /// A number of processes and threads, or `max`.
    Count,
}

/// What is known of a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The kernel's file.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What is allowed, in words.
    pub range: &'static str,
    /// What a new cgroup has, as the kernel states it.
    pub default: &'static str,
    /// The first kernel that has it in cgroup v2.
    pub since: &'static str,
    /// The part of the kernel's document that describes it.
    pub section: &'static str,
}

impl Entry {
    /// The kernel's document.
    pub fn doc(&self) -> String {
        format!(
            "https://docs.kernel.org/admin-guide/cgroup-v2.html#{}",
            self.section
        )
    }
}

const SIZE: &str = "0 or more bytes, in pages; max for none";
const SWITCH: &str = "0 or 1";
const WEIGHT: &str = "1 to 10000";
const MEMORY: &str = "memory-interface-files";
const CPU: &str = "cpu-interface-files";
const IO: &str = "io-interface-files";

impl Knob {
    /// All of them, in the order of the kernel's document.
    pub const ALL: [Self; 13] = [
        Self::CpuWeight,
        Self::CpuMax,
        Self::CpuIdle,
        Self::MemoryMin,
        Self::MemoryLow,
        Self::MemoryHigh,
        Self::MemoryMax,
        Self::OomGroup,
        Self::SwapMax,
        Self::IoWeight,
        Self::IoMax,
        Self::PidsMax,
        Self::CpusetCpus,
    ];

    /// What is known of it.
    pub fn entry(self) -> Entry {
        use Kind::{Count, CpuList, CpuTime, DeviceRates, DeviceWeight, Size, Switch, Weight};
        let entry = |name, kind, range, default, since, section| Entry {
            name,
            kind,
            range,
            default,
            since,
            section,
        };
        match self {
            Self::MemoryMax => entry("memory.max", Size, SIZE, "max", "4.5", MEMORY),
            Self::MemoryHigh => entry("memory.high", Size, SIZE, "max", "4.5", MEMORY),
            Self::MemoryLow => entry("memory.low", Size, SIZE, "0", "4.5", MEMORY),
            Self::MemoryMin => entry("memory.min", Size, SIZE, "0", "4.18", MEMORY),
            Self::SwapMax => entry("memory.swap.max", Size, SIZE, "max", "4.5", MEMORY),
            Self::OomGroup => entry("memory.oom.group", Switch, SWITCH, "0", "4.19", MEMORY),
            Self::CpuMax => {
                let range = "at least 1000 µs per 1000 to 1000000 µs; max for none";
                entry("cpu.max", CpuTime, range, "max 100000", "4.15", CPU)
            }
            Self::CpuWeight => entry("cpu.weight", Weight, WEIGHT, "100", "4.15", CPU),
            Self::CpuIdle => entry("cpu.idle", Switch, SWITCH, "0", "5.15", CPU),
            Self::CpusetCpus => {
                let range = "CPUs of the host; empty for the parent's";
                entry(
                    "cpuset.cpus",
                    CpuList,
                    range,
                    "",
                    "5.0",
                    "cpuset-interface-files",
                )
            }
            Self::IoMax => {
                let range = "rbps, wbps, riops, wiops of a disk: 1 or more a second; max for none";
                entry("io.max", DeviceRates, range, "", "4.5", IO)
            }
            Self::IoWeight => entry("io.weight", DeviceWeight, WEIGHT, "default 100", "5.4", IO),
            Self::PidsMax => {
                let range = "0 to 4194304; max for none";
                entry(
                    "pids.max",
                    Count,
                    range,
                    "max",
                    "4.5",
                    "pid-interface-files",
                )
            }
        }
    }

    /// The kernel's file.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The controller it belongs to: `memory`.
    pub fn controller(self) -> &'static str {
        let name = self.name();
        name.split_once('.')
            .map_or(name, |(controller, _)| controller)
    }

    /// The knob of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|knob| knob.name() == name)
    }
}

/// The kernel's file.
impl fmt::Display for Knob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One value of a cgroup: a knob, or its part about one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The knob.
    pub knob: Knob,
    /// The whole disk: always for `io.max`, at will for `io.weight`, never for others.
    pub device: Option<Device>,
}

impl From<Knob> for Address {
    fn from(knob: Knob) -> Self {
        Self { knob, device: None }
    }
}

/// `memory.max`, `io.max 254:0`.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.knob.fmt(out)?;
        self.device
            .map_or(Ok(()), |device| write!(out, " {device}"))
    }
}
