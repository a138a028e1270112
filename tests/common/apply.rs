//! One step's changes, put into raw readings.

use std::sync::Arc;

use nix::errno::Errno;
use ringfence::kernel::badness::Badness;
use ringfence::kernel::cgroup::{CgroupEvents, CgroupId};
use ringfence::kernel::cpu::{Bandwidth, CpuMax, CpuStat};
use ringfence::kernel::io::{IoMax, IoStat};
use ringfence::kernel::memory::{MemoryEvents, MemoryStat};
use ringfence::kernel::pids::PidsEvents;
use ringfence::kernel::pressure::{Pressure, Stall};
use ringfence::kernel::task::namespace::{Kind, Namespace};
use ringfence::kernel::unit::{Limit, Micros, Percent, Reading};
use ringfence::sample::{CgroupSample, Presence, ProcessSample};

use super::{Cgroup, DEVICE, Process, limit, size};

pub fn pressure(share: f64) -> Reading<Pressure> {
    Reading::Value(Pressure {
        some: Stall {
            avg10: Percent(share),
            ..Stall::default()
        },
        full: None,
    })
}

fn set<T, U>(reading: &mut Reading<T>, value: Option<U>, change: impl FnOnce(T, U) -> T)
where
    T: Default + Clone,
{
    if let Some(value) = value {
        let old = reading.value().cloned().unwrap_or_default();
        *reading = Reading::Value(change(old, value));
    }
}

fn put<T>(reading: &mut Reading<T>, value: Option<T>) {
    if let Some(value) = value {
        *reading = Reading::Value(value);
    }
}

pub fn apply(from: &Cgroup, to: &mut CgroupSample) {
    apply_memory(from, to);
    let from = from.clone();
    if let Some(called) = &from.called {
        to.called = Some(called.as_str().into());
    }
    if let Some(id) = from.id {
        to.id = CgroupId(id);
    }
    if to.events == Reading::NotAvailable && from.path != "/" {
        to.events = Reading::Value(CgroupEvents {
            populated: true,
            frozen: false,
        });
    }
    set(&mut to.events, from.frozen, |old, frozen| CgroupEvents {
        frozen,
        ..old
    });
    set(&mut to.events, from.populated, |old, populated| {
        CgroupEvents { populated, ..old }
    });
    if from.vanished == Some(true) {
        to.presence = Presence::Vanished;
    }
    set(&mut to.cpu_stat, from.cpu_usec, |old, usec| CpuStat {
        usage_usec: Micros(usec),
        ..old
    });
    let bandwidth = from.periods.map(|periods| Bandwidth {
        nr_periods: periods,
        nr_throttled: from.throttled.unwrap_or(0),
        throttled_usec: Micros(0),
    });
    set(&mut to.cpu_stat, bandwidth, |old, bandwidth| CpuStat {
        bandwidth: Some(bandwidth),
        ..old
    });
    put(
        &mut to.cpu_max,
        from.cpu_max
            .map(|text| CpuMax::parse(text.as_bytes()).unwrap()),
    );
    put(&mut to.memory_current, from.memory.as_deref().map(size));
    put(&mut to.memory_peak, from.memory_peak.as_deref().map(size));
    put(&mut to.memory_max, from.memory_max.as_deref().map(limit));
    set(&mut to.memory_events, from.oom_kills, |old, oom_kill| {
        MemoryEvents { oom_kill, ..old }
    });
    set(&mut to.memory_events, from.met, |old, [high, max]| {
        MemoryEvents { high, max, ..old }
    });
    let io = (from.read.is_some() || from.written.is_some()).then(|| IoStat {
        rbytes: from.read.unwrap_or(0),
        wbytes: from.written.unwrap_or(0),
        ..IoStat::default()
    });
    put(&mut to.io_stat, io.map(|stat| vec![(DEVICE, stat)]));
    put(
        &mut to.io_max,
        from.io_max
            .map(|text| IoMax::parse(text.as_bytes()).unwrap()),
    );
    put(&mut to.pids_current, from.pids);
    put(
        &mut to.pids_max,
        from.pids_max
            .map(|text| Limit::parse(text.as_bytes(), "pids.max").unwrap()),
    );
    put(
        &mut to.pids_events,
        from.forks_refused.map(|max| PidsEvents { max }),
    );
    put(
        &mut to.pids_events_local,
        from.forks_refused_here.map(|max| PidsEvents { max }),
    );
    put(&mut to.cpus_effective, from.cpus);
    if let Some([cpu, memory, io]) = from.psi {
        to.cpu_pressure = pressure(cpu);
        to.memory_pressure = pressure(memory);
        to.io_pressure = pressure(io);
    }
    put(&mut to.oom_group, from.oom_group);
    let processes = from.process;
    put(
        &mut to.processes,
        processes.map(|processes| processes.into_iter().map(process).collect()),
    );
    refuse(from.unreadable.unwrap_or_default(), to);
}

fn process(process: Process) -> ProcessSample {
    ProcessSample {
        pid: process.pid,
        inner_pids: process.inside.into_iter().collect(),
        start_time: 1,
        comm: comm(&process.command),
        command: process.command,
        rss: size(&process.rss),
        badness: Some(Badness {
            rss: size(&process.rss),
            oom_score_adj: process.adj,
            ..Badness::default()
        }),
        ppid: process.ppid,
        state: process.state.unwrap_or('S'),
        threads: process.threads.unwrap_or(1),
        cpu_time: Micros(process.cpu_usec),
        namespaces: namespaces(process.inside.is_some()),
    }
}

/// As the kernel makes it from the program's path.
fn comm(command: &str) -> String {
    let program = command.split(' ').next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    name.chars().take(15).collect()
}

/// Those of a workload are its own but for its user and time, those of others the host's.
fn namespaces(fenced: bool) -> Arc<[Namespace]> {
    let own = |kind| fenced && !matches!(kind, Kind::User | Kind::Time);
    Kind::ALL
        .into_iter()
        .zip(4_026_531_830..)
        .map(|(kind, inode)| Namespace {
            kind,
            inode: if own(kind) { inode + 500 } else { inode },
            shared: !own(kind),
        })
        .collect()
}

fn apply_memory(from: &Cgroup, to: &mut CgroupSample) {
    set(
        &mut to.memory_stat,
        from.inactive_file.as_deref().map(size),
        |old, inactive_file| {
            Arc::new(MemoryStat {
                inactive_file,
                ..*old
            })
        },
    );
    let composition = from
        .composition
        .as_ref()
        .map(|parts| parts.each_ref().map(|part| size(part)));
    set(
        &mut to.memory_stat,
        composition,
        |old, [anon, file, shmem, kernel]| {
            Arc::new(MemoryStat {
                anon,
                file,
                shmem,
                kernel,
                ..*old
            })
        },
    );
    put(&mut to.memory_high, from.memory_high.as_deref().map(limit));
    put(&mut to.swap_max, from.swap_max.as_deref().map(limit));
    put(&mut to.swap_current, from.swap.as_deref().map(size));
}

/// Makes readings unreadable.
fn refuse(files: Vec<String>, to: &mut CgroupSample) {
    for what in files {
        match &*what {
            "memory" => {
                to.memory_current = Reading::Unreadable(Errno::EACCES);
                to.memory_max = Reading::Unreadable(Errno::EACCES);
            }
            "cpu" => {
                to.cpu_stat = Reading::Unreadable(Errno::EACCES);
                to.cpu_max = Reading::Unreadable(Errno::EACCES);
            }
            "io" => to.io_stat = Reading::Unreadable(Errno::EACCES),
            "pids" => to.pids_current = Reading::Unreadable(Errno::EACCES),
            other => panic!("{other} cannot be unreadable"),
        }
    }
}
