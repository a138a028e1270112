//! What the kernel log says about OOM kills.
//!
//! Two lines matter. The summary (rate-limited) is the only one that names the cgroups:
//! `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/a,task_memcg=/a/b,task=python3,pid=123,uid=0`.
//! The verdict (never rate-limited) has the sizes:
//! `Memory cgroup out of memory: Killed process 123 (python3) total-vm:…kB, anon-rss:…kB, …`.

pub mod dump;
pub mod reader;

use std::time::Duration;

use super::unit::Bytes;

/// One record of `/dev/kmsg`.
///
/// <https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Sequence number; a gap means lost records.
    pub sequence: u64,
    /// When, on the clock that counts from boot.
    pub since_boot: Duration,
    /// Whether the kernel itself said it. Programs may write to the log too, but never as the kernel
    /// (facility 0).
    pub from_kernel: bool,
    /// The text of the first line. Foreign: it may hold anything. Control characters, backslashes and
    /// what is not ASCII are written `\xNN`.
    pub message: &'a str,
}

impl<'a> Record<'a> {
    /// Parses one `read` of `/dev/kmsg`: `PRIO,SEQ,MICROS,FLAGS[,…];MESSAGE\n[ KEY=VALUE\n…]`.
    /// `None` for anything else.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (prefix, rest) = text.split_once(';')?;
        let mut fields = prefix.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let since_boot = Duration::from_micros(fields.next()?.parse().ok()?);
        Some(Self {
            sequence,
            since_boot,
            from_kernel: priority >> 3 == 0,
            message: rest.lines().next().unwrap_or_default(),
        })
    }
}

/// What one kernel log line says about an OOM kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OomLine {
    /// The summary line.
    Summary(OomSummary),
    /// All tasks of this cgroup and those below it are killed together (`memory.oom.group`). Comes after the
    /// first victim's verdict, and before those of all, where the first one is told of again.
    Group(String),
    /// The verdict line.
    Killed(OomVictim),
}

/// The summary: which cgroup ran out, and where the victim lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomSummary {
    /// The cgroup whose limit was hit, as a path from the v2 root; `None` when the host itself ran out.
    pub oom_memcg: Option<String>,
    /// The victim's cgroup, as a path from the v2 root.
    pub task_memcg: String,
    /// The victim's pid on the host.
    pub pid: u32,
}

/// The verdict: who was killed and how large it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomVictim {
    /// Whether a memory cgroup ran out (otherwise the whole host did).
    pub memcg: bool,
    /// The victim's pid on the host.
    pub pid: u32,
    /// What it was.
    pub process: OomProcess,
}

/// What the kernel says about a process that it kills for lack of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomProcess {
    /// Its command name; foreign text.
    pub comm: String,
    /// Resident anonymous memory.
    pub anon_rss: Bytes,
    /// Resident file pages.
    pub file_rss: Bytes,
    /// Resident shared memory.
    pub shmem_rss: Bytes,
    /// Its user on the host.
    pub uid: Option<u32>,
    /// Its `oom_score_adj`, from -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

impl OomLine {
    /// Parses the message of a kernel log record; `None` where it is about something else.
    pub fn parse(message: &str) -> Option<Self> {
        if let Some(fields) = message.strip_prefix("oom-kill:") {
            return Some(Self::Summary(OomSummary::parse(fields)?));
        }
        if let Some(path) = message.strip_prefix("Tasks in ")
            && let Some(path) =
                path.strip_suffix(" are going to be killed due to memory.oom.group set")
        {
            return Some(Self::Group(unescape(path)));
        }
        let (cause, rest) = message.split_once("Killed process ")?;
        let memcg = match cause {
            "Memory cgroup out of memory: " => true,
            "Out of memory: " | "Out of memory (oom_kill_allocating_task): " => false,
            _ => return None,
        };
        OomVictim::parse(memcg, rest).map(Self::Killed)
    }
}

impl OomSummary {
    /// Cgroup and task names are foreign and may hold commas, so each field is found by the key behind it.
    fn parse(fields: &str) -> Option<Self> {
        let (constraint, _) = fields.strip_prefix("constraint=")?.split_once(',')?;
        let (before, uid) = fields.rsplit_once(",uid=")?;
        let _: u32 = uid.parse().ok()?;
        let (before, pid) = before.rsplit_once(",pid=")?;
        let (before, rest) = before.split_once(",task_memcg=")?;
        // A task can call itself `,task=`; its name has at most 15 bytes, so the first place that leaves
        // no more than that is where the path ends.
        let (at, _) = rest
            .match_indices(",task=")
            .find(|(at, key)| unescaped(&rest[at + key.len()..]).len() <= COMM_MAX)?;
        let task_memcg = &rest[..at];
        let oom_memcg = (constraint == "CONSTRAINT_MEMCG")
            .then(|| {
                before
                    .split_once(",oom_memcg=")
                    .map(|(_, path)| unescape(path))
            })
            .flatten();
        Some(Self {
            oom_memcg,
            task_memcg: unescape(task_memcg),
            pid: pid.parse().ok()?,
        })
    }
}

/// The longest command name (`TASK_COMM_LEN` without its NUL).
pub(super) const COMM_MAX: usize = 15;

/// Undoes the `\xNN` of `/dev/kmsg`. Done after a line was taken apart, so that no name can pose as a
/// part of the line.
fn unescape(text: &str) -> String {
    String::from_utf8_lossy(&unescaped(text)).into_owned()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.as_bytes());
        let byte = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if let Some(byte) = byte {
            bytes.push(byte);
            &after[2..]
        } else {
            bytes.extend(b"\\x");
            after
        };
    }
    bytes.extend(rest.as_bytes());
    bytes
}

impl OomVictim {
    /// `123 (python3) total-vm:…kB, anon-rss:…kB, file-rss:…kB, shmem-rss:…kB, UID:0 …`
    fn parse(memcg: bool, text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(" (")?;
        let (comm, sizes) = rest.rsplit_once(") total-vm:")?;
        let size = |key: &str| {
            let (_, rest) = sizes.split_once(key)?;
            let (number, _) = rest.split_once("kB")?;
            number.parse::<u64>().ok()?.checked_mul(1024).map(Bytes)
        };
        Some(Self {
            memcg,
            pid: pid.parse().ok()?,
            process: OomProcess {
                comm: unescape(comm),
                anon_rss: size("anon-rss:")?,
                file_rss: size("file-rss:")?,
                shmem_rss: size("shmem-rss:")?,
                uid: word(sizes, "UID:"),
                oom_score_adj: word(sizes, "oom_score_adj:"),
            },
        })
    }
}

/// The word behind a key, where it is a number of the wanted kind.
fn word<T: std::str::FromStr>(text: &str, key: &str) -> Option<T> {
    let (_, rest) = text.split_once(key)?;
    rest.split([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_both_cgroups() {
        let line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
                    oom_memcg=/a,task_memcg=/a/b,task=x,y,pid=123,uid=0";
        assert_eq!(
            OomLine::parse(line),
            Some(OomLine::Summary(OomSummary {
                oom_memcg: Some("/a".into()),
                task_memcg: "/a/b".into(),
                pid: 123
            }))
        );
    }

    #[test]
    fn the_verdict_has_the_sizes_even_with_a_hostile_comm() {
        let line = "Memory cgroup out of memory: Killed process 77 (a) total-vm:1) total-vm:9kB, \
                    anon-rss:4kB, file-rss:2kB, shmem-rss:1kB, UID:0 pgtables:40kB oom_score_adj:0";
        let Some(OomLine::Killed(victim)) = OomLine::parse(line) else {
            panic!("not a verdict")
        };
        assert_eq!(victim.pid, 77);
        assert_eq!(
            victim.process,
            OomProcess {
                comm: "a) total-vm:1".into(),
                anon_rss: Bytes(4096),
                file_rss: Bytes(2048),
                shmem_rss: Bytes(1024),
                uid: Some(0),
                oom_score_adj: Some(0),
            }
        );
    }

    #[test]
    fn a_record_is_split_from_its_prefix() {
        let record = Record::parse(b"6,339,5140900,-;NET: hello\n SUBSYSTEM=x\n").unwrap();
        assert_eq!(record.sequence, 339);
        assert_eq!(record.since_boot, Duration::from_micros(5_140_900));
        assert_eq!(record.message, "NET: hello");
    }
}
