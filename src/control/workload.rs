//! Workloads of ringfence's own, by their records. Whoever stops one tells its supervisor, which would start it again
//! otherwise.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::kernel::cgroup::hierarchy::mount_point;
use crate::kernel::cgroup::subtree;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::process::held::Held;
use crate::launch::spec::Restart;
use crate::launch::state::{Record, Shelf, Status};
use crate::model::row::last_part;

/// What one must know of a workload before one does something to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// How long its supervisor waits between TERM and the kill.
    pub grace: Duration,
    /// Whether its supervisor starts it again when it ends by itself.
    pub restarts: bool,
    /// Whether it can be started again from its record.
    pub kept: bool,
}

/// A workload that is over, and whose record and log are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Where its cgroup was, from the v2 root.
    pub path: String,
    /// Its exit code, or 128 and the signal.
    pub code: u8,
    /// How long ago.
    pub ago: Duration,
    /// Why, where it was not the program's own end.
    pub why: Option<String>,
    /// So many of its OOM kills are known.
    pub oom_kills: usize,
    /// Its program and the arguments. Foreign text.
    pub command: String,
}

impl Known {
    /// What a record says.
    pub fn new(record: &Record) -> Self {
        Self {
            name: record.name.clone(),
            grace: record.spec.stop_timeout.duration(),
            restarts: record.spec.restart != Restart::No,
            kept: record.terms.keep,
        }
    }
}

/// The record of the workload whose cgroup this is, and which is not over.
pub fn of_cgroup(path: &str) -> Option<Record> {
    recorded(path).filter(|record| record.exit_code().is_none())
}

/// The record of the workload whose cgroup this is, or was.
pub fn recorded(path: &str) -> Option<Record> {
    let record = Shelf::own().ok()?.get(last_part(path)).ok()?;
    (record.cgroup == Path::new(path)).then_some(record)
}

/// All that are over, the last one first, after what killed supervisors left was seen to: that is told, a sentence
/// each.
pub fn ended() -> Result<(Vec<Ended>, Vec<String>)> {
    let shelf = Shelf::own()?;
    let told = shelf.sweep();
    let now = SystemTime::now();
    let over = |record: Record| {
        let Status::Ended { code, at, why } = record.status else {
            return None;
        };
        Some(Ended {
            name: record.name,
            path: record.cgroup.to_string_lossy().into_owned(),
            code,
            ago: now.duration_since(at).unwrap_or_default(),
            why,
            oom_kills: record.oom_kills.len(),
            command: record.command.join(" "),
        })
    };
    let mut all: Vec<Ended> = shelf.all().into_iter().filter_map(over).collect();
    all.sort_by_key(|ended| ended.ago);
    Ok((all, told))
}

/// Removes the record and the log of one that is over.
pub fn remove(name: &str) -> Result<String> {
    Shelf::own()?.remove(name)?;
    Ok(format!("removed {name}: its record and its log"))
}

/// Tells a workload's supervisor to stop it; `None` where it has ended already.
pub fn tell(record: &Record, grace: Option<i32>) -> Result<Option<Held>> {
    if record.exit_code().is_some() {
        return Ok(None);
    }
    let Some(supervisor) = record.supervisor.hold() else {
        return Ok(None);
    };
    thaw(record);
    let there = match grace {
        Some(grace) => supervisor.queue(Signal::SIGTERM, grace)?,
        None => supervisor.signal(Signal::SIGTERM)?,
    };
    Ok(there.then_some(supervisor))
}

/// A frozen workload could not obey.
fn thaw(record: &Record) {
    if let Some(mount) = mount_point(Path::new("/proc"))
        && let Ok(leaf) = Cgroup::open(record.leaf(&mount))
        && subtree::is_frozen(leaf.path())
    {
        // Where it cannot, the kill after the grace reaches frozen processes too.
        let _ = leaf.write("cgroup.freeze", "0");
    }
}
