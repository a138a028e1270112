//! The OOM kills of one workload, for its launcher, which has one thread and waits for other things, too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::counters::KillCount;
use super::{Fact, Fired, Log, Means, OomKill, Told};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::cgroup::{CgroupId, is_in};
use crate::kernel::kmsg::reader::{Next, Reader};
use crate::kernel::memory::MemoryEvents;
use crate::kernel::unit::{Bytes, Limit};

/// The kernel logs a kill after it sent the signal, so the log may come after the death.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// Within this time, one of a group is killed after the other.
const GROUP_GRACE: Duration = Duration::from_millis(20);

/// Collects the evidence of kills in one cgroup and those below it.
#[derive(Debug)]
pub struct Evidence {
    mount: PathBuf,
    path: Arc<str>,
    id: CgroupId,
    kmsg: Option<Reader>,
    log: Log,
    /// What the log tells of kills here, until the next report.
    told: Vec<Told>,
    count: KillCount,
    /// `memory.events` at the last report.
    reported: MemoryEvents,
    /// It and those above it, the nearest first, with how often the limit of each was met so that the OOM killer was called.
    ran_out: Vec<(Arc<str>, u64)>,
}

impl Evidence {
    /// Starts to collect. `mount` is where the v2 hierarchy is, `path` where the cgroup is in it. Without a readable
    /// kernel log, kills are still counted.
    pub fn new(mount: &Path, path: &Path, leaf: &Cgroup) -> Self {
        let path: Arc<str> = path.to_string_lossy().into();
        let above = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
        let paths = std::iter::once(&*path).chain(above.filter(|above| !above.is_empty()));
        let ran_out = paths.map(|path| (path.into(), times(mount, path)));
        Self {
            ran_out: ran_out.collect(),
            mount: mount.to_owned(),
            path,
            id: CgroupId(leaf.inode().unwrap_or_default()),
            kmsg: Reader::open(Path::new("/dev/kmsg")).ok(),
            log: Log::new("/proc".into(), true),
            told: Vec::new(),
            count: KillCount::default(),
            reported: counters(leaf),
        }
    }

    /// Remembers who is in the leaf and reads on in the kernel log: to be called whenever the leaf's memory counters moved,
    /// as the kernel counts `max` and `oom` before it kills.
    pub fn look(&mut self, leaf: &Cgroup) {
        self.remember(&leaf.processes().unwrap_or_default());
        self.read_log();
    }

    /// Remembers processes of the leaf: who they are inside.
    pub fn remember(&mut self, pids: &[u32]) {
        self.log.remember(&self.path, pids, Instant::now());
    }

    /// Whether anything was killed since the last report.
    pub fn is_oom(&self, leaf: &Cgroup) -> bool {
        counters(leaf).oom_kill > self.reported.oom_kill
    }

    /// What was killed since the last report. Waits a little for the kernel log to say it, and for all of a group.
    pub fn report(&mut self, leaf: &Cgroup) -> Option<OomKill> {
        let (kills, told) = self.gather(leaf);
        if kills == 0 {
            return None;
        }
        let fired = self.fired(leaf, &told);
        let chosen = told
            .first()
            .and_then(|told| Some((told.path.clone()?, told.means())));
        let (path, from) = chosen.unwrap_or_else(|| (Arc::clone(&self.path), Means::Counter));
        let exhausted = super::exhausted(&told, &path);
        Some(OomKill {
            time: SystemTime::now(),
            logged_at: told.iter().find_map(Told::told_at),
            cgroup: self.id,
            group: self.group(leaf, &path, fired.as_ref()),
            fired,
            kills: kills.max(told.len() as u64),
            total: Some(self.reported.kills()),
            victims: told.iter().filter_map(Told::victim).collect(),
            memory_stat: exhausted
                .and_then(|cgroup| Some(Fact::new(cgroup.stat?, Means::KernelLog))),
            // Nobody asks the launcher for it.
            choice: None,
            path: Fact::new(path, from),
        })
    }

    /// How many were killed, and what the kernel log tells of them, the one that was chosen first.
    fn gather(&mut self, leaf: &Cgroup) -> (u64, Vec<Told>) {
        let is_group = is_group(leaf) == Some(true);
        let deadline = Instant::now() + LOG_PATIENCE;
        let mut changed = Instant::now();
        let mut kills = 0;
        loop {
            let now = counters(leaf);
            let more = self.count.take(&self.reported, &now);
            self.reported = now;
            kills += more;
            if kills == 0 {
                return (0, Vec::new());
            }
            let known = self.told.len();
            self.read_log();
            if more > 0 || self.told.len() > known {
                changed = Instant::now();
            }
            let is_whole = self.told.len() as u64 >= kills || self.kmsg.is_none();
            let is_settled = !is_group || changed.elapsed() >= GROUP_GRACE;
            if (is_whole && is_settled) || Instant::now() >= deadline {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        self.told.sort_by_key(|told| told.summary.is_none());
        (kills, std::mem::take(&mut self.told))
    }

    /// What ran out, and how that is known.
    fn fired(&mut self, leaf: &Cgroup, told: &[Told]) -> Option<Fact<Fired>> {
        // Whatever the log says, the next report is to know what was before.
        let ran_out = self.ran_out();
        let counted = |path| Fact::new(Fired::Cgroup { path, max: None }, Means::Counter);
        let mut fired = super::fired(told).or_else(|| ran_out.map(counted))?;
        if let Fired::Cgroup { path, max } = &mut fired.value {
            *max = self.memory_max(leaf, path).or(*max);
        }
        Some(fired)
    }

    /// The nearest whose limit was met since it was last looked.
    fn ran_out(&mut self) -> Option<Arc<str>> {
        let mut nearest = None;
        for (path, before) in &mut self.ran_out {
            let now = times(&self.mount, path);
            if now > std::mem::replace(before, now) && nearest.is_none() {
                nearest = Some(Arc::clone(path));
            }
        }
        nearest
    }

    fn memory_max(&self, leaf: &Cgroup, path: &str) -> Option<Limit<Bytes>> {
        let text = if *path == *self.path {
            leaf.read("memory.max").ok()?
        } else {
            std::fs::read(file(&self.mount, path, "memory.max")).ok()?
        };
        Limit::parse(&text, "memory.max").ok()
    }

    /// Whether all were killed together.
    fn group(
        &self,
        leaf: &Cgroup,
        victims: &str,
        fired: Option<&Fact<Fired>>,
    ) -> Option<Fact<bool>> {
        if self.log.is_group(victims) {
            return Some(Fact::new(true, Means::KernelLog));
        }
        let own = matches!(&fired?.value, Fired::Cgroup { path, .. } if *path == self.path);
        Some(Fact::new(is_group(leaf).filter(|_| own)?, Means::Seen))
    }

    /// Reads on in the kernel log, and keeps nothing of what is about others.
    fn read_log(&mut self) {
        let now = Instant::now();
        while let Some(kmsg) = &mut self.kmsg {
            match kmsg.next() {
                Ok(Next::Record(record)) => {
                    self.log.hear(&record, now);
                }
                Ok(Next::Lost) => self.log.break_off(),
                Ok(Next::None) => break,
                Err(_) => self.kmsg = None,
            }
        }
        let path = &self.path;
        let is_here = |told: &Told| told.path.as_ref().is_some_and(|of| is_in(of, path));
        self.told
            .extend(std::iter::from_fn(|| self.log.claim(is_here)));
        self.log.kills.retain(is_here);
        self.log.forget(now);
    }
}

fn counters(leaf: &Cgroup) -> MemoryEvents {
    let text = leaf.read("memory.events").ok();
    text.and_then(|text| MemoryEvents::parse(&text).ok())
        .unwrap_or_default()
}

/// Whether all in it are killed together.
fn is_group(leaf: &Cgroup) -> Option<bool> {
    let text = leaf.read("memory.oom.group").ok()?;
    Some(text.trim_ascii() == b"1")
}

/// How often the limit of this very cgroup was met so that the OOM killer was called.
fn times(mount: &Path, path: &str) -> u64 {
    let text = std::fs::read(file(mount, path, "memory.events.local")).ok();
    let events = text.and_then(|text| MemoryEvents::parse(&text).ok());
    events.map_or(0, |events| events.oom)
}

fn file(mount: &Path, path: &str, name: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/')).join(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn report(pid: u32, path: &str) -> String {
        format!(
            "4,{pid},9,-;tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n\
             6,{pid},9,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={path},\
             task_memcg={path},task=tail,pid={pid},uid=0\n\
             3,{pid},9,-;Memory cgroup out of memory: Killed process {pid} (tail) total-vm:9kB, anon-rss:4kB, \
             file-rss:2kB, shmem-rss:1kB, UID:0 pgtables:4kB oom_score_adj:0\n"
        )
    }

    /// A workload may be at its limit for days, and so have the log read, while others are killed beside it.
    #[test]
    fn of_the_kills_of_others_nothing_is_kept() {
        let mount = tempfile::tempdir().unwrap();
        let folder = mount.path().join("leaf");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("memory.events"), "oom_kill 0\n").unwrap();
        let leaf = Cgroup::open(&folder).unwrap();
        let mut evidence = Evidence::new(mount.path(), Path::new("/leaf"), &leaf);
        let log = mount.path().join("kmsg");
        // A record is what one read gives: the file is written anew for each.
        let hear = |evidence: &mut Evidence, pid, path| {
            for line in report(pid, path).lines() {
                fs::write(&log, format!("{line}\n")).unwrap();
                evidence.kmsg = Some(Reader::open_whole(&log).unwrap());
                evidence.read_log();
            }
        };
        for pid in 4_200_000..4_200_050 {
            hear(&mut evidence, pid, "/other");
        }
        assert!(evidence.told.is_empty() && evidence.log.kills.is_empty());
        hear(&mut evidence, 4_300_000, "/leaf/below");
        fs::write(folder.join("memory.events"), "oom_kill 1\n").unwrap();
        let kill = evidence.report(&leaf).unwrap();
        assert_eq!((kill.kills, kill.victims[0].pid), (1, 4_300_000));
        assert_eq!(&*kill.path.value, "/leaf/below");
        assert!(evidence.report(&leaf).is_none());
    }
}
