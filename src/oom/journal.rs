//! What systemd's journal has: lines of the kernel, and what programs wrote that kill before the kernel must.
//!
//! `journalctl` reads it, as its format is its own. <https://www.freedesktop.org/software/systemd/man/latest/journalctl.html>

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

/// What the killers wrote. Whoever may write to the journal chooses what an entry says it is; the fields that begin with
/// an underscore are the journal's own.
pub const KILLERS: [&str; 6] = [
    "_SYSTEMD_UNIT=systemd-oomd.service",
    "+",
    "_SYSTEMD_UNIT=earlyoom.service",
    "+",
    "SYSLOG_IDENTIFIER=kubelet",
    "_UID=0",
];

/// A longer line is none of the entries looked for.
const LONGEST: u64 = 64 << 10;

/// `journalctl`, for the entries of some fields that were written since a time, the oldest first: [`entries`] reads its output.
pub fn written_since(since: SystemTime, fields: &[&str]) -> Command {
    let since = since.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let mut command = journalctl();
    command.arg(format!("--since=@{seconds}")).args(fields);
    command
}

/// The same for those that are written from now on. It ends with who started it, also where that is killed.
pub fn follow(fields: &[&str]) -> Command {
    let journalctl = journalctl();
    // Else it would live until it had something to say.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(journalctl.get_program())
        .args(journalctl.get_args())
        .args(["--follow", "--lines=0"])
        .args(fields);
    for (name, value) in journalctl.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// The entries that `journalctl` prints, until it ends.
pub fn entries(output: impl Read) -> impl Iterator<Item = JournalEntry> {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        loop {
            line.clear();
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
            if read.ok()? == 0 {
                return None;
            }
            if let Ok(entry) = serde_json::from_slice(&line) {
                return Some(entry);
            }
        }
    })
}

/// An entry as JSON on each line.
fn journalctl() -> Command {
    let mut command = Command::new("journalctl");
    command
        .args(["--quiet", "--no-pager", "--all", "--output=json", "--merge"])
        .arg("--output-fields=MESSAGE,MESSAGE_ID,UNIT,SYSLOG_IDENTIFIER,_BOOT_ID,_SOURCE_MONOTONIC_TIMESTAMP")
        .env("LC_ALL", "C");
    command
}

/// One entry, what matters of it.
#[derive(Debug, Deserialize)]
pub struct JournalEntry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    written: String,
    #[serde(rename = "_SOURCE_MONOTONIC_TIMESTAMP")]
    source_time: Option<String>,
    /// Which boot.
    #[serde(rename = "_BOOT_ID", default)]
    pub boot: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Text>,
    /// What kind of message, where its program says so.
    #[serde(rename = "MESSAGE_ID")]
    pub id: Option<String>,
    /// The unit that systemd says it about. Foreign text.
    #[serde(rename = "UNIT")]
    pub unit: Option<String>,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    program: Option<Text>,
}

/// Text, bytes, or too long to be shown.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
    /// `null`, or a field that is there more than once.
    Other(serde::de::IgnoredAny),
}

impl Text {
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8(text) => Some(text.into()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            Self::Other(_) => None,
        }
    }
}

impl JournalEntry {
    /// When it was written.
    pub fn written(&self) -> Option<SystemTime> {
        let micros = self.written.parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
    }

    /// When it was said, on the clock of the kernel log.
    pub fn since_boot(&self) -> Option<Duration> {
        let micros = self.source_time.as_ref()?.parse().ok()?;
        Some(Duration::from_micros(micros))
    }

    /// What it says. Foreign text.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.message.as_ref()?.text()
    }

    /// The kill that one of the [`KILLERS`] says it does; `None` of anything else.
    pub fn killed(&self) -> Option<ProgramKill> {
        let program = self.program.as_ref()?.text()?;
        let text = self.text()?;
        let killed = |program, victim| ProgramKill {
            program,
            victim,
            text: text.clone().into_owned(),
        };
        match &*program {
            "systemd-oomd" => {
                // Killed /system.slice/web.service due to memory pressure for …
                let (path, _) = text.strip_prefix("Killed ")?.split_once(" due to ")?;
                Some(killed(
                    "systemd-oomd",
                    ProgramVictim::Cgroup(path.to_owned()),
                ))
            }
            "earlyoom" => {
                // sending SIGTERM to process 1234 uid 1000 "chrome": oom_score 300, VmRSS 512 MiB, …
                let (_, rest) = text.strip_prefix("sending ")?.split_once(" to process ")?;
                let (pid, rest) = rest.split_once(' ')?;
                let (_, rest) = rest.split_once('"')?;
                let (comm, _) = rest.split_once("\": ")?;
                let victim = ProgramVictim::Process {
                    pid: pid.parse().ok()?,
                    comm: comm.to_owned(),
                };
                Some(killed("earlyoom", victim))
            }
            "kubelet" => {
                // eviction manager: pod web_shop(uid) is evicted successfully
                let (_, rest) = text.split_once("eviction manager: pod ")?;
                let (pod, _) = rest.split_once(" is evicted successfully")?;
                let (name, uid) = pod.split_once('(').unwrap_or((pod, ""));
                let victim = ProgramVictim::Pod {
                    name: name.trim_matches('"').to_owned(),
                    uid: uid.trim_end_matches(')').to_owned(),
                };
                Some(killed("kubelet", victim))
            }
            _ => None,
        }
    }
}

/// A kill that a program says it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramKill {
    /// Which program.
    pub program: &'static str,
    /// What it kills.
    pub victim: ProgramVictim,
    /// What it says. Foreign text.
    pub text: String,
}

/// What a program kills. All of it is foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramVictim {
    /// All in the cgroup of this path from the v2 root.
    Cgroup(String),
    /// One process.
    Process {
        /// Its pid on the host.
        pid: u32,
        /// Its command.
        comm: String,
    },
    /// All containers of a pod.
    Pod {
        /// `web_shop`: its name and its namespace.
        name: String,
        /// Its uid; empty where it is not told.
        uid: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(program: &str, message: &str) -> Option<ProgramKill> {
        let message = serde_json::to_string(message).unwrap();
        let entry: JournalEntry = serde_json::from_str(&format!(
            r#"{{"__REALTIME_TIMESTAMP":"1782907421500000","SYSLOG_IDENTIFIER":"{program}","MESSAGE":{message}}}"#
        ))
        .unwrap();
        entry.killed()
    }

    #[test]
    fn what_killers_say() {
        let oomd = said(
            "systemd-oomd",
            "Killed /system.slice/web.service due to memory pressure for /system.slice being 70% > 50%",
        )
        .unwrap();
        let path = "/system.slice/web.service".to_owned();
        assert_eq!(
            (oomd.program, oomd.victim),
            ("systemd-oomd", ProgramVictim::Cgroup(path))
        );
        let early = said(
            "earlyoom",
            r#"sending SIGTERM to process 4711 uid 1000 "my "app": oom_score 300, VmRSS 512 MiB"#,
        )
        .unwrap();
        let comm = "my \"app".to_owned();
        assert_eq!(early.victim, ProgramVictim::Process { pid: 4711, comm });
        let kubelet = said(
            "kubelet",
            "eviction manager: pod web_shop(77-88) is evicted successfully",
        )
        .unwrap();
        let (name, uid) = ("web_shop".to_owned(), "77-88".to_owned());
        assert_eq!(kubelet.victim, ProgramVictim::Pod { name, uid });
        for (program, message) in [
            ("systemd-oomd", "Swap is currently not detected"),
            ("earlyoom", "mem avail: 21790 of 23909 MiB (91.14%)"),
            ("kubelet", "Starting"),
            ("cron", "Killed /x due to y"),
        ] {
            assert_eq!(said(program, message), None);
        }
    }
}
