//! Joining counted kills with what the log says, and telling them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Oom, Pending, living, read_procs};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::File;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::oom::{self, Fact, Fired, Means, OomKill, Told};
use crate::sample::tree::Tree;

/// A kill at a limit comes within this time of the counter that says that the limit was hit.
const RAN_OUT_WITHIN: Duration = Duration::from_secs(2);

impl Oom {
    /// Gives every waiting kill the log lines that are about it.
    pub(super) fn join(&mut self) {
        for pending in &mut self.pending {
            while (pending.told.len() as u64) < pending.kills {
                let path = &pending.path.value;
                let Some(kill) = self.log.claim(|kill| kill.path.as_ref() == Some(path)) else {
                    break;
                };
                pending.told.push(kill);
            }
        }
        // A victim of unknown cgroup belongs to the only kill that lacks one.
        let mut lacking = self
            .pending
            .iter_mut()
            .filter(|pending| (pending.told.len() as u64) < pending.kills);
        if let (Some(pending), None) = (lacking.next(), lacking.next()) {
            while (pending.told.len() as u64) < pending.kills {
                let Some(kill) = self.log.claim(|kill| kill.path.is_none()) else {
                    break;
                };
                pending.told.push(kill);
            }
        }
    }

    /// Without the log's summary it is the ancestors' counters that say whose limit was hit; their own
    /// notifications may be on the way.
    pub(super) fn look_for_limits(&mut self, tree: &mut Tree, now: Instant) {
        let unnamed: BTreeSet<CgroupId> = self
            .pending
            .iter()
            .filter(|pending| pending.is_ready(now, &self.log) && pending.summary().is_none())
            .flat_map(|pending| living(tree, &pending.path.value))
            .collect();
        for id in unnamed {
            self.look(tree, id, now);
        }
    }

    /// Takes out the kills that have all their victims or have waited long enough.
    pub(super) fn ready(&mut self, tree: &mut Tree, now: Instant) -> Vec<OomKill> {
        let mut ready = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            if !pending.is_ready(now, &self.log) {
                self.pending.push(pending);
                continue;
            }
            let fired = self.fired(tree, &pending, now);
            let group = self.group(tree, &pending, fired.as_ref());
            if self.awaits_members(tree, &pending, group, now) {
                self.pending.push(pending);
            } else {
                ready.push((pending, fired, group));
            }
        }
        ready
            .into_iter()
            .map(|(pending, fired, group)| {
                let missing = pending.kills.saturating_sub(pending.told.len() as u64);
                if missing > 0 && self.victims_told {
                    let owed = self
                        .owed
                        .entry(Arc::clone(&pending.path.value))
                        .or_insert((0, now));
                    *owed = (owed.0 + missing, now);
                }
                tell(tree, pending, fired, group)
            })
            .collect()
    }

    /// Whether somebody of a group that is killed is still there: on a busy machine, the next one's turn may come late.
    fn awaits_members(
        &mut self,
        tree: &mut Tree,
        pending: &Pending,
        group: Option<Fact<bool>>,
        now: Instant,
    ) -> bool {
        if now >= pending.until {
            return false;
        }
        if !self.log.is_group(&pending.path.value) {
            // The kernel says so only after it has told of the first one.
            return self.log_readable && group.is_some_and(|group| group.value);
        }
        let Some((node, reader)) = tree.node_mut(pending.cgroup) else {
            return false;
        };
        read_procs(node, reader, &mut self.pids) && !self.pids.is_empty()
    }

    /// Whether the victims were killed as a group: where any cgroup from theirs up to the one that ran out
    /// wants it so.
    fn group(
        &self,
        tree: &mut Tree,
        pending: &Pending,
        fired: Option<&Fact<Fired>>,
    ) -> Option<Fact<bool>> {
        if self.log.is_group(&pending.path.value) {
            return Some(Fact::new(true, Means::KernelLog));
        }
        let Fired::Cgroup { path: top, .. } = &fired?.value else {
            return None;
        };
        tree.by_path(&pending.path.value)?;
        let up: Vec<CgroupId> = living(tree, &pending.path.value).collect();
        for id in up {
            let (node, reader) = tree.node_mut(id)?;
            let path = Arc::clone(&node.path);
            let wants = |text: &[u8]| Ok(text.trim_ascii() == b"1");
            match node.handle.get(reader, File::MemoryOomGroup, wants) {
                Ok(Reading::Value(true)) => return Some(Fact::new(true, Means::Seen)),
                Ok(Reading::Value(false)) if path == *top => {
                    return Some(Fact::new(false, Means::Seen));
                }
                Ok(Reading::Value(false)) => {}
                _ => return None,
            }
        }
        None
    }

    /// What ran out, and how that is known.
    fn fired(&self, tree: &mut Tree, pending: &Pending, now: Instant) -> Option<Fact<Fired>> {
        // The log is rate-limited; the `oom` counter of the cgroup that ran out is not.
        let counted = || {
            let ran_out = |id: &CgroupId| {
                let node = tree.node(*id)?;
                let at = node.counters.ran_out_at?;
                (now.duration_since(at) < RAN_OUT_WITHIN).then(|| Arc::clone(&node.path))
            };
            let path = living(tree, &pending.path.value).find_map(|id| ran_out(&id))?;
            Some(Fact::new(Fired::Cgroup { path, max: None }, Means::Counter))
        };
        let mut fired = oom::fired(&pending.told).or_else(counted)?;
        if let Fired::Cgroup { path, max } = &mut fired.value {
            *max = self.memory_max(tree, pending, path).or(*max);
        }
        Some(fired)
    }

    /// The `memory.max` of a cgroup, also of one that is gone.
    fn memory_max(
        &self,
        tree: &mut Tree,
        pending: &Pending,
        path: &Arc<str>,
    ) -> Option<Limit<Bytes>> {
        if let Some((node, reader)) = tree.by_path(path).and_then(|id| tree.node_mut(id)) {
            let max = |text: &[u8]| Limit::parse(text, "memory.max");
            if let Ok(Reading::Value(limit)) = node.handle.get(reader, File::MemoryMax, max) {
                return Some(limit);
            }
        }
        pending
            .memory_max
            .filter(|_| *path == pending.path.value)
            .or_else(|| self.last_removed(|gone| gone.path == *path)?.memory_max)
    }
}

fn tell(
    tree: &Tree,
    mut pending: Pending,
    fired: Option<Fact<Fired>>,
    group: Option<Fact<bool>>,
) -> OomKill {
    // The chosen one comes first; of a group, another one's mark may have been read before.
    pending.told.sort_by_key(|kill| kill.summary.is_none());
    let exhausted = oom::exhausted(&pending.told, &pending.path.value);
    OomKill {
        time: pending.time,
        logged_at: pending.told.iter().find_map(Told::told_at),
        cgroup: pending.cgroup,
        group,
        fired,
        kills: pending.kills,
        total: tree
            .node(pending.cgroup)
            .filter(|node| node.path == pending.path.value)
            .and_then(|node| node.counters.hierarchical().value().copied())
            .map(|events| events.kills()),
        victims: pending.told.iter().filter_map(Told::victim).collect(),
        memory_stat: exhausted.and_then(|cgroup| Some(Fact::new(cgroup.stat?, Means::KernelLog))),
        choice: oom::choice(&pending.told),
        path: pending.path,
    }
}
