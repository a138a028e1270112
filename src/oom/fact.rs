//! What is known, and how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How something about a kill is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A line of the kernel log names it.
    KernelLog,
    /// The tracepoint `oom:mark_victim` names it.
    Tracepoint,
    /// A counter of `memory.events` or `memory.events.local` rose.
    Counter,
    /// It was read from a file while the process or the cgroup lived.
    Seen,
    /// A line in systemd's journal says it.
    Journal,
    /// Nothing says it; it is what fits best.
    Inferred,
}

impl Means {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::KernelLog => "kernel log",
            Self::Tracepoint => "tracepoint",
            Self::Counter => "event counter",
            Self::Seen => "seen before",
            Self::Journal => "journal",
            Self::Inferred => "inferred",
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something about a kill, and how it is known. What is not known is `None` of an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What.
    pub value: T,
    /// How it is known.
    pub from: Means,
}

impl<T> Fact<T> {
    /// A fact.
    pub fn new(value: T, from: Means) -> Self {
        Self { value, from }
    }
}
