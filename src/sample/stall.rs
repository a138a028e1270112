//! Who waits for memory, told by the kernel at once: triggers on the cgroups that have a memory limit.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::CgroupSample;
use super::cgroup::Presence;
use super::tree::Tree;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::pressure::trigger::Trigger;

/// So many cgroups have triggers, those that use most of their limit first: each costs the kernel a thread.
const CGROUPS: usize = 32;

/// Who has just come may go at once.
const SETTLED: Duration = Duration::from_secs(1);

/// The triggers of a tree.
#[derive(Debug)]
pub(super) struct Stalls {
    /// Percentages of a window.
    thresholds: Vec<u32>,
    armed: Vec<Armed>,
    /// Who is to have some, and since when.
    since: HashMap<CgroupId, Instant>,
    /// Who cannot have any.
    refused: HashSet<CgroupId>,
    told: bool,
}

#[derive(Debug)]
struct Armed {
    cgroup: CgroupId,
    share: u32,
    trigger: Trigger,
}

/// What a trigger said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fired {
    pub cgroup: CgroupId,
    pub share: u32,
    pub seconds: u32,
}

impl Stalls {
    /// Triggers at these percentages; what is not one is none.
    pub fn new(thresholds: [u32; 2]) -> Self {
        let mut thresholds: Vec<u32> = thresholds
            .into_iter()
            .filter(|share| (1..=100).contains(share))
            .collect();
        thresholds.dedup();
        Self {
            thresholds,
            armed: Vec::new(),
            since: HashMap::new(),
            refused: HashSet::new(),
            told: false,
        }
    }

    /// What to wait for, urgently.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.armed.iter().map(|armed| armed.trigger.as_fd())
    }

    /// What those said that fired, by their place in [`fds`](Self::fds).
    pub fn fired(&self, places: &[usize]) -> Vec<Fired> {
        let fired = places.iter().filter_map(|&place| self.armed.get(place));
        fired
            .map(|armed| Fired {
                cgroup: armed.cgroup,
                share: armed.share,
                seconds: armed.trigger.seconds,
            })
            .collect()
    }

    /// Keeps in step with who has a limit. Says in a sentence, once, what cannot be.
    pub fn follow(
        &mut self,
        tree: &Tree,
        rows: &[Arc<CgroupSample>],
        now: Instant,
    ) -> Option<String> {
        if self.thresholds.is_empty() {
            return None;
        }
        let wanted = wanted(tree, rows);
        self.disarm(&wanted);
        self.since.retain(|cgroup, _| wanted.contains(cgroup));
        self.refused.retain(|cgroup| wanted.contains(cgroup));
        let mut said = None;
        for &cgroup in &wanted {
            let is_armed = self.armed.iter().any(|armed| armed.cgroup == cgroup);
            let since = *self.since.entry(cgroup).or_insert(now);
            let is_new = now.duration_since(since) < SETTLED;
            if is_armed || is_new || self.refused.contains(&cgroup) {
                continue;
            }
            if let Err(errno) = self.arm(tree, cgroup) {
                self.refused.insert(cgroup);
                // Without PSI there is nothing to tell, and who is gone waits no more.
                let silent = matches!(errno, Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP);
                if !silent && !std::mem::replace(&mut self.told, true) {
                    let path = tree.node(cgroup).map_or("?", |node| &*node.path);
                    said = Some(format!(
                        "waiting for memory is told some seconds late: no trigger on memory.pressure of {path}: {}",
                        errno.desc()
                    ));
                }
            }
        }
        said
    }

    /// Gives up the triggers of all others. The kernel takes some ten milliseconds for each, which nobody waits for.
    fn disarm(&mut self, wanted: &[CgroupId]) {
        let all = std::mem::take(&mut self.armed).into_iter();
        let (kept, gone): (Vec<_>, Vec<_>) = all.partition(|armed| wanted.contains(&armed.cgroup));
        self.armed = kept;
        if !gone.is_empty() {
            // Where no thread can be had, they are dropped here.
            let _ = thread::Builder::new()
                .name("triggers".into())
                .spawn(move || drop(gone));
        }
    }

    fn arm(&mut self, tree: &Tree, cgroup: CgroupId) -> Result<(), Errno> {
        let node = tree.node(cgroup).ok_or(Errno::ENOENT)?;
        for &share in &self.thresholds {
            let trigger = node.handle.with_path(&tree.reader, |path| {
                Trigger::new(path, "memory.pressure", share)
            });
            let trigger = trigger.map_err(|_| Errno::ENOENT)??;
            self.armed.push(Armed {
                cgroup,
                share,
                trigger,
            });
        }
        Ok(())
    }
}

/// Who has a memory limit, and nobody below who has one: the waiting of those below is its own as well.
fn wanted(tree: &Tree, rows: &[Arc<CgroupSample>]) -> Vec<CgroupId> {
    let mut below: HashSet<CgroupId> = HashSet::new();
    let mut wanted: Vec<(f64, CgroupId)> = Vec::new();
    for row in rows.iter().rev() {
        let limits = [&row.memory_max, &row.memory_high].into_iter();
        let limit = limits.filter_map(|limit| limit.value()?.value()).min();
        let covered = below.contains(&row.id);
        if let (Some(parent), true) = (row.parent, covered || limit.is_some()) {
            below.insert(parent);
        }
        let inside = tree.node(row.id).is_some_and(|node| tree.is_whole(node));
        if let Some(limit) = limit
            && !covered
            && inside
            && row.presence == Presence::Alive
        {
            let used = row.memory_current.value().map_or(0.0, |used| used.0 as f64);
            wanted.push((used / (limit.0 as f64).max(1.0), row.id));
        }
    }
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
    wanted.truncate(CGROUPS);
    wanted.into_iter().map(|(_, cgroup)| cgroup).collect()
}
