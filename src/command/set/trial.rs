//! `ringfence set --try`: the changes are made, and taken back unless somebody presses Enter.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use super::say;
use crate::control::make::Made;
use crate::control::sheet::Sheet;
use crate::control::trial::{Answer, Terms, Trial};
use crate::kernel::signals::EarlySignals;
use crate::kernel::watch::{is_over, is_readable, wait};
use crate::model::change::Change;
use crate::text;

/// The exit code where the changes were taken back.
const TAKEN_BACK: u8 = 1;

/// How often the time that is left is shown.
const SHOWN: Duration = Duration::from_millis(500);

/// Puts the changes on trial until it has ended. `made` is called when they are made.
pub(super) fn run(
    sheet: &Sheet,
    changes: &[Change],
    terms: Terms,
    made: impl FnOnce(Made),
) -> anyhow::Result<u8> {
    let signals = EarlySignals::note()?;
    let (trial, mut answer, result) = Trial::begin(sheet, changes, terms)?;
    let end = Instant::now() + terms.time;
    made(result);
    say(&format!(
        "on trial for {}: taken back then, on an OOM kill, or where it stalls or is throttled {} points more than before",
        text::age(terms.time),
        terms.margin
    ));
    say("Enter keeps it, Ctrl-C takes it back");
    wait_for_answer(&trial, &mut answer, &signals, end);
    let ending = trial.wait();
    say(&ending.text);
    Ok(if ending.kept { 0 } else { TAKEN_BACK })
}

/// Waits for the end of the trial, and hands on what is answered meanwhile.
fn wait_for_answer(trial: &Trial, answer: &mut Answer, signals: &EarlySignals, end: Instant) {
    let stdin = stdin();
    let mut hears = true;
    let mut shown = Countdown::default();
    while !is_readable(trial.as_fd()) && !is_over(trial.as_fd()) {
        shown.show(end);
        let fds: Vec<BorrowedFd<'_>> = [trial.as_fd()]
            .into_iter()
            .chain(hears.then(|| stdin.as_fd()))
            .collect();
        wait(&fds, SHOWN);
        if signals.came().is_some() {
            answer.take_back();
            break;
        }
        if hears && (is_readable(stdin.as_fd()) || is_over(stdin.as_fd())) {
            let mut line = String::new();
            match stdin.lock().read_line(&mut line) {
                Ok(1..) => {
                    answer.keep();
                    break;
                }
                // Nobody can answer: it runs until it ends by itself.
                Ok(0) | Err(_) => hears = false,
            }
        }
    }
    shown.clear();
}

/// The time that is left, on a terminal.
#[derive(Debug, Default)]
struct Countdown {
    last: Option<String>,
}

impl Countdown {
    fn show(&mut self, end: Instant) {
        if !stderr().is_terminal() {
            return;
        }
        let left = end.saturating_duration_since(Instant::now());
        let text = format!("{} left", text::age(left));
        if self.last.as_ref() != Some(&text) {
            let _ = write!(stderr(), "\r{text}\x1b[K");
            self.last = Some(text);
        }
    }

    fn clear(&self) {
        if self.last.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
