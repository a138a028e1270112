//! The sampler's thread: sweeps at every interval, and listens in between.

mod listen;
mod naming;
mod sources;
mod sweeping;

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use tokio::sync::{mpsc, watch};

use self::naming::Namer;
use self::sources::Sources;
use super::live::{Control, Options, Orders};
use super::oom::Oom;
use super::stall::Stalls;
use super::tree::Tree;
use super::{Event, Sample};
use crate::kernel::error::{Error, Result};
use crate::kernel::task::Tasks;
use crate::kernel::watch::{wait, wait_for};

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
    sources: Sources,
    stalls: Stalls,
    oom: Oom,
    tasks: Tasks,
    pids: Vec<u32>,
    previous: Option<Arc<Sample>>,
    controllers: Arc<[String]>,
    timing: Timing,
    namer: Namer,
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
    /// Opens the tree, the kernel log and the tracepoints.
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
        let namer = Namer::start(options.state.clone());
        let mut worker = Self {
            orders: control.orders(),
            oom: Oom::new(options.proc.clone(), memory),
            tasks: Tasks::new(options.proc.clone()),
            controllers: options.hierarchy.controllers.clone().into(),
            stalls: Stalls::new(options.stall),
            options,
            mount,
            control,
            samples,
            events,
            tree: None,
            sources: Sources::default(),
            pids: Vec::new(),
            previous: None,
            timing: Timing::default(),
            namer,
        };
        worker.tree = Some(worker.open()?);
        worker.open_sources();
        Ok(worker)
    }

    fn open(&mut self) -> Result<Tree> {
        let target = &self.options.subtree;
        let mut tree = Tree::open(&self.mount, target.strip_prefix("/").unwrap_or(target))?;
        // From here on a kill is news: what the first sweep finds first would be from before.
        let now = Instant::now();
        for &id in &*tree.order() {
            self.oom.look(&mut tree, id, now);
        }
        Ok(tree)
    }

    fn open_sources(&mut self) {
        let (sources, said) = Sources::open(&self.options);
        self.sources = sources;
        self.rely_on_sources();
        if let Some(text) = said {
            self.notice(text);
        }
    }

    /// What there is to wait for.
    fn rely_on_sources(&mut self) {
        self.oom.victims_told = self.sources.any();
        self.oom.log_readable = self.sources.log();
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
        let urgent = self.wait(&tree);
        self.tell_stalls(&urgent);
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

    /// Gives the places of the triggers that fired.
    fn wait(&self, tree: &Tree) -> Vec<usize> {
        let now = Instant::now();
        let due = self.timing.due(self.orders.interval);
        let wanted = due.into_iter().chain(self.oom.wanted_at()).min();
        let timeout = wanted.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let fds: Vec<BorrowedFd<'_>> = [self.control.waker.as_fd()]
            .into_iter()
            .chain(tree.watcher.as_ref().map(AsFd::as_fd))
            .chain(self.sources.fds())
            .collect();
        wait_for(&fds, self.stalls.fds(), timeout)
    }

    fn tell_stalls(&self, places: &[usize]) {
        let time = SystemTime::now();
        for fired in self.stalls.fired(places) {
            let _ = self.events.send(Event::Stall {
                time,
                cgroup: fired.cgroup,
                share: fired.share,
                seconds: fired.seconds,
            });
        }
    }

    fn notice(&self, text: String) {
        let _ = self.events.send(Event::Notice {
            time: SystemTime::now(),
            text,
        });
    }
}
