//! Warnings: what comes close to a limit, is held back by one, or waits for memory.
//!
//! Each is said once when it begins, once more when it turns critical, and once when it is over: when it has
//! been away for five seconds. Only whose limit it is warns, not everybody below or above.
//!
//! What counts of a limit is what the kernel cannot drop (see [`forecast`](super::forecast)): a cgroup that fills its limit
//! with page cache is well. A cgroup's `memory.pressure` has everybody's below it, too; the deepest one that has a
//! limit of its own is the one to blame.

mod judge;
mod words;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Happening, Model, Note, Row, Severity, What};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cpu::CpuMax;
use crate::kernel::unit::Bytes;
use crate::sample::{Presence, Sample};

pub(super) use judge::looks;
use judge::{Look, Looks};

/// So long it must be away to be over.
const QUIET: Duration = Duration::from_secs(5);
/// What `avg10` of a pressure file counts over, in seconds.
const AVERAGE: u32 = 10;

/// From where on it is warned. Percentages are whole, and [`NEVER`](Thresholds::NEVER) is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Percent of a memory limit that the kernel cannot drop: a warning, and critical.
    pub memory: [u32; 2],
    /// How often a second a cgroup is held back by `memory.high`, while so much of it cannot be dropped.
    pub high: u32,
    /// How often a second a cgroup meets `memory.max`, while so much of it cannot be dropped.
    pub max: u32,
    /// Percent of the time that some task waits for memory: a warning, and critical.
    pub pressure: [u32; 2],
    /// How many forks a second are refused because of `pids.max`.
    pub forks: u32,
    /// Percent of the periods in which `cpu.max` holds a cgroup back: a warning, and critical.
    pub throttled: [u32; 2],
    /// Seconds until the growth of a cgroup is to meet the limit that kills: a warning, and critical. 0 for never.
    pub oom_in: [u32; 2],
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            memory: [85, 95],
            high: 1,
            max: 1,
            pressure: [10, 40],
            forks: 1,
            throttled: [50, 90],
            oom_in: [60, 10],
        }
    }
}

impl Thresholds {
    /// A threshold that nothing reaches.
    pub const NEVER: u32 = u32::MAX;
    /// No warnings at all.
    pub const NONE: Self = Self {
        memory: [Self::NEVER; 2],
        high: Self::NEVER,
        max: Self::NEVER,
        pressure: [Self::NEVER; 2],
        forks: Self::NEVER,
        throttled: [Self::NEVER; 2],
        oom_in: [0; 2],
    };
}

/// What is a warning about, with what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// So many percent of `memory.max` cannot be dropped.
    Memory {
        /// Percent.
        share: u32,
        /// `memory.max`.
        limit: Bytes,
    },
    /// `memory.high` holds it back (`high` of `memory.events`).
    High {
        /// How often a second.
        per_second: u32,
        /// Percent of `memory.high` that cannot be dropped.
        share: u32,
        /// `memory.high`.
        limit: Bytes,
    },
    /// It meets `memory.max` (`max` of `memory.events`), and the kernel makes room.
    Max {
        /// How often a second.
        per_second: u32,
        /// Percent of `memory.max` that cannot be dropped.
        share: u32,
        /// `memory.max`.
        limit: Bytes,
    },
    /// Some task waits for memory (`some` of `memory.pressure`).
    Pressure {
        /// Percent of the time.
        share: u32,
        /// Over how many seconds: 10 for the kernel's average, 1 or 2 where its trigger said so at once.
        seconds: u32,
    },
    /// Forks are refused (`max` of `pids.events`).
    Forks {
        /// How many a second.
        per_second: u32,
        /// The smallest `pids.max` up the tree.
        limit: Option<u64>,
    },
    /// `cpu.max` holds it back (`nr_throttled` of `cpu.stat`).
    Throttled {
        /// Percent of the periods.
        share: u32,
        /// `cpu.max`.
        limit: CpuMax,
    },
    /// What it cannot do without grows, and is to meet `memory.max` soon.
    Forecast(Countdown),
}

/// When a kill is foretold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Countdown {
    /// In how many seconds, most likely.
    pub likely: u32,
    /// The earliest.
    pub soonest: u32,
    /// The latest.
    pub latest: u32,
    /// By how much it grows in a second.
    pub rate: Bytes,
    /// `memory.max`.
    pub limit: Bytes,
}

/// What a sign is about, without what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Sign::Memory`].
    Memory,
    /// [`Sign::High`].
    High,
    /// [`Sign::Max`].
    Max,
    /// [`Sign::Pressure`].
    Pressure,
    /// [`Sign::Forks`].
    Forks,
    /// [`Sign::Throttled`].
    Throttled,
    /// [`Sign::Forecast`].
    Forecast,
}

impl Kind {
    /// A name for programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::High => "memory_high",
            Self::Max => "memory_max",
            Self::Pressure => "memory_pressure",
            Self::Forks => "pids_max",
            Self::Throttled => "cpu_max",
            Self::Forecast => "oom_forecast",
        }
    }
}

impl Sign {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Memory { .. } => Kind::Memory,
            Self::High { .. } => Kind::High,
            Self::Max { .. } => Kind::Max,
            Self::Pressure { .. } => Kind::Pressure,
            Self::Forks { .. } => Kind::Forks,
            Self::Throttled { .. } => Kind::Throttled,
            Self::Forecast(_) => Kind::Forecast,
        }
    }
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Whose limit, or who waits.
    pub cgroup: CgroupId,
    /// Its path. Foreign text.
    pub path: Arc<str>,
    /// Its name.
    pub name: String,
    /// [`Warning`](Severity::Warning) or [`Critical`](Severity::Critical): the worst since it began.
    pub severity: Severity,
    /// What about, as it was when this was last said.
    pub sign: Sign,
    /// When it began, on the clock that counts from boot.
    pub since: Duration,
}

/// How a warning was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// Which.
    pub warning: Warning,
    /// How long after it began.
    pub after: Duration,
    /// Whether the cgroup is gone.
    pub gone: bool,
}

/// What is watched for, and the warnings that stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    pub thresholds: Thresholds,
    /// Who is outside of it and above waits for others as well.
    pub root: Option<Arc<str>>,
    standing: Vec<Standing>,
}

#[derive(Debug, Clone)]
struct Standing {
    warning: Warning,
    /// When it was last so.
    seen: Duration,
}

/// What is to be said.
enum Said {
    Warning(Warning),
    Cleared(Cleared),
}

impl Watch {
    /// Takes in what a look at one cgroup found; gives what is to be said.
    fn take(&mut self, now: Duration, row: &Row, kind: Kind, look: Look) -> Option<Said> {
        let stands = self.standing.iter().position(|standing| {
            standing.warning.cgroup == row.id && standing.warning.sign.kind() == kind
        });
        let found = match look {
            Look::Unknown => return None,
            Look::Fine => None,
            Look::At(sign) => Some(sign),
        };
        let worst = found.and_then(|sign| Some((sign, sign.severity(&self.thresholds)?)));
        let Some(at) = stands else {
            let (sign, severity) = worst?;
            let warning = Warning {
                cgroup: row.id,
                path: row.path.clone(),
                name: row.label.clone(),
                severity,
                sign,
                since: now,
            };
            self.standing.push(Standing {
                warning: warning.clone(),
                seen: now,
            });
            return Some(Said::Warning(warning));
        };
        let standing = &mut self.standing[at];
        if found.is_some_and(|sign| sign.holds(&self.thresholds)) {
            standing.seen = now;
        }
        if let Some((sign, severity)) = worst
            && severity > standing.warning.severity
        {
            standing.warning.severity = severity;
            standing.warning.sign = sign;
            return Some(Said::Warning(standing.warning.clone()));
        }
        (now.saturating_sub(standing.seen) >= QUIET).then(|| self.clear(at, now, false))
    }

    /// Clears the warnings of those who are gone.
    fn clear_removed(&mut self, now: Duration, alive: &HashSet<CgroupId>) -> Vec<Said> {
        let mut said = Vec::new();
        for at in (0..self.standing.len()).rev() {
            if !alive.contains(&self.standing[at].warning.cgroup) {
                said.push(self.clear(at, now, true));
            }
        }
        said
    }

    fn clear(&mut self, at: usize, now: Duration, gone: bool) -> Said {
        let warning = self.standing.remove(at).warning;
        let after = now.saturating_sub(warning.since);
        Said::Cleared(Cleared {
            warning,
            after,
            gone,
        })
    }
}

impl Model {
    /// From where on it warns, and what is looked at: who is above may wait for others.
    pub fn warn(&mut self, thresholds: Thresholds, root: Option<Arc<str>>) {
        self.watch.thresholds = thresholds;
        self.watch.root = root;
    }

    /// The warnings that stand.
    pub fn warnings(&self) -> impl ExactSizeIterator<Item = &Warning> {
        self.watch.standing.iter().map(|standing| &standing.warning)
    }

    /// Takes in what the looks at each row of a sample found.
    pub(super) fn take_looks(&mut self, sample: &Sample, looks: Vec<Looks>) -> Vec<Happening> {
        let now = sample.since_boot;
        let mut said = Vec::new();
        for (row, looks) in self.rows.iter().zip(looks) {
            for (kind, look) in looks {
                said.extend(self.watch.take(now, row, kind, look));
            }
        }
        let alive: HashSet<CgroupId> = sample
            .cgroups
            .iter()
            .filter(|cgroup| cgroup.presence == Presence::Alive)
            .map(|cgroup| cgroup.id)
            .collect();
        said.extend(self.watch.clear_removed(now, &alive));
        said.into_iter()
            .map(|what| self.say(sample.time, what))
            .collect()
    }

    /// What a trigger of the kernel said.
    pub(super) fn stalled(
        &mut self,
        time: SystemTime,
        cgroup: CgroupId,
        sign: Sign,
    ) -> Option<Happening> {
        let now = self.since_boot(time)?;
        let row = &self.rows[*self.index.get(&cgroup)?];
        let said = self.watch.take(now, row, sign.kind(), Look::At(sign))?;
        Some(self.say(time, said))
    }

    fn say(&mut self, time: SystemTime, said: Said) -> Happening {
        let (severity, warning, text) = match &said {
            Said::Warning(warning) => (warning.severity, warning, warning.text()),
            Said::Cleared(cleared) => (Severity::Info, &cleared.warning, cleared.text()),
        };
        self.note(Note {
            time,
            severity,
            text: format!("{}  {text}", warning.name),
            cgroup: Some(warning.cgroup),
        });
        let what = match said {
            Said::Warning(warning) => What::Warning(Box::new(warning)),
            Said::Cleared(cleared) => What::Cleared(Box::new(cleared)),
        };
        Happening { time, what }
    }
}
