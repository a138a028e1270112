//! The processes of a cgroup and of all below it, with their CPU, as a tree or sorted.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::tree::is_in;
use super::{Model, rate, victim};
use crate::kernel::unit::Percent;
use crate::sample::{ProcessSample, Sample};

/// What processes are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// Children under their parents, by pid.
    #[default]
    Tree,
    /// CPU, the most first.
    Cpu,
    /// Resident memory, the most first.
    Rss,
    /// Who is killed first.
    Oom,
    /// The command, in order.
    Command,
}

/// The order of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// What they are sorted by.
    pub by: By,
    /// The other way round.
    pub reversed: bool,
}

/// One process as people ask about it.
#[derive(Debug, Clone)]
pub struct Process<'a> {
    /// What was sampled.
    pub sample: &'a ProcessSample,
    /// The path of its cgroup. Foreign text.
    pub cgroup: &'a Arc<str>,
    /// CPU since the sample before, 100 is one core.
    pub cpu: Option<Percent>,
    /// In pages, what the kernel chooses its victim by under the limit that binds; `None` where it is never killed.
    pub points: Option<i64>,
    /// How many of its ancestors are shown above it.
    pub depth: usize,
}

/// The CPU of each process, by pid. Pid and start time are its identity.
pub(super) type Cpu = HashMap<u32, Percent>;

/// The rates between two samples.
pub(super) fn cpu(before: &Sample, now: &Sample) -> Cpu {
    let Some(seconds) = rate::seconds_between(before.since_boot, now.since_boot) else {
        return Cpu::new();
    };
    let all = |sample: &'_ Sample| -> Vec<(u32, u64, crate::kernel::unit::Micros)> {
        let cgroups = sample.cgroups.iter();
        cgroups
            .filter_map(|cgroup| cgroup.tasks().value())
            .flatten()
            .map(|process| (process.pid, process.start_time, process.cpu_time))
            .collect()
    };
    let then: HashMap<(u32, u64), _> = all(before)
        .into_iter()
        .map(|(pid, start, time)| ((pid, start), time))
        .collect();
    all(now)
        .into_iter()
        .filter_map(|(pid, start, time)| {
            let then = then.get(&(pid, start))?;
            Some((pid, rate::cpu(*then, time, seconds)?))
        })
        .collect()
}

impl Model {
    /// How many processes are in a cgroup and below it that were not read, as there are so many.
    pub fn more_processes(&self, root: &str) -> usize {
        let cgroups = self.sample().into_iter().flat_map(|sample| &sample.cgroups);
        cgroups
            .filter(|cgroup| cgroup.more_processes > 0 && is_in(&cgroup.path, root))
            .map(|cgroup| cgroup.more_processes)
            .sum()
    }

    /// The processes in a cgroup and below it, as far as they were sampled; of a threaded cgroup, the threads.
    pub fn processes(&self, root: &str, order: Order) -> Vec<Process<'_>> {
        let Some(sample) = self.sample() else {
            return Vec::new();
        };
        let mut processes = Vec::new();
        let threads = self.row(root).is_some_and(|root| root.now.is_threaded);
        for (at, row) in self.rows.iter().enumerate() {
            let tasks = match &row.now {
                now if threads => now.tasks(),
                now => &now.processes,
            };
            let Some(samples) = tasks.value().filter(|_| is_in(&row.path, root)) else {
                continue;
            };
            let whole = victim::whole(sample, &self.rows, at);
            processes.extend(samples.iter().map(|sample| {
                let points = sample.badness.zip(whole);
                Process {
                    sample,
                    cgroup: &row.path,
                    cpu: self.process_cpu.get(&sample.pid).copied(),
                    points: points.and_then(|(badness, whole)| badness.points(whole)),
                    depth: 0,
                }
            }));
        }
        processes.sort_by(|a, b| compare(a, b, order));
        if order.by == By::Tree {
            processes = nested(processes);
        }
        processes
    }
}

fn compare(a: &Process<'_>, b: &Process<'_>, order: Order) -> Ordering {
    let cpu = |process: &Process<'_>| process.cpu.map_or(-1.0, |cpu| cpu.0);
    let ordering = match order.by {
        By::Tree => a.sample.pid.cmp(&b.sample.pid),
        By::Cpu => cpu(b).total_cmp(&cpu(a)),
        By::Rss => b.sample.rss.cmp(&a.sample.rss),
        By::Oom => b.points.cmp(&a.points),
        By::Command => a.sample.command.cmp(&b.sample.command),
    };
    let ordering = if order.reversed {
        ordering.reverse()
    } else {
        ordering
    };
    ordering.then(a.sample.pid.cmp(&b.sample.pid))
}

/// Children under their parents, siblings in the order that they come in.
fn nested(processes: Vec<Process<'_>>) -> Vec<Process<'_>> {
    let known: HashSet<u32> = processes.iter().map(|process| process.sample.pid).collect();
    let mut top = Vec::new();
    let mut children: HashMap<u32, Vec<Process<'_>>> = HashMap::new();
    let count = processes.len();
    for process in processes {
        let ppid = process.sample.ppid;
        if known.contains(&ppid) && ppid != process.sample.pid {
            children.entry(ppid).or_default().push(process);
        } else {
            top.push(process);
        }
    }
    let mut ordered = Vec::with_capacity(count);
    let mut pending: Vec<Process<'_>> = top.into_iter().rev().collect();
    loop {
        while let Some(process) = pending.pop() {
            let below = children.remove(&process.sample.pid).unwrap_or_default();
            let depth = process.depth + 1;
            pending.extend(
                below
                    .into_iter()
                    .rev()
                    .map(|child| Process { depth, ..child }),
            );
            ordered.push(process);
        }
        // Each was read at its own moment, so pids that were reused may make a circle: nobody is lost.
        let Some(pid) = children.keys().min().copied() else {
            return ordered;
        };
        pending.extend(children.remove(&pid).unwrap_or_default());
    }
}
