//! One sweep: every cgroup in turn, and the host.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Worker;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::read_words;
use crate::kernel::host;
use crate::kernel::unit::{Limit, Reading};
use crate::sample::sweep::{Sweep, vanished};
use crate::sample::tree::{Life, Tree};
use crate::sample::{CgroupSample, HostSample, Sample};

/// Between two looks at the notifications during a sweep, in cgroups.
const LISTEN_EVERY: usize = 64;

/// How often the processes of a cgroup below a memory limit are asked for although their number stays.
const LEARN_EVERY: Duration = Duration::from_secs(5);

impl Worker {
    /// Reads everything and publishes it.
    pub(super) fn sweep(&mut self, tree: &mut Tree) {
        let started = Instant::now();
        let (time, since_boot) = (SystemTime::now(), host::since_boot());
        let host = self.host();
        self.timing.early = None;
        self.tasks.begin();
        self.reconcile(tree, started);
        let previous = self.previous.clone();
        let order = tree.order();
        let mut rows = Vec::with_capacity(order.len());
        let mut shown = Vec::new();
        for (n, &id) in order.iter().enumerate() {
            if n % LISTEN_EVERY == LISTEN_EVERY - 1 {
                self.listen(tree);
            }
            self.oom.look(tree, id, Instant::now());
            if let Some(row) = self.read(tree, id, rows.len(), previous.as_deref(), started) {
                if tree.node(id).is_none_or(|node| node.life != Life::Alive) {
                    shown.push(id);
                } else {
                    self.learn_pids(tree, &row);
                }
                rows.push(row);
            }
        }
        self.take_removed(tree, Instant::now());
        tree.forget_shown(&shown);
        self.namer.name(&mut rows);
        if let Some(text) = self.stalls.follow(tree, &rows, started) {
            self.notice(text);
        }
        let sample = Arc::new(Sample {
            time,
            since_boot,
            host,
            cgroups: rows,
        });
        self.previous = Some(Arc::clone(&sample));
        self.samples.send_replace(Some(sample));
        self.timing.started = Some(started);
        self.timing.took = started.elapsed();
    }

    /// Reads one cgroup into the row `at`.
    fn read(
        &mut self,
        tree: &mut Tree,
        id: CgroupId,
        at: usize,
        previous: Option<&Sample>,
        now: Instant,
    ) -> Option<Arc<CgroupSample>> {
        let (node, reader) = tree.node_mut(id)?;
        let last = node
            .row
            .replace(at)
            .and_then(|row| previous?.cgroups.get(row))
            .filter(|last| last.id == id);
        if node.life == Life::Alive {
            let mut sweep = Sweep {
                now,
                interest: &self.orders.interest,
                tasks: &mut self.tasks,
                pids: &mut self.pids,
            };
            if let Ok(row) = sweep.read(node, reader, last.map(Arc::as_ref)) {
                let same = last.filter(|last| ***last == row);
                return Some(same.map_or_else(|| Arc::new(row), Arc::clone));
            }
            tree.mark_removed(id);
        }
        let (node, _) = tree.node_mut(id)?;
        (node.life == Life::Removed).then(|| vanished(node, last.map(Arc::as_ref)).into())
    }

    /// Whoever lives below a memory limit may be killed before we can ask for his inner pid: asks where
    /// processes came or went, and now and then where as many came as went.
    fn learn_pids(&mut self, tree: &mut Tree, row: &CgroupSample) {
        let above = row.parent.and_then(|parent| tree.node(parent));
        let bound = above.is_some_and(|node| node.bound)
            || matches!(row.memory_max, Reading::Value(Limit::At(_)));
        let Some((node, _)) = tree.node_mut(row.id) else {
            return;
        };
        node.bound = bound;
        let moved = node.pids_seen != row.pids_current;
        node.pids_seen = row.pids_current;
        if bound {
            let pause = if moved { Duration::ZERO } else { LEARN_EVERY };
            self.oom
                .remember_own_processes(tree, row.id, pause, Instant::now());
        }
    }

    /// Lists children where that is due, or where nobody tells about them.
    fn reconcile(&mut self, tree: &mut Tree, now: Instant) {
        for &id in &*tree.order() {
            let Some((node, reader)) = tree.node_mut(id) else {
                continue;
            };
            if node.life != Life::Alive {
                continue;
            }
            let due = node.due.take_reconcile(now);
            if due {
                node.look_for_files(reader);
            }
            if due || tree.node(id).is_some_and(|node| tree.must_poll(node)) {
                tree.reconcile(id);
            }
            if due && id == tree.root {
                let path = self.mount.join("cgroup.controllers");
                if let Ok(controllers) = read_words(&path) {
                    self.controllers = controllers.into();
                }
            }
        }
    }

    fn host(&self) -> HostSample {
        let mode = self.options.hierarchy.mode;
        HostSample::read(&self.options.proc, mode, Arc::clone(&self.controllers))
    }
}
