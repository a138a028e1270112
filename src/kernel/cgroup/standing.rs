//! What a knob stands at in one cgroup and in all above it, with the usage beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hierarchy::read_words;
use super::knob::{Address, Knob, KnobValue};
use super::tree::Cgroup;
use crate::kernel::cpu::CpuStat;
use crate::kernel::error::{Error, Result};
use crate::kernel::host::since_boot;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Reading, number};

/// The controllers that a threaded cgroup may have.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#threads>
const THREADED: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];
/// How long CPU usage is measured.
const MOMENT: Duration = Duration::from_millis(100);

/// One level of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The cgroup's path from the v2 root, `/a/b`. Foreign text.
    pub path: String,
    /// What the knob is there.
    pub value: Reading<KnobValue>,
    /// What is used of it, in the unit of [`KnobValue::amount`].
    pub used: Option<f64>,
    /// Of that, what the kernel drops before it kills, in bytes; of `memory.max` alone.
    pub droppable: Option<f64>,
}

/// The knob in a cgroup and in those above it, nearest first, the root (which has no limits) left out.
/// `path` is relative to the mount. For `cpu.max` the usage is measured, which takes a tenth of a second.
pub fn standings(mount: &Path, path: &Path, address: Address) -> Vec<Standing> {
    let levels: Vec<&Path> = path
        .ancestors()
        .filter(|level| !level.as_os_str().is_empty())
        .collect();
    let before: Vec<_> = match address.knob {
        Knob::CpuMax => levels.iter().map(|level| cpu_time(mount, level)).collect(),
        _ => Vec::new(),
    };
    if !before.is_empty() {
        std::thread::sleep(MOMENT);
    }
    levels
        .iter()
        .enumerate()
        .map(|(at, level)| Standing {
            path: Path::new("/").join(level).to_string_lossy().into_owned(),
            value: value(mount, level, address),
            used: match address.knob {
                Knob::CpuMax => before[at].zip(cpu_time(mount, level)).and_then(
                    |((usage, then), (usage_now, now))| {
                        let time = now.checked_sub(then)?.as_micros() as f64;
                        (time > 0.0).then(|| usage_now.saturating_sub(usage) as f64 / time)
                    },
                ),
                knob => used(mount, level, knob),
            },
            droppable: match address.knob {
                Knob::MemoryMax => droppable(mount, level),
                _ => None,
            },
        })
        .collect()
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

fn used(mount: &Path, path: &Path, knob: Knob) -> Option<f64> {
    let file = knob.entry().usage?;
    let text = Cgroup::open(mount.join(path)).ok()?.read(file).ok()?;
    Some(number(&text, file).ok()? as f64)
}

fn droppable(mount: &Path, path: &Path) -> Option<f64> {
    let text = Cgroup::open(mount.join(path)).ok()?.read("memory.stat");
    Some(MemoryStat::parse(&text.ok()?).ok()?.droppable().0 as f64)
}

/// CPU time so far, in microseconds, and the time of the reading.
fn cpu_time(mount: &Path, path: &Path) -> Option<(u64, Duration)> {
    let text = Cgroup::open(mount.join(path)).ok()?.read("cpu.stat").ok()?;
    Some((CpuStat::parse(&text).ok()?.usage_usec.0, since_boot()))
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

/// Why a cgroup lacks a knob's file, and what would mend it, in one sentence.
pub fn why_missing(mount: &Path, path: &Path, knob: Knob) -> String {
    let controller = knob.controller();
    let has = |file: PathBuf| {
        read_words(&file).is_ok_and(|words| words.iter().any(|word| word == controller))
    };
    if !has(mount.join("cgroup.controllers")) {
        return format!(
            "this host's cgroup v2 has no {controller} controller, so there is no {knob}; \
             `ringfence doctor` says what would mend it"
        );
    }
    if let Some(domain) = domain_of(mount, path)
        && !THREADED.contains(&controller)
    {
        return format!(
            "/{} is threaded, so there is no {knob}: its {controller} limits are those of its domain /{}; set it there",
            path.display(),
            domain.display()
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
        return format!(
            "the {controller} controller is not on in /{}, so there is no {knob}; write +{controller} to {}",
            path.display(),
            closed.join(", then to ")
        );
    }
    match knob {
        Knob::SwapMax => {
            "this kernel does not account swap, so there is no memory.swap.max".to_owned()
        }
        Knob::IoWeight => "this kernel weighs no I/O, so there is no io.weight (it needs \
             CONFIG_BLK_CGROUP_IOCOST, since 5.4)"
            .to_owned(),
        knob => format!(
            "this kernel has no {knob}; it came with Linux {}",
            knob.entry().since
        ),
    }
}
