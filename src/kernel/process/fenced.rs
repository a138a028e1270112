//! What fences a process, as the kernel says it.

use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::{open, read_status};
use crate::kernel::ids::{IdMaps, IdRange};
use crate::kernel::task::namespace::Reference;

/// What fences one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fenced {
    /// Its namespaces.
    pub namespaces: Vec<Space>,
    /// Its user ids, inside and on the host.
    pub uids: Vec<IdRange>,
    /// Its group ids.
    pub gids: Vec<IdRange>,
    /// What it may ever do, of root's powers (`CapBnd`): `CAP_CHOWN`.
    pub capabilities: Vec<String>,
    /// How many powers the kernel knows.
    pub all_capabilities: usize,
    /// Whether exec gives it none (`NoNewPrivs`, since 4.10).
    pub no_new_privs: bool,
    /// How many filters of system calls it has (`Seccomp_filters`, since 5.9).
    pub filters: u32,
    /// Its root file system.
    pub root: Option<Root>,
    /// Files of the kernel that it finds empty.
    pub masked: Vec<PathBuf>,
    /// Files of the kernel that it cannot write.
    pub read_only: Vec<PathBuf>,
    /// What else is mounted inside, but for the kernel's own file systems.
    pub mounts: Vec<Seen>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Space {
    /// The kernel's word: `pid`.
    pub kind: &'static str,
    /// Its identity.
    pub inode: u64,
    /// Whether it is the host's: then it fences nothing.
    pub host: bool,
}

/// A root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Root {
    /// `overlay`.
    pub kind: String,
    /// Whether nothing can be written to it.
    pub read_only: bool,
}

/// Something mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Seen {
    /// Where, inside.
    pub at: PathBuf,
    /// `ext4`.
    pub kind: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

impl Fenced {
    /// Reads it; `None` where the process is gone or may not be looked at.
    pub fn read(proc: &Path, pid: u32) -> Option<Self> {
        let process = open(proc, pid)?;
        let status = read_status(&process)?;
        let known = CapabilitySet::all();
        let bounding = CapabilitySet::from_bits_retain(status.capbnd.unwrap_or(0));
        let maps = IdMaps::of_process(proc, &pid.to_string()).ok()?;
        let mut fenced = Self {
            namespaces: namespaces(proc, pid),
            uids: maps.uid,
            gids: maps.gid,
            capabilities: (bounding & known)
                .iter_names()
                .map(|(name, _)| format!("CAP_{name}"))
                .collect(),
            all_capabilities: known.iter_names().count(),
            no_new_privs: status.nonewprivs == Some(1),
            filters: filters(proc, pid),
            root: None,
            masked: Vec::new(),
            read_only: Vec::new(),
            mounts: Vec::new(),
        };
        fenced.look_at_mounts(&process);
        Some(fenced)
    }

    fn look_at_mounts(&mut self, process: &Process) {
        for mount in process.mountinfo().into_iter().flatten() {
            let at = mount.mount_point;
            let kernels = ["/proc", "/sys"].iter().any(|dir| at.starts_with(dir));
            let read_only = mount.mount_options.contains_key("ro");
            if at == Path::new("/") {
                self.root = Some(Root {
                    kind: mount.fs_type,
                    read_only,
                });
            } else if kernels && (mount.fs_type == "tmpfs" || mount.root == "/null") {
                self.masked.push(at);
            } else if kernels {
                if read_only {
                    self.read_only.push(at);
                }
            } else if !at.starts_with("/dev") {
                self.mounts.push(Seen {
                    at,
                    kind: mount.fs_type,
                    read_only,
                });
            }
        }
    }
}

fn namespaces(proc: &Path, pid: u32) -> Vec<Space> {
    let all = Reference::new(proc).of(proc, pid).into_iter();
    all.map(|namespace| Space {
        kind: namespace.kind.name(),
        inode: namespace.inode,
        host: namespace.shared,
    })
    .collect()
}

/// procfs does not know this line.
fn filters(proc: &Path, pid: u32) -> u32 {
    let text = std::fs::read(proc.join(pid.to_string()).join("status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}
