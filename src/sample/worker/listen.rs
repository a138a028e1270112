//! Between two sweeps: orders, notifications, the kernel log and the tracepoints.

use std::ffi::OsStr;
use std::time::Instant;

use super::Worker;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::Reading;
use crate::kernel::watch::{Change, Watcher};
use crate::sample::Event;
use crate::sample::tree::Tree;

impl Worker {
    /// Takes in all that has come: orders, notifications, what is told of kills.
    pub(super) fn listen(&mut self, tree: &mut Tree) {
        let now = Instant::now();
        self.take_orders(now);
        // First the tree, so that what the log names is known.
        let changes = match tree.watcher.as_ref().map(Watcher::changes) {
            Some(Ok(changes)) => changes,
            Some(Err(_)) => vec![Change::Overflow],
            None => Vec::new(),
        };
        let mut populated = Vec::new();
        for change in changes {
            match change {
                Change::Created(watch, name) => {
                    if let Some(parent) = tree.by_watch(watch) {
                        self.look_at_child(tree, parent, &name, now);
                        // Else a kill in it would be taken for one in whoever went before.
                        if let Some(path) = tree.missed_child(parent, &name) {
                            self.oom.missed(path, now);
                        }
                    }
                }
                Change::Removed(watch, name) => {
                    if let Some(parent) = tree.by_watch(watch) {
                        self.look_at_child(tree, parent, &name, now);
                    }
                }
                Change::File(watch, name) => {
                    if let Some(id) = tree.by_watch(watch) {
                        self.file_changed(tree, id, &name, now, &mut populated);
                    }
                }
                Change::Overflow => {
                    self.notice("notifications were lost; looking at every cgroup".to_owned());
                    self.look_everywhere(tree, now);
                }
            }
        }
        // The first moment to learn which pids a new workload has inside.
        for id in populated {
            self.oom.remember_processes(tree, id, now);
        }
        self.take_removed(tree, now);
        for text in self.sources.read(&mut self.oom, tree, now) {
            self.notice(text);
        }
        self.rely_on_sources();
        for kill in self.oom.settle(tree, now) {
            let _ = self.events.send(Event::OomKill(Box::new(kill)));
        }
        self.take_removed(tree, now);
        for text in std::mem::take(&mut tree.notices) {
            self.notice(text);
        }
    }

    fn look_at_child(&mut self, tree: &mut Tree, parent: CgroupId, name: &OsStr, now: Instant) {
        if tree.look_at_child(parent, name) {
            self.timing.want_early(now);
        }
    }

    fn take_orders(&mut self, now: Instant) {
        self.control.waker.clear();
        let orders = self.control.orders();
        if orders.interest != self.orders.interest {
            self.timing.want_early(now);
        }
        self.orders = orders;
    }

    fn file_changed(
        &mut self,
        tree: &mut Tree,
        id: CgroupId,
        name: &OsStr,
        now: Instant,
        populated: &mut Vec<CgroupId>,
    ) {
        match name.as_encoded_bytes() {
            b"memory.events" | b"memory.events.local" => self.oom.touch(id),
            b"cgroup.subtree_control" => {
                tree.controllers_changed(id);
                self.timing.want_early(now);
            }
            b"cgroup.events" => {
                if let Some((node, _)) = tree.node_mut(id) {
                    node.due.cgroup_events = true;
                    // Whoever came first is about to start others.
                    node.pids_seen = Reading::NotAvailable;
                    populated.push(id);
                    self.timing.want_early(now);
                }
            }
            b"cgroup.pressure" => {
                if let Some((node, reader)) = tree.node_mut(id) {
                    node.look_for_files(reader);
                    self.timing.want_early(now);
                }
            }
            b"pids.events" => {
                if let Some((node, _)) = tree.node_mut(id) {
                    node.due.pids_events = true;
                }
            }
            b"cpu.max" | b"cpu.weight" | b"cpuset.cpus" | b"memory.max" | b"memory.high"
            | b"memory.swap.max" | b"io.max" | b"pids.max" => {
                if let Some((node, _)) = tree.node_mut(id) {
                    node.due.limits = true;
                    self.timing.want_early(now);
                }
            }
            _ => {}
        }
    }

    fn look_everywhere(&mut self, tree: &mut Tree, now: Instant) {
        for &id in &*tree.order() {
            tree.reconcile(id);
            if let Some((node, reader)) = tree.node_mut(id) {
                node.look_for_files(reader);
                self.oom.touch(id);
            }
        }
        self.timing.want_early(now);
    }

    /// Takes note of the cgroups that are gone.
    pub(super) fn take_removed(&mut self, tree: &mut Tree, now: Instant) {
        for id in std::mem::take(&mut tree.removed) {
            let last = self
                .previous
                .as_ref()
                .and_then(|previous| previous.cgroup(id));
            self.oom.cgroup_removed(tree, id, last, now);
            self.timing.want_early(now);
        }
    }
}
