//! The record of one workload.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};

use crate::kernel::process::held::{Brief, Held};
use crate::launch::ids::Ids;
use crate::launch::plan::Plan;
use crate::launch::report::Report;
use crate::launch::spec::{Spec, User, Workdir};
use crate::oom::OomKill;

/// So many OOM kills are remembered; the last ones.
const OOM_KILLS: usize = 32;

/// What is known of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Its name.
    pub name: String,
    /// How it is kept.
    pub terms: Terms,
    /// What was asked for, with the name and host name that were found for it.
    pub spec: Spec,
    /// The program and its arguments, an image's where none was asked for.
    pub command: Vec<String>,
    /// Its cgroup, from the v2 root.
    pub cgroup: PathBuf,
    /// Whom the ids inside are outside.
    pub ids: Ids,
    /// Who runs the program, where that is not root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<Workdir>,
    /// Its environment, as `KEY=VALUE`.
    pub environment: Vec<String>,
    /// Who sees to it.
    pub supervisor: Identity,
    /// When it was started first.
    #[serde(with = "humantime_serde")]
    pub created: SystemTime,
    /// How it is.
    pub status: Status,
    /// Whether its program ever ran: what never did is not kept. Records from before this was written down are of what
    /// ran.
    #[serde(default = "has_run")]
    pub ran: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Its OOM kills, the last ones, the latest at the end.
    #[serde(default, deserialize_with = "known")]
    pub oom_kills: Vec<OomKill>,
    /// Where its output is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// How a workload is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Terms {
    /// Whether it goes on without whoever started it.
    pub detached: bool,
    /// Whether its record and its log stay after its end.
    pub keep: bool,
    /// A shell command to run outside for every OOM kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_oom: Option<String>,
}

/// How a workload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Status {
    /// On its way to its program.
    Starting,
    /// Its program runs.
    Running {
        /// PID 1, as the host sees it.
        #[serde(flatten)]
        process: Identity,
        /// Since when.
        #[serde(with = "humantime_serde")]
        since: SystemTime,
    },
    /// It ended, and is about to be started again.
    Restarting {
        /// How it ended.
        code: u8,
        /// When it is started.
        #[serde(with = "humantime_serde")]
        at: SystemTime,
    },
    /// It is over, and nothing of it runs.
    Ended {
        /// How: its exit code, or 128 and the signal.
        code: u8,
        /// When.
        #[serde(with = "humantime_serde")]
        at: SystemTime,
        /// Why, where it was not the program's own end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// A process: with its start, its pid is no later one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// As the host sees it.
    pub pid: u32,
    /// In clock ticks since boot.
    pub start_time: u64,
}

fn has_run() -> bool {
    true
}

/// Those that this version understands: others are not worth losing a record for.
fn known<'de, D: Deserializer<'de>>(kills: D) -> Result<Vec<OomKill>, D::Error> {
    let kills = Vec::<serde_json::Value>::deserialize(kills)?;
    let known = |kill| serde_json::from_value(kill).ok();
    Ok(kills.into_iter().filter_map(known).collect())
}

impl Identity {
    /// Of a process that is there; its start is 0 where it is gone.
    pub fn of(pid: u32) -> Self {
        let brief = Brief::read(Path::new("/proc"), pid);
        Self {
            pid,
            start_time: brief.map_or(0, |brief| brief.start_time),
        }
    }

    /// Takes hold of it, unless it is gone.
    pub fn hold(&self) -> Option<Held> {
        let held = Held::open(Path::new("/proc"), self.pid).ok()??;
        (held.brief.start_time == self.start_time).then_some(held)
    }
}

impl Record {
    /// Of a workload that this process is about to start.
    pub fn new(plan: &Plan, spec: &Spec, terms: Terms) -> Self {
        let mut spec = spec.clone();
        spec.name = plan.name.parse().ok();
        spec.hostname = plan.hostname.parse().ok();
        Self {
            name: plan.name.clone(),
            terms,
            spec,
            command: plan.argv.clone(),
            cgroup: PathBuf::new(),
            ids: plan.ids.clone(),
            user: plan.user.clone(),
            workdir: plan.workdir.clone(),
            environment: plan.environment.clone(),
            supervisor: Identity::of(std::process::id()),
            created: SystemTime::now(),
            status: Status::Starting,
            ran: false,
            restarts: 0,
            oom_kills: Vec::new(),
            log: None,
        }
    }

    /// Its cgroup below this v2 mount.
    pub fn leaf(&self, mount: &Path) -> PathBuf {
        mount.join(self.cgroup.strip_prefix("/").unwrap_or(&self.cgroup))
    }

    /// PID 1, where the program runs.
    pub fn process(&self) -> Option<Identity> {
        match self.status {
            Status::Running { process, .. } => Some(process),
            _ => None,
        }
    }

    /// Whether it stays after its end.
    pub fn is_kept(&self) -> bool {
        self.terms.keep && self.ran
    }

    /// How it ended, where it has.
    pub fn exit_code(&self) -> Option<u8> {
        match self.status {
            Status::Ended { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Writes down what happened; whether that changed anything.
    pub fn take_in(&mut self, report: &Report, last_code: u8) -> bool {
        let now = SystemTime::now();
        match report {
            Report::Started { pid } => {
                self.ran = true;
                self.status = Status::Running {
                    process: Identity::of(*pid),
                    since: now,
                };
            }
            Report::Restarting { delay } => {
                self.restarts = self.restarts.saturating_add(1);
                self.status = Status::Restarting {
                    code: last_code,
                    at: now + *delay,
                };
            }
            Report::OomKill { kill, .. } => {
                if self.oom_kills.len() == OOM_KILLS {
                    self.oom_kills.remove(0);
                }
                self.oom_kills.push(OomKill::clone(kill));
            }
            Report::Notice { .. } | Report::Failed { .. } | Report::Exited { .. } => return false,
        }
        true
    }

    /// Writes down its end.
    pub fn end(&mut self, code: u8, why: Option<String>) {
        self.status = Status::Ended {
            code,
            at: SystemTime::now(),
            why,
        };
    }
}
