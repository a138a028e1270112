//! What a supervisor tells about its workload, for people and, as JSON, for programs.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::oom::OomReport;

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
    Oom(OomReport),
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
            Self::Notice { text } | Self::Failed { text, .. } => out.write_str(text),
            Self::Oom(report) => report.fmt(out),
            Self::Exited { code } => write!(out, "ended with {code}"),
            Self::Restarting { delay } => write!(out, "starts again in {delay:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::oom::{Cause, Victim};
    use super::*;
    use crate::kernel::unit::{Bytes, Limit};

    #[test]
    fn reports_survive_json() {
        let oom = OomReport {
            cause: Cause::Limit {
                cgroup: "leaker".into(),
                max: Some(Limit::At(Bytes(32 << 20))),
            },
            kills: 2,
            victim: Some(Victim {
                pid: 48213,
                inner_pid: Some(1),
                comm: "tail".into(),
                anon: Bytes(1),
                file: Bytes(2),
                shmem: Bytes(3),
            }),
        };
        let above = OomReport {
            cause: Cause::Above,
            victim: None,
            ..oom.clone()
        };
        for report in [
            Report::Started { pid: 7 },
            Report::Notice { text: "a".into() },
            Report::Oom(oom),
            Report::Oom(above),
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
