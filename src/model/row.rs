//! One cgroup as people ask about it, computed from two samples and the cgroups above it.

use std::collections::HashMap;
use std::sync::Arc;

use super::bind;
use super::forecast::Forecast;
use super::io::IoFlow;
use super::limit::{Ceiling, Of};
use super::memory::Memory;
use super::parts::Parts;
use super::rate;
use super::victim::NextVictim;
use crate::kernel::cgroup::{CgroupEvents, CgroupId};
use crate::kernel::memory::{MemoryEvents, MemoryStat};
use crate::kernel::pressure::Pressure;
use crate::kernel::unit::{Bytes, Percent, Reading};
use crate::names::{self, Identity, Owner, PAYLOAD, Role, owner};
use crate::sample::{CgroupSample, Presence, Sample};
use crate::text;

/// What sort of cgroup it is, judged by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Started by ringfence: anything below a `ringfence.slice`.
    Workload,
    /// A container of docker, podman, containerd, CRI-O, LXC or systemd-nspawn.
    Container,
    /// Anything else: services, sessions, slices.
    Other,
}

impl Kind {
    /// Judges by the path from the v2 root.
    pub fn of(path: &str) -> Self {
        let identity = names::identify(path);
        Self::by(identity.owner, identity.role)
    }

    fn by(owner: Owner, role: Role) -> Self {
        match (owner, role) {
            (Owner::Ringfence, Role::Container | Role::Inside) => Self::Workload,
            (_, Role::Container | Role::Pod | Role::Inside) => Self::Container,
            _ => Self::Other,
        }
    }
}

/// How a row is marked; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It vanished since the last sample.
    Vanished,
    /// Its processes are frozen.
    Frozen,
    /// A running workload or container without a memory limit anywhere up the tree.
    Unlimited,
    /// It has processes, in it or below it.
    Running,
    /// It has none.
    Empty,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Vanished,
        Self::Frozen,
        Self::Unlimited,
        Self::Running,
        Self::Empty,
    ];
}

/// How much a cgroup is held back by the quota up the tree that does so most.
#[derive(Debug, Clone, PartialEq)]
pub struct Throttled {
    /// The share of periods in which the quota ran out.
    pub share: Percent,
    /// Whose quota.
    pub of: Of,
}

impl Throttled {
    /// Whether it is held back so often that it is worth a word.
    pub fn holds(&self) -> bool {
        self.share.0 >= 1.0
    }
}

/// How much a cgroup is slowed down by the `memory.high` up the tree that does so most.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowed {
    /// How often a second tasks were held back and sent to reclaim.
    pub per_second: f64,
    /// Whether it is now: it was since the sample before, or who waits is above the limit. One wait takes up to 2 s.
    pub holds: bool,
    /// Whose limit.
    pub of: Of,
}

/// How often forks were refused since the sample before.
#[derive(Debug, Clone, PartialEq)]
pub struct ForksRefused {
    /// How often, in all that the limit holds.
    pub count: u64,
    /// By whose `pids.max`.
    pub of: Of,
}

/// Which resource tasks wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `cpu.pressure`.
    Cpu,
    /// `memory.pressure`.
    Memory,
    /// `io.pressure`.
    Io,
}

/// The strongest of the three pressures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Which one.
    pub resource: Resource,
    /// Its `some avg10`.
    pub share: Percent,
}

/// One cgroup. Rates are those since the sample before.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its identity.
    pub id: CgroupId,
    /// The index of its parent's row.
    pub parent: Option<usize>,
    /// Its path from the v2 root. Foreign text.
    pub path: Arc<str>,
    /// By what it is known again when it is made anew: its owner's word and the name that people gave it,
    /// which stays while its id changes, or else its path. Foreign text.
    pub identity: Arc<str>,
    /// The last part of the path, made harmless.
    pub name: String,
    /// What to call it: the name that people gave, or what its path tells. Harmless.
    pub label: String,
    /// The start of its id, where the label is a name that people gave to something with an id. Harmless.
    pub short_id: Option<String>,
    /// Who made it.
    pub owner: Owner,
    /// What it is to its owner.
    pub role: Role,
    /// What sort of cgroup it is.
    pub kind: Kind,
    /// Whether no cgroup is below it.
    pub leaf: bool,
    /// How it is marked.
    pub mark: Mark,
    /// By whose `cgroup.freeze` it is frozen, where it is: of several, the highest.
    pub frozen: Option<Of>,
    /// CPU used, 100 is one core.
    pub cpu: Reading<Percent>,
    /// What stops it, in CPUs.
    pub cpu_limit: Reading<Arc<Ceiling<f64>>>,
    /// How much it is held back; not available without a `cpu.max` up the tree.
    pub throttled: Reading<Throttled>,
    /// Memory in three parts.
    pub memory: Memory,
    /// How much it is slowed down; not available without a `memory.high` up the tree.
    pub slowed: Reading<Slowed>,
    /// What stops it.
    pub memory_limit: Reading<Arc<Ceiling<Bytes>>>,
    /// How much of it may be swapped out.
    pub swap_limit: Reading<Arc<Ceiling<Bytes>>>,
    /// When it will meet the limit of memory, as it grows; not available where there is no forecast to make.
    pub forecast: Reading<Box<Forecast>>,
    /// Who is killed then; not available where the processes were not looked at.
    pub next_victim: Reading<Arc<NextVictim>>,
    /// Traffic with each device.
    pub io: Reading<IoFlow>,
    /// Processes and threads, with those below.
    pub pids: Reading<u64>,
    /// What stops it.
    pub pids_limit: Reading<Arc<Ceiling<u64>>>,
    /// Forks refused by the `pids.max` up the tree that does so most.
    pub forks_refused: Reading<ForksRefused>,
    /// The strongest pressure.
    pub stall: Reading<Stall>,
    /// OOM kills, with those below: the kernel's counter, together with those of earlier cgroups of this
    /// path that were seen.
    pub oom_kills: Reading<u64>,
    /// What the resources are made of.
    pub parts: Parts,
    /// The readings that all this is computed from.
    pub now: Arc<CgroupSample>,
}

impl Row {
    /// Whether forks were refused since the sample before.
    pub fn refuses_forks(&self) -> bool {
        matches!(&self.forks_refused, Reading::Value(refused) if refused.count > 0)
    }

    /// A leaf workload or container that nothing but the host stops from taking all memory. System
    /// services are left out: on most hosts none of them has a limit, and a warning on every row is none.
    pub fn is_careless(&self) -> bool {
        self.leaf
            && self.kind != Kind::Other
            && matches!(&self.memory_limit, Reading::Value(ceiling) if !ceiling.is_bounded())
    }
}

/// The start of an id of hexadecimal digits, where the cgroup goes by another name.
fn short_id(cgroup: &CgroupSample, identity: &Identity<'_>) -> Option<String> {
    let named = cgroup.called.is_some() && matches!(identity.role, Role::Container | Role::Pod);
    let id = identity.id.as_deref().filter(|_| named)?;
    let short = owner::short(id);
    short
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        .then(|| short.to_owned())
}

/// The last part of a path, `/` for the root.
pub fn last_part(path: &str) -> &str {
    match path.rsplit('/').next() {
        None | Some("") => "/",
        Some(name) => name,
    }
}

/// The sample before, and where each cgroup is in it.
pub struct Before<'a> {
    /// The sample.
    pub sample: &'a Sample,
    /// The index of each cgroup.
    pub index: &'a HashMap<CgroupId, usize>,
}

impl<'a> Before<'a> {
    /// A cgroup as it was then.
    pub fn of(&self, id: CgroupId) -> Option<&'a CgroupSample> {
        self.sample
            .cgroups
            .get(*self.index.get(&id)?)
            .map(Arc::as_ref)
    }
}

/// Computes every row; row `n` is about the cgroup `n` of the sample.
pub fn rows(
    sample: &Sample,
    before: Option<&Before<'_>>,
    remembered: impl Fn(&CgroupSample) -> Option<Arc<MemoryStat>>,
) -> Vec<Row> {
    let index: HashMap<CgroupId, usize> = index(sample);
    let seconds = before
        .and_then(|before| rate::seconds_between(before.sample.since_boot, sample.since_boot));
    let mut rows: Vec<Row> = sample
        .cgroups
        .iter()
        .map(|cgroup| {
            let then = before
                .and_then(|before| before.of(cgroup.id))
                .filter(|_| cgroup.presence == Presence::Alive)
                .zip(seconds);
            let parent = cgroup.parent.and_then(|id| index.get(&id).copied());
            row(cgroup, then, parent, remembered(cgroup))
        })
        .collect();
    if let Some(root) = rows.first_mut()
        && &*root.path == "/"
        && root.memory.current == Reading::NotAvailable
    {
        root.memory = Memory::of_host(&sample.host);
    }
    for child in 0..rows.len() {
        if let Some(parent) = rows[child].parent {
            rows[parent].leaf = false;
        }
    }
    identities(&mut rows);
    name_scopes(&mut rows);
    bind::bind(sample, &mut rows);
    rows
}

/// What is below something with a name is known by that name, too. Parents come before children.
fn identities(rows: &mut [Row]) {
    for at in 0..rows.len() {
        let row = &rows[at];
        let above = row.parent.map(|parent| &rows[parent]);
        let above = above.filter(|above| above.identity != above.path);
        let named = row.short_id.is_some();
        // A path begins with `/`, and so never is the same.
        let identity = match (above, named) {
            (None, false) => continue,
            (None, true) => format!("{} {}", row.owner.word(), row.label),
            (Some(above), true) => format!("{}/{}", above.identity, row.label),
            (Some(above), false) => format!("{}/{}", above.identity, row.name),
        };
        rows[at].identity = identity.into();
    }
}

/// A scope around a container's own cgroup is not the container, which has the limits.
fn name_scopes(rows: &mut [Row]) {
    for at in 0..rows.len() {
        let is_payload = rows[at].role == Role::Container && rows[at].name == PAYLOAD;
        let Some(above) = rows[at].parent.filter(|_| is_payload) else {
            continue;
        };
        let scope = &mut rows[above];
        if scope.role == Role::Container {
            scope.role = Role::Group;
            scope.label = format!("scope of {}", scope.label);
        }
    }
}

/// Where each cgroup is in a sample.
pub fn index(sample: &Sample) -> HashMap<CgroupId, usize> {
    let ids = sample.cgroups.iter().map(|cgroup| cgroup.id);
    ids.zip(0..).collect()
}

/// What one cgroup tells by itself.
fn row(
    cgroup: &Arc<CgroupSample>,
    then: Option<(&CgroupSample, f64)>,
    parent: Option<usize>,
    remembered: Option<Arc<MemoryStat>>,
) -> Row {
    let seconds = then.map_or(0.0, |(_, seconds)| seconds);
    let then = then.map(|(then, _)| then);
    // The root has no `cgroup.events`, and is never without processes.
    let root = CgroupEvents {
        populated: true,
        frozen: false,
    };
    let events = cgroup.events.value().copied().unwrap_or(root);
    let identity = names::identify(&cgroup.path);
    let label = cgroup.called.as_deref().unwrap_or(&identity.label);
    Row {
        id: cgroup.id,
        parent,
        path: cgroup.path.clone(),
        identity: cgroup.path.clone(),
        name: text::sanitise(cgroup.name()).into_owned(),
        label: text::sanitise(label).into_owned(),
        short_id: short_id(cgroup, &identity),
        owner: identity.owner,
        role: identity.role,
        kind: Kind::by(identity.owner, identity.role),
        leaf: true,
        mark: match cgroup.presence {
            Presence::Vanished => Mark::Vanished,
            Presence::Alive if events.frozen => Mark::Frozen,
            Presence::Alive if events.populated => Mark::Running,
            Presence::Alive => Mark::Empty,
        },
        frozen: None,
        cpu: rate::between(then.map(|then| &then.cpu_stat), &cgroup.cpu_stat, |a, b| {
            rate::cpu(a.usage_usec, b.usage_usec, seconds)
        }),
        cpu_limit: Reading::NotAvailable,
        throttled: Reading::NotAvailable,
        slowed: Reading::NotAvailable,
        memory: Memory::of(cgroup, remembered.as_ref().map(|stat| stat.inactive_file)),
        memory_limit: Reading::NotAvailable,
        swap_limit: Reading::NotAvailable,
        forecast: Reading::NotAvailable,
        next_victim: Reading::NotAvailable,
        io: rate::between(then.map(|then| &then.io_stat), &cgroup.io_stat, |a, b| {
            Some(IoFlow::between(a, b, seconds))
        }),
        pids: cgroup.pids_current,
        pids_limit: Reading::NotAvailable,
        forks_refused: rate::between(
            then.map(CgroupSample::own_pids_events),
            cgroup.own_pids_events(),
            |a, b| {
                Some(ForksRefused {
                    count: b.max.checked_sub(a.max)?,
                    of: Of::Own,
                })
            },
        ),
        stall: strongest(cgroup),
        oom_kills: cgroup.memory_events.map(MemoryEvents::kills),
        parts: Parts::of(cgroup, then, seconds, remembered),
        now: Arc::clone(cgroup),
    }
}

/// The strongest of the pressures that can be read.
fn strongest(cgroup: &CgroupSample) -> Reading<Stall> {
    [
        (Resource::Cpu, &cgroup.cpu_pressure),
        (Resource::Memory, &cgroup.memory_pressure),
        (Resource::Io, &cgroup.io_pressure),
    ]
    .into_iter()
    .map(|(resource, pressure)| {
        pressure.map(|pressure: &Pressure| Stall {
            resource,
            share: pressure.some.avg10,
        })
    })
    .reduce(|best, next| match (&best, &next) {
        (Reading::Value(a), Reading::Value(b)) if b.share > a.share => next,
        (Reading::Value(_), _) | (Reading::Unreadable(_), Reading::NotAvailable) => best,
        _ => next,
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_path() {
        for (path, kind) in [
            ("/ringfence.slice", Kind::Other),
            ("/ringfence.slice/leaker", Kind::Workload),
            ("/user.slice/ringfence.slice/a/b", Kind::Workload),
            ("/system.slice/docker-0123abcd.scope", Kind::Container),
            ("/docker/0123abcd", Kind::Container),
            ("/machine.slice/libpod-77.scope", Kind::Container),
            ("/machine.slice", Kind::Other),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope",
                Kind::Container,
            ),
            ("/system.slice/cron.service", Kind::Other),
            ("/", Kind::Other),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }
}
