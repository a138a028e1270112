//! The thread that changes things for a screen: writes may take long (the kernel reclaims first), and so
//! may systemd's answer. One order after the other; the answers come in the same order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as orders;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::act::survey::Survey;
use super::act::{self, Act, Chosen, Ground, Target};
use super::again;
use super::follow::{Follower, Lines};
use super::make::{Made, make};
use super::sheet::{Sheet, all_addresses};
use super::workload::{self, Ended};
use crate::kernel::cgroup::CgroupId;
use crate::model::change::Change;
use crate::model::changed::FREEZE;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Read all knobs of a cgroup, by its path from the v2 root.
    Read(Arc<str>),
    /// Make changes that were judged by this sheet.
    Make {
        /// What they were judged by.
        sheet: Arc<Sheet>,
        /// All of them, or none.
        changes: Vec<Change>,
        /// Have systemd keep them over the next boot.
        persist: bool,
        /// For who ordered: the change that this undoes.
        undoes: Option<usize>,
    },
    /// See who would be hit, and what speaks against it.
    Look(Target, Option<Chosen>),
    /// Do something to a cgroup or a process.
    Act(Act),
    /// Start a workload that goes on by itself: the arguments of `ringfence run -d`.
    Run(Vec<String>),
    /// List the workloads that are over.
    Ended,
    /// Follow a log, and no other one any more.
    Follow {
        /// For who ordered: comes back with what was said.
        number: u64,
        /// The workload's cgroup, from the v2 root, or one in it.
        path: Arc<str>,
    },
    /// Say what comes next in that log.
    FollowOn,
    /// Follow it no longer.
    Unfollow,
}

impl Order {
    /// Which files of which cgroups it writes that somebody may watch.
    pub fn writes(&self) -> Vec<(CgroupId, &'static str)> {
        match self {
            Self::Make { sheet, changes, .. } => {
                let knobs = changes.iter().map(|change| change.address.knob.name());
                knobs.map(|file| (CgroupId(sheet.inode), file)).collect()
            }
            Self::Act(Act::Freeze(target) | Act::Thaw(target)) => vec![(target.id, FREEZE)],
            _ => Vec::new(),
        }
    }
}

/// What came of an order. Errors are sentences for people, and may hold foreign text.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The knobs of a cgroup.
    Sheet {
        /// The cgroup, from the v2 root.
        path: Arc<str>,
        /// The sheet, or why there is none.
        sheet: Result<Arc<Sheet>, String>,
    },
    /// Changes were made, or refused.
    Made {
        /// The cgroup, from the v2 root.
        path: Arc<str>,
        /// What was asked for.
        changes: Vec<Change>,
        /// As it was ordered.
        undoes: Option<usize>,
        /// What came of it.
        made: Result<Made, String>,
    },
    /// A cgroup was looked at.
    Looked {
        /// The cgroup.
        target: Target,
        /// What was seen, or why nothing was.
        survey: Result<Arc<Survey>, String>,
    },
    /// Something was done, is under way, or was refused: one sentence. One order may have several.
    Acted {
        /// What was ordered.
        act: Act,
        /// What came of it so far.
        said: Result<String, String>,
    },
    /// A workload was started, or not.
    Ran {
        /// As it was ordered.
        arguments: Vec<String>,
        /// Its name, and what was said besides; or why it was not.
        ran: Result<(String, Option<String>), String>,
    },
    /// The workloads that are over.
    Ended {
        /// The last one first; or why they are not known.
        ended: Result<Arc<Vec<Ended>>, String>,
        /// What was found and cleaned up on the way, a sentence each.
        told: Vec<String>,
    },
    /// What came in a log; the first time, all that is kept of it.
    Said {
        /// As it was ordered.
        number: u64,
        /// The lines, or why there are none.
        said: Result<Lines, String>,
    },
}

/// The longest that [`finish`](Worker::finish) waits: a stop's usual grace, and a little for the kill.
const FINISH: Duration = Duration::from_secs(15);

/// A running worker. Dropping it ends the thread after the order it is at.
#[derive(Debug)]
pub struct Worker {
    orders: orders::Sender<Order>,
    thread: JoinHandle<()>,
    /// What came of the orders.
    pub outcomes: mpsc::UnboundedReceiver<Outcome>,
}

impl Worker {
    /// Starts the thread. `mount` is where cgroup v2 is mounted.
    pub fn start(mount: PathBuf) -> anyhow::Result<Self> {
        let (sender, orders) = orders::channel::<Order>();
        let (answers, outcomes) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let mut begun: Vec<JoinHandle<()>> = Vec::new();
                let mut followed = None;
                for order in orders {
                    begun.retain(|thread| !thread.is_finished());
                    begun.extend(order.carry_out(&mount, &answers, &mut followed));
                }
                for thread in begun {
                    let _ = thread.join();
                }
            })
            .context("start the thread that changes limits")?;
        Ok(Self {
            orders: sender,
            thread,
            outcomes,
        })
    }

    /// Takes no more orders, and waits for what was ordered and for stops that are in their grace, 15 s at
    /// most. `waiting` is called once where that takes more than a moment.
    pub fn finish(self, waiting: impl FnOnce()) {
        let Self { orders, thread, .. } = self;
        drop(orders);
        let begin = Instant::now();
        let mut waiting = Some(waiting);
        while !thread.is_finished() && begin.elapsed() < FINISH {
            if begin.elapsed() > Duration::from_millis(200)
                && let Some(waiting) = waiting.take()
            {
                waiting();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Gives an order. It is carried out after those before it.
    pub fn order(&self, order: Order) {
        // The thread lives as long as the sender does.
        let _ = self.orders.send(order);
    }
}

impl Order {
    /// Gives the thread of what must not be left half done.
    fn carry_out(
        self,
        mount: &Path,
        answers: &mpsc::UnboundedSender<Outcome>,
        log: &mut Option<Follower>,
    ) -> Option<JoinHandle<()>> {
        let outcome = match self {
            Self::Read(path) => Outcome::Sheet {
                sheet: Sheet::read(
                    mount,
                    Path::new(path.trim_start_matches('/')),
                    all_addresses(),
                )
                .map(Arc::new)
                .map_err(|error| format!("{error:#}")),
                path,
            },
            Self::Make {
                sheet,
                changes,
                persist,
                undoes,
            } => Outcome::Made {
                undoes,
                path: Path::new("/").join(&sheet.path).to_string_lossy().into(),
                made: make(&sheet, &changes, persist).map_err(|error| format!("{error:#}")),
                changes,
            },
            Self::Look(target, chosen) => Outcome::Looked {
                survey: Survey::look(&Ground::new(mount), &target, chosen.as_ref())
                    .map(Arc::new)
                    .map_err(|error| format!("{error:#}")),
                target,
            },
            Self::Act(act) => return act::start(act, mount, answers),
            Self::Run(arguments) => return run(arguments, answers),
            Self::Ended => {
                let (ended, told) = match workload::ended() {
                    Ok((ended, told)) => (Ok(Arc::new(ended)), told),
                    Err(error) => (Err(format!("{error:#}")), Vec::new()),
                };
                Outcome::Ended { ended, told }
            }
            Self::Follow { number, path } => {
                // One that was followed before ends first.
                *log = None;
                match Follower::start(number, path, answers.clone()) {
                    Ok(follower) => {
                        *log = Some(follower);
                        return None;
                    }
                    Err(error) => Outcome::Said {
                        number,
                        said: Err(format!("no thread could be started: {error}")),
                    },
                }
            }
            Self::FollowOn => {
                if let Some(follower) = log {
                    follower.go_on();
                }
                return None;
            }
            Self::Unfollow => {
                *log = None;
                return None;
            }
        };
        // Where nobody listens any more, nobody ordered either.
        let _ = answers.send(outcome);
        None
    }
}

/// Starts a workload on a thread of its own: much may have to be made ready for it.
fn run(arguments: Vec<String>, answers: &mpsc::UnboundedSender<Outcome>) -> Option<JoinHandle<()>> {
    let (ordered, refused) = (arguments.clone(), answers.clone());
    let answers = answers.clone();
    let work = move || {
        let ran = again::run(&arguments).map_err(|error| format!("{error:#}"));
        let _ = answers.send(Outcome::Ran { arguments, ran });
    };
    match thread::Builder::new().name("run".into()).spawn(work) {
        Ok(thread) => Some(thread),
        Err(error) => {
            let ran = Err(format!("no thread could be started: {error}"));
            let arguments = ordered;
            let _ = refused.send(Outcome::Ran { arguments, ran });
            None
        }
    }
}
