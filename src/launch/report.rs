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
