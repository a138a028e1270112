//! What the kernel log said about kills, until a counter claims it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kernel::kmsg::{OomLine, OomSummary, OomVictim};
use crate::kernel::task;
use crate::sample::{Means, Victim};

/// How long a line waits for the others and for a counter.
const FORGET_AFTER: Duration = Duration::from_secs(1);
/// The two verdicts of a group kill's first victim come within this time.
const TOLD_TWICE_WITHIN: Duration = Duration::from_secs(1);
/// More than this is kept of no list: a fork bomb must not fill the memory.
const AT_MOST: usize = 16_384;

/// One kill as the log tells it: a summary, a verdict, or both.
#[derive(Debug)]
pub struct Logged {
    pub pid: u32,
    /// The victim's cgroup, as far as anything names it.
    pub path: Option<Arc<str>>,
    pub summary: Option<OomSummary>,
    pub verdict: Option<OomVictim>,
    pub inner_pid: Option<u32>,
    pub heard: Instant,
}

impl Logged {
    /// The victim, once the verdict has come.
    pub fn victim(&self) -> Option<Victim> {
        let verdict = self.verdict.as_ref()?;
        Some(Victim {
            pid: self.pid,
            inner_pid: self.inner_pid,
            comm: verdict.comm.clone(),
            anon: verdict.anon_rss,
            file: verdict.file_rss,
            shmem: verdict.shmem_rss,
            uid: verdict.uid,
            oom_score_adj: verdict.oom_score_adj,
            from: Means::KernelLog,
        })
    }
}

/// The kills that were heard of, and what is known of processes while they live.
#[derive(Debug)]
pub struct Log {
    proc: PathBuf,
    /// Whether the v2 hierarchy has the memory controller: then the log's cgroup paths are v2 paths.
    memory: bool,
    pub kills: VecDeque<Logged>,
    known: HashMap<u32, Known>,
    /// The victims of late: a group kill logs its first one twice, with others in between.
    victims: VecDeque<(u32, Instant)>,
}

/// A process that was seen alive.
#[derive(Debug)]
struct Known {
    path: Arc<str>,
    inner_pid: Option<u32>,
    seen: Instant,
}

impl Log {
    pub fn new(proc: PathBuf, memory: bool) -> Self {
        Self {
            proc,
            memory,
            kills: VecDeque::new(),
            known: HashMap::new(),
            victims: VecDeque::new(),
        }
    }

    /// Remembers who is in a cgroup. Only pids that are new there cost a look into `/proc`.
    pub fn remember(&mut self, path: &Arc<str>, pids: &[u32], now: Instant) {
        if self.known.len() > AT_MOST {
            self.known
                .retain(|_, known| now.duration_since(known.seen) < Duration::from_mins(1));
        }
        for &pid in pids {
            if self.known.len() > 2 * AT_MOST {
                return;
            }
            match self.known.get_mut(&pid) {
                Some(known) if known.path == *path => known.seen = now,
                _ => {
                    let known = Known {
                        path: Arc::clone(path),
                        inner_pid: task::innermost_pid(&self.proc, pid),
                        seen: now,
                    };
                    self.known.insert(pid, known);
                }
            }
        }
    }

    /// Takes one line of the log in. Says which kill it is about, where it is about one.
    pub fn hear(&mut self, message: &str, now: Instant) -> Option<&mut Logged> {
        let line = OomLine::parse(message)?;
        if let OomLine::Killed(victim) = &line {
            let old = |(_, heard): &(u32, Instant)| now.duration_since(*heard) > TOLD_TWICE_WITHIN;
            while self.victims.front().is_some_and(old) {
                self.victims.pop_front();
            }
            if self.victims.iter().any(|(pid, _)| *pid == victim.pid) {
                return None;
            }
            self.victims.push_back((victim.pid, now));
        }
        let pid = match &line {
            OomLine::Summary(summary) => summary.pid,
            OomLine::Killed(victim) => victim.pid,
        };
        // The same kill if the other line of it is still wanted; a pid may be used again.
        let at = self.kills.iter().rposition(|kill| {
            kill.pid == pid
                && match &line {
                    OomLine::Summary(_) => kill.summary.is_none(),
                    OomLine::Killed(_) => kill.verdict.is_none(),
                }
        });
        let at = at.unwrap_or_else(|| {
            let summary = match &line {
                OomLine::Summary(summary) if self.memory => Some(summary),
                _ => None,
            };
            let kill = self.unheard(pid, summary, now);
            if self.kills.len() >= AT_MOST {
                self.kills.pop_front();
            }
            self.kills.push_back(kill);
            self.kills.len() - 1
        });
        let kill = self.kills.get_mut(at)?;
        match line {
            OomLine::Summary(summary) => kill.summary = Some(summary),
            OomLine::Killed(victim) => kill.verdict = Some(victim),
        }
        Some(kill)
    }

    /// A kill with what is known of its victim. Where the log does not say, `/proc` may: the victim can
    /// still be there as a zombie. That costs time, so it comes last.
    fn unheard(&self, pid: u32, summary: Option<&OomSummary>, now: Instant) -> Logged {
        let known = self.known.get(&pid);
        let path = match summary {
            Some(summary) => Some(summary.task_memcg.as_str().into()),
            None => task::cgroup(&self.proc, pid)
                .map(Arc::from)
                .or_else(|| known.map(|known| Arc::clone(&known.path))),
        };
        // A pid that is elsewhere now was used again.
        let known = known.filter(|known| path.as_ref() == Some(&known.path));
        let inner_pid = match known {
            Some(known) => known.inner_pid,
            None => task::innermost_pid(&self.proc, pid),
        };
        Logged {
            pid,
            path,
            summary: None,
            verdict: None,
            inner_pid,
            heard: now,
        }
    }

    /// Takes a kill with a verdict that fits out of the list.
    pub fn claim(&mut self, fits: impl Fn(&Logged) -> bool) -> Option<Logged> {
        let at = self
            .kills
            .iter()
            .position(|kill| kill.verdict.is_some() && fits(kill))?;
        self.kills.remove(at)
    }

    /// Drops what no counter has claimed for long.
    pub fn forget(&mut self, now: Instant) {
        self.kills
            .retain(|kill| now.duration_since(kill.heard) < FORGET_AFTER);
    }
}
