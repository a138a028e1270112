//! The live source: one thread that keeps every cgroup's files open, sweeps them each interval, and
//! listens to the kernel's notifications in between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::killers::KillerListener;
use super::worker::Worker;
use super::{Event, Sample};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::error::{Error, Result};
use crate::kernel::watch::Waker;

/// What to sample, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/proc`, or a fixture.
    pub proc: PathBuf,
    /// `/dev/kmsg`; `None` to do without the kernel log.
    pub kmsg: Option<PathBuf>,
    /// `/`, below which tracefs is mounted; `None` to do without tracepoints.
    pub tracing: Option<PathBuf>,
    /// Whether to listen to the journal for programs that kill before the kernel must.
    pub journal: bool,
    /// `/`, or a fixture: where docker, podman and others keep the names that people gave.
    pub state: PathBuf,
    /// The host's hierarchy, with its v2 mount.
    pub hierarchy: Hierarchy,
    /// The subtree to sample, relative to the v2 mount; empty for all of it. The cgroups above it are
    /// sampled too, as their limits bind. It may come (back) later.
    pub subtree: PathBuf,
    /// Time between two sweeps.
    pub interval: Duration,
    /// Who waits for memory for so many percent of a second, is told at once: a low threshold and a high one, from 1
    /// to 100; any other is none.
    pub stall: [u32; 2],
}

/// Which dear files are worth reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Interest {
    /// Everything, for tables without a screen and for records.
    #[default]
    All,
    /// Only what is looked at.
    Some {
        /// Cgroups on the screen: `memory.stat`.
        stats: HashSet<CgroupId>,
        /// The selected cgroup, and those below it where their processes are listed too.
        processes: HashSet<CgroupId>,
    },
}

/// A running live source. Dropping it ends its thread.
#[derive(Debug)]
pub struct Live {
    /// The newest sample; a slow reader misses samples, never the newest.
    pub samples: watch::Receiver<Option<Arc<Sample>>>,
    /// Every event, in order.
    pub events: mpsc::UnboundedReceiver<Event>,
    control: Controller,
    _killers: Option<KillerListener>,
}

impl Live {
    /// Opens the tree and starts the thread. The first sample follows at once.
    pub fn start(options: Options) -> Result<Self> {
        let (samples, newest) = watch::channel(None);
        let (events, heard) = mpsc::unbounded_channel();
        let control = Arc::new(Control::new(options.interval)?);
        let mount = options.hierarchy.mount.as_ref().filter(|_| options.journal);
        let killers =
            mount.and_then(|mount| KillerListener::listen(mount, &options.proc, events.clone()));
        let worker = Worker::new(options, Arc::clone(&control), samples, events)?;
        thread::Builder::new()
            .name("sampler".into())
            .spawn(move || worker.run())
            .map_err(|error| Error::new("start", "the sampler's thread", error))?;
        Ok(Self {
            samples: newest,
            events: heard,
            control: Controller(control),
            _killers: killers,
        })
    }

    /// Says what is looked at. A sample with it follows soon.
    pub fn set_interest(&self, interest: Interest) {
        self.control.0.tell(|orders| orders.interest = interest);
    }

    /// Changes the time between two sweeps.
    pub fn set_interval(&self, interval: Duration) {
        self.control.0.tell(|orders| orders.interval = interval);
    }
}

/// What the thread is told to do.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub interest: Interest,
    pub interval: Duration,
    pub stop: bool,
}

/// The thread's side of the orders, and the bell that announces new ones.
#[derive(Debug)]
pub(super) struct Control {
    orders: Mutex<Orders>,
    pub waker: Waker,
}

impl Control {
    fn new(interval: Duration) -> Result<Self> {
        Ok(Self {
            orders: Mutex::new(Orders {
                interest: Interest::default(),
                interval,
                stop: false,
            }),
            waker: Waker::new().map_err(|errno| Error::new("make", "an eventfd", errno))?,
        })
    }

    fn tell(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.waker.wake();
    }

    /// The orders as they are now.
    pub fn orders(&self) -> Orders {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Ends the thread when dropped. Nobody waits for it: it may be in the middle of a slow read.
#[derive(Debug)]
struct Controller(Arc<Control>);

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.tell(|orders| orders.stop = true);
    }
}
