//! What the kernel log says of a cgroup's memory at the very moment of an OOM kill: the report before the
//! summary line.
//!
//! ```text
//! memory: usage 20480kB, limit 20480kB, failcnt 97
//! swap: usage 0kB, limit 9007199254740988kB, failcnt 0
//! Memory cgroup stats for /a:
//! anon 20795392
//! …
//! Tasks state (memory values in pages):
//! ```
//!
//! On 6.1 the statistics are one record (of which the end may be missing), on 6.12 one record each. Two
//! reports never mix, as the kernel writes them under a lock, but other lines may come in between. Reports
//! are rate-limited (ten in five seconds) together with the summary.

use super::unescape;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::Bytes;

/// The memory of the cgroup that ran out, right before the kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The cgroup that ran out, as a path from the v2 root.
    pub path: String,
    /// What it used, as `memory.current`.
    pub usage: Option<Bytes>,
    /// Its `memory.max`.
    pub limit: Option<Bytes>,
    /// What its memory was made of, with that of all cgroups below.
    pub stat: MemoryStat,
}

/// Puts reports together, line by line.
#[derive(Debug, Default)]
pub struct Dumps {
    usage: Option<Bytes>,
    limit: Option<Bytes>,
    /// The path, and the statistics so far.
    open: Option<(String, String)>,
}

impl Dumps {
    /// Takes in the message of one record. Gives a report when it is complete.
    pub fn hear(&mut self, message: &str) -> Option<Dump> {
        if let Some(sizes) = message.strip_prefix("memory: usage ") {
            *self = Self::default();
            let (usage, rest) = sizes.split_once("kB, limit ")?;
            let (limit, _) = rest.split_once("kB, failcnt ")?;
            (self.usage, self.limit) = (kib(usage), kib(limit));
            return None;
        }
        if let Some(path) = message.strip_prefix("Memory cgroup stats for ") {
            let path = path.strip_suffix(':').unwrap_or(path);
            self.open = Some((unescape(path), String::new()));
            return None;
        }
        let (_, text) = self.open.as_mut()?;
        if message.starts_with("Tasks state ") || message.starts_with("oom-kill:") {
            let Self { usage, limit, open } = std::mem::take(self);
            let (path, text) = open?;
            let stat = MemoryStat::parse(text.as_bytes()).ok()?;
            return Some(Dump {
                path,
                usage,
                limit,
                stat,
            });
        }
        for line in unescape(message).lines() {
            // Something else in between has no number, or more than one.
            let pair = line.split_once(' ');
            if pair.is_some_and(|(_, value)| value.parse::<u64>().is_ok()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        None
    }
}

/// A number of KiB.
fn kib(text: &str) -> Option<Bytes> {
    text.parse::<u64>().ok()?.checked_mul(1024).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumps(lines: &[&str]) -> Vec<Dump> {
        let mut dumps = Dumps::default();
        lines.iter().filter_map(|line| dumps.hear(line)).collect()
    }

    fn expected(anon: u64) -> Dump {
        Dump {
            path: "/a b".into(),
            usage: Some(Bytes(20_364 << 10)),
            limit: Some(Bytes(20_480 << 10)),
            stat: MemoryStat {
                anon: Bytes(anon),
                kernel: Bytes(192_512),
                ..MemoryStat::default()
            },
        }
    }

    #[test]
    fn a_report_of_one_record_and_of_many() {
        let many = [
            "memory: usage 20364kB, limit 20480kB, failcnt 61",
            "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
            "Memory cgroup stats for /a b:",
            "anon 20660224",
            "NET: Registered PF_VSOCK protocol family",
            "file 0",
            "kernel 192512",
            "Tasks state (memory values in pages):",
            "[    182]     0   182     5554     5344     5024      320         0    86016        0             0 tail",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
        ];
        assert_eq!(dumps(&many), [expected(20_660_224)]);
        let one = [
            many[0],
            many[1],
            many[2],
            "anon 20795392\\x0afile 0\\x0akernel 192512\\x0athp_collapse_alloc 1",
            many[7],
        ];
        assert_eq!(dumps(&one), [expected(20_795_392)]);
    }

    #[test]
    fn what_is_broken_off_is_no_part_of_the_next() {
        let lines = [
            "memory: usage 1kB, limit 2kB, failcnt 61",
            "Memory cgroup stats for /first:",
            "anon 7",
            "memory: usage 20364kB, limit 20480kB, failcnt 61",
            "Memory cgroup stats for /a b:",
            "anon 5",
            "kernel 192512",
            "oom-kill:constraint=CONSTRAINT_MEMCG,…",
            "anon 9",
            "Tasks state (memory values in pages):",
        ];
        assert_eq!(dumps(&lines), [expected(5)]);
        assert_eq!(dumps(&lines[..4]), []);
        // Numbers that cannot be are not known.
        let odd = ["memory: usage -1kB, limit 99999999999999999999kB, failcnt 0"];
        assert_eq!(dumps(&odd), []);
    }
}
