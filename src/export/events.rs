//! What happens, a line each: words for people, or JSON for programs.
//!
//! The fields of JSON are in the README, and stay. What is not known is `null`.

use std::time::SystemTime;

use serde::Serialize;

use crate::kernel::kmsg::dump::{self, Asked};
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Bytes, Limit};
use crate::model::changed::Changed;
use crate::model::incident::{Grown, Outcome};
use crate::model::warning::Sign;
use crate::model::{Happening, Incident, Model, Warning, What, oom};
use crate::oom::{Fact, Fired, Means, Victim};
use crate::text;

/// The lines for people about something that happened: the time and a sentence, one line for each victim.
pub fn text(model: &Model, happening: &Happening) -> Vec<String> {
    let words = match &happening.what {
        What::Kill(number) => model.incident(*number).map_or_else(Vec::new, oom::lines),
        What::Sequel(number) => model
            .incident(*number)
            .map(|incident| format!("outcome   {}  {}", incident.name, incident.after()))
            .into_iter()
            .collect(),
        What::Warning(warning) => {
            let severity = warning.severity.name();
            vec![format!(
                "{severity:<9} {}  {}",
                warning.name,
                warning.text()
            )]
        }
        What::Cleared(cleared) => {
            let name = &cleared.warning.name;
            vec![format!("cleared   {name}  {}", cleared.text())]
        }
        What::Changed(changed) => vec![format!("changed   {}  {}", changed.name, changed.text)],
        What::Notice(text) => vec![format!("notice    {text}")],
    };
    let time = rfc3339(happening.time);
    words
        .iter()
        .map(|words| format!("{time} {}", text::sanitise(words)))
        .collect()
}

/// The same as one JSON object; `None` where nothing is known of it any more.
pub fn json(model: &Model, happening: &Happening) -> Option<String> {
    let body = match &happening.what {
        What::Kill(number) => Body::OomKill(Box::new(OomKill::of(model.incident(*number)?))),
        What::Sequel(number) => Body::Outcome(Sequel::of(model.incident(*number)?)?),
        What::Warning(warning) => Body::Warning(Warned::of(warning, warning.text())),
        What::Cleared(cleared) => Body::Cleared {
            warned: Warned::of(&cleared.warning, cleared.text()),
            after: cleared.after.as_secs_f64(),
            gone: cleared.gone,
        },
        What::Changed(changed) => Body::Changed(changed),
        What::Notice(text) => Body::Notice { text },
    };
    let line = Line {
        time: rfc3339(happening.time),
        body,
    };
    super::json(&line)
}

/// `2026-07-01T12:03:41.123Z`
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Body<'a> {
    OomKill(Box<OomKill<'a>>),
    Outcome(Sequel<'a>),
    Warning(Warned<'a>),
    Cleared {
        #[serde(flatten)]
        warned: Warned<'a>,
        after: f64,
        gone: bool,
    },
    Changed(&'a Changed),
    Notice {
        text: &'a str,
    },
}

#[derive(Serialize)]
struct Warned<'a> {
    cgroup: &'a str,
    cgroup_id: u64,
    name: &'a str,
    severity: &'static str,
    sign: &'static str,
    #[serde(flatten)]
    measured: Measured,
    text: String,
}

/// What a sign has of this.
#[derive(Serialize, Default)]
struct Measured {
    share: Option<u32>,
    per_second: Option<u32>,
    seconds: Option<u32>,
    limit: Option<Amount>,
    oom_in: Option<u32>,
    soonest: Option<u32>,
    latest: Option<u32>,
    rate: Option<Bytes>,
}

/// Of what the limit is: bytes, processes, CPUs.
#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Bytes(Bytes),
    Count(u64),
    Cpus(f64),
}

impl<'a> Warned<'a> {
    fn of(warning: &'a Warning, text: String) -> Self {
        Self {
            cgroup: &warning.path,
            cgroup_id: warning.cgroup.0,
            name: &warning.name,
            severity: warning.severity.name(),
            sign: warning.sign.kind().key(),
            measured: Measured::of(warning.sign),
            text,
        }
    }
}

impl Measured {
    fn of(sign: Sign) -> Self {
        let none = Self::default();
        match sign {
            Sign::Memory { share, limit } => Self {
                share: Some(share),
                limit: Some(Amount::Bytes(limit)),
                ..none
            },
            Sign::High {
                per_second,
                share,
                limit,
            }
            | Sign::Max {
                per_second,
                share,
                limit,
            } => Self {
                share: Some(share),
                per_second: Some(per_second),
                limit: Some(Amount::Bytes(limit)),
                ..none
            },
            Sign::Pressure { share, seconds } => Self {
                share: Some(share),
                seconds: Some(seconds),
                ..none
            },
            Sign::Forks { per_second, limit } => Self {
                per_second: Some(per_second),
                limit: limit.map(Amount::Count),
                ..none
            },
            Sign::Throttled { share, limit } => Self {
                share: Some(share),
                limit: limit.cpus().value().map(Amount::Cpus),
                ..none
            },
            Sign::Forecast(countdown) => Self {
                limit: Some(Amount::Bytes(countdown.limit)),
                oom_in: Some(countdown.likely),
                soonest: Some(countdown.soonest),
                latest: Some(countdown.latest),
                rate: Some(countdown.rate),
                ..none
            },
        }
    }
}

#[derive(Serialize)]
struct Whose<'a> {
    incident: u64,
    cgroup: Option<&'a str>,
    cgroup_id: Option<u64>,
    name: &'a str,
}

impl<'a> Whose<'a> {
    fn of(incident: &'a Incident) -> Self {
        Self {
            incident: incident.number,
            // A program may have named a process or a pod.
            cgroup: Some(&*incident.kill.path.value).filter(|path| path.starts_with('/')),
            // Of what was before, the path is all that is known.
            cgroup_id: Some(incident.kill.cgroup.0).filter(|&id| id > 0),
            name: &incident.name,
        }
    }
}

#[derive(Serialize)]
struct OomKill<'a> {
    #[serde(flatten)]
    whose: Whose<'a>,
    by: &'a str,
    said: Option<&'a str>,
    kills: u64,
    group: Option<bool>,
    limit: Option<OfLimit<'a>>,
    victims: Vec<Killed<'a>>,
    memory_stat: Option<MemoryStat>,
    asked: Option<&'a Asked>,
    candidates: Option<Vec<Candidate<'a>>>,
    more_candidates: Option<usize>,
    growth: Option<Growth>,
    grown: Option<&'a Grown>,
    pressure: Option<f32>,
    known: Known,
}

impl<'a> OomKill<'a> {
    fn of(incident: &'a Incident) -> Self {
        let kill = &incident.kill;
        let fired = incident.fired();
        let choice = kill.choice.as_deref();
        Self {
            whose: Whose::of(incident),
            said: kill.killer().map(|killer| &*killer.text),
            by: kill.killer().map_or("kernel", |killer| &*killer.name),
            kills: kill.kills,
            group: kill.group.map(|group| group.value),
            limit: fired.and_then(|fired| OfLimit::new(fired.value, &kill.path.value)),
            victims: kill.victims.iter().map(Killed::of).collect(),
            memory_stat: kill.memory_stat.map(|stat| stat.value),
            asked: choice.and_then(|choice| choice.asked.as_ref()),
            candidates: choice.map(|choice| {
                let candidates = choice.candidates.iter();
                candidates
                    .map(|of| Candidate {
                        of,
                        killed: kill.has_killed(of.pid),
                    })
                    .collect()
            }),
            more_candidates: choice.map(|choice| choice.more_candidates),
            growth: incident.growth().map(|growth| Growth {
                rate: growth.rate.round(),
                seconds: growth.seconds,
            }),
            grown: incident.grown.as_ref(),
            pressure: incident.pressure(),
            known: Known {
                cgroup: key(kill.path.from),
                limit: fired.map(|fired| key(fired.from)),
                group: kill.group.map(how),
                memory_stat: kill.memory_stat.map(how),
            },
        }
    }
}

/// How something is known, as a word without spaces.
fn key(means: Means) -> &'static str {
    match means {
        Means::KernelLog => "kernel_log",
        Means::Tracepoint => "tracepoint",
        Means::Counter => "event_counter",
        Means::Seen => "seen_before",
        Means::Journal => "journal",
        Means::Inferred => "inferred",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it goes into `map`")]
fn how<T>(fact: Fact<T>) -> &'static str {
    key(fact.from)
}

#[derive(Serialize)]
struct Known {
    cgroup: &'static str,
    limit: Option<&'static str>,
    group: Option<&'static str>,
    memory_stat: Option<&'static str>,
}

#[derive(Serialize)]
struct OfLimit<'a> {
    host: bool,
    path: Option<&'a str>,
    own: bool,
    max: Option<Bytes>,
}

impl<'a> OfLimit<'a> {
    fn new(fired: &'a Fired, victims: &str) -> Option<Self> {
        Some(match fired {
            Fired::Killer(_) => return None,
            Fired::Host => Self {
                host: true,
                path: None,
                own: false,
                max: None,
            },
            Fired::Cgroup { path, max } => Self {
                host: false,
                path: Some(path),
                own: **path == *victims,
                max: max.and_then(Limit::value),
            },
        })
    }
}

#[derive(Serialize)]
struct Killed<'a> {
    pid: u32,
    inner_pid: Option<u32>,
    comm: &'a str,
    rss: Bytes,
    anon: Bytes,
    file: Bytes,
    shmem: Bytes,
    oom_score_adj: Option<i32>,
    uid: Option<u32>,
    known: &'static str,
}

impl<'a> Killed<'a> {
    fn of(victim: &'a Victim) -> Self {
        Self {
            pid: victim.pid,
            inner_pid: victim.inner_pid,
            comm: &victim.comm,
            rss: victim.rss(),
            anon: victim.anon,
            file: victim.file,
            shmem: victim.shmem,
            oom_score_adj: victim.oom_score_adj,
            uid: victim.uid,
            known: key(victim.from),
        }
    }
}

#[derive(Serialize)]
struct Candidate<'a> {
    #[serde(flatten)]
    of: &'a dump::Candidate,
    killed: bool,
}

#[derive(Serialize)]
struct Growth {
    rate: f64,
    seconds: f64,
}

#[derive(Serialize)]
struct Sequel<'a> {
    #[serde(flatten)]
    whose: Whose<'a>,
    outcome: &'static str,
    after: f64,
    left: Option<u64>,
    exit: Option<u8>,
    text: String,
}

impl<'a> Sequel<'a> {
    fn of(incident: &'a Incident) -> Option<Self> {
        let sequel = incident.sequel.as_ref()?;
        let (outcome, left) = match sequel.outcome {
            Outcome::Survived { left } => ("survived", left),
            Outcome::Ended => ("ended", None),
            Outcome::Removed => ("removed", None),
            Outcome::Restarted => ("restarted", None),
        };
        Some(Self {
            whose: Whose::of(incident),
            outcome,
            after: sequel.after.as_secs_f64(),
            left,
            exit: incident.killed_init().then_some(137),
            text: incident.after(),
        })
    }
}
