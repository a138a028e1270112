//! The event log: one sentence for everything that people should know of.

use std::time::SystemTime;

use crate::kernel::cgroup::CgroupId;

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know: a workload started.
    Info,
    /// Something is wrong, was refused, or may become worse.
    Warning,
    /// Something is about to be killed.
    Critical,
    /// Something was killed.
    Kill,
}

impl Severity {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "event",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Kill => "kill",
        }
    }
}

/// One line of the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub time: SystemTime,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence. May hold foreign text: it is made harmless where it is drawn.
    pub text: String,
    /// The cgroup it is about.
    pub cgroup: Option<CgroupId>,
}
