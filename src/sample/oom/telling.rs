//! Joining counted kills with what the log says, and telling them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::Told;
use super::{Oom, Pending, living, read_procs};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::File;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::sample::tree::Tree;
use crate::sample::{Fact, Fired, Means, OomKill};

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
            if pending.is_ready(now, &self.log) && !self.awaits_members(tree, &pending, now) {
                ready.push(pending);
            } else {
                self.pending.push(pending);
            }
        }
        ready
            .into_iter()
            .map(|pending| {
                let missing = pending.kills.saturating_sub(pending.told.len() as u64);
                if missing > 0 && self.victims_told {
                    let owed = self
                        .owed
                        .entry(Arc::clone(&pending.path.value))
                        .or_insert((0, now));
                    *owed = (owed.0 + missing, now);
                }
                self.tell(tree, pending, now)
            })
            .collect()
    }

    /// Whether somebody of a group that is killed is still there: on a busy machine, the next one's turn may come late.
    fn awaits_members(&mut self, tree: &mut Tree, pending: &Pending, now: Instant) -> bool {
        if now >= pending.until || !self.log.is_group(&pending.path.value) {
            return false;
        }
        let Some((node, reader)) = tree.node_mut(pending.cgroup) else {
            return false;
        };
        read_procs(node, reader, &mut self.pids) && !self.pids.is_empty()
    }

    fn tell(&self, tree: &mut Tree, mut pending: Pending, now: Instant) -> OomKill {
        // The chosen one comes first; of a group, another one's mark may have been read before.
        pending.told.sort_by_key(|kill| kill.summary.is_none());
        let fired = self.fired(tree, &pending, now);
        let dump = pending.dump(&pending.path.value);
        OomKill {
            time: pending.time,
            logged_at: pending.told.iter().find_map(Told::told_at),
            cgroup: pending.cgroup,
            group: self.group(tree, &pending, fired.as_ref()),
            fired,
            kills: pending.kills,
            total: tree
                .node(pending.cgroup)
                .filter(|node| node.path == pending.path.value)
                .and_then(|node| node.counters.hierarchical().value().copied())
                .map(|events| events.kills()),
            victims: pending.told.iter().filter_map(Told::victim).collect(),
            memory_stat: dump.map(|dump| Fact::new(dump.stat, Means::KernelLog)),
            path: pending.path,
        }
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
        let host = Some(Fact::new(Fired::Host, Means::KernelLog));
        let whole_host = pending
            .told
            .iter()
            .filter_map(|kill| kill.verdict.as_ref())
            .any(|verdict| !verdict.memcg);
        let (path, from): (Arc<str>, Means) = match pending.summary() {
            Some(summary) => match summary.oom_memcg.as_deref() {
                Some(path) => (path.into(), Means::KernelLog),
                None => return host,
            },
            None if whole_host => return host,
            // The log is rate-limited; the `oom` counter of the cgroup that ran out is not.
            None => {
                let ran_out = |id: &CgroupId| {
                    let node = tree.node(*id)?;
                    let at = node.counters.ran_out_at?;
                    (now.duration_since(at) < RAN_OUT_WITHIN).then(|| Arc::clone(&node.path))
                };
                let path = living(tree, &pending.path.value).find_map(|id| ran_out(&id))?;
                (path, Means::Counter)
            }
        };
        let max = self.memory_max(tree, pending, &path);
        Some(Fact::new(Fired::Cgroup { path, max }, from))
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
            .or_else(|| self.grave(|grave| grave.path == *path)?.memory_max)
            .or_else(|| pending.dump(path)?.limit.map(Limit::At))
    }
}
