//! OOM kills between two sweeps: the counters say how many and where, the kernel log and the tracepoint say
//! who and why.
//!
//! 1. `memory.events` notifies (its cgroup and every ancestor), or the log or the tracepoint speaks: the
//!    counters of the cgroups concerned are read at once.
//! 2. A local counter that rose is a kill in that very cgroup.
//! 3. A hierarchical counter that rose by more than the local ones below it is a kill in a cgroup that
//!    vanished before it was read: what is told of victims names it, or it is the last one that was removed there.
//! 4. What is told of victims is joined by cgroup path and pid. It may come before or after the counter, so
//!    a kill waits for it, for [`GRACE`] at most, or [`LOG_GRACE`].
//!
//! The counters are the truth: what is told never makes a kill of its own where a counter can be read, so
//! no kill is told twice. The kernel marks victims, too, that were dying anyway: those are no kills.

mod telling;
mod vanished;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::CgroupSample;
use super::tree::{Life, Node, Tree};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::File;
use crate::kernel::cgroup::handle::Reader;
use crate::kernel::kmsg::{OomSummary, Record};
use crate::kernel::task;
use crate::kernel::trace::{Attached, Marked};
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::oom::{Fact, Log, Means, OomKill, Told};

/// How long a kill waits for the tracepoint, and what was told for its counter: microseconds, but for a machine that is
/// busy with other things in between.
const GRACE: Duration = Duration::from_millis(100);
/// How long a kill waits for the kernel log, which names every victim: who is killing may have to wait for its turn
/// between counting and naming.
const LOG_GRACE: Duration = Duration::from_millis(500);
/// How long a group that seems whole waits for more of it.
const GROUP_GRACE: Duration = Duration::from_millis(20);
/// How long removed cgroups are remembered.
const REMEMBER_REMOVED: Duration = Duration::from_mins(1);
/// How long a kill that was told without its victim keeps the victim's late line from counting as another.
const OWED_FOR: Duration = Duration::from_secs(1);

/// The bookkeeping of kills.
#[derive(Debug)]
pub struct Oom {
    log: Log,
    /// Whether anything tells victims; else there is nothing to wait for.
    pub victims_told: bool,
    /// Whether the kernel log can be read: it tells of kills only, of each, and why.
    pub log_readable: bool,
    pending: Vec<Pending>,
    /// Cgroups whose counters must be looked at.
    dirty: BTreeSet<CgroupId>,
    /// Cgroups that counted kills below them that no cgroup was found for yet.
    unexplained: HashMap<CgroupId, Instant>,
    removed: VecDeque<RemovedCgroup>,
    owed: HashMap<Arc<str>, (u64, Instant)>,
    pids: Vec<u32>,
    /// When [`settle`](Self::settle) was last called.
    settled: Option<Instant>,
    /// Counts looks and removals, to know which came first.
    step: u64,
}

/// A counted kill that waits for the log.
#[derive(Debug)]
struct Pending {
    cgroup: CgroupId,
    path: Fact<Arc<str>>,
    kills: u64,
    time: SystemTime,
    /// When it was last counted.
    counted: Instant,
    until: Instant,
    told: Vec<Told>,
    memory_max: Option<Limit<Bytes>>,
}

impl Pending {
    /// Whether it has all its victims or has waited long enough. Of a group, more may follow.
    fn is_ready(&self, now: Instant, log: &Log) -> bool {
        let is_whole = self.told.len() as u64 >= self.kills;
        let is_over = now >= self.counted + GROUP_GRACE || !log.is_group(&self.path.value);
        (is_whole && is_over) || now >= self.until
    }

    fn summary(&self) -> Option<&OomSummary> {
        self.told.iter().find_map(|kill| kill.summary.as_ref())
    }
}

/// Reads who is in a cgroup, and says whether that was to be had.
fn read_procs(node: &mut Node, reader: &mut Reader, pids: &mut Vec<u32>) -> bool {
    let parse = |text: &[u8]| task::parse_procs(text, pids);
    matches!(
        node.handle.get(reader, File::Procs, parse),
        Ok(Reading::Value(()))
    )
}

/// A cgroup that is gone.
#[derive(Debug, Clone)]
struct RemovedCgroup {
    cgroup: CgroupId,
    path: Arc<str>,
    memory_max: Option<Limit<Bytes>>,
    /// When that was noticed.
    at: Instant,
    /// The step at which that was noticed.
    step: u64,
}

impl Oom {
    /// `memory` says whether the v2 hierarchy has the memory controller.
    pub fn new(proc: PathBuf, memory: bool) -> Self {
        Self {
            log: Log::new(proc, memory),
            victims_told: false,
            log_readable: false,
            pending: Vec::new(),
            dirty: BTreeSet::new(),
            unexplained: HashMap::new(),
            removed: VecDeque::new(),
            owed: HashMap::new(),
            pids: Vec::new(),
            settled: None,
            step: 0,
        }
    }

    /// The counters of this cgroup may have changed.
    pub fn touch(&mut self, id: CgroupId) {
        self.dirty.insert(id);
    }

    /// Takes in that records of the kernel log were lost.
    pub fn break_off(&mut self) {
        self.log.break_off();
    }

    /// Takes in a line of the kernel log.
    pub fn hear(&mut self, tree: &Tree, record: &Record<'_>, now: Instant) {
        let kill = self.log.hear(record, now);
        self.dirty.extend(concerned(tree, kill.as_deref()));
    }

    /// Takes in that the tracepoint names a victim.
    pub fn mark(&mut self, tree: &Tree, marked: Marked, now: Instant) {
        let kill = self.log.mark(marked, now);
        self.dirty.extend(concerned(tree, kill.as_deref()));
    }

    /// A process went into a cgroup.
    pub fn attach(&mut self, attached: &Attached, now: Instant) {
        self.log.attach(attached, now);
    }

    /// Remembers a cgroup that is gone. `last` is its row in the last sample.
    pub fn cgroup_removed(
        &mut self,
        tree: &Tree,
        id: CgroupId,
        last: Option<&CgroupSample>,
        now: Instant,
    ) {
        let Some(node) = tree.node(id) else { return };
        let memory_max = last.and_then(|row| row.memory_max.value().copied());
        self.remember(id, Arc::clone(&node.path), memory_max, now);
        self.unexplained.remove(&id);
        // What it counted and nobody read is in its ancestors' counters.
        self.dirty.extend(tree.lineage(id).skip(1));
    }

    /// Remembers a cgroup that was made, and gone before anybody looked.
    pub fn missed(&mut self, path: Arc<str>, now: Instant) {
        self.remember(CgroupId(0), path, None, now);
    }

    fn remember(
        &mut self,
        cgroup: CgroupId,
        path: Arc<str>,
        memory_max: Option<Limit<Bytes>>,
        now: Instant,
    ) {
        self.step += 1;
        self.removed.push_back(RemovedCgroup {
            cgroup,
            path,
            memory_max,
            at: now,
            step: self.step,
        });
        while self
            .removed
            .front()
            .is_some_and(|gone| now.duration_since(gone.at) > REMEMBER_REMOVED)
            || self.removed.len() > 4096
        {
            self.removed.pop_front();
        }
    }

    /// Looks at the counters of one cgroup, as part of a sweep or because of a notification. A cgroup
    /// that is gone is marked as removed.
    pub fn look(&mut self, tree: &mut Tree, id: CgroupId, now: Instant) {
        let Some((node, reader)) = tree.node_mut(id) else {
            return;
        };
        if node.life != Life::Alive {
            return;
        }
        let Ok(look) = node.counters.look(&mut node.handle, reader, now) else {
            tree.mark_removed(id);
            return;
        };
        if look.kills > 0 {
            let path = Arc::clone(&node.path);
            let path = Fact::new(path, Means::Counter);
            self.count(tree, id, path, None, id, look.kills, now);
        }
        if look.at_limit {
            self.remember_processes(tree, id, now);
        }
        self.step += 1;
        let Some((node, _)) = tree.node_mut(id) else {
            return;
        };
        if node.counters.unexplained() == 0 {
            node.counters.explained_at = self.step;
        } else if tree.node(id).is_some_and(|node| tree.is_whole(node)) {
            // Above a target, most cgroups below are not looked at: what they count is no riddle.
            self.unexplained.entry(id).or_insert(now);
        }
    }

    /// A kill was counted in `cgroup`; `from` and its ancestors have it in their hierarchical counters.
    #[expect(clippy::too_many_arguments)]
    fn count(
        &mut self,
        tree: &mut Tree,
        cgroup: CgroupId,
        path: Fact<Arc<str>>,
        memory_max: Option<Limit<Bytes>>,
        from: CgroupId,
        kills: u64,
        now: Instant,
    ) {
        for id in tree.lineage(from).collect::<Vec<_>>() {
            if let Some((node, _)) = tree.node_mut(id) {
                node.counters.attribute(kills);
            }
        }
        let same =
            |pending: &&mut Pending| pending.cgroup == cgroup && pending.path.value == path.value;
        if let Some(pending) = self.pending.iter_mut().find(same) {
            pending.kills += kills;
            pending.counted = now;
            if self.log.is_group(&pending.path.value) {
                pending.until = pending.until.max(now + GRACE);
            }
            return;
        }
        let grace = match (self.log_readable, self.victims_told) {
            (true, _) => LOG_GRACE,
            (false, true) => GRACE,
            (false, false) => Duration::ZERO,
        };
        self.pending.push(Pending {
            cgroup,
            path,
            kills,
            time: SystemTime::now(),
            counted: now,
            until: now + grace,
            told: Vec::new(),
            memory_max,
        });
    }

    /// Before a kill, `memory.events` says that the limit was hit: the moment to learn which pid
    /// everybody below has inside, while they live.
    pub fn remember_processes(&mut self, tree: &mut Tree, id: CgroupId, now: Instant) {
        let below = tree.subtree(id);
        // A large tree at its limit notifies a hundred times a second.
        let pause = Duration::from_millis(if below.len() > 16 { 1000 } else { 5 });
        for id in below {
            self.remember_own_processes(tree, id, pause, now);
        }
    }

    /// The same for the processes of one cgroup, not more often than once per `pause`.
    pub fn remember_own_processes(
        &mut self,
        tree: &mut Tree,
        id: CgroupId,
        pause: Duration,
        now: Instant,
    ) {
        let Some((node, reader)) = tree.node_mut(id) else {
            return;
        };
        let refreshed = &mut node.counters.refreshed_at;
        if node.life != Life::Alive || refreshed.is_some_and(|at| now.duration_since(at) < pause) {
            return;
        }
        *refreshed = Some(now);
        if read_procs(node, reader, &mut self.pids) {
            self.log.remember(&node.path, &self.pids, now);
        }
    }

    /// Looks at everything that was touched, joins counters and log, and tells what is ready.
    pub fn settle(&mut self, tree: &mut Tree, now: Instant) -> Vec<OomKill> {
        self.settled = Some(now);
        self.find_unwatched(tree);
        let mut dirty: Vec<_> = std::mem::take(&mut self.dirty).into_iter().collect();
        // Parents first: see `Counters::look`.
        dirty.sort_by_key(|id| tree.node(*id).map(|node| node.depth));
        for id in dirty {
            self.look(tree, id, now);
        }
        self.find_who_counts(tree);
        self.explain(tree, now);
        self.join();
        self.count_by_log_alone(tree, now);
        self.look_for_limits(tree, now);
        let ready = self.ready(tree, now);
        self.log.forget(now);
        self.owed
            .retain(|_, (_, since)| now.duration_since(*since) < OWED_FOR);
        ready
    }

    /// Looks for the cgroups of victims where no watch tells of new ones: else the log would tell a kill now, and the
    /// cgroup's counter would tell it again once a sweep finds it.
    fn find_unwatched(&mut self, tree: &mut Tree) {
        let unseen = |kill: &Told| {
            let path = kill.path.as_deref()?;
            let nearest = living(tree, path).next()?;
            (tree.by_path(path).is_none() && tree.must_poll(tree.node(nearest)?)).then_some(nearest)
        };
        let above: BTreeSet<CgroupId> = self.log.kills.iter().filter_map(unseen).collect();
        for id in above {
            if tree.reconcile(id) {
                self.dirty.extend(tree.subtree(id));
            }
        }
    }

    /// `/proc` names a victim's cgroup, but the nearest one with the memory controller counts it. Only after a
    /// look is it known which has one.
    fn find_who_counts(&mut self, tree: &Tree) {
        for kill in &mut self.log.kills {
            if kill.summary.is_none()
                && let Some(path) = kill.path.clone()
                && tree.by_path(&path).is_some()
            {
                let mut up = living(tree, &path).filter_map(|id| tree.node(id));
                if let Some(node) = up.find(|node| node.counters.counts()) {
                    kill.path = Some(Arc::clone(&node.path));
                }
            }
        }
    }

    /// When [`settle`](Self::settle) is wanted again although nothing happens.
    pub fn wanted_at(&self) -> Option<Instant> {
        let pending = self
            .pending
            .iter()
            .flat_map(|pending| [pending.counted + GROUP_GRACE, pending.until]);
        let unexplained = self.unexplained.values().map(|since| *since + GRACE);
        let told = self.log.kills.iter().map(|kill| kill.heard + GRACE);
        // What was settled after its grace and is still there waits for the next thing to happen.
        let open = |at: &Instant| self.settled.is_none_or(|settled| *at > settled);
        pending.chain(unexplained).chain(told).filter(open).min()
    }

    /// Where no counter can tell (the root, a cgroup gone from below it, whether it was ever seen or not, a host without
    /// the memory controller in v2), the log alone counts.
    fn count_by_log_alone(&mut self, tree: &mut Tree, now: Instant) {
        let log_readable = self.log_readable;
        loop {
            let kill = self.log.claim(|kill| {
                // Who was only marked may have been dying anyway.
                let killed = kill.verdict.is_some() || !log_readable;
                killed && now.duration_since(kill.heard) >= GRACE && kill.path.is_some()
            });
            let Some(kill) = kill else { return };
            let Some(path) = kill.path.clone() else {
                return;
            };
            if let Some((owed, _)) = self.owed.get_mut(&path)
                && *owed > 0
            {
                *owed -= 1;
                continue;
            }
            let counted = living(tree, &path)
                .filter_map(|id| tree.node(id))
                .any(|node| node.counters.counts());
            let gone = self.last_removed(|gone| gone.path == path);
            let (cgroup, max) = match (tree.by_path(&path), gone) {
                // A counter has told it, or will at the next look.
                _ if counted => continue,
                (Some(id), _) => (id, None),
                (None, Some(gone)) => (gone.cgroup, gone.memory_max),
                (None, None) if tree.is_target(&path) => (CgroupId(0), None),
                (None, None) => continue,
            };
            self.pending.push(Pending {
                cgroup,
                path: Fact::new(path, kill.means()),
                kills: 1,
                time: SystemTime::now(),
                counted: now,
                until: now,
                told: vec![kill],
                memory_max: max,
            });
        }
    }
}

/// Whose counters are to be looked at because of a kill that was told.
fn concerned(tree: &Tree, kill: Option<&Told>) -> Vec<CgroupId> {
    let own = kill.and_then(|kill| kill.path.as_deref());
    let summary = kill.and_then(|kill| kill.summary.as_ref());
    let limit = summary.and_then(|of| of.oom_memcg.as_deref());
    let paths = [own, limit].into_iter().flatten();
    // What a dead victim's counter had, its ancestors' have.
    paths.filter_map(|path| living(tree, path).next()).collect()
}

/// The living cgroups of this path and of the paths above it, the deepest first.
fn living<'a>(tree: &'a Tree, path: &'a str) -> impl Iterator<Item = CgroupId> + 'a {
    std::iter::successors(Some(path), |path| match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    })
    .filter_map(|path| tree.by_path(path))
}
