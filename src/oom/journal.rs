//! What systemd's journal has: lines of the kernel, and what programs wrote that kill before the kernel must.
//!
//! `journalctl` reads it, as its format is its own. <https://www.freedesktop.org/software/systemd/man/latest/journalctl.html>

use std::borrow::Cow;
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

/// `journalctl`, ready for arguments about which entries: an [`Entry`] as JSON on each line.
pub fn journalctl() -> Command {
    let mut command = Command::new("journalctl");
    command
        .args(["--quiet", "--no-pager", "--all", "--output=json", "--merge"])
        .arg("--output-fields=MESSAGE,MESSAGE_ID,UNIT,SYSLOG_IDENTIFIER,_BOOT_ID,_SOURCE_MONOTONIC_TIMESTAMP")
        .env("LC_ALL", "C");
    command
}

/// One entry, what matters of it.
#[derive(Debug, Deserialize)]
pub struct Entry {
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

impl Entry {
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
    pub fn killed(&self) -> Option<Killed> {
        let program = self.program.as_ref()?.text()?;
        let text = self.text()?;
        let killed = |program, what| Killed {
            program,
            what,
            text: text.clone().into_owned(),
        };
        match &*program {
            "systemd-oomd" => {
                // Killed /system.slice/web.service due to memory pressure for …
                let (path, _) = text.strip_prefix("Killed ")?.split_once(" due to ")?;
                Some(killed("systemd-oomd", What::Cgroup(path.to_owned())))
            }
            "earlyoom" => {
                // sending SIGTERM to process 1234 uid 1000 "chrome": oom_score 300, VmRSS 512 MiB, …
                let (_, rest) = text.strip_prefix("sending ")?.split_once(" to process ")?;
                let (pid, rest) = rest.split_once(' ')?;
                let (_, rest) = rest.split_once('"')?;
                let (comm, _) = rest.split_once("\": ")?;
                let what = What::Process {
                    pid: pid.parse().ok()?,
                    comm: comm.to_owned(),
                };
                Some(killed("earlyoom", what))
            }
            "kubelet" => {
                // eviction manager: pod web_shop(uid) is evicted successfully
                let (_, rest) = text.split_once("eviction manager: pod ")?;
                let (pod, _) = rest.split_once(" is evicted successfully")?;
                let (name, uid) = pod.split_once('(').unwrap_or((pod, ""));
                let what = What::Pod {
                    name: name.trim_matches('"').to_owned(),
                    uid: uid.trim_end_matches(')').to_owned(),
                };
                Some(killed("kubelet", what))
            }
            _ => None,
        }
    }
}

/// A kill that a program says it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// Which program.
    pub program: &'static str,
    /// What it kills.
    pub what: What,
    /// What it says. Foreign text.
    pub text: String,
}

/// What a program kills. All of it is foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
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

    fn said(program: &str, message: &str) -> Option<Killed> {
        let message = serde_json::to_string(message).unwrap();
        let entry: Entry = serde_json::from_str(&format!(
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
            (oomd.program, oomd.what),
            ("systemd-oomd", What::Cgroup(path))
        );
        let early = said(
            "earlyoom",
            r#"sending SIGTERM to process 4711 uid 1000 "my "app": oom_score 300, VmRSS 512 MiB"#,
        )
        .unwrap();
        let comm = "my \"app".to_owned();
        assert_eq!(early.what, What::Process { pid: 4711, comm });
        let kubelet = said(
            "kubelet",
            "eviction manager: pod web_shop(77-88) is evicted successfully",
        )
        .unwrap();
        let (name, uid) = ("web_shop".to_owned(), "77-88".to_owned());
        assert_eq!(kubelet.what, What::Pod { name, uid });
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
