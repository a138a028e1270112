//! What somebody changed about a cgroup while it was watched: a limit, a weight, whether it is frozen.
//!
//! What this very program was told to change is not news to who told it ([`Model::expect_change`]); and what is set within
//! two seconds after a cgroup was first seen is how it was made.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::row::Before;
use super::{Happening, Model, Note, Row, Severity, What};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::io::{Device, IoMax};
use crate::kernel::unit::{Limit, Reading};
use crate::sample::{CgroupSample, Presence, Sample};
use crate::text;

/// So long after it was first seen, a cgroup is still being made.
const BEING_MADE: Duration = Duration::from_secs(2);
/// So long a change that was ordered is waited for: limits are read again every ten seconds at the least.
const EXPECTED_FOR: Duration = Duration::from_secs(30);
/// Whether it is frozen.
pub const FREEZE: &str = "cgroup.freeze";

/// One change that was seen; as JSON, what `events` says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The cgroup's path. Foreign text.
    #[serde(rename = "cgroup")]
    pub path: Arc<str>,
    /// Which one it is.
    #[serde(rename = "cgroup_id")]
    pub cgroup: CgroupId,
    /// Its name.
    pub name: String,
    /// The kernel's file.
    pub file: &'static str,
    /// What it was, as the kernel writes it; the lines of several devices with `, ` in between.
    pub from: String,
    /// What it is.
    pub to: String,
    /// The same for people: `memory.max changed from 64M to 32M`.
    pub text: String,
}

/// A change that was ordered.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    cgroup: CgroupId,
    file: &'static str,
    until: Duration,
}

impl Model {
    /// This file of this cgroup is about to be written by who is told of changes.
    pub fn expect_change(&mut self, cgroup: CgroupId, file: &'static str) {
        let now = self.sample().map_or(Duration::ZERO, |now| now.since_boot);
        self.expected.push(Expected {
            cgroup,
            file,
            until: now + EXPECTED_FOR,
        });
    }

    /// Takes in what differs from the sample before.
    pub(super) fn take_changes(
        &mut self,
        sample: &Sample,
        changes: Vec<Changed>,
    ) -> Vec<Happening> {
        self.expected
            .retain(|expected| expected.until >= sample.since_boot);
        let mut news = Vec::new();
        for change in changes {
            let expected = self
                .expected
                .iter()
                .position(|of| of.cgroup == change.cgroup && of.file == change.file);
            if let Some(at) = expected {
                self.expected.remove(at);
                continue;
            }
            self.note(Note {
                time: sample.time,
                severity: Severity::Info,
                text: format!("{}  {}", change.name, change.text),
                cgroup: Some(change.cgroup),
            });
            news.push(Happening {
                time: sample.time,
                what: What::Changed(Box::new(change)),
            });
        }
        news
    }
}

/// What differs from the sample before. `since` says when a cgroup was first seen.
pub(super) fn changes(
    sample: &Sample,
    rows: &[Row],
    before: &Before<'_>,
    since: impl Fn(&Row) -> Option<Duration>,
) -> Vec<Changed> {
    let is_made = |row: &Row| {
        since(row).is_some_and(|since| sample.since_boot.saturating_sub(since) >= BEING_MADE)
    };
    // Who is below is frozen and thawed with it.
    let with_parent = |row: &Row| {
        row.parent.is_some_and(|parent| {
            let now = &rows[parent];
            let then = before.of(now.id);
            then.is_some_and(|then| frozen(then, &now.now).is_some())
        })
    };
    let mut changes = Vec::new();
    // Nearly always nothing has changed: what takes longer to find out comes last.
    for row in rows
        .iter()
        .filter(|row| row.now.presence == Presence::Alive)
    {
        let Some(then) = before.of(row.id) else {
            continue;
        };
        let mut seen = limits(then, &row.now);
        seen.extend(frozen(then, &row.now).filter(|_| !with_parent(row)));
        if seen.is_empty() || !is_made(row) {
            continue;
        }
        changes.extend(seen.into_iter().map(|seen| Changed {
            cgroup: row.id,
            path: Arc::clone(&row.path),
            name: row.label.clone(),
            file: seen.file,
            from: seen.from,
            to: seen.to,
            text: seen.text,
        }));
    }
    changes
}

struct Seen {
    file: &'static str,
    from: String,
    to: String,
    text: String,
}

fn frozen(then: &CgroupSample, now: &CgroupSample) -> Option<Seen> {
    let (then, now) = (then.events.value()?.frozen, now.events.value()?.frozen);
    let digit = |frozen: bool| u8::from(frozen).to_string();
    (then != now).then(|| Seen {
        file: FREEZE,
        from: digit(then),
        to: digit(now),
        text: if now { "frozen" } else { "thawed" }.to_owned(),
    })
}

fn limits(then: &CgroupSample, now: &CgroupSample) -> Vec<Seen> {
    let bytes = |file, then: &Reading<Limit<_>>, now: &Reading<Limit<_>>| {
        differ(
            file,
            then,
            now,
            |limit| text::limit(*limit),
            Limit::to_string,
        )
    };
    let number = |file, then: &Reading<u64>, now: &Reading<u64>| {
        differ(file, then, now, u64::to_string, u64::to_string)
    };
    [
        bytes("memory.max", &then.memory_max, &now.memory_max),
        bytes("memory.high", &then.memory_high, &now.memory_high),
        bytes("memory.swap.max", &then.swap_max, &now.swap_max),
        differ(
            "pids.max",
            &then.pids_max,
            &now.pids_max,
            Limit::to_string,
            Limit::to_string,
        ),
        differ(
            "cpu.max",
            &then.cpu_max,
            &now.cpu_max,
            |max| match max.cpus() {
                Limit::At(cpus) => format!("{} CPUs", super::field::cpus(cpus)),
                Limit::Max => "max".to_owned(),
            },
            ToString::to_string,
        ),
        number("cpu.weight", &then.cpu_weight, &now.cpu_weight),
        differ(
            "io.max",
            &then.io_max,
            &now.io_max,
            |lines| match &*devices(lines) {
                "" => "none".to_owned(),
                lines => lines.to_owned(),
            },
            |lines| devices(lines),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `8:0 rbps=1048576 wbps=max riops=max wiops=max`
fn devices(lines: &[(Device, IoMax)]) -> String {
    let lines = lines.iter().map(|(device, max)| format!("{device} {max}"));
    lines.collect::<Vec<_>>().join(", ")
}

fn differ<T: PartialEq>(
    file: &'static str,
    then: &Reading<T>,
    now: &Reading<T>,
    words: impl Fn(&T) -> String,
    kernels: impl Fn(&T) -> String,
) -> Option<Seen> {
    let (then, now) = (then.value()?, now.value()?);
    (then != now).then(|| Seen {
        file,
        from: kernels(then),
        to: kernels(now),
        text: format!("{file} changed from {} to {}", words(then), words(now)),
    })
}
