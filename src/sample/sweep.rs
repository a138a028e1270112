//! Reading one cgroup: hot files always, limits when they are due, dear files when somebody looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::{CgroupSample, Presence, ProcessSample};
use super::live::Interest;
use super::tree::{Due, Life, Node};
use crate::kernel::cgroup::CgroupEvents;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::file::File;
use crate::kernel::cgroup::handle::{Gone, Handle, Reader};
use crate::kernel::cpu::{CpuMax, CpuStat};
use crate::kernel::cpuset::CpuList;
use crate::kernel::io::{IoMax, IoStat};
use crate::kernel::memory::MemoryStat;
use crate::kernel::pids::PidsEvents;
use crate::kernel::pressure::Pressure;
use crate::kernel::task::{self, Task, Tasks};
use crate::kernel::unit::{Bytes, Limit, Malformed, Reading, number};

/// How often limits are read although nobody said that they changed (written through another mount).
const LIMITS_EVERY: Duration = Duration::from_secs(10);
/// How often the children are listed although nobody said that they changed.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);

impl Due {
    /// Everything at once, and from then on at moments of the cgroup's own: a thousand limits read in
    /// one sweep would make that sweep slow.
    pub fn at_once(id: CgroupId) -> Self {
        let share = u32::try_from(id.0 % 16).unwrap_or(0);
        let now = Instant::now();
        Self {
            limits: true,
            cgroup_events: true,
            pids_events: true,
            limits_at: now + LIMITS_EVERY / 2 + LIMITS_EVERY / 16 * share,
            reconcile_at: now + RECONCILE_EVERY / 2 + RECONCILE_EVERY / 16 * share,
        }
    }

    /// Whether it is time to list the children; counts as done.
    pub fn take_reconcile(&mut self, now: Instant) -> bool {
        let due = now >= self.reconcile_at;
        if due {
            self.reconcile_at = now + RECONCILE_EVERY;
        }
        due
    }

    fn take_limits(&mut self, now: Instant) -> bool {
        let due = self.limits || now >= self.limits_at;
        if due {
            self.limits = false;
            self.limits_at = now + LIMITS_EVERY;
        }
        due
    }
}

impl Interest {
    fn wants_stats(&self, id: CgroupId) -> bool {
        match self {
            Self::All => true,
            Self::Some { stats, .. } => stats.contains(&id),
        }
    }

    fn wants_processes(&self, id: CgroupId) -> bool {
        match self {
            Self::All => true,
            Self::Some { processes, .. } => processes.contains(&id),
        }
    }
}

/// What the readings of one sweep have in common.
pub(super) struct Sweep<'a> {
    pub now: Instant,
    pub interest: &'a Interest,
    pub tasks: &'a mut Tasks,
    pub pids: &'a mut Vec<u32>,
}

impl Sweep<'_> {
    /// Reads one cgroup. `last` is its row in the previous sample: what is not read this time is taken
    /// from there. Its `memory.events` have been read just before, into its counters.
    pub fn read(
        &mut self,
        node: &mut Node,
        reader: &mut Reader,
        last: Option<&CgroupSample>,
    ) -> Result<CgroupSample, Gone> {
        let id = node.handle.id();
        let mut row = CgroupSample::unread(id, node.parent, Arc::clone(&node.path));
        if let Some(last) = last {
            keep(&mut row, last);
        }
        let limits = node.due.take_limits(self.now);
        let told = node.is_notified() && !limits;
        let due = &mut node.due;
        let cgroup_events = std::mem::take(&mut due.cgroup_events) || !told;
        let pids_events = std::mem::take(&mut due.pids_events) || !told;
        row.memory_events = node.counters.hierarchical();
        row.memory_events_local = node.counters.local();

        let handle = &mut node.handle;
        read_usage(handle, reader, &mut row)?;
        if cgroup_events {
            row.events = handle.get(reader, File::CgroupEvents, CgroupEvents::parse)?;
        }
        if pids_events {
            row.pids_events = handle.get(reader, File::PidsEvents, PidsEvents::parse)?;
            row.pids_events_local = handle.get(reader, File::PidsEventsLocal, PidsEvents::parse)?;
        }
        if limits {
            read_limits(handle, reader, &mut row)?;
        }
        if self.interest.wants_stats(id) {
            read_stat(handle, reader, &mut row)?;
        }
        if limits || self.interest.wants_stats(id) {
            row.memory_peak = handle.get(reader, File::MemoryPeak, bytes)?;
        }
        if self.interest.wants_processes(id) {
            let pids = &mut *self.pids;
            // Twice as much to read of each: where nobody looks, only under a limit.
            let badness = node.bound || *self.interest != Interest::All;
            row.oom_group = handle.get(reader, File::MemoryOomGroup, |text| {
                count(text).map(|group| group == 1)
            })?;
            if row.is_threaded {
                let read =
                    handle.get(reader, File::Threads, |text| task::parse_procs(text, pids))?;
                row.threads = read.map(|()| {
                    let threads = self.tasks.read_threads(pids);
                    threads.into_iter().map(process).collect()
                });
                return Ok(row);
            }
            let read = handle.get(reader, File::Procs, |text| task::parse_procs(text, pids))?;
            row.processes = read.map(|()| {
                let (tasks, more) = self.tasks.read_all(pids, badness);
                row.more_processes = more;
                tasks.into_iter().map(process).collect()
            });
        }
        Ok(row)
    }
}

/// What changes all the time.
pub(super) fn read_usage(
    handle: &mut Handle,
    reader: &mut Reader,
    row: &mut CgroupSample,
) -> Result<(), Gone> {
    row.cpu_stat = handle.get(reader, File::CpuStat, CpuStat::parse)?;
    row.memory_current = handle.get(reader, File::MemoryCurrent, bytes)?;
    row.swap_current = handle.get(reader, File::SwapCurrent, bytes)?;
    row.io_stat = handle.get(reader, File::IoStat, IoStat::parse)?;
    row.pids_current = handle.get(reader, File::PidsCurrent, count)?;
    row.cpu_pressure = handle.get(reader, File::CpuPressure, Pressure::parse)?;
    row.memory_pressure = handle.get(reader, File::MemoryPressure, Pressure::parse)?;
    row.io_pressure = handle.get(reader, File::IoPressure, Pressure::parse)?;
    Ok(())
}

/// What somebody has to write to change it.
pub(super) fn read_limits(
    handle: &mut Handle,
    reader: &mut Reader,
    row: &mut CgroupSample,
) -> Result<(), Gone> {
    let of_type = handle.get(reader, File::Type, |text| Ok(text == b"threaded\n"))?;
    row.is_threaded = of_type == Reading::Value(true);
    row.cpu_max = handle.get(reader, File::CpuMax, CpuMax::parse)?;
    row.cpu_weight = handle.get(reader, File::CpuWeight, count)?;
    row.cpus_effective = handle.get(reader, File::CpusEffective, cpus)?;
    row.memory_max = handle.get(reader, File::MemoryMax, limit)?;
    row.memory_high = handle.get(reader, File::MemoryHigh, limit)?;
    row.swap_max = handle.get(reader, File::SwapMax, limit)?;
    row.io_max = handle.get(reader, File::IoMax, IoMax::parse)?;
    row.pids_max = handle.get(reader, File::PidsMax, limit)?;
    Ok(())
}

/// What memory is made of.
pub(super) fn read_stat(
    handle: &mut Handle,
    reader: &mut Reader,
    row: &mut CgroupSample,
) -> Result<(), Gone> {
    row.memory_stat = handle.get(reader, File::MemoryStat, |text| {
        MemoryStat::parse(text).map(Arc::new)
    })?;
    Ok(())
}

/// The row of a cgroup that is gone: the last that was known of it.
pub(super) fn vanished(node: &mut Node, last: Option<&CgroupSample>) -> CgroupSample {
    node.life = Life::Shown;
    let mut row = last.cloned().unwrap_or_else(|| {
        CgroupSample::unread(node.handle.id(), node.parent, Arc::clone(&node.path))
    });
    row.memory_events = node.counters.hierarchical();
    row.memory_events_local = node.counters.local();
    row.presence = Presence::Vanished;
    row
}

/// What is not read at every sweep stays as it was.
fn keep(row: &mut CgroupSample, last: &CgroupSample) {
    row.called.clone_from(&last.called);
    row.is_threaded = last.is_threaded;
    row.events = last.events;
    row.pids_events = last.pids_events;
    row.pids_events_local = last.pids_events_local;
    row.cpu_max = last.cpu_max;
    row.cpu_weight = last.cpu_weight;
    row.cpus_effective = last.cpus_effective;
    row.memory_max = last.memory_max;
    row.memory_high = last.memory_high;
    row.swap_max = last.swap_max;
    row.io_max.clone_from(&last.io_max);
    row.pids_max = last.pids_max;
    row.memory_peak = last.memory_peak;
}

fn process((pid, task): (u32, Task)) -> ProcessSample {
    ProcessSample {
        pid,
        inner_pids: task.inner_pids,
        start_time: task.start_time,
        command: task.command,
        comm: task.comm,
        rss: task.rss,
        badness: task.badness,
        ppid: task.ppid,
        state: task.state,
        threads: task.threads,
        cpu_time: task.cpu_time,
        namespaces: task.namespaces,
    }
}

fn count(text: &[u8]) -> Result<u64, Malformed> {
    number(text, "a count")
}

fn cpus(text: &[u8]) -> Result<u32, Malformed> {
    CpuList::parse(text).map(|list| u32::try_from(list.count()).unwrap_or(u32::MAX))
}

fn bytes(text: &[u8]) -> Result<Bytes, Malformed> {
    count(text).map(Bytes)
}

fn limit<T: From<u64>>(text: &[u8]) -> Result<Limit<T>, Malformed> {
    Limit::parse(text, "a limit")
}
