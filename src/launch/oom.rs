//! The evidence of an OOM kill: the counters say that it happened, the kernel log says to whom and
//! because of which limit, and the pids seen while all was well say who that was inside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::kernel::cgroup::hierarchy::of_process;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::kmsg::reader::{Next, Reader};
use crate::kernel::kmsg::{OomLine, OomSummary, OomVictim};
use crate::kernel::memory::MemoryEvents;
use crate::kernel::task;
use crate::kernel::unit::{Bytes, Limit};
use crate::text;

/// The kernel logs a kill after it sent the signal, so the log may come after the death.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// An OOM kill, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OomReport {
    /// Whose limit it was.
    pub cause: Cause,
    /// How many processes were killed: the victim, and those that went with it. Without the kernel log
    /// this is the kernel's counter, which counts the victim of a group kill twice (seen on 6.1 and 6.12).
    pub kills: u64,
    /// Who was chosen; `None` where the kernel log does not say or cannot be read.
    pub victim: Option<Victim>,
}

/// Why memory ran out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A limit was hit.
    Limit {
        /// The workload's name, or the path of the cgroup above it that ran out.
        cgroup: String,
        /// `memory.max`, where it could be read.
        max: Option<Limit<Bytes>>,
    },
    /// A cgroup above ran out, or the host; the kernel log does not say which.
    Above,
    /// The host ran out.
    Host,
}

/// Who was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Victim {
    /// Its pid on the host.
    pub pid: u32,
    /// Its pid inside, where it was seen.
    pub inner_pid: Option<u32>,
    /// Its command name; foreign text.
    pub comm: String,
    /// Resident anonymous memory.
    pub anon: Bytes,
    /// Resident file pages.
    pub file: Bytes,
    /// Resident shared memory.
    pub shmem: Bytes,
}

impl Victim {
    /// All resident memory.
    pub fn rss(&self) -> Bytes {
        let [anon, file, shmem] = [self.anon.0, self.file.0, self.shmem.0];
        Bytes(anon.saturating_add(file).saturating_add(shmem))
    }
}

impl From<OomVictim> for Victim {
    fn from(victim: OomVictim) -> Self {
        Self {
            pid: victim.pid,
            inner_pid: None,
            comm: victim.comm,
            anon: victim.anon_rss,
            file: victim.file_rss,
            shmem: victim.shmem_rss,
        }
    }
}

/// `OOM kill: memory.max 32M of leaker hit; victim pid 48213 (1 inside) ringfence, rss 31.4M (…)`
impl fmt::Display for OomReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Limit { cgroup, max } => {
                let max = max.map_or_else(|| "(unreadable)".to_owned(), text::limit);
                write!(
                    out,
                    "OOM kill: memory.max {max} of {} hit",
                    text::sanitise(cgroup)
                )?;
            }
            Cause::Above => out.write_str("OOM kill: a limit above the workload was hit")?,
            Cause::Host => out.write_str("OOM kill: the host ran out of memory")?,
        }
        match &self.victim {
            None => out.write_str("; victim unknown: the kernel log does not say")?,
            Some(victim) => {
                let inner = victim
                    .inner_pid
                    .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                let [rss, anon, file, shmem] =
                    [victim.rss(), victim.anon, victim.file, victim.shmem].map(text::bytes);
                write!(
                    out,
                    "; victim pid {} ({inner} inside) {}, rss {rss} (anon {anon}, file {file}, shmem {shmem})",
                    victim.pid,
                    text::sanitise(&victim.comm)
                )?;
            }
        }
        match self.kills {
            0 | 1 => Ok(()),
            2 => out.write_str("; one more process was killed with it"),
            kills => write!(out, "; {} more processes were killed with it", kills - 1),
        }
    }
}

/// Collects evidence for one leaf.
#[derive(Debug)]
pub struct Evidence {
    name: String,
    mount: PathBuf,
    /// The leaf as the kernel log names it.
    leaf_path: PathBuf,
    kmsg: Option<Reader>,
    /// Counters up to the last report.
    reported: MemoryEvents,
    reported_local: MemoryEvents,
    /// Inner pids by host pid, of every process seen in the leaf.
    inner_pids: BTreeMap<u32, u32>,
    summaries: Vec<OomSummary>,
    victims: Vec<OomVictim>,
}

impl Evidence {
    /// Starts to collect. Without a readable kernel log, kills are still counted.
    pub fn new(plan: &Plan, leaf: &Cgroup, leaf_path: PathBuf) -> Self {
        Self {
            name: plan.name.clone(),
            mount: plan.mount.clone(),
            leaf_path,
            kmsg: Reader::open(Path::new("/dev/kmsg")).ok(),
            reported: events(leaf, "memory.events"),
            reported_local: events(leaf, "memory.events.local"),
            inner_pids: BTreeMap::new(),
            summaries: Vec::new(),
            victims: Vec::new(),
        }
    }

    /// Remembers who is in the leaf and reads on in the kernel log: to be called whenever the leaf's
    /// memory counters moved, as the kernel counts `max` and `oom` before it kills.
    pub fn look(&mut self, leaf: &Cgroup) {
        for pid in leaf.processes().unwrap_or_default() {
            self.remember(pid);
        }
        self.read_log();
    }

    /// Remembers that a process is PID 1 inside.
    pub fn remember_init(&mut self, pid: u32) {
        self.inner_pids.insert(pid, 1);
    }

    /// Remembers one process's pid inside.
    fn remember(&mut self, pid: u32) {
        if !self.inner_pids.contains_key(&pid)
            && let Some(inner) = task::innermost_pid(Path::new("/proc"), pid)
        {
            self.inner_pids.insert(pid, inner);
        }
    }

    /// Whether anything was killed since the last report.
    pub fn is_oom(&self, leaf: &Cgroup) -> bool {
        events(leaf, "memory.events").oom_kill > self.reported.oom_kill
    }

    /// What was killed since the last report. Waits a little for the kernel log to say it.
    pub fn report(&mut self, leaf: &Cgroup) -> Option<OomReport> {
        let now = events(leaf, "memory.events");
        let local = events(leaf, "memory.events.local");
        if now.oom_kill <= self.reported.oom_kill {
            return None;
        }
        let kills = now.kills().saturating_sub(self.reported.kills()).max(1);
        let own = local.oom > self.reported_local.oom;
        (self.reported, self.reported_local) = (now, local);

        let deadline = Instant::now() + LOG_PATIENCE;
        self.read_log();
        while self.kmsg.is_some() && self.victims.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
            self.read_log();
        }
        let summary = self.summaries.first().cloned();
        // The summary is about the victim that was chosen; those that went with it follow.
        let chosen = summary
            .as_ref()
            .and_then(|summary| self.victims.iter().find(|victim| victim.pid == summary.pid))
            .or(self.victims.first())
            .cloned();
        let pids: BTreeSet<u32> = self.victims.iter().map(|victim| victim.pid).collect();
        let kills = u64::try_from(pids.len())
            .ok()
            .filter(|&named| named > 0)
            .unwrap_or(kills);
        let host = chosen.as_ref().is_some_and(|victim| !victim.memcg);
        let cause = match summary.map(|summary| summary.oom_memcg) {
            Some(Some(path)) => self.limit_of(leaf, Path::new(&path)),
            Some(None) => Cause::Host,
            None if host => Cause::Host,
            // The log's summary is rate-limited; the counter tells whose limit it was all the same.
            None if own => self.limit_of(leaf, &self.leaf_path),
            None => Cause::Above,
        };
        let victim = chosen.map(|victim| {
            self.remember(victim.pid);
            Victim {
                inner_pid: self.inner_pids.get(&victim.pid).copied(),
                ..victim.into()
            }
        });
        self.summaries.clear();
        self.victims.clear();
        Some(OomReport {
            cause,
            kills,
            victim,
        })
    }

    fn limit_of(&self, leaf: &Cgroup, path: &Path) -> Cause {
        let max = |cgroup: &Cgroup| {
            let text = cgroup.read("memory.max").ok()?;
            Limit::parse(&text, "memory.max").ok()
        };
        if path == self.leaf_path {
            return Cause::Limit {
                cgroup: self.name.clone(),
                max: max(leaf),
            };
        }
        let above = self.mount.join(path.strip_prefix("/").unwrap_or(path));
        Cause::Limit {
            cgroup: path.to_string_lossy().into_owned(),
            max: Cgroup::open(above).ok().as_ref().and_then(max),
        }
    }

    /// Reads on in the kernel log and keeps the lines about this leaf.
    fn read_log(&mut self) {
        let Some(kmsg) = &mut self.kmsg else { return };
        loop {
            let line = match kmsg.next() {
                Ok(Next::Record(record)) => OomLine::parse(record.message),
                Ok(Next::Lost) => continue,
                Ok(Next::None) => return,
                Err(_) => {
                    self.kmsg = None;
                    return;
                }
            };
            match line {
                Some(OomLine::Summary(summary))
                    if Path::new(&summary.task_memcg).starts_with(&self.leaf_path) =>
                {
                    self.summaries.push(summary);
                }
                Some(OomLine::Killed(victim))
                    if self.inner_pids.contains_key(&victim.pid)
                        || self.summaries.iter().any(|line| line.pid == victim.pid)
                        || is_in(&self.leaf_path, victim.pid) =>
                {
                    self.victims.push(victim);
                }
                _ => {}
            }
        }
    }
}

/// Whether a process, dying perhaps, is in the cgroup or below it.
fn is_in(leaf_path: &Path, pid: u32) -> bool {
    of_process(Path::new("/proc"), &pid.to_string())
        .is_ok_and(|path| path.is_some_and(|path| path.starts_with(leaf_path)))
}

fn events(leaf: &Cgroup, file: &str) -> MemoryEvents {
    leaf.read(file)
        .ok()
        .and_then(|text| MemoryEvents::parse(&text).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_one_line() {
        let mut report = OomReport {
            cause: Cause::Limit {
                cgroup: "leaker".into(),
                max: Some(Limit::At(Bytes(32 << 20))),
            },
            kills: 1,
            victim: Some(Victim {
                pid: 48213,
                inner_pid: Some(1),
                comm: "rm\x1b[2J".into(),
                anon: Bytes(31 << 20),
                file: Bytes(512 << 10),
                shmem: Bytes(0),
            }),
        };
        assert_eq!(
            report.to_string(),
            "OOM kill: memory.max 32M of leaker hit; victim pid 48213 (1 inside) rm\\u{1b}[2J, \
             rss 31.5M (anon 31M, file 512K, shmem 0B)"
        );
        report.victim = None;
        report.kills = 3;
        assert_eq!(
            report.to_string(),
            "OOM kill: memory.max 32M of leaker hit; victim unknown: the kernel log does not say; \
             2 more processes were killed with it"
        );
    }
}
