//! Capabilities: root's powers, one by one.

use std::fmt;
use std::str::FromStr;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};

use crate::kernel::error::errno_from;
use crate::kernel::unit::{BadValue, bad};

/// docker's default set.
const DEFAULT: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// One capability by its name, with or without `CAP_`, in any case; or `ALL`.
///
/// <https://man7.org/linux/man-pages/man7/capabilities.7.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(CapabilitySet);

impl FromStr for Capability {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let name = text.to_ascii_uppercase();
        if name == "ALL" {
            return Ok(Self(CapabilitySet::all()));
        }
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        match CapabilitySet::from_name(name) {
            Some(capability) => Ok(Self(capability)),
            None => bad(format!(
                "`{text}` is no capability; capabilities(7) has them all: NET_ADMIN, SYS_PTRACE …, or ALL"
            )),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.iter_names().next() {
            Some((name, one)) if one == self.0 => write!(out, "CAP_{name}"),
            _ => out.write_str("ALL"),
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// All that a workload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(CapabilitySet);

impl Capabilities {
    /// The default ones, with some more and some less. Where everything is dropped, what is added stays.
    pub fn new(add: &[Capability], drop: &[Capability]) -> Self {
        let add = union(add);
        let drop = union(drop);
        let base = if add == CapabilitySet::all() {
            add
        } else {
            DEFAULT
        };
        let add = if add == CapabilitySet::all() {
            CapabilitySet::empty()
        } else {
            add
        };
        Self(base.difference(drop).union(add))
    }

    /// All that there are.
    pub fn all() -> Self {
        Self(CapabilitySet::all())
    }

    /// Whether this one (`CAP_SYS_ADMIN`) is among them.
    pub fn has(self, name: &str) -> bool {
        name.parse::<Capability>()
            .is_ok_and(|capability| self.0.contains(capability.0))
    }

    /// Their names, `CAP_CHOWN`.
    pub fn names(self) -> impl Iterator<Item = String> {
        self.0.iter_names().map(|(name, _)| format!("CAP_{name}"))
    }

    /// Lets nobody have others beyond exec. Called in the child: no allocation, no locks.
    pub fn bound(self) -> nix::Result<()> {
        for other in CapabilitySet::all().difference(self.0).iter() {
            match remove_capability_from_bounding_set(other) {
                // One that this kernel does not know.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(errno_from(error)),
            }
        }
        clear_ambient_capability_set().map_err(errno_from)
    }

    /// Keeps these and no others. Called in the child: no allocation, no locks.
    pub fn keep(self) -> nix::Result<()> {
        let own = rustix::thread::capabilities(None).map_err(errno_from)?;
        // What the kernel does not know cannot be had.
        let kept = own.permitted.intersection(self.0);
        set_capabilities(
            None,
            CapabilitySets {
                effective: kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            },
        )
        .map_err(errno_from)
    }
}

fn union(all: &[Capability]) -> CapabilitySet {
    all.iter()
        .fold(CapabilitySet::empty(), |set, one| set.union(one.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Capability> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn set(add: &[&str], drop: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = Capabilities::new(&named(add), &named(drop))
            .names()
            .collect();
        names.sort();
        names
    }

    #[test]
    fn sets_are_dockers() {
        assert_eq!(set(&[], &[]).len(), 14);
        assert_eq!(set(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert_eq!(set(&[], &["all"]), [""; 0]);
        assert_eq!(set(&["ALL"], &[]).len(), 41);
        assert_eq!(set(&["ALL"], &["CAP_SYS_ADMIN"]).len(), 40);
        assert!(Capabilities::new(&[], &[]).has("CAP_CHOWN"));
        assert!(!Capabilities::new(&[], &[]).has("CAP_SYS_ADMIN"));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(named(&["cap_chown"])[0].to_string(), "CAP_CHOWN");
        assert_eq!(named(&["all"])[0].to_string(), "ALL");
        for name in ["", "CAP_", "CAP_ROOT", "SYS_ADMIN,CHOWN"] {
            let error = name.parse::<Capability>().unwrap_err();
            assert!(error.to_string().contains("is no capability"), "{error}");
        }
    }
}
