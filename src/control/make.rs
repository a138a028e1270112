//! Writing limits so that they last: to the kernel, and to whoever would undo it.

use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::unistd::geteuid;

use super::engine::Engine;
use super::sheet::{Sheet, vanished};
use crate::kernel::cgroup::apply::{Write, apply};
use crate::kernel::cgroup::knob::{Address, Knob, KnobValue};
use crate::kernel::cgroup::standing::read;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::systemd::{Unit, properties};
use crate::kernel::unit::Limit;
use crate::model::change::Change;
use crate::names::{self, owner::Owner};

/// How long systemd may take to write what it was told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who keeps the limits of a cgroup, and so may undo what is written past them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// systemd: it is told, and keeps the new ones over `systemctl daemon-reload`.
    Systemd(Unit),
    /// ringfence itself: a workload that is started again keeps its cgroup, and with it what was set.
    Ringfence,
    /// Somebody else, told by the path: the word for it.
    Other(&'static str),
    /// Nobody known.
    Nobody,
}

impl Keeper {
    /// Tells it by the path, relative to the mount.
    pub fn of(path: &Path) -> Self {
        if let Some(unit) = Unit::of_cgroup(path) {
            return Self::Systemd(unit);
        }
        let path = Path::new("/").join(path);
        match names::identify(&path.to_string_lossy()).owner {
            Owner::Ringfence => Self::Ringfence,
            Owner::Unknown => Self::Nobody,
            other => Self::Other(other.word()),
        }
    }
}

/// How long what is written lasts, in one sentence.
impl fmt::Display for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd(unit) => write!(
                out,
                "systemd keeps {}: it is told, and daemon-reload does not undo it",
                unit.name
            ),
            Self::Ringfence => out
                .write_str("ringfence's own: it lasts as long as the workload, restarts included"),
            Self::Other(word @ ("docker" | "podman")) => write!(
                out,
                "{word} is told, where its command is here, so that the container's next start keeps it"
            ),
            Self::Other(word) => write!(
                out,
                "{word} made it, is not told, and may undo it when it starts or updates it"
            ),
            Self::Nobody => out.write_str("it lasts until somebody else writes it"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// What the kernel reads back for each change: `None` where the cgroup has vanished since, as one does
    /// whose processes were killed by their new limit.
    pub kept: Vec<Option<KnobValue>>,
    /// What is worth saying, each in one sentence.
    pub remarks: Vec<String>,
}

/// Makes changes that the sheet judged: all, or none. Refused where the cgroup is another one by now, or
/// where somebody else has changed the same knob since it was read.
pub fn make(sheet: &Sheet, changes: &[Change], persist: bool) -> anyhow::Result<Made> {
    let shown = sheet.path.display();
    let cgroup = Cgroup::open(sheet.mount.join(&sheet.path))
        .ok()
        .filter(|cgroup| cgroup.inode().is_ok_and(|inode| inode == sheet.inode))
        .with_context(|| format!("{}; nothing was changed", vanished(&sheet.path)))?;
    if persist && !matches!(sheet.keeper, Keeper::Systemd(_)) {
        bail!(
            "/{shown} is no unit of systemd's, so nothing would keep its limits over a boot; nothing was changed"
        );
    }
    for change in changes {
        // What cannot be read any more, the write will tell.
        if let Ok(now) = read(&cgroup, change.address)
            && now != change.old
        {
            bail!(
                "{} was changed meanwhile, to `{}`; nothing was changed",
                change.address,
                now.to_text(change.address).trim_end()
            );
        }
    }
    let is_off = |change: &Change| {
        sheet
            .line(change.address)
            .is_some_and(|line| line.off.is_some())
    };
    let writes: Vec<Write> = changes
        .iter()
        .filter(|change| !is_off(change))
        .map(Change::write)
        .collect();
    let new: Vec<(Address, &KnobValue)> = changes
        .iter()
        .map(|change| (change.address, &change.new))
        .collect();
    let mut written = apply(&cgroup, &sheet.mount, &writes)?.into_iter();
    let told = match &sheet.keeper {
        Keeper::Systemd(unit) => match tell(unit, &new, persist) {
            Err(why) if changes.iter().any(is_off) => {
                return Err(take_back(&cgroup, &sheet.mount, writes, &why));
            }
            told => told,
        },
        _ => Ok(Vec::new()),
    };
    let kept: Vec<Option<KnobValue>> = changes
        .iter()
        .map(|change| {
            if is_off(change) {
                wait_for(&cgroup, change)
            } else {
                written.next().flatten()
            }
        })
        .collect();
    let mut remarks = Vec::new();
    for (change, kept) in changes.iter().zip(&kept) {
        match kept {
            Some(kept) if *kept != change.new => remarks.push(format!(
                "{}: the kernel made it {}",
                change.address,
                kept.to_text(change.address)
            )),
            Some(_) => {}
            None if !cgroup.is_gone() => bail!(
                "{}: systemd was told, but has turned no {} controller on; what else was asked for is done",
                change.address,
                change.address.knob.controller()
            ),
            None => {
                remarks.push(format!(
                    "/{shown} has vanished since, as a cgroup does whose last process ended"
                ));
                break;
            }
        }
    }
    remarks.extend(told.unwrap_or_else(|why| {
        vec![format!(
            "systemd may undo this at `systemctl daemon-reload`, as {why}"
        )]
    }));
    Ok(Made { kept, remarks })
}

/// The same, and has the engine of a container know it.
pub fn make_known(sheet: &Sheet, changes: &[Change], persist: bool) -> anyhow::Result<Made> {
    let mut made = make(sheet, changes, persist)?;
    made.remarks.extend(tell_engine(sheet, changes));
    Ok(made)
}

/// Has the engine of a container know changes that were made, and says what came of it, a sentence each. What the engine
/// makes another value of is written once more.
pub(super) fn tell_engine(sheet: &Sheet, changes: &[Change]) -> Vec<String> {
    let Some(engine) = Engine::of(&sheet.path).filter(|_| sheet.payload.is_none()) else {
        return Vec::new();
    };
    let is_same = |cgroup: &Cgroup| cgroup.inode().is_ok_and(|inode| inode == sheet.inode);
    let cgroup = Cgroup::open(sheet.mount.join(&sheet.path)).ok();
    let Some(cgroup) = cgroup.filter(is_same) else {
        return Vec::new();
    };
    let size = |knob: Knob| match read(&cgroup, knob.into()) {
        Ok(KnobValue::Size(size)) => Some(size),
        _ => None,
    };
    let memory = size(Knob::MemoryMax).unwrap_or(Limit::Max);
    let new: Vec<(Address, &KnobValue)> = changes
        .iter()
        .map(|change| (change.address, &change.new))
        .collect();
    let mut remarks = engine.tell(&new, memory, size(Knob::SwapMax));
    for change in changes {
        let Ok(now) = read(&cgroup, change.address) else {
            continue;
        };
        if now == change.new {
            continue;
        }
        let text = now.to_text(change.address);
        let write = Write {
            old: now,
            ..change.write()
        };
        let again = match apply(&cgroup, &sheet.mount, &[write]) {
            Ok(_) => "which was written over".to_owned(),
            Err(refused) => refused.to_string(),
        };
        remarks.push(format!(
            "{}: {} made it {}, {again}",
            change.address,
            engine.program,
            text.trim_end()
        ));
    }
    remarks
}

/// Has systemd know the new limits too, so that it does not undo them. Gives what is worth saying, or why
/// it could not be told.
pub(super) fn tell(
    unit: &Unit,
    new: &[(Address, &KnobValue)],
    persist: bool,
) -> Result<Vec<String>, String> {
    let mut remarks = Vec::new();
    let mut known = Vec::new();
    for (address, value) in new {
        let properties = properties(*address, value);
        if properties.is_empty() {
            remarks.push(format!(
                "{address}: systemd has no property for it, and will undo it at `systemctl daemon-reload`"
            ));
        }
        known.extend(properties);
    }
    if known.is_empty() {
        return Ok(remarks);
    }
    let root = geteuid().is_root();
    let telling = unit.command(&known, persist, root);
    if let Err(why) = telling.run() {
        let hint = if root || unit.of_user.is_some() {
            ""
        } else {
            "; type sudo in front"
        };
        return Err(format!("it could not be told ({why}{hint}): {telling}"));
    }
    remarks.push(format!(
        "{} is a unit of systemd's, which was told: {telling}",
        unit.name
    ));
    Ok(remarks)
}

/// Takes back what was written, as systemd did not turn on the rest.
fn take_back(cgroup: &Cgroup, mount: &Path, writes: Vec<Write>, why: &str) -> anyhow::Error {
    let writes: Vec<Write> = writes.into_iter().rev().map(Write::undo).collect();
    let outcome = match apply(cgroup, mount, &writes) {
        Ok(_) => "nothing was changed".to_owned(),
        Err(refused) => format!(
            "what was already written could not be restored: {}",
            refused.why
        ),
    };
    anyhow!("systemd alone can turn a controller on for its unit, and {why}; {outcome}")
}

/// Waits until systemd, which works after its answer, has written a limit whose controller was off. Gives
/// what the kernel then reads.
fn wait_for(cgroup: &Cgroup, change: &Change) -> Option<KnobValue> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = read(cgroup, change.address).ok();
        if kept.as_ref() == Some(&change.new) || Instant::now() > deadline || cgroup.is_gone() {
            return kept;
        }
        sleep(Duration::from_millis(10));
    }
}
