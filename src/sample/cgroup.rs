//! One cgroup and its processes at one instant.

use std::sync::Arc;

use crate::kernel::badness::Badness;
use crate::kernel::cgroup::{CgroupEvents, CgroupId};
use crate::kernel::cpu::{CpuMax, CpuStat};
use crate::kernel::io::{Device, IoMax, IoStat};
use crate::kernel::memory::{MemoryEvents, MemoryStat};
use crate::kernel::pids::PidsEvents;
use crate::kernel::pressure::Pressure;
use crate::kernel::task::namespace::Namespace;
use crate::kernel::unit::{Bytes, Limit, Micros, Reading};

/// Whether a cgroup was still there when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// It was.
    #[default]
    Alive,
    /// It vanished mid-sweep (or since the last one); its readings are the last known ones. Such a
    /// row is in one sample only.
    Vanished,
}

/// One cgroup at one instant. The root cgroup has no limits and few counters: those readings are
/// [`Reading::NotAvailable`].
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupSample {
    /// Its identity.
    pub id: CgroupId,
    /// Its parent's, `None` for the root of what is sampled.
    pub parent: Option<CgroupId>,
    /// Its path from the v2 root: `/` or `/system.slice/cron.service`. Foreign text; bytes that are not
    /// UTF-8 have been replaced.
    pub path: Arc<str>,
    /// What people call it, where its owner's state files tell (see [`names::local`](crate::names::local)).
    /// Foreign text.
    pub called: Option<Arc<str>>,
    /// Whether it was still there.
    pub presence: Presence,
    /// Whether it has threads in place of processes (`cgroup.type`, since 4.14). What they use of memory and I/O is charged to
    /// the domain above.
    pub is_threaded: bool,
    /// `cgroup.events`.
    pub events: Reading<CgroupEvents>,

    /// `cpu.stat`.
    pub cpu_stat: Reading<CpuStat>,
    /// `cpu.max`.
    pub cpu_max: Reading<CpuMax>,
    /// `cpu.weight`, 1 to 10000.
    pub cpu_weight: Reading<u64>,

    /// How many CPUs `cpuset.cpus.effective` names (since 5.0).
    pub cpus_effective: Reading<u32>,

    /// `memory.current`.
    pub memory_current: Reading<Bytes>,
    /// `memory.peak` (since 5.19).
    pub memory_peak: Reading<Bytes>,
    /// `memory.stat`. Dear to read: only for the cgroups of interest.
    pub memory_stat: Reading<Arc<MemoryStat>>,
    /// `memory.events`, this cgroup and all below.
    pub memory_events: Reading<MemoryEvents>,
    /// `memory.events.local`, this cgroup alone.
    pub memory_events_local: Reading<MemoryEvents>,
    /// `memory.max`.
    pub memory_max: Reading<Limit<Bytes>>,
    /// `memory.high`.
    pub memory_high: Reading<Limit<Bytes>>,
    /// `memory.oom.group`: whether who is in it and below it is killed together. Read with the processes.
    pub oom_group: Reading<bool>,
    /// `memory.swap.current`.
    pub swap_current: Reading<Bytes>,
    /// `memory.swap.max`.
    pub swap_max: Reading<Limit<Bytes>>,

    /// `io.stat`, a line per device.
    pub io_stat: Reading<Vec<(Device, IoStat)>>,
    /// `io.max`, a line per limited device.
    pub io_max: Reading<Vec<(Device, IoMax)>>,

    /// `pids.current`.
    pub pids_current: Reading<u64>,
    /// `pids.max`.
    pub pids_max: Reading<Limit<u64>>,
    /// `pids.events`.
    pub pids_events: Reading<PidsEvents>,
    /// `pids.events.local` (since 6.11): forks that this cgroup's own `pids.max` refused.
    pub pids_events_local: Reading<PidsEvents>,

    /// `cpu.pressure`.
    pub cpu_pressure: Reading<Pressure>,
    /// `memory.pressure`.
    pub memory_pressure: Reading<Pressure>,
    /// `io.pressure`.
    pub io_pressure: Reading<Pressure>,

    /// The processes directly in it, in the order of `cgroup.procs`. Dear: only for the cgroups of interest.
    pub processes: Reading<Vec<ProcessSample>>,
    /// Of a threaded cgroup, its threads (`cgroup.threads`).
    pub threads: Reading<Vec<ProcessSample>>,
    /// How many more are in it than were read.
    pub more_processes: usize,
}

impl CgroupSample {
    /// A cgroup of which nothing has been read yet.
    pub fn unread(id: CgroupId, parent: Option<CgroupId>, path: Arc<str>) -> Self {
        Self {
            id,
            parent,
            path,
            called: None,
            presence: Presence::Alive,
            is_threaded: false,
            events: Reading::NotAvailable,
            cpu_stat: Reading::NotAvailable,
            cpu_max: Reading::NotAvailable,
            cpu_weight: Reading::NotAvailable,
            cpus_effective: Reading::NotAvailable,
            memory_current: Reading::NotAvailable,
            memory_peak: Reading::NotAvailable,
            memory_stat: Reading::NotAvailable,
            memory_events: Reading::NotAvailable,
            memory_events_local: Reading::NotAvailable,
            memory_max: Reading::NotAvailable,
            memory_high: Reading::NotAvailable,
            oom_group: Reading::NotAvailable,
            swap_current: Reading::NotAvailable,
            swap_max: Reading::NotAvailable,
            io_stat: Reading::NotAvailable,
            io_max: Reading::NotAvailable,
            pids_current: Reading::NotAvailable,
            pids_max: Reading::NotAvailable,
            pids_events: Reading::NotAvailable,
            pids_events_local: Reading::NotAvailable,
            cpu_pressure: Reading::NotAvailable,
            memory_pressure: Reading::NotAvailable,
            io_pressure: Reading::NotAvailable,
            processes: Reading::NotAvailable,
            threads: Reading::NotAvailable,
            more_processes: 0,
        }
    }

    /// Its processes, or its threads.
    pub fn tasks(&self) -> &Reading<Vec<ProcessSample>> {
        if self.is_threaded {
            &self.threads
        } else {
            &self.processes
        }
    }

    /// The memory events of this cgroup alone; of all below it, too, where there are only those (before 5.2).
    pub fn own_memory_events(&self) -> &Reading<MemoryEvents> {
        match &self.memory_events_local {
            own @ Reading::Value(_) => own,
            _ => &self.memory_events,
        }
    }

    /// Forks refused by its own `pids.max`; where that is not told (before 6.11), those of its own processes.
    pub fn own_pids_events(&self) -> &Reading<PidsEvents> {
        match &self.pids_events_local {
            own @ Reading::Value(_) => own,
            _ => &self.pids_events,
        }
    }

    /// The last part of the path, `/` for the root.
    pub fn name(&self) -> &str {
        match self.path.rsplit('/').next() {
            None | Some("") => "/",
            Some(name) => name,
        }
    }
}

/// One process at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSample {
    /// Its pid as the reader sees it (on the host).
    pub pid: u32,
    /// Its pid in each nested pid namespace, outermost first; empty where it is in the reader's own.
    pub inner_pids: Vec<u32>,
    /// When it started, in clock ticks since boot; with the pid, its identity.
    pub start_time: u64,
    /// Its command line, arguments separated by spaces, or its `[comm]` where it has none; foreign text.
    pub command: String,
    /// Its name to the kernel; foreign text.
    pub comm: String,
    /// Resident memory.
    pub rss: Bytes,
    /// What counts of it when a victim is chosen; `None` of kernel threads and zombies, and where nobody looks at it.
    pub badness: Option<Badness>,
    /// The pid of its parent; 0 where that is outside the reader's pid namespace.
    pub ppid: u32,
    /// What it does, as one letter: `R` runs, `S` sleeps, `D` waits for a device, `Z` is a zombie.
    pub state: char,
    /// How many threads it has.
    pub threads: u32,
    /// CPU time used by all its threads.
    pub cpu_time: Micros,
    /// The namespaces that fence it; empty where they may not be read.
    pub namespaces: Arc<[Namespace]>,
}
