//! Who would be hit, and what speaks against it: read afresh before anything is asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use nix::errno::Errno;

use super::spare::Spared;
use super::{Chosen, Ground, Target, rules};
use crate::control::make::Keeper;
use crate::control::workload::{self, Known};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::subtree;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::memory::MemoryStat;
use crate::kernel::process::held::{Brief, dying_with};
use crate::kernel::systemd::Unit;
use crate::kernel::task;
use crate::kernel::unit::Bytes;
use crate::names::{self, Owner};

/// A process of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub brief: Brief,
    /// The cgroup it is in, from the v2 root. Foreign text.
    pub cgroup: Arc<str>,
}

/// Why something cannot be done, in one sentence each; `None` where it can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objections {
    /// To freezing it.
    pub freeze: Option<String>,
    /// To stopping it.
    pub stop: Option<String>,
    /// To killing it.
    pub kill: Option<String>,
    /// To reclaiming memory from it.
    pub reclaim: Option<String>,
    /// To moving its processes up.
    pub move_up: Option<String>,
}

/// What is known of the process that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenOne {
    /// Which one.
    pub chosen: Chosen,
    /// What it is.
    pub brief: Brief,
    /// The cgroup it is in.
    pub home: Target,
    /// Who dies with it, as it is PID 1 of their pid namespace.
    pub with_it: Vec<Brief>,
    /// Why no signal may be sent to it.
    pub no_signal: Option<String>,
    /// Why it cannot be moved up.
    pub no_move: Option<String>,
}

/// What is known of a cgroup before something is done to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Which one.
    pub target: Target,
    /// All processes in it and below it that can be seen.
    pub members: Vec<Member>,
    /// How many there are besides, outside our pid namespace.
    pub unseen: usize,
    /// Whether its own `cgroup.freeze` holds it frozen.
    pub frozen: bool,
    /// Who may start it again.
    pub keeper: Keeper,
    /// Its memory, and how much of that the kernel can drop right away.
    pub memory: Option<(Bytes, Bytes)>,
    /// What is known of it, where it is a workload of ringfence's.
    pub workload: Option<Known>,
    /// What cannot be done.
    pub objections: Objections,
    /// The chosen process, or why it cannot be told.
    pub chosen: Option<Result<ChosenOne, String>>,
}

impl Survey {
    /// Looks at a cgroup, and at one process where one was chosen.
    pub fn look(ground: &Ground, target: &Target, chosen: Option<&Chosen>) -> anyhow::Result<Self> {
        let cgroup = ground.open(target)?;
        let spared = Spared::read(&ground.proc)?;
        let (members, unseen) = members(ground, &target.path)?;
        let workload = workload::of_cgroup(&target.path).map(|record| Known::new(&record));
        let objections = match &workload {
            Some(_) => objections_to_workload(ground, &spared, target, &cgroup, &members),
            None => objections(ground, &spared, target, &cgroup, &members, unseen),
        };
        let keeper = Keeper::of(Path::new(target.path.trim_start_matches('/')));
        Ok(Self {
            frozen: subtree::is_frozen(cgroup.path()),
            memory: memory(&cgroup),
            objections,
            workload,
            chosen: chosen.map(|chosen| one(ground, &spared, chosen)),
            target: target.clone(),
            members,
            unseen,
            keeper,
        })
    }

    /// Who may start again what was ended, in one sentence; `None` where nobody is known to.
    pub fn again(&self) -> Option<String> {
        if self.workload.is_some() {
            // Its supervisor does as it is told.
            return None;
        }
        let name = match &self.keeper {
            Keeper::Ringfence => "its launcher, where it was told to restart it",
            Keeper::Systemd(unit) if unit.kind() == "slice" => {
                "systemd, as the Restart= of each service in it says"
            }
            Keeper::Systemd(unit) if unit.kind() == "service" => {
                return Some(format!(
                    "it may be started again by systemd, as its Restart= says; `{}` keeps it down",
                    unit.stop(nix::unistd::geteuid().is_root())
                ));
            }
            // A scope is somebody's who asked systemd for it.
            Keeper::Systemd(_) => match names::identify(&self.target.path).owner {
                Owner::Systemd | Owner::Unknown => return None,
                owner => owner.word(),
            },
            Keeper::Other(word) => word,
            Keeper::Nobody => return None,
        };
        Some(format!("it may be started again by {name}"))
    }

    /// The unit that systemd stops itself, as it would start it again otherwise.
    pub fn service(&self) -> Option<&Unit> {
        match &self.keeper {
            Keeper::Systemd(unit) => stopped_by_systemd(unit).then_some(unit),
            _ => None,
        }
    }
}

/// Whether stopping a unit is systemd's: that of services. What holds several is stopped by us, and scopes
/// belong to who asked for them.
pub(super) fn stopped_by_systemd(unit: &Unit) -> bool {
    unit.kind() == "service"
}

/// The processes in a cgroup and below it, and how many there are besides that cannot be seen.
pub(super) fn members(ground: &Ground, path: &str) -> anyhow::Result<(Vec<Member>, usize)> {
    let found = match subtree::processes(&ground.dir(path)) {
        Ok(found) => found,
        Err(error) if error.errno() == Errno::EOPNOTSUPP => {
            bail!("{path} is threaded: its processes belong to a cgroup above it; choose that one")
        }
        Err(error) => return Err(error.into()),
    };
    let mut names: HashMap<_, Arc<str>> = HashMap::new();
    let mut unseen = 0;
    let mut members = Vec::with_capacity(found.len());
    for (dir, pid) in found {
        match Brief::read(&ground.proc, pid) {
            None if pid == 0 => unseen += 1,
            None => {}
            Some(brief) => {
                let name = names.entry(dir);
                let name = name.or_insert_with_key(|dir| ground.path(dir).into());
                let cgroup = Arc::clone(name);
                members.push(Member { brief, cgroup });
            }
        }
    }
    Ok((members, unseen))
}

fn objections(
    ground: &Ground,
    spared: &Spared,
    target: &Target,
    cgroup: &Cgroup,
    members: &[Member],
    unseen: usize,
) -> Objections {
    let path = &*target.path;
    let refused = || spared.objection(path);
    let empty = || {
        let none = members.is_empty() && unseen == 0;
        none.then(|| format!("nothing runs in {path} or below it"))
    };
    let kill = refused()
        .or_else(empty)
        .or_else(|| rules::file(cgroup, path, "cgroup.kill", "5.14"));
    let foreign = || {
        let mut briefs = members.iter().map(|member| &member.brief);
        briefs.find_map(|brief| rules::signal(brief.pid, &brief.name()))
    };
    Objections {
        stop: kill
            .clone()
            .or_else(|| rules::term(ground, target))
            .or_else(foreign),
        kill,
        ..to_the_rest(ground, spared, target, cgroup, members)
    }
}

/// Where its supervisor is told, which also ends one that is between two starts.
fn objections_to_workload(
    ground: &Ground,
    spared: &Spared,
    target: &Target,
    cgroup: &Cgroup,
    members: &[Member],
) -> Objections {
    let refused = spared.objection(&target.path);
    Objections {
        stop: refused.clone().or_else(|| rules::term(ground, target)),
        kill: refused,
        ..to_the_rest(ground, spared, target, cgroup, members)
    }
}

/// To all but a stop and a kill.
fn to_the_rest(
    ground: &Ground,
    spared: &Spared,
    target: &Target,
    cgroup: &Cgroup,
    members: &[Member],
) -> Objections {
    let path = &*target.path;
    let refused = || spared.objection(path);
    let nobody = || {
        let none = !members.iter().any(|member| *member.cgroup == *path);
        none.then(|| format!("no process is in {path} itself"))
    };
    Objections {
        freeze: refused().or_else(|| rules::file(cgroup, path, "cgroup.freeze", "5.2")),
        reclaim: rules::reclaim(cgroup, path),
        move_up: refused()
            .or_else(nobody)
            .or_else(|| rules::move_up(ground, path)),
        ..Objections::default()
    }
}

fn one(ground: &Ground, spared: &Spared, chosen: &Chosen) -> Result<ChosenOne, String> {
    let gone = || format!("pid {} has ended meanwhile", chosen.pid);
    let brief = Brief::read(&ground.proc, chosen.pid)
        .filter(|brief| brief.start_time == chosen.start_time)
        .ok_or_else(gone)?;
    let path = task::cgroup(&ground.proc, chosen.pid).ok_or_else(gone)?;
    let id = Cgroup::open(ground.dir(&path)).and_then(|cgroup| cgroup.inode());
    let dead = brief.zombie.then(|| {
        format!(
            "pid {} is dead already; its parent, pid {}, has only not noticed yet",
            brief.name(),
            brief.ppid
        )
    });
    let spare = dead.or_else(|| spared.objection_to(&brief));
    Ok(ChosenOne {
        chosen: chosen.clone(),
        no_signal: spare
            .clone()
            .or_else(|| rules::signal(chosen.pid, &brief.name())),
        no_move: spare.or_else(|| rules::move_up(ground, &path)),
        home: Target {
            path: path.into(),
            id: CgroupId(id.map_err(|error| error.to_string())?),
        },
        with_it: dying_with(&ground.proc, &brief),
        brief,
    })
}

/// What it holds, and how much of that is page cache not used of late and slabs that can be given back.
pub(super) fn memory(cgroup: &Cgroup) -> Option<(Bytes, Bytes)> {
    let stat = MemoryStat::parse(&cgroup.read("memory.stat").ok()?).ok()?;
    let easy = stat.inactive_file.0.saturating_add(stat.slab_reclaimable.0);
    Some((current(cgroup)?, Bytes(easy)))
}

/// `memory.current`
pub(super) fn current(cgroup: &Cgroup) -> Option<Bytes> {
    let text = cgroup.read("memory.current").ok()?;
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().ok().map(Bytes)
}
