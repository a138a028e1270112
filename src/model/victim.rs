//! Who the kernel kills next, should a limit be met: of all processes under that limit the one with the most
//! [`points`](crate::kernel::badness::Badness::points), and the cgroup that goes with it.
//!
//! All of them have to be known: there is an answer only where the processes of every cgroup under the limit were read,
//! and none was left out. Of equals the kernel takes the last in its order, which is about that of `cgroup.procs`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::Model;
use super::limit::{Level, Of};
use super::row::Row;
use super::tree::is_in;
use crate::kernel::badness::NEVER;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::task::namespace::Kind;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::sample::{Presence, ProcessSample, Sample};

/// From this share of a limit on it is worth knowing, and wherever a kill is foretold.
const CLOSE: f64 = 0.8;
/// So many cgroups are looked at, with so many processes and threads.
const CGROUPS: usize = 1024;
const TASKS: u64 = 1024;
/// The first pid namespace of a host: `PROC_PID_INIT_INO`.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Who is killed next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextVictim {
    /// Its pid on the host.
    pub pid: u32,
    /// Its pid as it sees it itself, where that is another one.
    pub inner_pid: Option<u32>,
    /// Its command name. Foreign text.
    pub comm: String,
    /// Its memory: resident, in swap, and page tables.
    pub size: Bytes,
    /// Its `oom_score_adj`, from -999 to 1000.
    pub oom_score_adj: i32,
    /// Whose `memory.max` it is: the path of that cgroup. Foreign text.
    pub of: Arc<str>,
    /// The limit.
    pub limit: Bytes,
    /// The cgroup that is killed together (`memory.oom.group`). Foreign text.
    pub group: Option<Arc<str>>,
    /// How many others are killed with it.
    pub others: usize,
}

impl Model {
    /// Whose processes say who is killed next: all cgroups under a limit that is nearly met, or will be.
    pub fn endangered(&self) -> HashSet<CgroupId> {
        let near = |row: &Row| {
            let binding = row.memory_limit.value().map(|ceiling| &ceiling.binding);
            // Page cache that fills a limit gets nobody killed.
            row.forecast.value().is_some() || binding.and_then(Level::share) >= Some(CLOSE)
        };
        let rows = self.rows.iter().enumerate();
        let tops: BTreeSet<usize> = rows
            .filter(|(_, row)| near(row))
            .filter_map(|(at, _)| limited(&self.rows, at))
            .collect();
        let mut endangered = HashSet::new();
        let mut room = TASKS;
        for top in tops {
            let rows = under(&self.rows, top);
            let tasks = rows[0].pids.value().copied().unwrap_or(1);
            // A part of them would say nothing.
            if endangered.len() + rows.len() <= CGROUPS && tasks <= room {
                endangered.extend(rows.iter().map(|row| row.id));
                room -= tasks;
            }
        }
        endangered
    }

    /// All cgroups under the limit that binds this one.
    pub fn under_one_limit(&self, path: &str) -> HashSet<CgroupId> {
        let at = self.rows.iter().position(|row| *row.path == *path);
        let top = at.and_then(|at| limited(&self.rows, at));
        let rows = top.map_or(&[][..], |top| under(&self.rows, top));
        rows.iter().take(CGROUPS).map(|row| row.id).collect()
    }
}

/// Tells every row who is killed next where its limit is met.
pub(super) fn foretell(sample: &Sample, rows: &mut [Row]) {
    let mut known: HashMap<usize, Reading<Arc<NextVictim>>> = HashMap::new();
    for at in 0..rows.len() {
        if let Some(top) = limited(rows, at) {
            let next = known.entry(top).or_insert_with(|| next(sample, rows, top));
            rows[at].next_victim = next.clone();
        }
    }
}

/// What the processes of a cgroup may have where its limit is met, swap included: the kernel's `totalpages`.
pub(super) fn whole(sample: &Sample, rows: &[Row], at: usize) -> Option<Bytes> {
    let swap = sample.host.swap_total.value().copied().unwrap_or_default();
    let Some(top) = limited(rows, at) else {
        let memory = sample.host.memory_total.value()?;
        return Some(Bytes(memory.0.saturating_add(swap.0)));
    };
    let row = &rows[top];
    let limit = row.now.memory_max.value()?.value()?;
    let swap = match row.now.swap_max {
        Reading::Value(Limit::At(max)) => max.min(swap),
        Reading::Value(Limit::Max) => swap,
        // The kernel has no swap, or does not account it.
        Reading::NotAvailable | Reading::Unreadable(_) => Bytes(0),
    };
    Some(Bytes(limit.0.saturating_add(swap.0)))
}

/// The cgroup whose limit binds this one.
fn limited(rows: &[Row], at: usize) -> Option<usize> {
    match &rows[at].memory_limit.value()?.binding.of {
        Of::Own => Some(at),
        Of::Ancestor(path) => std::iter::successors(Some(at), |&at| rows[at].parent)
            .find(|&at| rows[at].path == *path),
        Of::Host => None,
    }
}

/// A cgroup and all below it.
fn under(rows: &[Row], top: usize) -> &[Row] {
    let path = &rows[top].path;
    let count = rows[top..]
        .iter()
        .take_while(|row| is_in(&row.path, path))
        .count();
    &rows[top..top + count]
}

fn next(sample: &Sample, rows: &[Row], top: usize) -> Reading<Arc<NextVictim>> {
    let (Some(whole), Some(limit)) = (
        whole(sample, rows, top),
        rows[top].now.memory_max.value().and_then(|max| max.value()),
    ) else {
        return Reading::NotAvailable;
    };
    let mut highest: Option<(i64, usize, &ProcessSample)> = None;
    for (at, row) in (top..).zip(under(rows, top)) {
        // The memory of threads is their process's, which is in a domain above.
        if row.now.presence == Presence::Vanished || row.now.is_threaded {
            continue;
        }
        let processes = match &row.now.processes {
            Reading::Value(_) if row.now.more_processes > 0 => return Reading::NotAvailable,
            Reading::Value(processes) => processes,
            Reading::NotAvailable => return Reading::NotAvailable,
            Reading::Unreadable(errno) => return Reading::Unreadable(*errno),
        };
        for process in processes.iter().filter(|process| !is_first(process)) {
            let points = process.badness.and_then(|badness| badness.points(whole));
            if let Some(points) = points
                && highest.is_none_or(|(most, ..)| points >= most)
            {
                highest = Some((points, at, process));
            }
        }
    }
    let Some((_, at, process)) = highest else {
        return Reading::NotAvailable;
    };
    let badness = process.badness.unwrap_or_default();
    let group = group(rows, at, top);
    Reading::Value(Arc::new(NextVictim {
        pid: process.pid,
        inner_pid: process.inner_pids.last().copied(),
        comm: process.comm.clone(),
        size: badness.size(),
        oom_score_adj: badness.oom_score_adj,
        of: Arc::clone(&rows[top].path),
        limit,
        others: group.map_or(0, |group| members(rows, group).saturating_sub(1)),
        group: group.map(|group| Arc::clone(&rows[group].path)),
    }))
}

/// The highest cgroup, from that of the victim to that of the limit, that is killed together.
fn group(rows: &[Row], victim: usize, top: usize) -> Option<usize> {
    std::iter::successors(Some(victim), |&at| rows[at].parent.filter(|_| at != top))
        .filter(|&at| rows[at].now.oom_group == Reading::Value(true))
        .last()
}

/// How many of a cgroup are killed together: those that are never killed stay.
fn members(rows: &[Row], group: usize) -> usize {
    let cgroups = under(rows, group).iter();
    cgroups
        .filter_map(|row| row.now.processes.value())
        .flatten()
        .filter(|process| {
            !is_first(process)
                && process
                    .badness
                    .is_some_and(|badness| badness.oom_score_adj != NEVER)
        })
        .count()
}

/// The first process of the host is never killed.
fn is_first(process: &ProcessSample) -> bool {
    let first = |kind, inode| kind == Kind::Pid && inode == FIRST_PID_NAMESPACE;
    let mut namespaces = process.namespaces.iter();
    process.pid == 1 && namespaces.any(|namespace| first(namespace.kind, namespace.inode))
}
