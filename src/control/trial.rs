//! A change on trial: made now, watched, and taken back by itself unless somebody keeps it.
//!
//! A process of its own, the [`guard`], makes the change, watches the cgroup and takes the change back. It does so at the end
//! of the trial, at once on an OOM kill, where tasks stall or are throttled more than before by a margin, and where whoever
//! ordered it is gone, however that came. Should the guard be killed, whoever ordered it takes the change back; should both
//! be, the next `ringfence set` or `top` does, by the record that is left.

mod guard;
mod record;
mod watch;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::make::Made;
use super::sheet::Sheet;
use crate::kernel::cgroup::knob::KnobValue;
use crate::model::change::Change;

pub use guard::run as guard;
use record::Record;
pub use record::sweep;

/// The hidden verb that is the guard.
pub const VERB: &str = "trial-guard";

/// Keeps the change.
const KEEP: u8 = b'k';
/// Takes it back.
const TAKE_BACK: u8 = b't';

/// How long a change is on trial, and what ends it earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long: 1 s to 30 days.
    pub time: Duration,
    /// How many percentage points more than before its tasks may stall for memory or I/O, or be throttled.
    pub margin: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            margin: 20,
        }
    }
}

/// What the guard is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    records: Vec<Record>,
    terms: Terms,
}

/// What the guard says, a line each: first whether the change was made, then how the trial ended.
#[derive(Debug, Serialize, Deserialize)]
enum News {
    Made {
        /// What the kernel reads back for each change, as its text.
        kept: Vec<Option<String>>,
        remarks: Vec<String>,
    },
    Refused(String),
    Ended(Ending),
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Whether the change was kept.
    pub kept: bool,
    /// How, in one sentence. Foreign text.
    pub text: String,
}

/// A change that is on trial.
#[derive(Debug)]
pub struct Trial {
    guard: Child,
    news: BufReader<ChildStdout>,
    records: Vec<Record>,
}

/// Ends a trial. Where it is dropped without an answer, the change is taken back.
#[derive(Debug)]
pub struct Answer(ChildStdin);

impl Answer {
    /// Keeps the change. How the trial ended says whether that came in time.
    pub fn keep(&mut self) {
        self.say(KEEP);
    }

    /// Takes the change back at once.
    pub fn take_back(&mut self) {
        self.say(TAKE_BACK);
    }

    fn say(&mut self, answer: u8) {
        // Where nobody reads it, the trial has ended by itself.
        let _ = self.0.write_all(&[answer]);
    }
}

impl Trial {
    /// Puts changes on trial that were judged by this sheet: all of them, or none. Returns when they are made; where the
    /// cgroup has a quota already, a second later, in which its throttled share is measured. Refused where one of the knobs
    /// is on trial already.
    pub fn begin(
        sheet: &Sheet,
        changes: &[Change],
        terms: Terms,
    ) -> anyhow::Result<(Self, Answer, Made)> {
        let records: Vec<Record> = changes
            .iter()
            .map(|change| Record::new(sheet, change))
            .collect();
        let order = Order { records, terms };
        let mut guard = Command::new("/proc/self/exe")
            .arg(VERB)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the guard of the trial; nothing was changed")?;
        let mut orders = guard.stdin.take().context("no pipe to the guard")?;
        let news = guard.stdout.take().context("no pipe from the guard")?;
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        // It says itself why it could not read it.
        let _ = orders.write_all(&line);
        let mut trial = Self {
            guard,
            news: BufReader::new(news),
            records: order.records,
        };
        match trial.hear() {
            Some(News::Made { kept, remarks }) => {
                let kept = changes
                    .iter()
                    .zip(kept)
                    .map(|(change, kept)| KnobValue::parse(change.address, kept?.as_bytes()).ok());
                let made = Made {
                    kept: kept.collect(),
                    remarks,
                };
                Ok((trial, Answer(orders), made))
            }
            Some(News::Refused(why)) => bail!("{why}"),
            Some(News::Ended(ending)) => bail!("{}", ending.text),
            None => bail!("{}", trial.guard_died().text),
        }
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> Ending {
        match self.hear() {
            Some(News::Ended(ending)) => {
                let _ = self.guard.wait();
                ending
            }
            _ => self.guard_died(),
        }
    }

    fn hear(&mut self) -> Option<News> {
        let mut line = String::new();
        self.news.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Does what the guard cannot do any more.
    fn guard_died(&mut self) -> Ending {
        // It may be stopped, or have said what it should not.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let back: Vec<String> = self.records.iter().rev().map(Record::take_back).collect();
        Ending {
            kept: false,
            text: format!("taken back, as its guard was killed: {}", back.join("; ")),
        }
    }
}

/// Readable when it has ended.
impl AsFd for Trial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.get_ref().as_fd()
    }
}
