//! OOM kills of before, as far as the kernel log still has them.
//!
//! The log is all that there is: counters have no times, and what died before nobody has seen. It is a ring
//! of some hundred KiB, the summaries in it are rate-limited (ten in five seconds), and of a cgroup it has
//! the path alone, so neither an inode nor a pid inside is known.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use super::{Fact, Fired, Means, OomKill, Victim};
use crate::kernel::cgroup::{CgroupId, is_in};
use crate::kernel::error::Result;
use crate::kernel::kmsg::dump::{Dump, Dumps};
use crate::kernel::kmsg::reader::{Next, Reader};
use crate::kernel::kmsg::{OomLine, OomSummary, OomVictim, Record};

/// All members of a group are told of within this time.
const GROUP: Duration = Duration::from_secs(1);

/// What the log still has.
#[derive(Debug, Default)]
pub struct PastKills {
    /// Each kill, oldest first. [`OomKill::cgroup`] is 0: nothing tells it.
    pub kills: Vec<OomKill>,
    /// When its first record was written, where older ones were overwritten.
    pub begins: Option<SystemTime>,
}

/// Reads all of the kernel log at `path`, usually `/dev/kmsg`. Needs root or `CAP_SYSLOG` where
/// `kernel.dmesg_restrict` is on.
///
/// Its clock stands still while the machine sleeps: what was before that gets a time that is too late.
pub fn read(path: &Path) -> Result<PastKills> {
    let mut reader = Reader::open_whole(path)?;
    let mut story = Story::new(booted());
    loop {
        match reader.next()? {
            Next::Record(record) => story.hear(&record),
            // Overwritten while it was read: what follows is whole again.
            Next::Lost => story.break_off(),
            Next::None => return Ok(story.past),
        }
    }
}

/// How often the two clocks are read to find when the log's stood at 0.
const CLOCK_PAIRS: usize = 8;

/// When the log's clock stood at 0. A pause between the readings of two clocks would count as time, so the pair
/// that was read most quickly is taken.
fn booted() -> SystemTime {
    let running = || clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    let pair = |_| {
        let (before, now, after) = (running(), SystemTime::now(), running());
        let pause = after.saturating_sub(before);
        (pause, now.checked_sub(before + pause / 2))
    };
    let closest = (0..CLOCK_PAIRS).map(pair).min_by_key(|(pause, _)| *pause);
    closest
        .and_then(|(_, booted)| booted)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The kernel's lines of one boot, as the journal has them.
#[derive(Debug)]
pub struct BootLog(Story);

impl BootLog {
    /// The first of them.
    pub fn begin() -> Self {
        Self(Story::new(SystemTime::UNIX_EPOCH))
    }

    /// The next line, when it was written down, and on the clock of the kernel log.
    pub fn hear(&mut self, written: SystemTime, since_boot: Duration, message: &str) {
        let booted = written.checked_sub(since_boot);
        self.0.booted = booted.unwrap_or(SystemTime::UNIX_EPOCH);
        self.0.hear(&Record {
            sequence: 0,
            since_boot,
            from_kernel: true,
            message,
        });
    }

    /// All kills, oldest first.
    pub fn kills(self) -> Vec<OomKill> {
        self.0.past.kills
    }
}

/// Puts kills together, record by record.
#[derive(Debug)]
struct Story {
    booted: SystemTime,
    past: PastKills,
    dumps: Dumps,
    /// The kill that the next lines are about.
    open: Option<Open>,
    heard_any: bool,
}

/// A kill whose victims are still being told.
#[derive(Debug)]
struct Open {
    /// Its place among the kills.
    at: usize,
    /// The pid of the summary.
    pid: u32,
    /// When the last line about it was written, on the log's clock.
    last: Duration,
}

impl Story {
    fn new(booted: SystemTime) -> Self {
        Self {
            booted,
            past: PastKills::default(),
            dumps: Dumps::new("/proc".into()),
            open: None,
            heard_any: false,
        }
    }

    fn break_off(&mut self) {
        self.dumps.break_off();
        self.open = None;
    }

    fn hear(&mut self, record: &Record<'_>) {
        if !self.heard_any && record.sequence > 0 {
            self.past.begins = Some(self.booted + record.since_boot);
        }
        self.heard_any = true;
        // Programs may write there too, but not in the kernel's name.
        if !record.from_kernel {
            return;
        }
        let dump = self.dumps.hear(record.message);
        let at = record.since_boot;
        match OomLine::parse(record.message) {
            Some(OomLine::Summary(summary)) => self.summary(summary, dump, at),
            Some(OomLine::Group(path)) => self.group(&path),
            Some(OomLine::Killed(victim)) => self.killed(&victim, at),
            None => {}
        }
    }

    fn summary(&mut self, summary: OomSummary, dump: Option<Dump>, at: Duration) {
        let dump = dump.filter(|dump| dump.is_about(&summary));
        let exhausted = dump.as_ref().and_then(|dump| dump.cgroup.as_ref());
        let of = |path: &str| exhausted.filter(|cgroup| cgroup.path == path);
        let fired = Fired::logged(&summary, of);
        let memory_stat = of(&summary.task_memcg).and_then(|cgroup| cgroup.stat);
        let kill = OomKill {
            fired: Some(Fact::new(fired, Means::KernelLog)),
            memory_stat: memory_stat.map(|stat| Fact::new(stat, Means::KernelLog)),
            choice: dump.map(|dump| dump.choice.into()),
            ..self.unknown(at, Fact::new(summary.task_memcg.into(), Means::KernelLog))
        };
        self.open = Some(Open {
            at: self.past.kills.len(),
            pid: summary.pid,
            last: at,
        });
        self.past.kills.push(kill);
    }

    /// A kill of which only this is known.
    fn unknown(&self, at: Duration, path: Fact<Arc<str>>) -> OomKill {
        OomKill {
            time: self.booted + at,
            logged_at: Some(Fact::new(at, Means::KernelLog)),
            cgroup: CgroupId(0),
            path,
            kills: 1,
            total: None,
            group: None,
            fired: None,
            victims: Vec::new(),
            memory_stat: None,
            choice: None,
        }
    }

    fn group(&mut self, path: &str) {
        let Some(open) = &self.open else { return };
        let kill = &mut self.past.kills[open.at];
        // The group may be one above the victim's cgroup.
        if is_in(&kill.path.value, path) {
            kill.group = Some(Fact::new(true, Means::KernelLog));
        }
    }

    fn killed(&mut self, verdict: &OomVictim, at: Duration) {
        let victim = Victim::new(verdict.pid, None, &verdict.process, Means::KernelLog);
        let open = self.open.as_mut().filter(|open| {
            let kill = &self.past.kills[open.at];
            let chosen = verdict.pid == open.pid && kill.victims.is_empty();
            chosen || (kill.group.is_some() && at.saturating_sub(open.last) < GROUP)
        });
        let Some(open) = open else {
            // The summary was held back: the kernel names the victim alone.
            let mut kill = self.unknown(at, Fact::new("/".into(), Means::Inferred));
            kill.fired = (!verdict.memcg).then_some(Fact::new(Fired::Host, Means::KernelLog));
            kill.victims.push(victim);
            self.past.kills.push(kill);
            self.open = None;
            return;
        };
        open.last = at;
        let kill = &mut self.past.kills[open.at];
        // The first victim of a group is told of twice.
        if kill.victims.iter().all(|known| known.pid != verdict.pid) {
            kill.victims.push(victim);
            kill.kills = kill.victims.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::unit::{Bytes, Limit};

    fn past(lines: &[(u64, &str)]) -> PastKills {
        let mut story = Story::new(SystemTime::UNIX_EPOCH);
        for (number, (micros, message)) in lines.iter().enumerate() {
            story.hear(&Record {
                sequence: number as u64 + 5,
                since_boot: Duration::from_micros(*micros),
                from_kernel: !message.starts_with("user: "),
                message: message.trim_start_matches("user: "),
            });
        }
        story.past
    }

    const SUMMARY: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=keep,\
        mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=tail,pid=7,uid=0";

    fn verdict(pid: u32) -> String {
        format!(
            "Memory cgroup out of memory: Killed process {pid} (tail) total-vm:9kB, anon-rss:4kB, file-rss:2kB, \
             shmem-rss:1kB, UID:0 pgtables:4kB oom_score_adj:5"
        )
    }

    #[test]
    fn a_kill_has_its_time_its_limit_and_its_victim() {
        let past = past(&[
            (
                1_000_000,
                "memory: usage 20364kB, limit 20480kB, failcnt 61",
            ),
            (1_000_100, "Memory cgroup stats for /a:"),
            (1_000_200, "anon 7"),
            (1_000_300, "Tasks state (memory values in pages):"),
            (1_000_400, SUMMARY),
            (
                1_000_450,
                "user: Memory cgroup out of memory: Killed process 9 (x) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:1kB",
            ),
            (1_000_500, &verdict(7)),
            (9_000_000, &verdict(8)),
            (
                9_000_100,
                "Out of memory: Killed process 10 (y) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:1kB",
            ),
        ]);
        let [kill, bare, host] = &past.kills[..] else {
            panic!("{:#?}", past.kills)
        };
        assert_eq!(
            kill.time,
            SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_400)
        );
        assert_eq!(
            (&*kill.path.value, kill.kills, kill.group),
            ("/a/b", 1, None)
        );
        assert_eq!(kill.limit(), Some(Limit::At(Bytes(20_480 << 10))));
        assert_eq!(kill.limit_path().map(|path| &**path), Some("/a"));
        // The report is about the cgroup that ran out, and that is another one.
        assert_eq!(kill.memory_stat, None);
        let victims: Vec<_> = kill
            .victims
            .iter()
            .map(|victim| (victim.pid, victim.oom_score_adj))
            .collect();
        assert_eq!(victims, [(7, Some(5))]);
        assert_eq!(
            (bare.path.from, &bare.fired, bare.victims[0].pid),
            (Means::Inferred, &None, 8)
        );
        assert!(host.is_the_hosts());
        assert_eq!(
            past.begins,
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        );
    }

    #[test]
    fn a_group_is_one_kill_and_ends() {
        let past = past(&[
            (1_000, SUMMARY),
            (1_100, &verdict(7)),
            (
                1_200,
                "Tasks in /a are going to be killed due to memory.oom.group set",
            ),
            (1_300, &verdict(7)),
            (1_400, &verdict(8)),
            (3_000_000, &verdict(11)),
        ]);
        let [group, other] = &past.kills[..] else {
            panic!("{:#?}", past.kills)
        };
        assert_eq!(group.group, Some(Fact::new(true, Means::KernelLog)));
        let pids: Vec<_> = group.victims.iter().map(|victim| victim.pid).collect();
        assert_eq!((group.kills, pids), (2, vec![7, 8]));
        assert_eq!(other.victims[0].pid, 11);
    }
}
