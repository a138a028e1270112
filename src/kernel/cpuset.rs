//! The cpuset controller: lists of CPUs.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::unit::{BadValue, Malformed, bad};

/// A set of CPUs: `cpuset.cpus`, `cpuset.cpus.effective`. Since 5.0. Empty means: those of the parent.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#cpuset-interface-files>
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuList(BTreeSet<u32>);

impl CpuList {
    /// More than any kernel is built for (`CONFIG_NR_CPUS` is at most 8192).
    const MOST: u32 = 65_536;

    /// Parses the kernel's list: `0-2,4`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or(Malformed {
                what: "cpuset.cpus",
            })
    }

    /// Whether it names no CPU.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many CPUs it names.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The lowest of them.
    pub fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// The highest of them.
    pub fn last(&self) -> Option<u32> {
        self.0.last().copied()
    }

    /// These and one more.
    #[must_use]
    pub fn with(&self, cpu: u32) -> Self {
        Self(self.0.iter().copied().chain([cpu]).collect())
    }

    /// These without one.
    #[must_use]
    pub fn without(&self, cpu: u32) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|other| *other != cpu)
                .collect(),
        )
    }

    /// Those of its CPUs that are in another list too.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Those of its CPUs that are not in another list.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }
}

impl FromStr for CpuList {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut cpus = BTreeSet::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse::<u32>()) {
                (Ok(first), Ok(last)) if first <= last && last < Self::MOST => {
                    cpus.extend(first..=last);
                }
                _ => {
                    return bad(format!(
                        "`{text}` is no list of CPUs; write numbers and ranges: 0-2,4"
                    ));
                }
            }
        }
        Ok(Self(cpus))
    }
}

/// The kernel's own text: ranges where there are neighbours.
impl fmt::Display for CpuList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut cpus = self.0.iter().copied().peekable();
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            write!(out, "{separator}{first}")?;
            if last > first {
                write!(out, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

/// The CPUs that are online: `SYS/devices/system/cpu/online`. `sys` is `/sys`, or a fixture. Empty where
/// that cannot be read.
pub fn online(sys: &Path) -> CpuList {
    fs::read(sys.join("devices/system/cpu/online"))
        .ok()
        .and_then(|text| CpuList::parse(&text).ok())
        .unwrap_or_default()
}
