//! Guests, and a suite of this host, side by side.

use std::collections::VecDeque;
use std::fs;
use std::sync::Mutex;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::Result;

use super::guests::{self, Report};
use super::host_suite::{HostReport, HostSuite, Shown};
use super::{Run, lock};
use crate::vm::MachineArgs;

/// How many run at once. Suites mostly wait: one guest keeps a processor busy for a quarter of the time or so, and five
/// take 2 processors and 5 GiB of memory at most.
const AT_ONCE: usize = 5;

/// The same on a machine that is busy with other things: of more guests, each would have too little of the processors for
/// what tests measure.
const AT_ONCE_BUSY: usize = 3;

/// How long the processors are watched to know whether it is.
const LOOK: Duration = Duration::from_secs(2);

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

/// What came of a job.
pub enum Outcome {
    /// With the guest's name, which both guests of a kernel have.
    Guest(String, Report),
    Host(Result<HostReport>),
}

impl Job {
    fn run(self, alone: bool, run: &Run) -> Outcome {
        match self {
            Self::Guest(guest) => {
                let name = guest.machine.name();
                let report = guests::run(&guest.machine, &name, &guest.suites, !alone, run);
                Outcome::Guest(name, report)
            }
            Self::Host(suite) => Outcome::Host(suite.run(if alone {
                Shown::AsItComes
            } else {
                Shown::AtTheEnd
            })),
        }
    }
}

/// Runs jobs, some at once, and begins with the first. Returns what came of them, in their order; those that had not begun
/// when someone interrupted another are left out.
pub fn run(jobs: Vec<Job>, run: &Run) -> Vec<Outcome> {
    let alone = jobs.len() == 1;
    let at_once = match jobs.len() {
        few if few <= AT_ONCE_BUSY => few,
        _ if is_busy() => {
            println!(
                "the processors are busy with other things: {AT_ONCE_BUSY} guests at once, which takes longer"
            );
            AT_ONCE_BUSY
        }
        many => many.min(AT_ONCE),
    };
    let waiting: Mutex<VecDeque<(usize, Job)>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let work = || {
        let mut outcomes = Vec::new();
        while let Some((at, job)) = { lock(&waiting).pop_front() } {
            let outcome = job.run(alone, run);
            if matches!(&outcome, Outcome::Guest(_, report) if report.interrupted.is_some()) {
                lock(&waiting).clear();
            }
            outcomes.push((at, outcome));
        }
        outcomes
    };
    let mut outcomes: Vec<(usize, Outcome)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(joined).collect()
    });
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Whether more than half of the processors' time goes to others.
fn is_busy() -> bool {
    let Some(before) = processor_times() else {
        return false;
    };
    thread::sleep(LOOK);
    processor_times().is_some_and(|now| (now.busy - before.busy) * 2 > now.all - before.all)
}

/// What the processors have spent since boot, in ticks.
struct ProcessorTimes {
    busy: u64,
    all: u64,
}

/// The first line of `/proc/stat`.
///
/// <https://man7.org/linux/man-pages/man5/proc_stat.5.html>
fn processor_times() -> Option<ProcessorTimes> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    // The two last ones, of guests, are in the first ones already.
    let ticks = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>().ok()?;
    let all = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ProcessorTimes {
        busy: all - idle,
        all,
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
