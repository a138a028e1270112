//! What a knob stands at in one cgroup and in all above it.

use std::path::{Path, PathBuf};

use super::hierarchy::read_words;
use super::knob::{Address, Knob, KnobValue};
use super::tree::Cgroup;
use crate::kernel::error::{Error, Result};
use crate::kernel::obstacle::Obstacle;
use crate::kernel::unit::Reading;

/// The controllers that a threaded cgroup may have.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#threads>
const THREADED: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];

/// One level of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The cgroup's path from the v2 root, `/a/b`. Foreign text.
    pub path: String,
    /// What the knob is there.
    pub value: Reading<KnobValue>,
}

/// The knob in a cgroup and in those above it, nearest first, the root (which has no limits) left out.
/// `path` is relative to the mount.
pub fn standings(mount: &Path, path: &Path, address: Address) -> Vec<Standing> {
    let levels = path
        .ancestors()
        .filter(|level| !level.as_os_str().is_empty());
    let standing = |level: &Path| Standing {
        path: Path::new("/").join(level).to_string_lossy().into_owned(),
        value: value(mount, level, address),
    };
    levels.map(standing).collect()
}

/// What a knob is in one cgroup.
pub fn value(mount: &Path, path: &Path, address: Address) -> Reading<KnobValue> {
    let read = Cgroup::open(mount.join(path)).and_then(|at| read(&at, address));
    match read {
        Ok(value) => Reading::Value(value),
        Err(error) if error.is_gone() => Reading::NotAvailable,
        Err(error) => Reading::Unreadable(error.errno()),
    }
}

/// Reads a knob.
pub fn read(cgroup: &Cgroup, address: Address) -> Result<KnobValue> {
    let file = address.knob.name();
    KnobValue::parse(address, &cgroup.read(file)?).map_err(|malformed| {
        let path = cgroup.path().join(file);
        Error::new("read", path, std::io::Error::other(malformed))
    })
}

/// Whether a cgroup lacks a knob's file only as it is not handed the controller down that `top`, one above
/// it, has. Both are paths in the file system.
pub fn is_off(top: &Path, cgroup: &Path, knob: Knob) -> bool {
    let has = |at: &Path| {
        read_words(&at.join("cgroup.controllers"))
            .is_ok_and(|words| words.iter().any(|word| word == knob.controller()))
    };
    has(top) && !has(cgroup)
}

/// The domain that a threaded cgroup (`cgroup.type`, since 4.14) belongs to; `None` for others.
fn domain_of<'a>(mount: &Path, path: &'a Path) -> Option<&'a Path> {
    let is_threaded = |level: &Path| {
        let kind = std::fs::read(mount.join(level).join("cgroup.type"));
        kind.is_ok_and(|kind| kind == b"threaded\n")
    };
    is_threaded(path)
        .then(|| path.ancestors().find(|level| !is_threaded(level)))
        .flatten()
}

/// What keeps a cgroup from having a knob's file.
pub fn why_missing(mount: &Path, path: &Path, knob: Knob) -> Obstacle {
    let controller = knob.controller();
    let has = |file: PathBuf| {
        read_words(&file).is_ok_and(|words| words.iter().any(|word| word == controller))
    };
    if !has(mount.join("cgroup.controllers")) {
        return Obstacle::new(
            format!("this host's cgroup v2 has no {controller} controller, so there is no {knob}"),
            "`ringfence doctor` says what to change",
        );
    }
    let path_text = path.display();
    if let Some(domain) = domain_of(mount, path)
        && !THREADED.contains(&controller)
    {
        let domain = domain.display();
        return Obstacle::new(
            format!(
                "/{path_text} is threaded, so there is no {knob}: its {controller} limits are those of its domain /{domain}"
            ),
            "set it there",
        );
    }
    // The first above that does not hand the controller down, and all between it and the cgroup.
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let closed: Vec<String> = above
        .into_iter()
        .map(|level| mount.join(level).join("cgroup.subtree_control"))
        .filter(|file| !has(file.clone()))
        .map(|file| file.display().to_string())
        .collect();
    if !closed.is_empty() {
        return Obstacle::new(
            format!("the {controller} controller is not on in /{path_text}, so there is no {knob}"),
            format!("write +{controller} to {}", closed.join(", then to ")),
        );
    }
    match knob {
        Knob::SwapMax => Obstacle::new(
            "this kernel does not account swap, so there is no memory.swap.max",
            "it takes one with CONFIG_SWAP that was not booted with swapaccount=0",
        ),
        Knob::IoWeight => Obstacle::new(
            "this kernel weighs no I/O, so there is no io.weight",
            "it takes one with CONFIG_BLK_CGROUP_IOCOST, since 5.4",
        ),
        knob => Obstacle::new(
            format!("this kernel has no {knob}"),
            format!("it takes Linux {} or newer", knob.entry().since),
        ),
    }
}
