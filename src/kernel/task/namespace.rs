//! The namespaces that fence a process, and which of them are the host's own.

use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::stat::stat;

/// What a namespace fences.
///
/// <https://man7.org/linux/man-pages/man7/namespaces.7.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Which processes it sees.
    Pid,
    /// Its mounts.
    Mnt,
    /// Its network.
    Net,
    /// Its host name.
    Uts,
    /// Its System V IPC and message queues.
    Ipc,
    /// Its user and group ids.
    User,
    /// The root of its cgroups. Since 4.6.
    Cgroup,
    /// Its clocks. Since 5.6.
    Time,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pid,
        Self::Mnt,
        Self::Net,
        Self::Uts,
        Self::Ipc,
        Self::User,
        Self::Cgroup,
        Self::Time,
    ];

    /// The kernel's word for it in `PROC/PID/ns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Mnt => "mnt",
            Self::Net => "net",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The kernel's flag for it.
    pub fn flag(self) -> CloneFlags {
        match self {
            Self::Pid => CloneFlags::CLONE_NEWPID,
            Self::Mnt => CloneFlags::CLONE_NEWNS,
            Self::Net => CloneFlags::CLONE_NEWNET,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::User => CloneFlags::CLONE_NEWUSER,
            Self::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            // nix has no name for it.
            Self::Time => CloneFlags::from_bits_retain(libc::CLONE_NEWTIME),
        }
    }
}

/// One namespace of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace {
    /// What it fences.
    pub kind: Kind,
    /// Its identity.
    pub inode: u64,
    /// Whether who it is compared with is in it too: the host's first process.
    pub shared: bool,
}

/// Namespaces to compare with: the host's own, those of process 1, or of the reader where these may not be read.
#[derive(Debug)]
pub struct Reference([Option<u64>; 8]);

impl Reference {
    /// Reads them once: they do not change.
    pub fn new(proc: &Path) -> Self {
        Self(Kind::ALL.map(|kind| inode(proc, "1", kind).or_else(|| inode(proc, "self", kind))))
    }

    /// The reader's own.
    pub fn own(proc: &Path) -> Self {
        Self(Kind::ALL.map(|kind| inode(proc, "self", kind)))
    }

    /// The namespaces of a process; those that may not be read, or that the kernel does not have, are
    /// left out.
    pub fn of(&self, proc: &Path, pid: u32) -> Vec<Namespace> {
        let pid = pid.to_string();
        Kind::ALL
            .into_iter()
            .zip(self.0)
            .filter_map(|(kind, host)| {
                let inode = inode(proc, &pid, kind)?;
                Some(Namespace {
                    kind,
                    inode,
                    shared: host == Some(inode),
                })
            })
            .collect()
    }
}

/// Which pid namespace a process is in; `None` where that may not be read.
pub fn pid_namespace(proc: &Path, pid: u32) -> Option<u64> {
    inode(proc, &pid.to_string(), Kind::Pid)
}

/// The inode behind `PROC/PID/ns/KIND`.
fn inode(proc: &Path, pid: &str, kind: Kind) -> Option<u64> {
    let path = proc.join(pid).join("ns").join(kind.name());
    stat(&path).ok().map(|stat| stat.st_ino)
}
