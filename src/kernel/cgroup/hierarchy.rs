//! Which cgroup hierarchies this host has, and what the v2 one offers.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::kernel::error::{Error, Result};
use crate::kernel::mountinfo;

/// How a host arranges its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Unified: one v2 hierarchy with the controllers.
    V2,
    /// Hybrid: a v2 hierarchy beside v1 hierarchies that hold some or all controllers.
    Hybrid,
    /// v1 hierarchies only.
    V1,
    /// No cgroup file system is mounted.
    None,
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
            Self::V1 => "v1",
            Self::None => "none",
        })
    }
}

/// Where cgroup v2 is mounted; `None` where it is not, or where that cannot be read. `proc` is `/proc`, or a fixture.
pub fn mount_point(proc: &Path) -> Option<PathBuf> {
    Hierarchy::discover(proc).ok()?.mount
}

/// The host's cgroup arrangement as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// How the host arranges its cgroups.
    pub mode: Mode,
    /// Where the v2 hierarchy is mounted, if it is.
    pub mount: Option<PathBuf>,
    /// Whether a cgroup namespace is a border of delegation (`nsdelegate`): who is in one can then not edit the limits at
    /// its root. Since 4.13.
    pub nsdelegate: bool,
    /// Controllers that the v2 root offers (`cgroup.controllers`), by kernel name.
    pub controllers: Vec<String>,
    /// Controllers bound to a v1 hierarchy, and where it is mounted.
    pub v1: Vec<(String, PathBuf)>,
}

impl Hierarchy {
    /// Reads `PROC/self/mountinfo` and the `cgroup.controllers` of the v2 mount it names.
    /// `proc` is `/proc`, or a fixture.
    pub fn discover(proc: &Path) -> Result<Self> {
        let text = mountinfo::read(proc)?;
        let mut hierarchy = Self::parse(&text);
        let Some(first) = hierarchy.mount.clone() else {
            return Ok(hierarchy);
        };
        // A mount may be covered by a later one; another one of the same may not be.
        for entry in mountinfo::entries(&text).filter(|entry| entry.fstype == b"cgroup2") {
            let mount = entry.mount_point();
            match read_words(&mount.join("cgroup.controllers")) {
                Ok(controllers) => {
                    hierarchy.mount = Some(mount);
                    hierarchy.controllers = controllers;
                    return Ok(hierarchy);
                }
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Err(covered(&text, &first))
    }

    /// Parses `mountinfo`. The controllers of the v2 root are not in it.
    pub fn parse(mountinfo: &[u8]) -> Self {
        let (mut mount, mut nsdelegate) = (None, false);
        let mut v1: Vec<(String, PathBuf)> = Vec::new();
        for entry in mountinfo::entries(mountinfo) {
            match entry.fstype {
                // The first v2 mount is the host's own; later ones are somebody's copies.
                b"cgroup2" if mount.is_none() => {
                    mount = Some(entry.mount_point());
                    let mut options = entry.super_options.split(|&byte| byte == b',');
                    nsdelegate = options.any(|option| option == b"nsdelegate");
                }
                b"cgroup" => {
                    for controller in v1_controllers(&entry) {
                        if v1.iter().all(|(known, _)| *known != controller) {
                            v1.push((controller, entry.mount_point()));
                        }
                    }
                }
                _ => {}
            }
        }
        let mode = match (&mount, v1.is_empty()) {
            (Some(_), true) => Mode::V2,
            (Some(_), false) => Mode::Hybrid,
            (None, false) => Mode::V1,
            (None, true) => Mode::None,
        };
        Self {
            mode,
            mount,
            nsdelegate,
            controllers: Vec::new(),
            v1,
        }
    }

    /// Whether the v2 root offers this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// That a cgroup mount cannot be reached, and what covers it.
fn covered(mountinfo: &[u8], mount: &Path) -> Error {
    let over = mountinfo::entries(mountinfo)
        .skip_while(|entry| entry.mount_point() != mount)
        .skip(1)
        .filter(|entry| mount.starts_with(entry.mount_point()))
        .last();
    let why = match over {
        Some(over) => {
            let at = over.mount_point();
            format!(
                "it is covered by the {} that is mounted at {}; `umount {1}` uncovers it",
                String::from_utf8_lossy(over.fstype),
                at.display()
            )
        }
        None => "it has no cgroup.controllers".to_owned(),
    };
    Error::new(
        "reach the cgroup file system at",
        mount,
        std::io::Error::other(why),
    )
}

/// The path of a process's v2 cgroup, relative to its cgroup namespace's root and starting with `/`.
/// `None` where no v2 hierarchy exists.
pub fn of_process(proc: &Path, pid: &str) -> Result<Option<PathBuf>> {
    let path = proc.join(pid).join("cgroup");
    let text = fs::read(&path).map_err(|error| Error::new("read", &path, error))?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
        .map(|path| PathBuf::from(OsStr::from_bytes(path))))
}

/// The path from the v2 root, `/a/b`, of a cgroup in the file system.
pub fn from_root(mount: &Path, cgroup: &Path) -> PathBuf {
    Path::new("/").join(cgroup.strip_prefix(mount).unwrap_or(cgroup))
}

/// The words of a one-line list such as `cgroup.controllers`.
pub fn read_words(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(|error| Error::new("read", path, error))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// The controllers of a v1 mount, named hierarchies by their name. What is no controller is an option.
fn v1_controllers<'a>(entry: &mountinfo::Entry<'a>) -> impl Iterator<Item = String> + use<'a> {
    entry
        .super_options
        .split(|&byte| byte == b',')
        .map(String::from_utf8_lossy)
        .filter(|option| {
            !option.starts_with("release_agent=")
                && !matches!(
                    &**option,
                    "rw" | "ro"
                        | "none"
                        | "all"
                        | "xattr"
                        | "noprefix"
                        | "clone_children"
                        | "cpuset_v2_mode"
                        | "favordynmods"
                )
        })
        .map(|option| option.trim_start_matches("name=").to_owned())
}
