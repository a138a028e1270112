//! Guests, and a suite of this host, side by side.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread::{self, ScopedJoinHandle};

use anyhow::Result;

use super::guests::{self, Report};
use super::host_suite::{HostReport, HostSuite, Shown};
use super::{Run, lock};
use crate::vm::MachineArgs;

/// How many run at once. Suites mostly wait: one guest keeps a processor busy for a quarter of the time or so, and five
/// take 2 processors and 5 GiB of memory at most.
const AT_ONCE: usize = 5;

/// Something that runs beside others.
pub enum Job {
    Guest(Guest),
    Host(HostSuite),
}

/// A guest, and the suites that run in it.
pub struct Guest {
    pub machine: MachineArgs,
    pub suites: Vec<String>,
}

/// What a job gave.
pub enum Given {
    /// With the guest's name, which both guests of a kernel have.
    Guest(String, Report),
    Host(Result<HostReport>),
}

impl Job {
    fn run(self, alone: bool, run: &Run) -> Given {
        match self {
            Self::Guest(guest) => {
                let name = guest.machine.name();
                let report = guests::run(&guest.machine, &name, &guest.suites, !alone, run);
                Given::Guest(name, report)
            }
            Self::Host(suite) => Given::Host(suite.run(if alone {
                Shown::AsItComes
            } else {
                Shown::AtTheEnd
            })),
        }
    }
}

/// Runs jobs, some at once, and begins with the first. Returns what they gave, in their order; those that had not begun
/// when someone interrupted another are left out.
pub fn run(jobs: Vec<Job>, run: &Run) -> Vec<Given> {
    let alone = jobs.len() == 1;
    let at_once = AT_ONCE.min(jobs.len());
    let waiting: Mutex<VecDeque<(usize, Job)>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let work = || {
        let mut given = Vec::new();
        while let Some((at, job)) = { lock(&waiting).pop_front() } {
            let gave = job.run(alone, run);
            if matches!(&gave, Given::Guest(_, report) if report.interrupted.is_some()) {
                lock(&waiting).clear();
            }
            given.push((at, gave));
        }
        given
    };
    let mut given: Vec<(usize, Given)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(joined).collect()
    });
    given.sort_by_key(|(at, _)| *at);
    given.into_iter().map(|(_, given)| given).collect()
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
