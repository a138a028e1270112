//! The living tree: every cgroup's handle, kept in step with the kernel's by its notifications.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::budget::Budget;
use crate::kernel::cgroup::file::File;
use crate::kernel::cgroup::handle::{Handle, Reader};
use crate::kernel::error::{Error, Result};
use crate::kernel::unit::Reading;
use crate::kernel::watch::{WatchDescriptor, Watcher};
use crate::oom::Counters;

/// One cgroup of the tree.
#[derive(Debug)]
pub(super) struct Node {
    pub handle: Handle,
    pub parent: Option<CgroupId>,
    pub path: Arc<str>,
    pub depth: usize,
    /// By name, then identity: a removed child may share its name with its successor.
    children: BTreeSet<(OsString, CgroupId)>,
    watch: Option<WatchDescriptor>,
    pub life: Life,
    /// Its place in the previous sample.
    pub row: Option<usize>,
    pub due: Due,
    pub counters: Counters,
    /// Whether its own `memory.max` or an ancestor's is a limit.
    pub bound: bool,
    /// `pids.current` when its processes were last asked for.
    pub pids_seen: Reading<u64>,
}

/// A cgroup leaves in two steps, so that exactly one sample shows that it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// Gone, and no sample has said so yet.
    Removed,
    /// Gone, and a sample said so.
    Shown,
}

/// What has to be read again although it is not read at every sweep.
#[derive(Debug)]
pub(super) struct Due {
    pub limits: bool,
    pub cgroup_events: bool,
    pub pids_events: bool,
    pub limits_at: Instant,
    pub reconcile_at: Instant,
}

#[derive(Debug)]
pub(super) struct Tree {
    pub reader: Reader,
    pub watcher: Option<Watcher>,
    pub root: CgroupId,
    /// The names on the way from the root to what is looked at.
    target: Vec<OsString>,
    /// Boxed, as a map has room for twice as many.
    nodes: HashMap<CgroupId, Box<Node>>,
    by_watch: HashMap<WatchDescriptor, CgroupId>,
    by_path: HashMap<Arc<str>, CgroupId>,
    /// Depth first by name; `None` after a change.
    order: Option<Arc<[CgroupId]>>,
    /// The removed ones that nobody has taken note of yet.
    pub removed: Vec<CgroupId>,
    /// What the user should know, once.
    pub notices: Vec<String>,
    is_watch_limit_said: bool,
}

impl Tree {
    /// Opens the v2 mount `root` and everything below it, or below it along `target` only: the cgroups
    /// on the way to the target are there for their limits, their other children are not looked at.
    /// The target may come later.
    pub fn open(root: &Path, target: &Path) -> Result<Self> {
        let mut reader = Reader::open(root, Budget::raise())?;
        let handle = Handle::root(&mut reader).map_err(|errno| Error::new("open", root, errno))?;
        // Where a cgroup file system was unmounted, an empty directory is left.
        if handle.is_gone(&reader) {
            return Err(Error::new("find a cgroup at", root, Errno::ENOENT));
        }
        let mut notices = Vec::new();
        let watcher = Watcher::new()
            .map_err(|errno| {
                notices.push(format!(
                    "changes are found by looking only, later than they happen: inotify: {errno} \
                     (fs.inotify.max_user_instances may be too low)"
                ));
            })
            .ok();
        let id = handle.id();
        let mut tree = Self {
            reader,
            watcher,
            root: id,
            target: target.iter().map(OsStr::to_owned).collect(),
            nodes: HashMap::new(),
            by_watch: HashMap::new(),
            by_path: HashMap::new(),
            order: None,
            removed: Vec::new(),
            notices,
            is_watch_limit_said: false,
        };
        tree.insert(handle, None, "/".into(), OsString::new(), false);
        tree.add_below(id, false);
        Ok(tree)
    }

    /// Whether all children of this cgroup are looked at; above the target only one is.
    pub fn is_whole(&self, node: &Node) -> bool {
        node.depth >= self.target.len()
    }

    /// Whether a cgroup of this path is, or would be, the target or below it.
    pub fn is_target(&self, path: &str) -> bool {
        let names = Path::new(path).iter().skip(1);
        // With `..` the kernel shows what is outside of one's own cgroup namespace.
        let is_outside = names.clone().any(|name| name == "..");
        !is_outside && names.take(self.target.len()).eq(&self.target)
    }

    fn wants_child(&self, parent: &Node, name: &OsStr) -> bool {
        self.target
            .get(parent.depth)
            .is_none_or(|wanted| wanted == name)
    }

    pub fn node(&self, id: CgroupId) -> Option<&Node> {
        self.nodes.get(&id).map(Box::as_ref)
    }

    /// A node and the reader its handle needs.
    pub fn node_mut(&mut self, id: CgroupId) -> Option<(&mut Node, &mut Reader)> {
        let node = self.nodes.get_mut(&id)?;
        Some((node, &mut self.reader))
    }

    /// The living cgroup of this path.
    pub fn by_path(&self, path: &str) -> Option<CgroupId> {
        self.by_path.get(path).copied()
    }

    pub fn by_watch(&self, watch: WatchDescriptor) -> Option<CgroupId> {
        self.by_watch.get(&watch).copied()
    }

    /// This cgroup and its ancestors, itself first.
    pub fn lineage(&self, id: CgroupId) -> impl Iterator<Item = CgroupId> + '_ {
        std::iter::successors(Some(id), |id| self.nodes.get(id)?.parent)
    }

    /// The cgroup and all below it, the removed ones included, depth first.
    pub fn subtree(&self, id: CgroupId) -> Vec<CgroupId> {
        let mut order = Vec::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if let Some(node) = self.nodes.get(&id) {
                order.push(id);
                stack.extend(node.children.iter().rev().map(|(_, child)| *child));
            }
        }
        order
    }

    /// Everything, parents before children, siblings by name.
    pub fn order(&mut self) -> Arc<[CgroupId]> {
        if let Some(order) = &self.order {
            return Arc::clone(order);
        }
        let order: Arc<[CgroupId]> = self.subtree(self.root).into();
        self.order = Some(Arc::clone(&order));
        order
    }

    /// Something happened to the child of this name: compares what is known with what is there.
    /// Says whether anything changed.
    pub fn look_at_child(&mut self, parent: CgroupId, name: &OsStr) -> bool {
        let Some(node) = self.nodes.get(&parent) else {
            return false;
        };
        if !self.wants_child(node, name) {
            return false;
        }
        let now = node.handle.child_id(&self.reader, name);
        let known = self.living_child(node, name);
        if now == known {
            return false;
        }
        if let Some(known) = known {
            self.mark_removed(known);
        }
        if now.is_some() {
            self.add(parent, name, true);
        }
        true
    }

    /// The path of a child that was made, and gone before anybody looked; `None` where one of this name is known or there.
    pub fn missed_child(&self, parent: CgroupId, name: &OsStr) -> Option<Arc<str>> {
        let node = self.nodes.get(&parent)?;
        let mut known = node.children.range((name.to_owned(), CgroupId(0))..);
        let is_known = known.next().is_some_and(|(of, _)| of == name);
        let is_missed = !is_known
            && self.wants_child(node, name)
            && node.handle.child_id(&self.reader, name).is_none();
        is_missed.then(|| node.child_path(name))
    }

    fn living_child(&self, node: &Node, name: &OsStr) -> Option<CgroupId> {
        node.children
            .range((name.to_owned(), CgroupId(0))..)
            .take_while(|(of, _)| of == name)
            .map(|(_, id)| *id)
            .find(|id| {
                self.nodes
                    .get(id)
                    .is_some_and(|child| child.life == Life::Alive)
            })
    }

    /// Compares all children with what is there: notifications may have been lost. Says whether
    /// anything changed.
    pub fn reconcile(&mut self, id: CgroupId) -> bool {
        let Some(node) = self.nodes.get(&id) else {
            return false;
        };
        let Ok(mut names) = node.handle.children(&self.reader) else {
            return false;
        };
        // Those that are known and gone have to be looked at as well.
        names.extend(node.children.iter().map(|(name, _)| name.clone()));
        names.sort_unstable();
        names.dedup();
        let mut changed = false;
        for name in names {
            changed |= self.look_at_child(id, &name);
        }
        changed
    }

    /// Whether nobody tells about the children of this cgroup, and their number is not what is known.
    pub fn must_poll(&self, node: &Node) -> bool {
        node.watch.is_none()
            && node.handle.child_count(&self.reader).is_ok_and(|count| {
                let living = node.children.iter().filter(|(_, id)| {
                    self.nodes
                        .get(id)
                        .is_some_and(|child| child.life == Life::Alive)
                });
                usize::try_from(count) != Ok(living.count())
            })
    }

    /// A controller came or went for the children of this cgroup.
    pub fn controllers_changed(&mut self, id: CgroupId) {
        let children: Vec<_> = self.nodes.get(&id).map_or_else(Vec::new, |node| {
            node.children.iter().map(|(_, child)| *child).collect()
        });
        for child in children {
            if let Some((node, reader)) = self.node_mut(child) {
                node.look_for_files(reader);
            }
        }
    }

    /// Opens a child and everything below it. A child that is gone again is no error.
    fn add(&mut self, parent: CgroupId, name: &OsStr, fresh: bool) {
        let Some(node) = self.nodes.get(&parent) else {
            return;
        };
        if !self.wants_child(node, name) {
            return;
        }
        let Ok(handle) = node.handle.child(&mut self.reader, name) else {
            return;
        };
        let id = handle.id();
        if self.nodes.contains_key(&id) {
            handle.close(&mut self.reader);
            return;
        }
        let path = node.child_path(name);
        self.insert(handle, Some(parent), path, name.to_owned(), fresh);
        self.add_below(id, fresh);
    }

    /// Opens everything below a cgroup that was just inserted. The watch comes before the list, so a
    /// child made in between is seen by one or the other.
    fn add_below(&mut self, id: CgroupId, fresh: bool) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        for name in node.handle.children(&self.reader).unwrap_or_default() {
            self.add(id, &name, fresh);
        }
    }

    fn insert(
        &mut self,
        mut handle: Handle,
        parent: Option<CgroupId>,
        path: Arc<str>,
        name: OsString,
        fresh: bool,
    ) {
        let id = handle.id();
        handle.keep_notifying(&mut self.reader);
        let watch = self.watch(&handle);
        if let Some(watch) = watch {
            self.by_watch.insert(watch, id);
        }
        let mut depth = 0;
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.insert((name, id));
            depth = parent.depth + 1;
        }
        self.by_path.insert(Arc::clone(&path), id);
        self.nodes.insert(
            id,
            Box::new(Node {
                handle,
                parent,
                path,
                depth,
                children: BTreeSet::new(),
                watch,
                life: Life::Alive,
                row: None,
                due: Due::at_once(id),
                counters: Counters::new(fresh),
                bound: false,
                pids_seen: Reading::NotAvailable,
            }),
        );
        self.order = None;
    }

    fn watch(&mut self, handle: &Handle) -> Option<WatchDescriptor> {
        let watcher = self.watcher.as_ref()?;
        let most = self.reader.budget.watches;
        if self.by_watch.len() >= most {
            self.say_watch_limit(&format!(
                "more than {most} cgroups, too many to watch them all"
            ));
            return None;
        }
        match handle
            .with_path(&self.reader, |path| watcher.add(path))
            .ok()?
        {
            Ok(watch) => Some(watch),
            Err(Errno::ENOSPC) => {
                self.say_watch_limit("no more inotify watches (fs.inotify.max_user_watches)");
                None
            }
            Err(_) => None,
        }
    }

    fn say_watch_limit(&mut self, reason: &str) {
        if !self.is_watch_limit_said {
            self.is_watch_limit_said = true;
            let text = format!("{reason}: some cgroups are only looked at once per interval");
            self.notices.push(text);
        }
    }

    /// Takes note that a cgroup is gone, and with it all that was below it.
    pub fn mark_removed(&mut self, id: CgroupId) {
        for id in self.subtree(id) {
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            if node.life != Life::Alive {
                continue;
            }
            node.life = Life::Removed;
            self.removed.push(id);
            if self.by_path.get(&node.path) == Some(&id) {
                self.by_path.remove(&node.path);
            }
            if let Some(watch) = node.watch.take() {
                self.by_watch.remove(&watch);
                if let Some(watcher) = &self.watcher {
                    watcher.remove(watch);
                }
            }
        }
    }

    /// Forgets the removed ones that a sample has shown. Says which.
    pub fn forget_shown(&mut self, shown: &[CgroupId]) {
        for &id in shown {
            if self
                .nodes
                .get(&id)
                .is_none_or(|node| node.life != Life::Shown)
            {
                continue;
            }
            let Some(node) = self.nodes.remove(&id) else {
                continue;
            };
            if let Some(parent) = node.parent.and_then(|parent| self.nodes.get_mut(&parent)) {
                parent.children.retain(|(_, child)| *child != id);
            }
            node.handle.close(&mut self.reader);
            self.order = None;
        }
    }
}

impl Node {
    /// The path of its child of this name. Foreign text.
    fn child_path(&self, name: &OsStr) -> Arc<str> {
        let path = self.path.trim_end_matches('/');
        format!("{path}/{}", name.to_string_lossy()).into()
    }

    /// Looks again for files that were not there.
    pub fn look_for_files(&mut self, reader: &mut Reader) {
        self.handle.forget_absent();
        self.handle.keep_notifying(reader);
        self.due.limits = true;
    }

    /// Whether the kernel tells when `cgroup.events` changes.
    pub fn is_notified(&self) -> bool {
        self.watch.is_some() && self.handle.keeps(File::CgroupEvents)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn beyond_the_budget_of_watches_children_are_found_by_looking() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), "").unwrap();
        };
        make("");
        let mut tree = Tree::open(root.path(), Path::new("")).unwrap();
        tree.reader.budget.watches = 2;
        for name in ["a", "b", "c"] {
            make(name);
            assert!(tree.look_at_child(tree.root, OsStr::new(name)));
        }
        let [a, b, c] = ["/a", "/b", "/c"].map(|path| tree.by_path(path).unwrap());
        let is_watched = |tree: &Tree, id| tree.node(id).unwrap().watch.is_some();
        assert_eq!(
            [a, b, c].map(|id| is_watched(&tree, id)),
            [true, false, false]
        );
        // It is said once.
        assert_eq!(tree.notices.len(), 1, "{:?}", tree.notices);
        assert!(tree.notices[0].contains("more than 2 cgroups"));
        make("c/below");
        assert!(tree.must_poll(tree.node(c).unwrap()));
        assert!(tree.reconcile(c) && tree.by_path("/c/below").is_some());
        // Who came and went in between has a path only.
        let missed = |name: &str| tree.missed_child(tree.root, OsStr::new(name));
        assert_eq!(missed("e").as_deref(), Some("/e"));
        assert_eq!(missed("a"), None);
        // What goes leaves its watch to the next.
        tree.mark_removed(a);
        make("d");
        assert!(tree.look_at_child(tree.root, OsStr::new("d")));
        assert!(is_watched(&tree, tree.by_path("/d").unwrap()));
    }
}
