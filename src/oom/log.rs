//! What the kernel log and the tracepoint said about kills, until a counter claims it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fact, Fired, Means, Victim};
use crate::kernel::cgroup::is_in;
use crate::kernel::kmsg::dump::{Choice, Dump, Dumps, Exhausted};
use crate::kernel::kmsg::{OomLine, OomProcess, OomSummary, OomVictim, Record};
use crate::kernel::task;
use crate::kernel::trace::{Attached, Marked};

/// How long a line waits for the others and for a counter.
const FORGET_AFTER: Duration = Duration::from_secs(1);
/// The two verdicts of a group kill's first victim come within this time, and so do the tracepoint and the
/// verdict of any victim.
const TOLD_TWICE_WITHIN: Duration = Duration::from_secs(1);
/// More than this is kept of no list: a fork bomb must not fill the memory.
const AT_MOST: usize = 16_384;

/// One kill as it is told: by the log in a summary, a verdict, or both, and by the tracepoint.
#[derive(Debug)]
pub struct Told {
    pub pid: u32,
    /// The victim's cgroup, as far as anything names it.
    pub path: Option<Arc<str>>,
    pub summary: Option<OomSummary>,
    pub verdict: Option<OomVictim>,
    pub mark: Option<Marked>,
    /// The kernel's report of it.
    pub dump: Option<Dump>,
    /// When the log first spoke of it, on the log's clock.
    pub logged_at: Option<Duration>,
    pub inner_pid: Option<u32>,
    pub heard: Instant,
}

impl Told {
    /// Whether its victim is known.
    pub fn is_named(&self) -> bool {
        self.process().is_some()
    }

    fn process(&self) -> Option<&OomProcess> {
        match &self.verdict {
            Some(verdict) => Some(&verdict.process),
            None => self.mark.as_ref()?.process.as_ref(),
        }
    }

    /// Who tells of it.
    pub fn means(&self) -> Means {
        if self.verdict.is_some() || self.summary.is_some() {
            Means::KernelLog
        } else {
            Means::Tracepoint
        }
    }

    /// The victim, once it was told.
    pub fn victim(&self) -> Option<Victim> {
        let from = match self.verdict {
            Some(_) => Means::KernelLog,
            None => Means::Tracepoint,
        };
        let process = self.process()?;
        Some(Victim::new(self.pid, self.inner_pid, process, from))
    }

    /// When the kernel said so, since boot.
    pub fn told_at(&self) -> Option<Fact<Duration>> {
        let logged = self.logged_at.map(|at| Fact::new(at, Means::KernelLog));
        let marked = self.mark.as_ref();
        logged.or_else(|| Some(Fact::new(marked?.at, Means::Tracepoint)))
    }
}

/// What ran out, as far as the log says it of kills that belong together; a limit as it was then.
pub fn fired(told: &[Told]) -> Option<Fact<Fired>> {
    let is_hosts = |told: &Told| told.verdict.as_ref().is_some_and(|verdict| !verdict.memcg);
    let summary = told.iter().find_map(|told| told.summary.as_ref());
    let fired = match summary {
        Some(summary) => Fired::logged(summary, |path| exhausted(told, path)),
        None if told.iter().any(is_hosts) => Fired::Host,
        // Summaries are rate-limited.
        None => return None,
    };
    Some(Fact::new(fired, Means::KernelLog))
}

/// What the log says of a cgroup, if it is the one that ran out.
pub fn exhausted<'a>(told: &'a [Told], path: &str) -> Option<&'a Exhausted> {
    let dumps = told.iter().filter_map(|told| told.dump.as_ref());
    let mut cgroups = dumps.filter_map(|dump| dump.cgroup.as_ref());
    cgroups.find(|cgroup| cgroup.path == path)
}

/// Who could have been killed instead.
pub fn choice(told: &[Told]) -> Option<Box<Choice>> {
    let dump = told.iter().find_map(|told| told.dump.as_ref())?;
    Some(dump.choice.clone().into())
}

/// The kills that were heard of, and what is known of processes while they live.
#[derive(Debug)]
pub struct Log {
    proc: PathBuf,
    /// Whether the v2 hierarchy has the memory controller: then the log's cgroup paths are v2 paths.
    memory: bool,
    pub kills: VecDeque<Told>,
    known: HashMap<u32, Known>,
    /// The victims of late: a group kill logs its first one twice, with others in between.
    victims: VecDeque<(u32, Instant)>,
    /// Victims that were told on the tracepoint's word alone: the verdict comes late.
    claimed: VecDeque<(u32, Instant)>,
    dumps: Dumps,
    /// Cgroups that were killed as a group of late.
    groups: VecDeque<(String, Instant)>,
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
            dumps: Dumps::new(proc.clone()),
            proc,
            memory,
            kills: VecDeque::new(),
            known: HashMap::new(),
            victims: VecDeque::new(),
            claimed: VecDeque::new(),
            groups: VecDeque::new(),
        }
    }

    /// A process went into a cgroup.
    pub fn attach(&mut self, attached: &Attached, now: Instant) {
        self.make_room(now);
        if self.known.len() > 2 * AT_MOST {
            return;
        }
        let known = Known {
            path: attached.path.as_str().into(),
            inner_pid: None,
            seen: now,
        };
        self.known.insert(attached.pid, known);
    }

    /// Forgets who was not seen for long, where there are many.
    fn make_room(&mut self, now: Instant) {
        if self.known.len() > AT_MOST {
            self.known
                .retain(|_, known| now.duration_since(known.seen) < Duration::from_mins(1));
        }
    }

    /// Remembers who is in a cgroup. Only pids that are new there cost a look into `/proc`.
    pub fn remember(&mut self, path: &Arc<str>, pids: &[u32], now: Instant) {
        self.make_room(now);
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

    /// Records of the log were lost: what follows does not belong to a report that was begun before.
    pub fn break_off(&mut self) {
        self.dumps.break_off();
    }

    /// Takes one line of the log in. Says which kill it is about, where it is about one.
    pub fn hear(&mut self, record: &Record<'_>, now: Instant) -> Option<&mut Told> {
        // Programs may write there too, but not in the kernel's name.
        if !record.from_kernel {
            return None;
        }
        let dump = self.dumps.hear(record.message);
        // The same kill if the other line of it is still wanted; a pid may be used again.
        let at = match OomLine::parse(record.message)? {
            OomLine::Group(path) => {
                self.groups.push_back((path, now));
                return None;
            }
            OomLine::Summary(summary) => {
                let at = self.place(summary.pid, |kill| kill.summary.is_none());
                let at = at.unwrap_or_else(|| {
                    let named = self.memory.then_some(&summary);
                    self.add(self.unheard(summary.pid, named, now))
                });
                let kill = &mut self.kills[at];
                // Whom the tracepoint named before may have been gone when its cgroup was looked up.
                if kill.path.is_none() && self.memory {
                    kill.path = Some(summary.task_memcg.as_str().into());
                }
                kill.dump = dump.filter(|dump| dump.is_about(&summary));
                kill.summary = Some(summary);
                at
            }
            OomLine::Killed(victim) => {
                if is_told(&self.victims, victim.pid, now)
                    || is_told(&self.claimed, victim.pid, now)
                {
                    return None;
                }
                self.victims.push_back((victim.pid, now));
                let at = self.place(victim.pid, |kill| kill.verdict.is_none());
                let at = at.unwrap_or_else(|| self.add(self.unheard(victim.pid, None, now)));
                self.kills[at].verdict = Some(victim);
                at
            }
        };
        let kill = &mut self.kills[at];
        kill.logged_at.get_or_insert(record.since_boot);
        Some(kill)
    }

    /// Takes in that the tracepoint names a victim. Says which kill it is about.
    pub fn mark(&mut self, marked: Marked, now: Instant) -> Option<&mut Told> {
        let at = self.place(marked.pid, |kill| kill.mark.is_none());
        let at = match at {
            Some(at) => at,
            // The log was faster, and the kill is told.
            None if is_told(&self.victims, marked.pid, now) => return None,
            None => self.add(self.unheard(marked.pid, None, now)),
        };
        let kill = self.kills.get_mut(at)?;
        kill.mark = Some(marked);
        Some(kill)
    }

    /// Where the last kill of this pid is that still wants something.
    fn place(&self, pid: u32, wants: impl Fn(&Told) -> bool) -> Option<usize> {
        let mut kills = self.kills.iter();
        kills.rposition(|kill| kill.pid == pid && wants(kill))
    }

    fn add(&mut self, kill: Told) -> usize {
        if self.kills.len() >= AT_MOST {
            self.kills.pop_front();
        }
        self.kills.push_back(kill);
        self.kills.len() - 1
    }

    /// Whether the log said of late that this cgroup, or one above it, was killed as a group.
    pub fn is_group(&self, path: &str) -> bool {
        self.groups.iter().any(|(group, _)| is_in(path, group))
    }

    /// A kill with what is known of its victim. Where the log does not say, `/proc` may: the victim can
    /// still be there as a zombie. That costs time, so it comes last.
    fn unheard(&self, pid: u32, summary: Option<&OomSummary>, now: Instant) -> Told {
        let known = self.known.get(&pid);
        let path = match summary {
            Some(summary) => Some(summary.task_memcg.as_str().into()),
            None => task::cgroup(&self.proc, pid)
                .map(Arc::from)
                .or_else(|| known.map(|known| Arc::clone(&known.path))),
        };
        // A pid that is elsewhere now was used again.
        let known = known.filter(|known| path.as_ref() == Some(&known.path));
        let inner_pid = known
            .and_then(|known| known.inner_pid)
            .or_else(|| task::innermost_pid(&self.proc, pid));
        Told {
            pid,
            path,
            summary: None,
            verdict: None,
            mark: None,
            dump: None,
            logged_at: None,
            inner_pid,
            heard: now,
        }
    }

    /// Takes a kill with a known victim that fits out of the list.
    pub fn claim(&mut self, fits: impl Fn(&Told) -> bool) -> Option<Told> {
        let at = self
            .kills
            .iter()
            .position(|kill| kill.is_named() && fits(kill))?;
        let kill = self.kills.remove(at)?;
        if kill.verdict.is_none() {
            self.claimed.push_back((kill.pid, kill.heard));
        }
        Some(kill)
    }

    /// Drops what no counter has claimed for long.
    pub fn forget(&mut self, now: Instant) {
        self.kills
            .retain(|kill| now.duration_since(kill.heard) < FORGET_AFTER);
        self.groups
            .retain(|(_, heard)| now.duration_since(*heard) < FORGET_AFTER);
        // A pid that is used again is another victim; and where the log is silent, no verdict clears these.
        for list in [&mut self.victims, &mut self.claimed] {
            list.retain(|(_, heard)| now.duration_since(*heard) <= TOLD_TWICE_WITHIN);
        }
    }
}

/// Whether a victim is in a list of those of late.
fn is_told(list: &VecDeque<(u32, Instant)>, pid: u32, now: Instant) -> bool {
    list.iter()
        .any(|(told, at)| *told == pid && now.duration_since(*at) <= TOLD_TWICE_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::unit::Bytes;

    const SUMMARY: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
        oom_memcg=/a,task_memcg=/a/b,task=tail,pid=7,uid=0";
    const VERDICT: &str = "Memory cgroup out of memory: Killed process 7 (tail) total-vm:9kB, anon-rss:4kB, \
        file-rss:2kB, shmem-rss:1kB, UID:0 pgtables:4kB oom_score_adj:0";

    fn log() -> Log {
        // Nobody is there to be looked up.
        Log::new("/nonexistent".into(), true)
    }

    fn hear(log: &mut Log, message: &str, now: Instant) -> bool {
        let record = Record {
            sequence: 1,
            since_boot: Duration::from_secs(3),
            from_kernel: true,
            message,
        };
        log.hear(&record, now).is_some()
    }

    fn marked(pid: u32) -> Marked {
        Marked {
            at: Duration::from_secs(3),
            pid,
            process: Some(OomProcess {
                comm: "tail".into(),
                anon_rss: Bytes(4096),
                file_rss: Bytes(0),
                shmem_rss: Bytes(0),
                uid: Some(0),
                oom_score_adj: Some(0),
            }),
        }
    }

    #[test]
    fn mark_summary_and_verdict_are_one_kill_whatever_comes_first() {
        let now = Instant::now();
        let mut first = log();
        assert!(first.mark(marked(7), now).is_some());
        assert!(hear(&mut first, SUMMARY, now) && hear(&mut first, VERDICT, now));
        let mut last = log();
        assert!(hear(&mut last, SUMMARY, now) && hear(&mut last, VERDICT, now));
        assert!(last.mark(marked(7), now).is_some());
        for mut log in [first, last] {
            assert_eq!(log.kills.len(), 1);
            let kill = log.claim(|_| true).unwrap();
            assert_eq!(kill.path.as_deref(), Some("/a/b"));
            assert_eq!(kill.victim().unwrap().from, Means::KernelLog);
            assert_eq!(kill.told_at().unwrap().from, Means::KernelLog);
        }
    }

    #[test]
    fn a_report_with_a_hole_in_it_is_none() {
        let report = |hole: bool| {
            let mut log = log();
            let now = Instant::now();
            for line in [
                "memory: usage 8kB, limit 8kB, failcnt 1",
                "Memory cgroup stats for /a:",
            ] {
                assert!(!hear(&mut log, line, now));
            }
            if hole {
                log.break_off();
            }
            // Perhaps of another cgroup.
            assert!(!hear(&mut log, "anon 4096", now));
            assert!(hear(&mut log, SUMMARY, now) && hear(&mut log, VERDICT, now));
            log.claim(|_| true)
                .unwrap()
                .dump
                .map(|dump| dump.cgroup.unwrap().path)
        };
        assert_eq!(report(false).as_deref(), Some("/a"));
        assert_eq!(report(true), None);
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_victim() {
        let now = Instant::now();
        let mut log = log();
        assert!(hear(&mut log, VERDICT, now));
        log.claim(|_| true).unwrap();
        assert!(log.mark(marked(7), now).is_none());
        let later = now + Duration::from_secs(2);
        log.forget(later);
        assert!(log.mark(marked(7), later).is_some());
        let kill = log.claim(|_| true).unwrap();
        assert_eq!(kill.victim().unwrap().from, Means::Tracepoint);
        // Without the log nothing else clears what was claimed.
        log.forget(later + Duration::from_secs(2));
        assert!(log.victims.is_empty() && log.claimed.is_empty());
    }

    #[test]
    fn what_comes_after_a_kill_was_told_is_not_another() {
        let now = Instant::now();
        let mut log = log();
        log.mark(marked(7), now);
        let kill = log.claim(|_| true).unwrap();
        assert_eq!(
            (kill.victim().unwrap().from, kill.means()),
            (Means::Tracepoint, Means::Tracepoint)
        );
        assert!(!hear(&mut log, VERDICT, now));
        // The other way round.
        hear(&mut log, &VERDICT.replace(" 7 ", " 8 "), now);
        log.claim(|_| true).unwrap();
        assert!(log.mark(marked(8), now).is_none());
        // Much later, a pid is somebody else's.
        let later = now + TOLD_TWICE_WITHIN * 2;
        assert!(hear(&mut log, VERDICT, later));
    }

    #[test]
    fn where_a_process_went_is_known_although_it_is_gone() {
        let now = Instant::now();
        let mut log = log();
        log.attach(
            &Attached {
                pid: 7,
                cgroup: crate::kernel::cgroup::CgroupId(5),
                path: "/a/b".into(),
            },
            now,
        );
        let kill = log.mark(marked(7), now).unwrap();
        assert_eq!(kill.path.as_deref(), Some("/a/b"));
    }

    #[test]
    fn a_group_is_known_for_a_while_by_those_in_it() {
        let now = Instant::now();
        let mut log = log();
        hear(
            &mut log,
            "Tasks in /a are going to be killed due to memory.oom.group set",
            now,
        );
        assert!(log.is_group("/a") && log.is_group("/a/b") && !log.is_group("/ab"));
        log.forget(now + FORGET_AFTER * 2);
        assert!(!log.is_group("/a"));
    }
}
