//! Samples from small readable TOML: each sample says only what changed since the one before.
#![allow(dead_code)]

mod apply;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence::kernel::badness::Badness;
use ringfence::kernel::cgroup::CgroupId;
use ringfence::kernel::cgroup::hierarchy::Mode;
use ringfence::kernel::io::Device;
use ringfence::kernel::kmsg::dump::{Asked, Candidate, Choice};
use ringfence::kernel::unit::{Bytes, Limit, Micros, Reading};
use ringfence::model::{Model, Note, Severity};
use ringfence::oom::{Fact, Fired, Killer, Means, OomKill, Victim};
use ringfence::sample::{CgroupSample, Event, HostSample, Presence, Sample};
use serde::Deserialize;

use apply::{apply, pressure};

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
    /// Path → what it is called.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
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
    pub swap: String,
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
            swap: "0".into(),
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
    /// Triggers that fired: path, percent, seconds.
    #[serde(default)]
    pub stall: Vec<(String, u32, u32)>,
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
    pub memory_high: Option<String>,
    pub swap: Option<String>,
    pub swap_max: Option<String>,
    /// With `repeat`: heaps that each further second adds.
    pub grow: Option<String>,
    /// `anon`, `file` (with `shmem`), `shmem`, `kernel` of `memory.stat`.
    pub composition: Option<[String; 4]>,
    pub oom_kills: Option<u64>,
    /// `high` and `max` of `memory.events`.
    pub met: Option<[u64; 2]>,
    pub read: Option<u64>,
    pub written: Option<u64>,
    pub io_max: Option<String>,
    pub pids: Option<u64>,
    pub pids_max: Option<String>,
    pub forks_refused: Option<u64>,
    /// `pids.events.local`
    pub forks_refused_here: Option<u64>,
    /// How many CPUs `cpuset.cpus.effective` names.
    pub cpus: Option<u32>,
    pub psi: Option<[f64; 3]>,
    pub called: Option<String>,
    /// Readings that are refused: `memory`, `cpu`, `io`, `pids`.
    pub unreadable: Option<Vec<String>>,
    pub process: Option<Vec<Process>>,
    /// `memory.oom.group`
    pub oom_group: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub inside: Option<u32>,
    pub rss: String,
    pub command: String,
    /// `oom_score_adj`
    #[serde(default)]
    pub adj: i32,
    #[serde(default)]
    pub ppid: u32,
    pub state: Option<char>,
    pub threads: Option<u32>,
    #[serde(default)]
    pub cpu_usec: u64,
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
    /// `PID COMM SIZE ADJ`, and who asked for memory first
    #[serde(default)]
    pub candidates: Vec<(u32, String, String, i32)>,
    pub group: Option<bool>,
    /// The host ran out.
    #[serde(default)]
    pub host: bool,
    /// How the path is known.
    pub known: Option<String>,
    /// The program that killed, and what it said.
    pub program: Option<(String, String)>,
}

impl Oom {
    fn known(&self) -> Means {
        match self.known.as_deref() {
            None => Means::Counter,
            Some("log") => Means::KernelLog,
            Some("trace") => Means::Tracepoint,
            Some("inferred") => Means::Inferred,
            Some("journal") => Means::Journal,
            Some(other) => panic!("known: {other}"),
        }
    }
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
                    Ok(event) => drop(model.event(&event)),
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
                if n > 0 {
                    step.cgroup
                        .iter()
                        .for_each(|cgroup| grow(cgroup, &mut cgroups));
                }
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
                swap_total: Reading::Value(size(&host.swap)),
                swap_free: Reading::Value(size(&host.swap)),
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
                .map(Arc::new)
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

fn grow(cgroup: &Cgroup, cgroups: &mut BTreeMap<String, CgroupSample>) {
    let (Some(grow), Some(sample)) = (&cgroup.grow, cgroups.get_mut(&cgroup.path)) else {
        return;
    };
    if let (Reading::Value(current), Reading::Value(stat)) =
        (&mut sample.memory_current, &mut sample.memory_stat)
    {
        current.0 += size(grow).0;
        Arc::make_mut(stat).anon.0 += size(grow).0;
    }
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

/// The first of the candidates asked.
fn choice(oom: &Oom) -> Option<Box<Choice>> {
    let candidates: Vec<Candidate> = oom
        .candidates
        .iter()
        .map(|(pid, comm, rss, adj)| Candidate {
            pid: *pid,
            comm: comm.clone(),
            uid: 0,
            badness: Badness {
                rss: size(rss),
                oom_score_adj: *adj,
                ..Badness::default()
            },
        })
        .collect();
    let asked = candidates.first().map(|first| Asked {
        comm: first.comm.clone(),
        pid: Some(first.pid),
    });
    (!candidates.is_empty()).then(|| {
        Box::new(Choice {
            asked,
            candidates,
            more_candidates: 3,
        })
    })
}

fn events(step: &Step, cgroups: &BTreeMap<String, CgroupSample>) -> Vec<Result<Event, Note>> {
    let time = clock(step.at + 0.5);
    let kills = step.oom.iter().map(|oom| {
        Ok(Event::OomKill(Box::new(OomKill {
            time,
            cgroup: match oom.program {
                Some(_) => CgroupId(0),
                None => cgroups[&oom.path].id,
            },
            path: Fact::new(oom.path.as_str().into(), oom.known()),
            logged_at: None,
            group: oom.group.map(|group| Fact::new(group, Means::Counter)),
            memory_stat: None,
            choice: choice(oom),
            kills: oom.kills.unwrap_or(1),
            total: None,
            fired: match (&oom.program, &oom.limit_path) {
                (Some((name, text)), _) => {
                    let killer = Killer {
                        name: name.clone().into(),
                        text: text.clone(),
                    };
                    Some(Fact::new(Fired::Killer(killer), Means::Journal))
                }
                _ if oom.host => Some(Fact::new(Fired::Host, Means::KernelLog)),
                (None, Some(path)) => {
                    let max = oom.limit.as_deref().map(limit);
                    let path = path.as_str().into();
                    Some(Fact::new(Fired::Cgroup { path, max }, Means::KernelLog))
                }
                (None, None) => None,
            },
            victims: oom
                .victims
                .iter()
                .map(|(pid, inside, comm, rss)| Victim {
                    pid: *pid,
                    inner_pid: Some(*inside),
                    comm: comm.clone(),
                    anon: size(rss),
                    file: Bytes(0),
                    shmem: Bytes(0),
                    uid: Some(0),
                    oom_score_adj: Some(0),
                    from: Means::KernelLog,
                })
                .collect(),
        })))
    });
    let notes = step.note.iter().map(|text| {
        Err(Note {
            time,
            severity: Severity::Info,
            text: text.clone(),
            cgroup: None,
        })
    });
    let stalls = step.stall.iter().map(|(path, share, seconds)| {
        Ok(Event::Stall {
            time,
            cgroup: cgroups[path].id,
            share: *share,
            seconds: *seconds,
        })
    });
    kills.chain(stalls).chain(notes).collect()
}
