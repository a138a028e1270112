//! User namespaces: which ids inside are which outside.
//!
//! <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::unistd::{close, read};
use serde::Serialize;

use super::error::{Error, Result};
use super::syscall::clone::{ExitingChild, spawn};
use super::syscall::pipe;

/// One line of a user namespace's id map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The two maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// `uid_map`.
    pub uid: Vec<IdRange>,
    /// `gid_map`.
    pub gid: Vec<IdRange>,
}

impl IdMaps {
    /// The maps of the user namespace that a process (`self`, or its pid) is in, as its reader sees them.
    pub fn of_process(proc: &Path, pid: &str) -> Result<Self> {
        let read = |map: &str| {
            let path = proc.join(pid).join(map);
            let text =
                fs::read_to_string(&path).map_err(|error| Error::new("read", path, error))?;
            Ok(text.lines().filter_map(IdRange::parse).collect())
        };
        Ok(Self {
            uid: read("uid_map")?,
            gid: read("gid_map")?,
        })
    }

    /// All ids of the caller's own namespace, to themselves.
    pub fn identity(proc: &Path) -> Result<Self> {
        let mut own = Self::of_process(proc, "self")?;
        for range in own.uid.iter_mut().chain(&mut own.gid) {
            range.outside = range.inside;
        }
        Ok(own)
    }

    /// The first ids inside to ranges of so many outside.
    pub fn shifted(uid: u32, gid: u32, count: u32) -> Self {
        let range = |outside| IdRange {
            inside: 0,
            outside,
            count,
        };
        Self {
            uid: vec![range(uid)],
            gid: vec![range(gid)],
        }
    }

    /// Whether a namespace with these maps has all the ids that `other` has outside.
    pub fn hold(&self, other: &Self) -> bool {
        let hold = |own: &[IdRange], others: &[IdRange]| {
            others
                .iter()
                .all(|other| own.iter().any(|own| own.holds(other)))
        };
        hold(&self.uid, &other.uid) && hold(&self.gid, &other.gid)
    }

    /// Gives them to the new user namespace of a process.
    pub fn write(&self, proc: &Path, pid: u32) -> Result<()> {
        for (map, ranges) in [("gid_map", &self.gid), ("uid_map", &self.uid)] {
            let lines = ranges.iter().map(IdRange::line);
            // One write is all that the kernel takes.
            let text = lines.collect::<Vec<_>>().join("\n");
            let path = proc.join(pid.to_string()).join(map);
            fs::write(&path, text).map_err(|error| Error::new("write", path, error))?;
        }
        Ok(())
    }
}

impl IdRange {
    /// `INSIDE OUTSIDE COUNT`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::parse);
        let mut next = || words.next()?.ok();
        Some(Self {
            inside: next()?,
            outside: next()?,
            count: next()?,
        })
    }

    fn line(&self) -> String {
        format!("{} {} {}", self.inside, self.outside, self.count)
    }

    /// Whether the ids outside of the other are ids inside of this one.
    fn holds(&self, other: &Self) -> bool {
        let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
        self.inside <= other.outside
            && end(other.outside, other.count) <= end(self.inside, self.count)
    }
}

/// A user namespace with these maps that nobody is in, for mounts to be mapped by. Must be called in a process with one
/// thread. Gives, too, the process that made it.
pub fn user_namespace(proc: &Path, maps: &IdMaps) -> Result<(OwnedFd, ExitingChild)> {
    let (waits, held) = pipe()?;
    let parents_end = held.as_raw_fd();
    let child = spawn(nix::sched::CloneFlags::CLONE_NEWUSER, None, |_| {
        // Somebody has to be in it while it is made, and no longer than who makes it lives.
        if close(parents_end).is_ok() {
            let _ = read(&waits, &mut [0]);
        }
        0
    })?;
    let pid = child.pid.as_raw().cast_unsigned();
    let made = maps.write(proc, pid).and_then(|()| {
        let path = proc.join(pid.to_string()).join("ns/user");
        let open = fs::File::open(&path);
        open.map_err(|error| Error::new("open", path, error))
    });
    drop(held);
    let maker = ExitingChild::from(child);
    made.map(|namespace| (namespace.into(), maker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_holds_what_is_within_one_of_its_ranges() {
        let range = |inside, count| IdRange {
            inside,
            outside: 100_000,
            count,
        };
        let own = IdMaps {
            uid: vec![range(0, 1), range(1, 65536)],
            gid: vec![range(0, u32::MAX)],
        };
        for (uid, count, held) in [
            (1, 65536, true),
            (0, 1, true),
            (0, 2, false),
            (2, 65536, false),
            (u32::MAX - 1, 2, false),
        ] {
            let other = IdMaps::shifted(uid, 0, count);
            assert_eq!(own.hold(&other), held, "{uid} {count}");
        }
    }

    #[test]
    fn a_line_of_a_map_is_read_and_written() {
        let range = IdRange::parse("         0     100000      65536").unwrap();
        assert_eq!(
            (range.inside, range.outside, range.count),
            (0, 100_000, 65536)
        );
        assert_eq!(range.line(), "0 100000 65536");
        assert_eq!(IdRange::parse("0 1"), None);
    }
}
