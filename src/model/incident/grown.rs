//! Which process grew before a kill.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::kernel::badness::Badness;
use crate::kernel::unit::Bytes;
use crate::model::tree::is_in;
use crate::sample::{ProcessSample, Sample};

/// Growth is told of the last minute: from the older of two marks, which move on after half of it.
const HALF: Duration = Duration::from_secs(30);
/// Who was not seen for so long has no part in it.
const STALE: Duration = Duration::from_secs(10);

/// Of more processes than this, only those that were just seen are remembered.
const CROWD: usize = 8192;

/// The process that grew most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grown {
    /// Its pid on the host.
    pub pid: u32,
    /// Its pid as it sees it itself, where that is another one.
    pub inner_pid: Option<u32>,
    /// Its command name. Foreign text.
    pub comm: String,
    /// Its memory then: resident, in swap, and page tables.
    pub from: Bytes,
    /// Its memory when it was last seen.
    pub to: Bytes,
    /// How many seconds lie in between, 60 at most.
    pub seconds: f64,
}

/// The memory of the processes that are looked at, of late.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Sizes(HashMap<Key, Past>);

/// Pid and start time.
type Key = (u32, u64);

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    size: Bytes,
}

#[derive(Debug, Clone)]
struct Past {
    cgroup: Arc<str>,
    comm: String,
    inner_pid: Option<u32>,
    /// Oldest first; the last is the newest size.
    marks: [Mark; 3],
}

impl Sizes {
    pub fn fold(&mut self, sample: &Sample) {
        let now = sample.since_boot;
        for cgroup in &sample.cgroups {
            for process in cgroup.processes.value().into_iter().flatten() {
                if let Some(badness) = process.badness {
                    self.see(now, &cgroup.path, process, badness);
                }
            }
        }
        let crowded = self.0.len() > CROWD;
        self.0.retain(|_, past| {
            let seen = past.marks[2].at;
            seen == now || (!crowded && seen < now && seen + STALE > now)
        });
    }

    fn see(&mut self, at: Duration, cgroup: &Arc<str>, process: &ProcessSample, of: Badness) {
        let mark = Mark {
            at,
            size: of.size(),
        };
        let past = self
            .0
            .entry((process.pid, process.start_time))
            .or_insert_with(|| Past {
                cgroup: Arc::clone(cgroup),
                comm: process.comm.clone(),
                inner_pid: process.inner_pids.last().copied(),
                marks: [mark; 3],
            });
        let [_, middle, newest] = past.marks;
        if at.saturating_sub(middle.at) > HALF {
            past.marks = [middle, newest, mark];
        }
        past.marks[2] = mark;
        past.cgroup.clone_from(cgroup);
        past.comm.clone_from(&process.comm);
    }

    /// Who grew most of those in a cgroup and below it.
    pub fn grown(&self, root: &str) -> Option<Grown> {
        let grown = self.0.iter().filter_map(|(key, past)| {
            let [old, _, new] = past.marks;
            let by = new.size.0.checked_sub(old.size.0).filter(|&by| by > 0)?;
            is_in(&past.cgroup, root).then_some((by, key, past))
        });
        let (_, (pid, _), past) = grown.max_by_key(|(by, key, _)| (*by, **key))?;
        let [old, _, new] = past.marks;
        Some(Grown {
            pid: *pid,
            inner_pid: past.inner_pid,
            comm: past.comm.clone(),
            from: old.size,
            to: new.size,
            seconds: new.at.saturating_sub(old.at).as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::unit::Micros;

    fn seen(sizes: &mut Sizes, at: u64, pid: u32, cgroup: &str, mib: u64) {
        let process = ProcessSample {
            pid,
            inner_pids: vec![pid - 100],
            start_time: 1,
            command: String::new(),
            comm: format!("p{pid}"),
            rss: Bytes(0),
            badness: None,
            ppid: 0,
            state: 'S',
            threads: 1,
            cpu_time: Micros(0),
            namespaces: Arc::default(),
        };
        let of = Badness {
            rss: Bytes(mib << 20),
            ..Badness::default()
        };
        sizes.see(Duration::from_secs(at), &cgroup.into(), &process, of);
    }

    #[test]
    fn who_grew_most_below_the_limit_of_late_is_told() {
        let mut sizes = Sizes::default();
        for at in 0..100 {
            // The largest does not grow, one has stopped growing long ago, one is elsewhere.
            seen(&mut sizes, at, 101, "/a", 50);
            seen(&mut sizes, at, 102, "/a/b", 10 + at.min(30));
            seen(&mut sizes, at, 103, "/a/c", 1 + at / 10);
            seen(&mut sizes, at, 104, "/ab", at);
        }
        let grown = sizes.grown("/a").unwrap();
        assert_eq!(
            (grown.pid, grown.inner_pid, &*grown.comm),
            (103, Some(3), "p103")
        );
        assert_eq!(grown.to, Bytes(10 << 20));
        assert!((30.0..=60.0).contains(&grown.seconds), "{grown:?}");
        let by = (grown.to.0 - grown.from.0) >> 20;
        assert!((3..=6).contains(&by), "{grown:?}");
        assert_eq!(sizes.grown("/").unwrap().pid, 104);
        assert_eq!(sizes.grown("/none"), None);
    }
}
