//! What the kernel log says at the very moment of an OOM kill: the report before the summary line.
//!
//! ```text
//! tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
//! CPU: 1 PID: 182 Comm: tail Not tainted 6.1.0 #1
//! …
//! memory: usage 20480kB, limit 20480kB, failcnt 97
//! swap: usage 0kB, limit 9007199254740988kB, failcnt 0
//! Memory cgroup stats for /a:
//! anon 20795392
//! …
//! Tasks state (memory values in pages):
//! [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
//! [    182]     0   182     5554     5344    86016        0             0 tail
//! oom-kill:constraint=CONSTRAINT_MEMCG,…
//! ```
//!
//! On 6.1 the statistics are one record (of which the end may be missing), on 6.12 one record each, and the table has
//! more columns. Two reports never mix, as the kernel writes them under a lock, but other lines may come in between.
//! Reports are rate-limited (ten in five seconds) together with the summary.
//!
//! <https://github.com/torvalds/linux/blob/master/mm/oom_kill.c>

use std::path::PathBuf;

use serde::Serialize;

use super::{COMM_MAX, OomSummary, unescape};
use crate::kernel::badness::Badness;
use crate::kernel::host::{self, Memory, page_size};
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::Bytes;

/// So many candidates are kept of a report, those with the most points.
pub const CANDIDATES: usize = 32;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The cgroup that ran out; `None` where the host did.
    pub cgroup: Option<Exhausted>,
    /// Who asked, and who could have been killed.
    pub choice: Choice,
}

/// What the kernel chose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whose wish for memory could not be met.
    pub asked: Option<Asked>,
    /// Who could have been killed, the one with the most [`points`](Badness::points) first; at most [`CANDIDATES`].
    pub candidates: Vec<Candidate>,
    /// How many more there were.
    pub more_candidates: usize,
}

impl Dump {
    /// Whether it belongs to the summary that ends it.
    pub fn is_about(&self, summary: &OomSummary) -> bool {
        let ran_out = self.cgroup.as_ref().map(|cgroup| &cgroup.path);
        ran_out == summary.oom_memcg.as_ref()
    }
}

/// A cgroup that ran out of memory, right before the kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// Its path from the v2 root.
    pub path: String,
    /// Its `memory.max`.
    pub limit: Option<Bytes>,
    /// What its memory was made of, with that of all cgroups below. `None` where the kernel reports counters that it
    /// has not brought up to date, which 6.12 does about once in 300 kills: they do not add up to half of the usage.
    pub stat: Option<MemoryStat>,
}

/// Who asked for memory when there was none: often another one than the victim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its command name; foreign text.
    pub comm: String,
    /// Its pid on the host, of the thread that asked.
    pub pid: Option<u32>,
}

/// A process that could have been killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its pid on the host.
    pub pid: u32,
    /// Its command name; foreign text.
    pub comm: String,
    /// Its user on the host.
    pub uid: u32,
    /// What the kernel chose by.
    #[serde(flatten)]
    pub badness: Badness,
}

/// Puts reports together, line by line.
#[derive(Debug, Default)]
pub struct Dumps {
    open: Open,
    proc: PathBuf,
}

/// A report that is not complete.
#[derive(Debug, Default)]
struct Open {
    asked: Option<Asked>,
    usage: Option<Bytes>,
    limit: Option<Bytes>,
    swap_limit: Option<Bytes>,
    host: Memory,
    /// The path, and the statistics so far.
    cgroup: Option<(String, String)>,
    table: Option<Table>,
    candidates: Vec<Candidate>,
    more: usize,
}

impl Dumps {
    /// How much memory and swap the host has, which the report of a cgroup does not tell, is read from `proc` with each
    /// report.
    pub fn new(proc: PathBuf) -> Self {
        Self {
            open: Open::default(),
            proc,
        }
    }

    /// What comes next does not belong to what came.
    pub fn break_off(&mut self) {
        self.open = Open::default();
    }

    /// Takes in the message of one record. Gives a report when it is complete.
    pub fn hear(&mut self, message: &str) -> Option<Dump> {
        let open = &mut self.open;
        if let Some((comm, _)) = message.split_once(" invoked oom-killer: ") {
            *open = Open::default();
            let comm = unescape(comm);
            open.asked = (comm.len() <= COMM_MAX).then_some(Asked { comm, pid: None });
        } else if message.starts_with("oom-kill:") {
            return std::mem::take(open).close();
        } else if let Some(sizes) = message.strip_prefix("memory: usage ") {
            // The report before it was broken off.
            if open.limit.is_some() {
                *open = Open::default();
            }
            open.usage = kib(sizes, "", "kB, limit ");
            open.limit = limit(sizes);
        } else if let Some(sizes) = message.strip_prefix("swap: usage ") {
            open.swap_limit = limit(sizes);
        } else if let Some(path) = message.strip_prefix("Memory cgroup stats for ") {
            let path = path.strip_suffix(':').unwrap_or(path);
            open.cgroup = Some((unescape(path), String::new()));
        } else if let Some(names) = message.strip_prefix("[  pid  ] ") {
            open.table = Table::of(names);
            open.host = host::memory(&self.proc)
                .value()
                .copied()
                .unwrap_or_default();
        } else if let Some(table) = &open.table {
            if let Some(candidate) = table.candidate(message) {
                open.add(candidate);
            }
        } else if let Some(Asked {
            pid: pid @ None, ..
        }) = &mut open.asked
            && message.starts_with("CPU: ")
        {
            let (_, rest) = message.split_once(" PID: ")?;
            *pid = rest.split(' ').next()?.parse().ok();
        } else if let Some((_, text)) = &mut open.cgroup {
            for line in unescape(message).lines() {
                // Something else in between has no number, or more than one.
                let pair = line.split_once(' ');
                if pair.is_some_and(|(_, value)| value.parse::<u64>().is_ok()) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        None
    }
}

impl Open {
    /// Nothing, where only the summary was there.
    fn close(mut self) -> Option<Dump> {
        self.cut();
        let limit = self.limit;
        let cgroup = self.cgroup.and_then(|(path, text)| {
            let stat = MemoryStat::parse(text.as_bytes()).ok()?;
            let known: u64 = stat.composition().iter().map(|(_, size)| size.0).sum();
            let is_current = self.usage.is_none_or(|usage| known >= usage.0 / 2);
            Some(Exhausted {
                path,
                limit,
                stat: is_current.then_some(stat),
            })
        });
        let is_any = self.asked.is_some() || cgroup.is_some() || !self.candidates.is_empty();
        is_any.then_some(Dump {
            cgroup,
            choice: Choice {
                asked: self.asked,
                candidates: self.candidates,
                more_candidates: self.more,
            },
        })
    }

    fn add(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
        if self.candidates.len() >= 2 * CANDIDATES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let memory = self.limit.unwrap_or(self.host.total);
        let swap = self.host.swap_total;
        let swap = self.swap_limit.map_or(swap, |limit| limit.min(swap));
        let whole = Bytes(memory.0.saturating_add(swap.0));
        self.candidates
            .sort_by_key(|candidate| std::cmp::Reverse(candidate.badness.points(whole)));
        self.more += self.candidates.len().saturating_sub(CANDIDATES);
        self.candidates.truncate(CANDIDATES);
    }
}

/// Where the columns of the table are, which differ from kernel to kernel; the name comes last.
#[derive(Debug)]
struct Table {
    columns: usize,
    uid: usize,
    rss: usize,
    page_tables: usize,
    swap: usize,
    adj: usize,
}

impl Table {
    fn of(names: &str) -> Option<Self> {
        let names: Vec<&str> = names.split_whitespace().collect();
        let at = |name: &str| names.iter().position(|of| *of == name);
        Some(Self {
            columns: at("name")?,
            uid: at("uid")?,
            rss: at("rss")?,
            page_tables: at("pgtables_bytes")?,
            swap: at("swapents")?,
            adj: at("oom_score_adj")?,
        })
    }

    fn candidate(&self, message: &str) -> Option<Candidate> {
        let (pid, mut rest) = message.strip_prefix('[')?.split_once(']')?;
        let mut values = Vec::with_capacity(self.columns);
        for _ in 0..self.columns {
            let (value, after) = rest.trim_start().split_once(' ')?;
            values.push(value);
            rest = after;
        }
        let pages = |at: usize| {
            let pages: u64 = values[at].parse().ok()?;
            pages.checked_mul(page_size()).map(Bytes)
        };
        Some(Candidate {
            pid: pid.trim().parse().ok()?,
            comm: unescape(rest),
            uid: values[self.uid].parse().ok()?,
            badness: Badness {
                rss: pages(self.rss)?,
                swap: pages(self.swap)?,
                page_tables: Bytes(values[self.page_tables].parse().ok()?),
                oom_score_adj: values[self.adj].parse().ok()?,
            },
        })
    }
}

/// `20480kB, limit 20480kB, failcnt 97`
fn limit(sizes: &str) -> Option<Bytes> {
    kib(sizes, "kB, limit ", "kB, failcnt ")
}

/// The number between two texts, in KiB.
fn kib(text: &str, before: &str, after: &str) -> Option<Bytes> {
    let (_, rest) = text.split_once(before)?;
    let (number, _) = rest.split_once(after)?;
    number.parse::<u64>().ok()?.checked_mul(1024).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumps(lines: &[&str]) -> Vec<Dump> {
        let mut dumps = Dumps::default();
        lines.iter().filter_map(|line| dumps.hear(line)).collect()
    }

    fn exhausted(anon: u64) -> Exhausted {
        Exhausted {
            path: "/a b".into(),
            limit: Some(Bytes(20_480 << 10)),
            stat: Some(MemoryStat {
                anon: Bytes(anon),
                kernel: Bytes(192_512),
                ..MemoryStat::default()
            }),
        }
    }

    fn candidate(pid: u32, comm: &str, pages: u64, adj: i32) -> Candidate {
        Candidate {
            pid,
            comm: comm.into(),
            uid: 0,
            badness: Badness {
                rss: Bytes(pages * page_size()),
                swap: Bytes(0),
                page_tables: Bytes(86_016),
                oom_score_adj: adj,
            },
        }
    }

    #[test]
    fn a_report_of_one_record_and_of_many() {
        let many = [
            "a) b\\x0ac invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "CPU: 1 UID: 0 PID: 190 Comm: x PID: 7 Not tainted 6.12 #1",
            "memory: usage 20364kB, limit 20480kB, failcnt 61",
            "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
            "Memory cgroup stats for /a b:",
            "anon 20660224",
            "NET: Registered PF_VSOCK protocol family",
            "file 0",
            "kernel 192512",
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
            "[    190]     0   190      700      300      100      200         0    86016        0         -1000 sh",
            "[    182]     0   182     5554     5344     5024      320         0    86016        0             0 tail -f ] 1",
            "[    183]     0   183      700      300      100      200         0    86016        0           500 b",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
        ];
        let expected = Dump {
            cgroup: Some(exhausted(20_660_224)),
            choice: Choice {
                asked: Some(Asked {
                    comm: "a) b\nc".into(),
                    pid: Some(190),
                }),
                candidates: vec![
                    candidate(182, "tail -f ] 1", 5344, 0),
                    candidate(183, "b", 300, 500),
                    candidate(190, "sh", 300, -1000),
                ],
                more_candidates: 0,
            },
        };
        assert_eq!(dumps(&many), [expected]);
        let one = [
            many[2],
            many[3],
            many[4],
            "anon 20795392\\x0afile 0\\x0akernel 192512\\x0athp_collapse_alloc 1",
            many[9],
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            "[    182]     0   182     5554     5344    86016        0             0 tail",
            many[14],
        ];
        let expected = Dump {
            cgroup: Some(exhausted(20_795_392)),
            choice: Choice {
                asked: None,
                candidates: vec![candidate(182, "tail", 5344, 0)],
                more_candidates: 0,
            },
        };
        assert_eq!(dumps(&one), [expected]);
    }

    #[test]
    fn what_is_broken_off_is_no_part_of_the_next() {
        let lines = [
            "memory: usage 1kB, limit 2kB, failcnt 61",
            "Memory cgroup stats for /first:",
            "anon 7",
            "memory: usage 20364kB, limit 20480kB, failcnt 61",
            "Memory cgroup stats for /a b:",
            "anon 20660224",
            "kernel 192512",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
            "anon 9",
            "Tasks state (memory values in pages):",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
        ];
        let whole = dumps(&lines);
        assert_eq!(whole.len(), 1, "{whole:?}");
        assert_eq!(whole[0].cgroup, Some(exhausted(20_660_224)));
        assert_eq!(dumps(&lines[..4]), []);
        // Numbers that cannot be are not known.
        let odd = ["memory: usage -1kB, limit 99999999999999999999kB, failcnt 0"];
        assert_eq!(dumps(&odd), []);
    }

    #[test]
    fn counters_that_are_behind_are_not_known() {
        // Of a process with 32 MB, on 6.12.
        let whole = dumps(&[
            "memory: usage 32660kB, limit 32768kB, failcnt 37",
            "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
            "Memory cgroup stats for /leaker:",
            "anon 16384",
            "file 0",
            "kernel 114688",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
        ]);
        let known = whole[0].cgroup.as_ref().unwrap();
        assert_eq!((&*known.path, known.stat), ("/leaker", None));
        assert_eq!(known.limit, Some(Bytes(32 << 20)));
    }

    #[test]
    fn swap_counts_as_far_as_the_host_has_it() {
        let order = |swap_total, lines: &[&str]| -> Vec<u32> {
            let mut dumps = Dumps::default();
            let names = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name";
            let table = [
                "[      1]     0     1     5554     5000    0        0             0 large",
                "[      2]     0     2     5554     1000    0        0           200 eager",
            ];
            for line in lines.iter().chain(&[names]) {
                assert_eq!(dumps.hear(line), None);
            }
            dumps.open.host = Memory {
                total: Bytes(100 << 20),
                swap_total: Bytes(swap_total),
                ..Memory::default()
            };
            for line in table {
                assert_eq!(dumps.hear(line), None);
            }
            let choice = dumps.hear("oom-kill:").unwrap().choice;
            choice.candidates.iter().map(|of| of.pid).collect()
        };
        let unlimited = [
            "memory: usage 20364kB, limit 20480kB, failcnt 61",
            "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
        ];
        let none = [unlimited[0], "swap: usage 0kB, limit 0kB, failcnt 0"];
        // 200 points of 20 MiB are 4 MiB, of 120 MiB they are 24 MiB.
        assert_eq!(order(0, &unlimited), [1, 2]);
        assert_eq!(order(100 << 20, &unlimited), [2, 1]);
        assert_eq!(order(100 << 20, &none), [1, 2]);
        // The host ran out.
        assert_eq!(order(0, &[]), [2, 1]);
    }

    #[test]
    fn of_many_candidates_those_of_the_highest_score_are_kept() {
        let mut dumps = Dumps::default();
        dumps.hear(
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        );
        for pid in 1..=500 {
            let line = format!(
                "[{pid:7}]     0 {pid:5}     5554 {pid:8}    86016        0             0 x"
            );
            assert_eq!(dumps.hear(&line), None);
        }
        let choice = dumps.hear("oom-kill:").unwrap().choice;
        let pids: Vec<u32> = choice
            .candidates
            .iter()
            .map(|candidate| candidate.pid)
            .collect();
        let largest: Vec<u32> = (469..=500).rev().collect();
        assert_eq!((pids, choice.more_candidates), (largest, 468));
    }
}
