//! What a supervisor tells about its workload, for people and, as JSON, for programs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names;
use crate::oom::{OomKill, words};

/// One thing that happened to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "report")]
pub enum Report {
    /// The program runs.
    Started {
        /// PID 1's pid on the host.
        pid: u32,
    },
    /// Something the user should know.
    Notice {
        /// One sentence.
        text: String,
    },
    /// The kernel killed for lack of memory.
    OomKill {
        /// What is known of it.
        kill: Box<OomKill>,
        /// The same in one line. Foreign text.
        text: String,
    },
    /// The program could not be executed: 126 or 127.
    Failed {
        /// The exit code.
        code: u8,
        /// One sentence.
        text: String,
    },
    /// The program ended.
    Exited {
        /// Its exit code, or 128 and the signal.
        code: u8,
    },
    /// It will be started again.
    Restarting {
        /// After this long.
        delay: Duration,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { pid } => write!(out, "started, pid {pid}"),
            Self::Notice { text } | Self::Failed { text, .. } | Self::OomKill { text, .. } => {
                out.write_str(text)
            }
            Self::Exited { code } => write!(out, "ended with {code}"),
            Self::Restarting { delay } => write!(out, "starts again in {delay:?}"),
        }
    }
}

/// One line about a kill in the workload of this name, which has the cgroup `leaf`.
pub fn oom_line(kill: &OomKill, name: &str, leaf: &Path) -> String {
    let label = |path: &str| {
        if Path::new(path) == leaf {
            name.to_owned()
        } else {
            names::identify(path).label.into_owned()
        }
    };
    let limit = words::limit(kill, &label);
    words::line(kill, name, limit.as_deref().unwrap_or(words::UNKNOWN_LIMIT))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::kernel::cgroup::CgroupId;
    use crate::kernel::memory::MemoryStat;
    use crate::kernel::unit::{Bytes, Limit};
    use crate::oom::{Fact, Fired, Means, Victim};

    #[test]
    fn reports_survive_json() {
        let kill = OomKill {
            time: SystemTime::UNIX_EPOCH,
            logged_at: Some(Fact::new(Duration::from_millis(1), Means::KernelLog)),
            cgroup: CgroupId(7),
            path: Fact::new("/ringfence.slice/leaker".into(), Means::Counter),
            kills: 2,
            total: Some(2),
            group: Some(Fact::new(true, Means::Seen)),
            fired: Some(Fact::new(
                Fired::Cgroup {
                    path: "/ringfence.slice".into(),
                    max: Some(Limit::At(Bytes(32 << 20))),
                },
                Means::KernelLog,
            )),
            victims: vec![Victim {
                pid: 48213,
                inner_pid: Some(1),
                comm: "tail".into(),
                anon: Bytes(1),
                file: Bytes(2),
                shmem: Bytes(3),
                uid: Some(0),
                oom_score_adj: Some(-5),
                from: Means::KernelLog,
            }],
            memory_stat: Some(Fact::new(MemoryStat::default(), Means::KernelLog)),
            choice: None,
        };
        let leaf = Path::new("/ringfence.slice/leaker");
        let text = oom_line(&kill, "leaker", leaf);
        assert!(
            text.ends_with("limit memory.max 32M of ringfence.slice"),
            "{text}"
        );
        let host = OomKill {
            fired: Some(Fact::new(Fired::Host, Means::KernelLog)),
            victims: Vec::new(),
            ..kill.clone()
        };
        let oom = |kill: OomKill| Report::OomKill {
            text: oom_line(&kill, "leaker", leaf),
            kill: kill.into(),
        };
        for report in [
            Report::Started { pid: 7 },
            Report::Notice { text: "a".into() },
            oom(kill),
            oom(host),
            Report::Failed {
                code: 127,
                text: "b".into(),
            },
            Report::Exited { code: 137 },
            Report::Restarting {
                delay: Duration::from_millis(1500),
            },
        ] {
            let json = serde_json::to_string(&report).unwrap();
            assert_eq!(
                serde_json::from_str::<Report>(&json).unwrap(),
                report,
                "{json}"
            );
        }
    }
}
