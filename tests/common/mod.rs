//! Samples from small readable TOML: each sample says only what changed since the one before.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use ringfence::kernel::cgroup::hierarchy::Mode;
use ringfence::kernel::cgroup::{CgroupEvents, CgroupId};
use ringfence::kernel::cpu::{Bandwidth, CpuMax, CpuStat};
use ringfence::kernel::io::{Device, IoMax, IoStat};
use ringfence::kernel::memory::{MemoryEvents, MemoryStat};
use ringfence::kernel::pids::PidsEvents;
use ringfence::kernel::pressure::{Pressure, Stall};
use ringfence::kernel::unit::{Bytes, Limit, Micros, Percent, Reading};
use ringfence::model::{Model, Note, Severity};
use ringfence::sample::{
    CgroupSample, Event, HostSample, OomKill, Presence, ProcessSample, Sample, Victim,
};
use serde::Deserialize;

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub about: String,
    #[serde(default)]
    pub host: Host,
    pub sample: Vec<Step>,
    /// Path → field key → its plain text after the last sample.
    #[serde(default)]
    pub expect: BTreeMap<String, BTreeMap<String, String>>,
    /// The event log after the last sample, newest first.
    pub notes: Option<Vec<String>>,
    /// Path → mark.
    #[serde(default)]
    pub marks: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    pub name: String,
    pub kernel: String,
    pub mode: String,
    pub controllers: Vec<String>,
    pub cpus: usize,
    pub memory: String,
    pub available: String,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            name: "vm".into(),
            kernel: "6.12.12-cloud-amd64".into(),
            mode: "v2".into(),
            controllers: ["cpu", "io", "memory", "pids"].map(Into::into).to_vec(),
            cpus: 2,
            memory: "2G".into(),
            available: "1536M".into(),
        }
    }
}

/// One instant, and what happened right after it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Seconds since boot.
    pub at: f64,
    /// CPU seconds of the host.
    #[serde(default)]
    pub cpu: f64,
    /// Repeats the step's growth so often, a second each, to make a history.
    #[serde(default)]
    pub repeat: u32,
    #[serde(default)]
    pub cgroup: Vec<Cgroup>,
    #[serde(default)]
    pub gone: Vec<String>,
    #[serde(default)]
    pub oom: Vec<Oom>,
    #[serde(default)]
    pub note: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroup {
    pub path: String,
    pub id: Option<u64>,
    pub frozen: Option<bool>,
    pub populated: Option<bool>,
    pub vanished: Option<bool>,
    pub cpu_usec: Option<u64>,
    pub periods: Option<u64>,
    pub throttled: Option<u64>,
    pub cpu_max: Option<String>,
    pub memory: Option<String>,
    pub inactive_file: Option<String>,
    pub memory_max: Option<String>,
    pub memory_peak: Option<String>,
    pub oom_kills: Option<u64>,
    pub read: Option<u64>,
    pub written: Option<u64>,
    pub io_max: Option<String>,
    pub pids: Option<u64>,
    pub pids_max: Option<String>,
    pub forks_refused: Option<u64>,
    pub psi: Option<[f64; 3]>,
    /// Readings that are refused: `memory`, `cpu`, `io`, `pids`.
    pub unreadable: Option<Vec<String>>,
    pub process: Option<Vec<Process>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub inside: Option<u32>,
    pub rss: String,
    pub command: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oom {
    pub path: String,
    pub kills: Option<u64>,
    pub limit: Option<String>,
    pub limit_path: Option<String>,
    /// `PID INSIDE COMM RSS`
    #[serde(default)]
    pub victims: Vec<(u32, u32, String, String)>,
}

/// The device of all scenarios.
const DEVICE: Device = Device {
    major: 254,
    minor: 0,
};

pub fn load(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn scenario(name: &str) -> Scenario {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    load(
        &root
            .join("tests/scenarios")
            .join(name)
            .with_extension("toml"),
    )
}

/// 12:00:00 UTC at boot.
fn clock(at: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(12) + Duration::from_secs_f64(at)
}

impl Scenario {
    /// Folds everything into a new model.
    pub fn model(&self) -> Model {
        let mut model = Model::new(0);
        for (sample, events) in self.play() {
            model.fold(Arc::new(sample));
            for event in events {
                match event {
                    Ok(event) => model.event(&event),
                    Err(note) => model.note(note),
                }
            }
        }
        model
    }

    /// The samples, with what happened after each.
    pub fn play(&self) -> Vec<(Sample, Vec<Result<Event, Note>>)> {
        let mut cgroups: BTreeMap<String, CgroupSample> = BTreeMap::new();
        let mut ids = 0;
        let mut played = Vec::new();
        for step in &self.sample {
            for gone in &step.gone {
                cgroups.retain(|path, _| path != gone && !path.starts_with(&format!("{gone}/")));
            }
            cgroups.retain(|_, cgroup| cgroup.presence == Presence::Alive);
            for cgroup in &step.cgroup {
                let sample = cgroups.entry(cgroup.path.clone()).or_insert_with(|| {
                    ids += 1;
                    CgroupSample::unread(CgroupId(ids), None, cgroup.path.as_str().into())
                });
                apply(cgroup, sample);
            }
            let events = events(step, &cgroups);
            let steps = step.repeat.max(1);
            for n in 0..steps {
                let at = step.at - f64::from(steps - 1 - n);
                let events = if n + 1 == steps {
                    events.clone()
                } else {
                    Vec::new()
                };
                played.push((self.instant(step, at, &cgroups), events));
            }
        }
        played
    }

    fn instant(&self, step: &Step, at: f64, cgroups: &BTreeMap<String, CgroupSample>) -> Sample {
        let host = &self.host;
        let controllers: Vec<String> = host.controllers.clone();
        let ids: BTreeMap<&str, CgroupId> = cgroups
            .iter()
            .map(|(path, cgroup)| (path.as_str(), cgroup.id))
            .collect();
        // `/a`, `/a/b`, `/a.b`: siblings together wants an order by components.
        let mut ordered: Vec<&CgroupSample> = cgroups.values().collect();
        ordered.sort_by_key(|cgroup| {
            cgroup
                .path
                .split('/')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        Sample {
            time: clock(at),
            since_boot: Duration::from_secs_f64(at),
            host: HostSample {
                name: host.name.clone(),
                kernel: host.kernel.clone(),
                mode: match &*host.mode {
                    "hybrid" => Mode::Hybrid,
                    _ => Mode::V2,
                },
                controllers: controllers.into(),
                cpus: host.cpus,
                cpu_usage: Reading::Value(micros(step.cpu)),
                memory_total: Reading::Value(size(&host.memory)),
                memory_available: Reading::Value(size(&host.available)),
                cpu_pressure: pressure(12.0),
                memory_pressure: pressure(0.0),
                io_pressure: pressure(4.2),
            },
            cgroups: ordered
                .into_iter()
                .map(|cgroup| CgroupSample {
                    parent: parents(&cgroup.path).find_map(|path| ids.get(path).copied()),
                    ..cgroup.clone()
                })
                .collect(),
        }
    }
}

/// The paths above, nearest first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rsplit_once('/') {
        Some(("", "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
    })
    .skip(1)
}

fn micros(seconds: f64) -> Micros {
    Micros(u64::try_from(Duration::from_secs_f64(seconds).as_micros()).unwrap())
}

fn size(text: &str) -> Bytes {
    text.parse().unwrap()
}

fn limit(text: &str) -> Limit<Bytes> {
    match text {
        "max" => Limit::Max,
        text => Limit::At(size(text)),
    }
}

fn pressure(share: f64) -> Reading<Pressure> {
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

fn apply(from: &Cgroup, to: &mut CgroupSample) {
    let from = from.clone();
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
    set(
        &mut to.memory_stat,
        from.inactive_file.as_deref().map(size),
        |old, inactive_file| MemoryStat {
            inactive_file,
            ..old
        },
    );
    set(&mut to.memory_events, from.oom_kills, |old, oom_kill| {
        MemoryEvents { oom_kill, ..old }
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
    if let Some([cpu, memory, io]) = from.psi {
        to.cpu_pressure = pressure(cpu);
        to.memory_pressure = pressure(memory);
        to.io_pressure = pressure(io);
    }
    if let Some(processes) = from.process {
        to.processes = processes
            .into_iter()
            .map(|process| ProcessSample {
                pid: process.pid,
                inner_pids: process.inside.into_iter().collect(),
                start_time: 1,
                command: process.command,
                rss: size(&process.rss),
            })
            .collect();
    }
    refuse(from.unreadable.unwrap_or_default(), to);
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

fn events(step: &Step, cgroups: &BTreeMap<String, CgroupSample>) -> Vec<Result<Event, Note>> {
    let time = clock(step.at + 0.5);
    let kills = step.oom.iter().map(|oom| {
        Ok(Event::OomKill(OomKill {
            time,
            cgroup: cgroups[&oom.path].id,
            path: oom.path.as_str().into(),
            kills: oom.kills.unwrap_or(1),
            limit_path: oom.limit_path.as_deref().map(Into::into),
            limit: oom.limit.as_deref().map(limit),
            victims: oom
                .victims
                .iter()
                .map(|(pid, inside, comm, rss)| Victim {
                    pid: *pid,
                    inner_pid: Some(*inside),
                    comm: comm.clone(),
                    rss: size(rss),
                })
                .collect(),
        }))
    });
    let notes = step.note.iter().map(|text| {
        Err(Note {
            time,
            severity: Severity::Info,
            text: text.clone(),
            cgroup: None,
        })
    });
    kills.chain(notes).collect()
}
