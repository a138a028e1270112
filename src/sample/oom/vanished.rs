//! Kills in cgroups that were gone before their own counter was read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{GRACE, Oom, RemovedCgroup};
use crate::kernel::cgroup::CgroupId;
use crate::oom::{Fact, Means};
use crate::sample::tree::{Life, Tree};

/// Longer ago than this, a removed cgroup has nothing to do with a kill that is counted now.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

impl Oom {
    /// Finds cgroups for kills that only an ancestor counted.
    pub(super) fn explain(&mut self, tree: &mut Tree, now: Instant) {
        let mut above: Vec<_> = self
            .unexplained
            .iter()
            .map(|(id, since)| (*id, *since))
            .collect();
        // The deepest first: what it explains, its ancestors need not.
        above.sort_by_key(|(id, _)| std::cmp::Reverse(tree.node(*id).map_or(0, |node| node.depth)));
        for (id, since) in above {
            if unexplained(tree, id) > 0 {
                // A notification of the cgroup itself may be late or lost.
                for below in tree.subtree(id) {
                    self.look(tree, below, now);
                }
            }
            while unexplained(tree, id) > 0 && self.blame_removed(tree, id, since, now) {}
            if unexplained(tree, id) == 0 {
                self.unexplained.remove(&id);
            }
        }
    }

    /// Finds a vanished cgroup below `id` for kills that only `id` counted. Says whether it found one.
    fn blame_removed(
        &mut self,
        tree: &mut Tree,
        id: CgroupId,
        since: Instant,
        now: Instant,
    ) -> bool {
        let Some(node) = tree.node(id) else {
            return false;
        };
        let prefix = format!("{}/", node.path.trim_end_matches('/'));
        let own_path = Arc::clone(&node.path);
        // What is told of its victim names it, whether it was ever seen or not.
        let named = self.log.kills.iter().find_map(|kill| {
            let path = kill
                .path
                .as_ref()
                .filter(|path| path.starts_with(&prefix))?;
            let taken = self.pending.iter().any(|pending| {
                pending.told.len() as u64 == pending.kills && pending.path.value == *path
            });
            (kill.is_named() && tree.by_path(path).is_none() && !taken)
                .then(|| Fact::new(Arc::clone(path), kill.means()))
        });
        if let Some(path) = named {
            let gone = self.last_removed(|gone| gone.path == path.value);
            let (cgroup, max) = gone.map_or((id, None), |gone| (gone.cgroup, gone.memory_max));
            self.count(tree, cgroup, path, max, id, 1, now);
            self.join();
            return true;
        }
        // Its end may not have been noticed yet.
        if now < since + GRACE {
            return false;
        }
        let explained_at = node.counters.explained_at;
        let recent = |gone: &RemovedCgroup| {
            gone.path.starts_with(&prefix)
                && gone.step > explained_at
                && now.duration_since(gone.at) < REMOVED_WITHIN
        };
        let (cgroup, path, max) = self
            .last_removed(recent)
            .map_or((id, own_path, None), |gone| {
                (gone.cgroup, gone.path, gone.memory_max)
            });
        let kills = unexplained(tree, id);
        let path = Fact::new(path, Means::Inferred);
        self.count(tree, cgroup, path, max, id, kills, now);
        true
    }

    /// The last cgroup that was removed and fits.
    pub(super) fn last_removed(
        &self,
        fits: impl Fn(&RemovedCgroup) -> bool,
    ) -> Option<RemovedCgroup> {
        self.removed.iter().rev().find(|gone| fits(gone)).cloned()
    }
}

fn unexplained(tree: &Tree, id: CgroupId) -> u64 {
    tree.node(id)
        .filter(|node| node.life == Life::Alive)
        .map_or(0, |node| node.counters.unexplained())
}
