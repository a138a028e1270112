//! Suites in a guest: each is run again, once, where the guest died under it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::tally::{self, Tally};
use super::{ONE_AT_A_TIME, Run, lock};
use crate::session::{GuestDied, Streams};
use crate::vm::{self, Ended, MachineArgs};

/// When a guest is made to panic, for tests of what becomes of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PanicOnPurpose {
    Once,
    Always,
}

/// What a guest's suites gave.
pub struct Report {
    pub tally: Tally,
    /// Suites and boots.
    pub times: Vec<(String, Duration)>,
    /// Tests, each with its suite.
    pub test_times: Vec<(String, Duration)>,
    /// The exit code, where someone interrupted it.
    pub interrupted: Option<i32>,
}

/// Runs `suites` in guests like `machine`, which is called `guest`; shows what they print, suite by suite where `several`
/// guests run at once.
///
/// A guest that dies before a suite's closing line says nothing about the suite: it and those after it go on in a fresh
/// guest, once. A second death is a failure, and so is one after a test of the suite had failed.
pub fn run(
    machine: &MachineArgs,
    guest: &str,
    suites: &[String],
    several: bool,
    run: &Run,
) -> Report {
    let progress = Arc::new(Mutex::new(Progress::default()));
    let mut remaining = suites;
    let mut died_under: HashSet<&str> = HashSet::new();
    let mut interrupted = None;
    let mut boots = 0;
    while let Some(first) = remaining.first() {
        let panic = match run.panic {
            Some(PanicOnPurpose::Once) => boots == 0,
            Some(PanicOnPurpose::Always) => true,
            None => false,
        };
        boots += 1;
        lock(&progress).boot_since = Some(Instant::now());
        let streams = Streams::Pipes {
            stdin: None,
            stdout: Box::new(Printer::new(&progress, several)),
            stderr: Box::new(io::stderr()),
        };
        let command = command(remaining, panic, run);
        let ended = vm::boot(machine, &command, Some(run.guest_timeout), streams);
        let mut progress = lock(&progress);
        let error = match ended {
            Ok(Ended::Exited(0)) => break,
            Ok(Ended::Interrupted(code)) => {
                interrupted = Some(code);
                break;
            }
            Ok(Ended::Exited(code)) => {
                progress.tally.fail(format!("the guest ended with {code}"));
                break;
            }
            Ok(Ended::TimedOut) => {
                progress
                    .tally
                    .fail("not all suites ended in time".to_owned());
                break;
            }
            Err(error) => error,
        };
        eprintln!("xtask: {guest}: {error:#}");
        let Some(died) = error.downcast_ref::<GuestDied>() else {
            progress.tally.fail(format!("{error:#}"));
            break;
        };
        let (next, failing) = match progress.running.take() {
            Some(running) => (running.name, running.tally.failing),
            // Between two suites, or before the first.
            None => (progress.next(suites).unwrap_or(first).clone(), false),
        };
        let at = suites.iter().position(|suite| *suite == next).unwrap_or(0);
        let name = suites[at].as_str();
        if !failing && died_under.insert(name) {
            eprintln!("xtask: {guest}: {name} once more, in a fresh guest");
            progress.tally.restarted.push(format!("{name} on {guest}"));
            remaining = &suites[at..];
        } else {
            let how = if failing {
                "the guest died after a test had failed"
            } else {
                "the guest died twice"
            };
            progress.ended.push(name.to_owned());
            progress.tally.fail(format!("{name}: {how}"));
            remaining = &suites[at + 1..];
            if !died.booted && !remaining.is_empty() {
                // It will not boot for the others either.
                let others = remaining.join(", ");
                progress
                    .tally
                    .fail(format!("not run, as the guest does not boot: {others}"));
                break;
            }
        }
    }
    let progress = std::mem::take(&mut *lock(&progress));
    Report {
        tally: progress.tally,
        times: progress.times,
        test_times: progress.test_times,
        interrupted,
    }
}

/// Runs the suites one after the other; each begins and ends with a line that says so.
fn command(suites: &[String], panic: bool, run: &Run) -> Vec<OsString> {
    let panic = if panic {
        "echo c >/proc/sysrq-trigger; sleep 1000; "
    } else {
        ""
    };
    let script = format!(
        "for suite in {}; do echo; echo {}$suite; echo \"     Running $suite on $(uname -r)\"; {panic}\
         /usr/lib/xtask/suite.sh {} /tests/$suite {ONE_AT_A_TIME} \"$@\"; echo \"{} $suite $?\"; done",
        suites.join(" "),
        tally::SUITE_BEGINS,
        run.suite_timeout.as_secs(),
        tally::SUITE_ENDED
    );
    let mut command: Vec<OsString> = ["env", "RINGFENCE=/bin/ringfence", "RUST_BACKTRACE=0"]
        .map(OsString::from)
        .to_vec();
    command.extend(for_suites(std::env::vars_os()));
    command.extend(run.environment().map(OsString::from));
    command.extend(["/bin/sh".into(), "-c".into(), script.into(), "tests".into()]);
    command.extend(run.arguments.iter().cloned());
    command
}

/// What suites are told by the environment: `RINGFENCE_MONKEY=600`.
fn for_suites(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = OsString> {
    let told = |name: &OsString| name.as_encoded_bytes().starts_with(b"RINGFENCE_");
    environment
        .into_iter()
        .filter(move |(name, _)| told(name))
        .map(|(mut word, value)| {
            word.push("=");
            word.push(value);
            word
        })
}

/// How far a guest's suites have come. Only what a suite that ended has said is counted.
#[derive(Default)]
struct Progress {
    tally: Tally,
    running: Option<RunningSuite>,
    times: Vec<(String, Duration)>,
    test_times: Vec<(String, Duration)>,
    ended: Vec<String>,
    boot_since: Option<Instant>,
}

struct RunningSuite {
    name: String,
    since: Instant,
    tally: Tally,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Shown,
    /// It is for us only.
    Hidden,
    /// The same, and the suite is over.
    SuiteEnded,
}

impl Progress {
    fn take(&mut self, line: &str) -> Line {
        if let Some(since) = self.boot_since.take() {
            self.times
                .push((super::times::BOOT.to_owned(), since.elapsed()));
        }
        if let Some(name) = line.strip_prefix(tally::SUITE_BEGINS) {
            self.running = Some(RunningSuite {
                name: name.to_owned(),
                since: Instant::now(),
                tally: Tally::default(),
            });
            return Line::Hidden;
        }
        let Some(running) = &mut self.running else {
            return Line::Shown;
        };
        if running.tally.take(line) {
            return Line::Shown;
        }
        if let Some(RunningSuite { name, since, tally }) = self.running.take() {
            let tests = tally.test_times.iter();
            let with_suite = |(test, time): &(String, _)| (format!("{name} {test}"), *time);
            self.test_times.extend(tests.map(with_suite));
            self.times.push((name.clone(), since.elapsed()));
            self.ended.push(name);
            self.tally.add(None, tally);
        }
        Line::SuiteEnded
    }

    /// The first suite that has not ended.
    fn next<'a>(&self, suites: &'a [String]) -> Option<&'a String> {
        suites.iter().find(|suite| !self.ended.contains(suite))
    }
}

/// Passes output on to stdout, and whole lines to the progress.
struct Printer {
    progress: Arc<Mutex<Progress>>,
    line: Vec<u8>,
    /// What a suite has printed so far, where it is shown as a whole.
    held: Option<Vec<u8>>,
}

impl Printer {
    fn new(progress: &Arc<Mutex<Progress>>, hold: bool) -> Self {
        Self {
            progress: Arc::clone(progress),
            line: Vec::new(),
            held: hold.then(Vec::new),
        }
    }

    fn release(&mut self) -> io::Result<()> {
        match &mut self.held {
            Some(held) => io::stdout().write_all(&std::mem::take(held)),
            None => Ok(()),
        }
    }
}

impl Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let what = lock(&self.progress).take(text.trim_end());
            match (what, &mut self.held) {
                (Line::Shown, Some(held)) => held.extend(line),
                (Line::Shown, None) => io::stdout().write_all(&line)?,
                (Line::Hidden, _) => {}
                (Line::SuiteEnded, _) => self.release()?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        // A guest that ended in the middle of a suite.
        let _ = self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(lines: &[&str]) -> Progress {
        let mut progress = Progress::default();
        for line in lines {
            progress.take(line);
        }
        progress
    }

    const RESULT: &str = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s";

    #[test]
    fn suite_without_its_closing_line_is_not_counted() {
        let progress = progress(&[
            "xtask-suite-begins vm_a",
            "running 1 test",
            "test deep::one ... ok",
            RESULT,
            "xtask-suite-ended vm_a 0",
            "xtask-suite-begins vm_b",
            "test one ... ok",
            RESULT,
        ]);
        assert_eq!(progress.tally.to_string(), "3 passed, 0 failed, 0 skipped");
        let running = progress.running.as_ref().unwrap();
        assert_eq!(running.name, "vm_b");
        assert!(!running.tally.failing);
        let suites = ["vm_a", "vm_b"].map(str::to_owned);
        assert_eq!(progress.next(&suites).unwrap(), "vm_b");
        let [(test, _)] = &progress.test_times[..] else {
            panic!("{:?}", progress.test_times)
        };
        assert_eq!(test, "vm_a deep::one");
    }

    #[test]
    fn failed_test_of_an_unfinished_suite_is_known() {
        let progress = progress(&["xtask-suite-begins vm_b", "test one ... FAILED"]);
        assert!(progress.running.unwrap().tally.failing);
    }

    #[test]
    fn environment_of_suites_is_passed_on() {
        let environment = [("RINGFENCE_MONKEY", "600"), ("HOME", "/")];
        let passed: Vec<_> =
            for_suites(environment.map(|(name, value)| (name.into(), value.into()))).collect();
        assert_eq!(passed, ["RINGFENCE_MONKEY=600"]);
    }
}
