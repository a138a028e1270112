//! What the tracepoints `oom:mark_victim` and `cgroup:cgroup_attach_task` say, as the text of `trace_pipe`.
//!
//! ```text
//!            <...>-198     [000] d..1.     3.262714: cgroup_attach_task: dst_root=0 dst_id=62 dst_level=2 dst_path=/web pid=198 comm=sh
//!            <...>-198     [000] ...1.     3.458957: mark_victim: pid=198 comm=sh total-vm=14556kB anon-rss=7988kB file-rss:1452kB …
//! CPU:0 [LOST 12 EVENTS]
//! ```
//!
//! The kernel never rate-limits them, unlike its log. Until 6.8 (and its stable releases of 2024) a victim's
//! line has the pid alone.
//!
//! <https://docs.kernel.org/trace/ftrace.html>

pub mod reader;

use std::time::Duration;

use super::cgroup::CgroupId;
use super::kmsg::{COMM_MAX, OomProcess};
use super::unit::Bytes;

/// One event of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process was chosen to be killed for lack of memory.
    Victim(Marked),
    /// A process went into another cgroup of the v2 hierarchy.
    Attached(Attached),
    /// So many events of one CPU were overwritten before they were read; `None` where their number is lost too.
    Lost(Option<u64>),
}

/// A victim, as `mark_victim` names it. Each member of a killed group is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// When, since boot, on the clock that was chosen for the trace.
    pub at: Duration,
    /// Its pid on the host.
    pub pid: u32,
    /// What more there is; `None` where the kernel says the pid alone.
    pub process: Option<OomProcess>,
}

/// A process that went into a cgroup. Who is born in one, or cloned into it, is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its pid on the host.
    pub pid: u32,
    /// The cgroup.
    pub cgroup: CgroupId,
    /// Its path from the v2 root at that moment. Foreign text.
    pub path: String,
}

const VICTIM: &str = ": mark_victim: pid=";
const ATTACHED: &str = ": cgroup_attach_task: dst_root=";

/// Puts the events together from what is read, piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    /// The beginning of a line.
    rest: Vec<u8>,
    /// A victim whose command name has a line feed.
    open: Option<String>,
}

/// No line is longer: a path has at most 4,095 bytes.
const LINE_MAX: usize = 8192;

impl Parser {
    /// Takes in what one `read` gave, and tells of every event that it completes.
    pub fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(Event)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let whole = piece.strip_suffix(b"\n");
            let end = whole.unwrap_or(piece);
            if self.rest.len() + end.len() <= LINE_MAX {
                self.rest.extend_from_slice(end);
            }
            if whole.is_some() {
                let line = std::mem::take(&mut self.rest);
                if let Some(event) = self.line(&String::from_utf8_lossy(&line)) {
                    tell(event);
                }
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if let Some(event) = lost(line) {
            self.open = None;
            return Some(event);
        }
        let Some((time, event)) = split(line) else {
            // It can only be the rest of a name.
            let joined = format!("{}\n{line}", self.open.take()?);
            let (time, event) = split(&joined)?;
            return self.victim(time, event.strip_prefix(VICTIM)?, &joined);
        };
        self.open = None;
        match event.strip_prefix(VICTIM) {
            Some(victim) => self.victim(time, victim, line),
            None => Attached::parse(event.strip_prefix(ATTACHED)?).map(Event::Attached),
        }
    }

    fn victim(&mut self, at: Duration, text: &str, line: &str) -> Option<Event> {
        let (pid, rest) = text.split_once(' ').unwrap_or((text, ""));
        let pid = pid.parse().ok()?;
        let process = match rest.strip_prefix("comm=") {
            None => None,
            Some(rest) => {
                let process = process(rest);
                if process.is_none() && rest.chars().count() <= COMM_MAX {
                    self.open = Some(line.to_owned());
                    return None;
                }
                Some(process?)
            }
        };
        Some(Event::Victim(Marked { at, pid, process }))
    }
}

/// `CPU:0 [LOST 12 EVENTS]`; no command name is long enough to say that.
fn lost(line: &str) -> Option<Event> {
    let (cpu, rest) = line.strip_prefix("CPU:")?.split_once(" [LOST ")?;
    let _: u32 = cpu.parse().ok()?;
    match rest {
        "EVENTS]" => Some(Event::Lost(None)),
        _ => Some(Event::Lost(Some(
            rest.strip_suffix(" EVENTS]")?.parse().ok()?,
        ))),
    }
}

/// Splits a line into the time and what begins with the event's name. Whatever a task before it calls itself
/// is too short for such a mark, and whatever comes behind it may hold others.
fn split(line: &str) -> Option<(Duration, &str)> {
    let at = [VICTIM, ATTACHED]
        .iter()
        .filter_map(|mark| line.find(mark))
        .min()?;
    let (before, event) = line.split_at(at);
    let (seconds, micros) = before.rsplit(' ').next()?.split_once('.')?;
    let time = Duration::from_secs(seconds.parse().ok()?)
        .checked_add(Duration::from_micros(micros.parse().ok()?))?;
    Some((time, event))
}

/// `sh total-vm=14556kB anon-rss=7988kB file-rss:1452kB shmem-rss:0kB uid=0 pgtables=60kB oom_score_adj=0`.
/// The name is foreign, so all else is found from the end.
fn process(text: &str) -> Option<OomProcess> {
    let (comm, fields) = text.rsplit_once(" total-vm=")?;
    let field = |key: &str| {
        fields.split(' ').find_map(|field| {
            let value = field.strip_prefix(key)?;
            value.strip_prefix(['=', ':'])
        })
    };
    let size = |key: &str| {
        let number: u64 = field(key)?.strip_suffix("kB")?.parse().ok()?;
        number.checked_mul(1024).map(Bytes)
    };
    Some(OomProcess {
        comm: comm.to_owned(),
        anon_rss: size("anon-rss")?,
        file_rss: size("file-rss")?,
        shmem_rss: size("shmem-rss")?,
        uid: field("uid").and_then(|uid| uid.parse().ok()),
        oom_score_adj: field("oom_score_adj").and_then(|adj| adj.parse().ok()),
    })
}

impl Attached {
    /// `0 dst_id=62 dst_level=2 dst_path=/web/leaf pid=198 comm=sh`. Path and name are foreign: where they
    /// can be read in two ways, nothing is known.
    fn parse(text: &str) -> Option<Self> {
        // The v2 hierarchy is the kernel's first.
        let (id, rest) = text.strip_prefix("0 dst_id=")?.split_once(" dst_level=")?;
        let (level, rest) = rest.split_once(" dst_path=")?;
        let _: u32 = level.parse().ok()?;
        let mut ways = rest.match_indices(" pid=").filter_map(|(at, key)| {
            let (pid, comm) = rest[at + key.len()..].split_once(" comm=")?;
            (comm.chars().count() <= COMM_MAX).then_some((&rest[..at], pid.parse().ok()?))
        });
        let (path, pid) = ways.next().filter(|_| ways.next().is_none())?;
        Some(Self {
            pid,
            cgroup: CgroupId(id.parse().ok()?),
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut events = Vec::new();
        Parser::default().take(text.as_bytes(), |event| events.push(event));
        events
    }

    fn attached(text: &str) -> Option<(u32, String)> {
        match events(text).pop()? {
            Event::Attached(Attached { pid, path, .. }) => Some((pid, path)),
            _ => None,
        }
    }

    #[test]
    fn an_old_kernel_says_the_pid_alone() {
        let marked = Marked {
            at: Duration::from_micros(3_458_957),
            pid: 198,
            process: None,
        };
        assert_eq!(
            events("  <...>-198  [000] ...1.   3.458957: mark_victim: pid=198\n"),
            [Event::Victim(marked)]
        );
    }

    #[test]
    fn losses_are_told() {
        assert_eq!(
            events("CPU:1 [LOST 12 EVENTS]\nCPU:0 [LOST EVENTS]\nCPU:x [LOST 1 EVENTS]\n"),
            [Event::Lost(Some(12)), Event::Lost(None)]
        );
    }

    #[test]
    fn no_name_poses_as_another_pid_or_path() {
        let line = |path: &str, comm: &str| {
            attached(&format!(
                "  x-1  [000] ...1.   3.4: cgroup_attach_task: dst_root=0 dst_id=62 dst_level=1 \
                 dst_path={path} pid=198 comm={comm}\n"
            ))
        };
        let is = |path: &str| Some((198, path.to_owned()));
        assert_eq!(line("/a b", "sh"), is("/a b"));
        assert_eq!(line("/a pid=7 comm=b", "longer"), is("/a pid=7 comm=b"));
        assert_eq!(
            line("/a: mark_victim: pid=5", "x"),
            is("/a: mark_victim: pid=5")
        );
        // In doubt, nothing.
        assert_eq!(line("/a", " pid=7 comm=z"), None);
        assert_eq!(line("/a pid=7 comm=", ""), None);
        // A hierarchy of version 1.
        let other = "  x-1 [000] ...1. 3.4: cgroup_attach_task: dst_root=3 dst_id=1 dst_level=0 dst_path=/ pid=1 comm=a\n";
        assert_eq!(attached(other), None);
    }
}
