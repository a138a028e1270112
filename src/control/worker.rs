//! The thread that changes things for a screen: writes may take long (the kernel reclaims first), and so
//! may systemd's answer. One order after the other; the answers come in the same order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc as orders;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::act::survey::Survey;
use super::act::{self, Act, Chosen, Ground, Target};
use super::again;
use super::drift::drifts;
use super::follow::{Follower, Lines};
use super::make::{Made, make_known};
use super::sheet::{Sheet, all_addresses};
use super::trial::{self, Answer, Ending, Terms, Trial};
use super::workload::{self, Ended};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::knob::Address;
use crate::model::change::Change;
use crate::model::changed::FREEZE;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Read all knobs of a cgroup, by its path from the v2 root.
    Read(Arc<str>),
    /// Ask whoever keeps the limits of this sheet's cgroup what they take them to be.
    Ask(Arc<Sheet>),
    /// Make changes that were judged by this sheet.
    Make {
        /// What they were judged by.
        sheet: Arc<Sheet>,
        /// All of them, or none.
        changes: Vec<Change>,
        /// For how long.
        lasting: Lasting,
    },
    /// End a trial: keep the change, or take it back.
    EndTrial {
        /// As it was ordered.
        number: u64,
        /// Whether to keep it.
        keep: bool,
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

/// For how long a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until somebody changes it again, or the next boot.
    Now,
    /// Over the next boot too: systemd is told.
    Boots,
    /// It undoes the change of this number, which is for who ordered.
    Undo(usize),
    /// On trial. The number is for who ordered.
    Trial(u64, Terms),
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
    /// What whoever keeps the limits of a cgroup takes to be another value.
    Drifts {
        /// The cgroup, from the v2 root.
        path: Arc<str>,
        /// By knob, a sentence each. Foreign text.
        drifts: Vec<(Address, String)>,
    },
    /// Changes were made, or refused.
    Made {
        /// The cgroup, from the v2 root.
        path: Arc<str>,
        /// What was asked for.
        changes: Vec<Change>,
        /// As it was ordered.
        lasting: Lasting,
        /// What came of it.
        made: Result<Made, String>,
    },
    /// A trial has ended.
    Tried {
        /// As it was ordered.
        number: u64,
        /// How.
        ending: Ending,
    },
    /// A cgroup was looked at.
    Looked {
        /// The cgroup.
        target: Target,
        /// What was seen, or why nothing was.
        survey: Result<Arc<Survey>, String>,
    },
    /// What was left by who was killed, and seen to at the start: one sentence.
    Told(String),
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
                for told in trial::sweep() {
                    let _ = answers.send(Outcome::Told(told));
                }
                let trials = Trials::default();
                for order in orders {
                    begun.retain(|thread| !thread.is_finished());
                    begun.extend(order.carry_out(&mount, &answers, &mut followed, &trials));
                }
                trials.close();
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

    /// Takes no more orders, has what is on trial taken back, and waits for that, for what was ordered and for stops that are
    /// in their grace, 15 s at most. `waiting` is called once where that takes more than a moment. Gives how trials ended.
    pub fn finish(self, waiting: impl FnOnce()) -> Vec<Ending> {
        let Self {
            orders,
            thread,
            mut outcomes,
        } = self;
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
        let outcomes = std::iter::from_fn(|| outcomes.try_recv().ok());
        let ended = outcomes.filter_map(|outcome| match outcome {
            Outcome::Tried { ending, .. } => Some(ending),
            _ => None,
        });
        ended.collect()
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
        trials: &Trials,
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
                lasting: lasting @ Lasting::Trial(number, terms),
            } => {
                let (trials, answers, kept) = (trials.clone(), answers.clone(), changes.clone());
                let path = path_of(&sheet);
                let refused = path.clone();
                let work = {
                    let answers = answers.clone();
                    move || trials.see_to(&sheet, changes, number, terms, path, &answers)
                };
                match thread::Builder::new().name("trial".into()).spawn(work) {
                    Ok(thread) => return Some(thread),
                    Err(error) => Outcome::Made {
                        path: refused,
                        changes: kept,
                        lasting,
                        made: Err(format!("no thread could be started: {error}")),
                    },
                }
            }
            Self::Make {
                sheet,
                changes,
                lasting,
            } => Outcome::Made {
                lasting,
                path: path_of(&sheet),
                made: make_known(&sheet, &changes, lasting == Lasting::Boots)
                    .map_err(|error| format!("{error:#}")),
                changes,
            },
            Self::Ask(sheet) => {
                let answers = answers.clone();
                // Where no thread can be had, nobody is asked.
                let _ = thread::Builder::new().name("drift".into()).spawn(move || {
                    let _ = answers.send(Outcome::Drifts {
                        path: path_of(&sheet),
                        drifts: drifts(&sheet),
                    });
                });
                return None;
            }
            Self::EndTrial { number, keep } => {
                trials.answer(number, keep);
                return None;
            }
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

/// The cgroup's path from the v2 root.
fn path_of(sheet: &Sheet) -> Arc<str> {
    Path::new("/").join(&sheet.path).to_string_lossy().into()
}

/// The trials that run, by their numbers; `None` when no more may begin.
#[derive(Debug, Clone)]
struct Trials(Arc<Mutex<Option<BTreeMap<u64, Answer>>>>);

impl Default for Trials {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(BTreeMap::new()))))
    }
}

impl Trials {
    fn with<T>(&self, act: impl FnOnce(&mut Option<BTreeMap<u64, Answer>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a trial, and tells how it began and how it ended.
    fn see_to(
        &self,
        sheet: &Sheet,
        changes: Vec<Change>,
        number: u64,
        terms: Terms,
        path: Arc<str>,
        answers: &mpsc::UnboundedSender<Outcome>,
    ) {
        let lasting = Lasting::Trial(number, terms);
        let begun = Trial::begin(sheet, &changes, terms);
        let (trial, made) = match begun {
            Ok((trial, answer, made)) => {
                // Where no more may begin, it is dropped here, which ends the trial.
                self.with(|trials| trials.as_mut().map(|trials| trials.insert(number, answer)));
                (Some(trial), Ok(made))
            }
            Err(error) => (None, Err(format!("{error:#}"))),
        };
        let _ = answers.send(Outcome::Made {
            path,
            changes,
            lasting,
            made,
        });
        if let Some(trial) = trial {
            let ending = trial.wait();
            self.with(|trials| trials.as_mut()?.remove(&number));
            let _ = answers.send(Outcome::Tried { number, ending });
        }
    }

    fn answer(&self, number: u64, keep: bool) {
        self.with(|trials| {
            if let Some(answer) = trials.as_mut().and_then(|trials| trials.get_mut(&number)) {
                if keep {
                    answer.keep();
                } else {
                    answer.take_back();
                }
            }
        });
    }

    /// Takes back all that is on trial.
    fn close(&self) {
        self.with(Option::take);
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
