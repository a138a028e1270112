//! Writing limits so that they last: to the kernel, and to whoever would undo it.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::sheet::Sheet;
use crate::kernel::cgroup::apply::{Write, apply};
use crate::kernel::cgroup::knob::KnobValue;
use crate::kernel::cgroup::standing::read;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::systemd::{Unit, properties};
use crate::model::change::Change;
use crate::names::{self, owner::Owner};

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
        .with_context(|| format!("/{shown} vanished meanwhile; nothing was changed"))?;
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
    let writes: Vec<Write> = changes.iter().map(Change::write).collect();
    let kept = apply(&cgroup, &sheet.mount, &writes)?;
    let mut remarks = Vec::new();
    for (change, kept) in changes.iter().zip(&kept) {
        match kept {
            Some(kept) if *kept != change.new => remarks.push(format!(
                "{}: the kernel made it {}",
                change.address,
                kept.to_text(change.address)
            )),
            Some(_) => {}
            None => {
                remarks.push(format!(
                    "/{shown} has vanished since, as a cgroup does whose last process ended"
                ));
                break;
            }
        }
    }
    if let Keeper::Systemd(unit) = &sheet.keeper {
        tell(unit, changes, persist, &mut remarks);
    }
    Ok(Made { kept, remarks })
}

/// Has systemd know the new limits too, so that it does not undo them; says how where that fails.
fn tell(unit: &Unit, changes: &[Change], persist: bool, remarks: &mut Vec<String>) {
    let known: Vec<String> = changes
        .iter()
        .flat_map(|change| properties(change.address, &change.new))
        .collect();
    for change in changes {
        if properties(change.address, &change.new).is_empty() {
            remarks.push(format!(
                "{}: systemd has no property for it, and may undo it at `systemctl daemon-reload`",
                change.address
            ));
        }
    }
    if known.is_empty() {
        return;
    }
    let telling = unit.command(&known, persist);
    remarks.push(match telling.run() {
        Ok(()) => format!(
            "{} is a unit of systemd's, which was told too: {telling}",
            unit.name
        ),
        Err(why) => format!(
            "systemd may undo this at `systemctl daemon-reload`, as it could not be told ({why}): {telling}"
        ),
    });
}
