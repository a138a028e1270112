//! Kills in cgroups that were gone before their own counter was read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{GRACE, Grave, Oom};
use crate::kernel::cgroup::CgroupId;
use crate::oom::{Fact, Means};
use crate::sample::tree::{Life, Tree};

/// Longer ago than this, a dead cgroup has nothing to do with a kill that is counted now.
const DIED_WITHIN: Duration = Duration::from_secs(5);

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
            while unexplained(tree, id) > 0 && self.blame_the_dead(tree, id, since, now) {}
            if unexplained(tree, id) == 0 {
                self.unexplained.remove(&id);
            }
        }
    }

    /// Finds a vanished cgroup below `id` for kills that only `id` counted. Says whether it found one.
    fn blame_the_dead(
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
            let grave = self.grave(|grave| grave.path == path.value);
            let (cgroup, max) = grave.map_or((id, None), |grave| (grave.cgroup, grave.memory_max));
            self.count(tree, cgroup, path, max, id, 1, now);
            self.join();
            return true;
        }
        // Its end may not have been noticed yet.
        if now < since + GRACE {
            return false;
        }
        let explained_at = node.counters.explained_at;
        let recent = |grave: &Grave| {
            grave.path.starts_with(&prefix)
                && grave.step > explained_at
                && now.duration_since(grave.died) < DIED_WITHIN
        };
        let (cgroup, path, max) = self.grave(recent).map_or((id, own_path, None), |grave| {
            (grave.cgroup, grave.path, grave.memory_max)
        });
        let kills = unexplained(tree, id);
        let path = Fact::new(path, Means::Inferred);
        self.count(tree, cgroup, path, max, id, kills, now);
        true
    }

    /// The last that died and fits.
    pub(super) fn grave(&self, fits: impl Fn(&Grave) -> bool) -> Option<Grave> {
        self.graves.iter().rev().find(|grave| fits(grave)).cloned()
    }
}

fn unexplained(tree: &Tree, id: CgroupId) -> u64 {
    tree.node(id)
        .filter(|node| node.life == Life::Alive)
        .map_or(0, |node| node.counters.unexplained())
}
