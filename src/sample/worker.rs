//! The sampler's thread: sweeps at every interval, and listens in between.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use tokio::sync::{mpsc, watch};

use super::live::{Control, Options, Orders};
use super::oom::Oom;
use super::sweep::{Sweep, tombstone};
use super::tree::{Life, Tree};
use super::{CgroupSample, Event, HostSample, Sample};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::read_words;
use crate::kernel::error::{Error, Result};
use crate::kernel::host;
use crate::kernel::kmsg::reader::{Next, Reader as Kmsg};
use crate::kernel::task::Tasks;
use crate::kernel::unit::{Limit, Reading};
use crate::kernel::watch::{Change, Watcher, wait};

/// The least time between a sweep and one that comes early because the tree changed…
const EARLY_AFTER: Duration = Duration::from_millis(250);
/// …and as a multiple of what the last one took, so that a busy tree costs no more than 2 % of a CPU…
const EARLY_COST: u32 = 50;
/// …but nobody waits longer than this for what changed.
const EARLY_AT_LAST: Duration = Duration::from_secs(1);
/// What changes together is seen together: a launcher makes a cgroup, then sets its limits.
const EARLY_SETTLE: Duration = Duration::from_millis(10);
/// Between two attempts to open a tree that is lost.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at the notifications during a sweep, in cgroups.
const LISTEN_EVERY: usize = 64;

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Worker {
    options: Options,
    mount: PathBuf,
    control: Arc<Control>,
    samples: watch::Sender<Option<Arc<Sample>>>,
    events: mpsc::UnboundedSender<Event>,
    orders: Orders,
    /// `None` while it is lost.
    tree: Option<Tree>,
    kmsg: Option<Kmsg>,
    oom: Oom,
    tasks: Tasks,
    pids: Vec<u32>,
    previous: Option<Arc<Sample>>,
    controllers: Arc<[String]>,
    timing: Timing,
}

/// When the next sweep is.
#[derive(Debug, Default)]
struct Timing {
    /// When the last one began; `None` before the first.
    started: Option<Instant>,
    took: Duration,
    /// Since when one is wanted before the interval is over.
    early: Option<Instant>,
}

impl Timing {
    fn due(&self, interval: Duration) -> Option<Instant> {
        let started = self.started?;
        let regular = started + interval;
        let pause = (self.took * EARLY_COST).clamp(EARLY_AFTER, EARLY_AT_LAST);
        let early = self
            .early
            .map(|since| (since + EARLY_SETTLE).max(started + pause));
        Some(early.map_or(regular, |early| early.min(regular)))
    }

    fn want_early(&mut self, now: Instant) {
        self.early.get_or_insert(now);
    }
}

impl Worker {
    /// Opens the tree and the kernel log.
    pub fn new(
        options: Options,
        control: Arc<Control>,
        samples: watch::Sender<Option<Arc<Sample>>>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self> {
        let Some(mount) = options.hierarchy.mount.clone() else {
            return Err(Error::new("find", "a cgroup v2 hierarchy", Errno::ENOENT));
        };
        let memory = options.hierarchy.has("memory");
        let mut worker = Self {
            orders: control.orders(),
            oom: Oom::new(options.proc.clone(), memory),
            tasks: Tasks::new(options.proc.clone()),
            controllers: options.hierarchy.controllers.clone().into(),
            options,
            mount,
            control,
            samples,
            events,
            tree: None,
            kmsg: None,
            pids: Vec::new(),
            previous: None,
            timing: Timing::default(),
        };
        worker.tree = Some(worker.open()?);
        worker.open_kmsg();
        Ok(worker)
    }

    fn open(&self) -> Result<Tree> {
        let target = &self.options.subtree;
        Tree::open(&self.mount, target.strip_prefix("/").unwrap_or(target))
    }

    fn open_kmsg(&mut self) {
        let Some(path) = &self.options.kmsg else {
            return;
        };
        match Kmsg::open(path) {
            Ok(kmsg) => self.kmsg = Some(kmsg),
            Err(error) => self.notice(format!(
                "OOM kills are counted, but their victims cannot be named: {error}"
            )),
        }
        self.oom.log_readable = self.kmsg.is_some();
    }

    /// The thread's life.
    pub fn run(mut self) {
        while !self.orders.stop {
            // A fault in here must not end the program around it.
            let step = catch_unwind(AssertUnwindSafe(|| self.step()));
            if step.is_err() {
                self.notice("the sampler failed and starts again".to_owned());
                self.pause();
            }
        }
    }

    fn step(&mut self) {
        let Some(mut tree) = self.tree.take() else {
            self.find_again();
            return;
        };
        let due = self.timing.due(self.orders.interval);
        if due.is_none_or(|due| due <= Instant::now()) {
            self.sweep(&mut tree);
        }
        if tree.node(tree.root).is_none() {
            self.notice("the cgroup file system is gone; waiting for it to come back".to_owned());
            self.pause();
            return;
        }
        self.wait(&tree);
        self.listen(&mut tree);
        self.tree = Some(tree);
    }

    /// Tries once to open a lost tree.
    fn find_again(&mut self) {
        match self.open() {
            Ok(tree) => {
                self.tree = Some(tree);
                self.timing = Timing::default();
            }
            Err(_) => self.pause(),
        }
    }

    fn pause(&mut self) {
        wait(&[self.control.waker.as_fd()], RETRY_AFTER);
        self.control.waker.clear();
        self.orders = self.control.orders();
    }

    fn wait(&self, tree: &Tree) {
        let now = Instant::now();
        let due = self.timing.due(self.orders.interval);
        let wanted = due.into_iter().chain(self.oom.wanted_at()).min();
        let timeout = wanted.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let fds: Vec<BorrowedFd<'_>> = [self.control.waker.as_fd()]
            .into_iter()
            .chain(tree.watcher.as_ref().map(AsFd::as_fd))
            .chain(self.kmsg.as_ref().map(AsFd::as_fd))
            .collect();
        wait(&fds, timeout);
    }

    /// Takes in all that has come: orders, notifications, kernel log lines.
    fn listen(&mut self, tree: &mut Tree) {
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
                Change::Child(watch, name) => {
                    if let Some(parent) = tree.by_watch(watch)
                        && tree.look_at_child(parent, &name)
                    {
                        self.timing.want_early(now);
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
        self.mourn(tree, now);
        self.read_kmsg(tree, now);
        for kill in self.oom.settle(tree, now) {
            let _ = self.events.send(Event::OomKill(kill));
        }
        self.mourn(tree, now);
        for text in std::mem::take(&mut tree.notices) {
            self.notice(text);
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
                    populated.push(id);
                    self.timing.want_early(now);
                }
            }
            b"pids.events" => {
                if let Some((node, _)) = tree.node_mut(id) {
                    node.due.pids_events = true;
                }
            }
            b"cpu.max" | b"cpu.weight" | b"memory.max" | b"memory.high" | b"memory.swap.max"
            | b"io.max" | b"pids.max" => {
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
    fn mourn(&mut self, tree: &mut Tree, now: Instant) {
        for id in std::mem::take(&mut tree.died) {
            let last = self
                .previous
                .as_ref()
                .and_then(|previous| previous.cgroup(id));
            self.oom.died(tree, id, last, now);
            self.timing.want_early(now);
        }
    }

    fn read_kmsg(&mut self, tree: &Tree, now: Instant) {
        let Some(kmsg) = &mut self.kmsg else { return };
        let mut lost = false;
        let failure = loop {
            match kmsg.next() {
                // Programs may write there too, but not in the kernel's name.
                Ok(Next::Record(record)) if record.from_kernel => {
                    self.oom.hear(tree, record.message, now);
                }
                Ok(Next::Record(_)) => {}
                Ok(Next::Lost) => lost = true,
                Ok(Next::None) => break None,
                Err(error) => break Some(error),
            }
        };
        if lost {
            self.notice(
                "the kernel log was overwritten before it was read: OOM victims may be missing"
                    .to_owned(),
            );
        }
        if let Some(error) = failure {
            self.kmsg = None;
            self.oom.log_readable = false;
            self.notice(format!("the kernel log is lost: {error}"));
        }
    }

    /// Reads everything and publishes it.
    fn sweep(&mut self, tree: &mut Tree) {
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
        self.mourn(tree, Instant::now());
        tree.forget_mourned(&shown);
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
    ) -> Option<CgroupSample> {
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
            if let Ok(row) = sweep.read(node, reader, last) {
                return Some(row);
            }
            tree.bury(id);
        }
        let (node, _) = tree.node_mut(id)?;
        (node.life == Life::Dead).then(|| tombstone(node, last))
    }

    /// Whoever lives below a memory limit may be killed before we can ask for his inner pid: asks where
    /// processes came or went.
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
        if bound && moved {
            self.oom
                .remember_own_processes(tree, row.id, Duration::ZERO, Instant::now());
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
        let proc = &self.options.proc;
        let (name, kernel) = host::names();
        let cpu = host::cpu_times(proc);
        let memory = host::memory(proc);
        HostSample {
            name,
            kernel,
            mode: self.options.hierarchy.mode,
            controllers: Arc::clone(&self.controllers),
            cpus: cpu.value().map_or(1, |cpu| cpu.cpus),
            cpu_usage: cpu.map(|cpu| cpu.usage),
            memory_total: memory.map(|memory| memory.total),
            memory_available: match memory {
                Reading::Value(memory) => memory
                    .available
                    .map_or(Reading::NotAvailable, Reading::Value),
                Reading::NotAvailable => Reading::NotAvailable,
                Reading::Unreadable(errno) => Reading::Unreadable(errno),
            },
            cpu_pressure: host::pressure(proc, "cpu"),
            memory_pressure: host::pressure(proc, "memory"),
            io_pressure: host::pressure(proc, "io"),
        }
    }

    fn notice(&self, text: String) {
        let _ = self.events.send(Event::Notice {
            time: SystemTime::now(),
            text,
        });
    }
}
