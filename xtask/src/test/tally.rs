//! Reads what test programs print, and counts.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

/// The line that a suite in a guest begins with: this and its name.
pub const SUITE_BEGINS: &str = "xtask-suite-begins ";

/// The line that a suite in a guest ends with: this, its name, its exit code.
pub const SUITE_ENDED: &str = "xtask-suite-ended";

/// What the watchdog of a suite begins with.
const WATCHDOG: &str = "not ended after ";

/// How many of its lines the summary repeats.
const WATCHDOG_LINES: usize = 80;

/// All suites together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Each with why.
    pub skipped: Vec<String>,
    /// Each test that failed, with its suite.
    pub failures: Vec<String>,
    /// Ignored tests as the closing lines count them, against those that were named.
    ignored: u64,
    /// Failures and closing lines since the last suite ended.
    failed_before: u64,
    closed: bool,
    /// The list of failures that is being read, and those of the programs that have ended.
    listed: Vec<String>,
    named: Vec<String>,
    /// Each suite that was run again, as its guest died: `vm_sample on kernel 6.12`.
    pub restarted: Vec<String>,
    /// Whether a test has failed, before any closing line says so.
    pub failing: bool,
    /// The test that has begun and not ended, where tests run one at a time.
    running: Option<String>,
    /// What the watchdog of a suite that took too long said.
    watchdog: Vec<String>,
    /// When the last test ended, or the first one began.
    since: Option<Instant>,
    /// How long each test took, where tests run one at a time.
    pub test_times: Vec<(String, Duration)>,
    /// Behaviours by number: how many tests of each passed, and how many did not.
    behaviours: BTreeMap<u32, (u32, u32)>,
}

impl Tally {
    /// Takes one line in. Says whether a person wants to see it.
    pub fn take(&mut self, line: &str) -> bool {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += count(rest, " passed");
            self.failed += count(rest, " failed");
            self.ignored += count(rest, " ignored");
            self.closed = true;
            self.named.append(&mut self.listed);
        } else if let Some(rest) = line.strip_prefix(SUITE_ENDED) {
            let mut words = rest.split_whitespace();
            let (name, code) = (words.next().unwrap_or("?"), words.next());
            self.close(name, code == Some("0"));
            return false;
        } else if let Some((name, how)) = test_line(line) {
            self.running = None;
            match how {
                "ok" => self.test_ended(name, true),
                "FAILED" => self.test_ended(name, false),
                _ => match how.strip_prefix("ignored") {
                    Some(why) => {
                        let why = why.strip_prefix(", ").unwrap_or("no reason is given");
                        self.skipped.push(format!("{name}: {why}"));
                    }
                    // It has printed something: how it ended comes on a line of its own.
                    None => self.running = Some(name.to_owned()),
                },
            }
        } else if let ("ok" | "FAILED", Some(name)) = (line, &self.running) {
            let name = name.clone();
            self.running = None;
            self.test_ended(&name, line == "ok");
        } else if line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test") {
            self.since = Some(Instant::now());
        } else if line == "failures:" {
            self.listed.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            self.listed.push(name.to_owned());
        }
        if let Some(at) = line.find(WATCHDOG) {
            self.watchdog.push(line[at..].to_owned());
        } else if !self.watchdog.is_empty() {
            self.watchdog.push(line.to_owned());
        }
        true
    }

    fn test_ended(&mut self, name: &str, passed: bool) {
        let now = Instant::now();
        let time = self
            .since
            .replace(now)
            .map_or(Duration::ZERO, |since| now - since);
        self.test_times.push((name.to_owned(), time));
        self.failing |= !passed;
        for number in numbers(name) {
            let (good, bad) = self.behaviours.entry(number).or_default();
            *(if passed { good } else { bad }) += 1;
        }
    }

    /// A suite (or several) came to its end. One that failed without saying so crashed.
    pub fn close(&mut self, name: &str, succeeded: bool) {
        self.listed.clear();
        let named = std::mem::take(&mut self.named);
        let running = self.running.take();
        let watchdog = std::mem::take(&mut self.watchdog);
        if !succeeded && self.failed == self.failed_before {
            let test = running.map_or_else(String::new, |test| format!(" in {test}"));
            let mut how = format!(
                "{name}: ended without a result{test}: it crashed, took too long, or could not be built"
            );
            for line in watchdog.iter().take(WATCHDOG_LINES) {
                let _ = write!(how, "\n    {line}");
            }
            self.fail(how);
        } else if succeeded && !self.closed {
            self.fail(format!("{name}: ended well, but ran no test"));
        } else if !succeeded {
            let tests = named.iter().map(|test| format!("{name}: {test}"));
            self.failures.extend(tests);
        }
        self.failed_before = self.failed;
        self.closed = false;
    }

    /// Adds what was counted in a guest, or for one suite.
    pub fn add(&mut self, guest: Option<&str>, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failed_before = self.failed;
        self.ignored += other.ignored;
        self.skipped.extend(other.skipped);
        self.restarted.extend(other.restarted);
        for (number, (good, bad)) in other.behaviours {
            let sum = self.behaviours.entry(number).or_default();
            *sum = (sum.0 + good, sum.1 + bad);
        }
        let failures = other.failures.into_iter();
        self.failures.extend(failures.map(|how| match guest {
            Some(guest) => format!("{how} ({guest})"),
            None => how,
        }));
    }

    /// Counts a failure that no test program counts.
    pub fn fail(&mut self, how: String) {
        self.failed += 1;
        println!("{how}");
        self.failures.push(how);
    }

    /// Which of so many numbered behaviours hold: those that fail, those without a test, and how many are left.
    pub fn behaviours(&self, of: u32) -> String {
        let that = |wanted: fn(Option<&(u32, u32)>) -> bool| -> Vec<String> {
            let numbers = (1..=of).filter(|number| wanted(self.behaviours.get(number)));
            numbers.map(|number| number.to_string()).collect()
        };
        let hold = that(|ran| ran.is_some_and(|(_, bad)| *bad == 0));
        let fail = that(|ran| ran.is_some_and(|(_, bad)| *bad > 0));
        let missing = that(|ran| ran.is_none());
        let mut text = format!("behaviours: {} of {of} hold", hold.len());
        for (what, numbers) in [("fail", fail), ("without a test", missing)] {
            if !numbers.is_empty() {
                let _ = write!(text, "; {what}: {}", numbers.join(", "));
            }
        }
        text
    }

    /// `1 guest restarted: vm_sample on kernel 6.12`
    pub fn restarts(&self) -> Option<String> {
        let guests = match self.restarted.len() {
            0 => return None,
            1 => "1 guest".to_owned(),
            many => format!("{many} guests"),
        };
        Some(format!("{guests} restarted: {}", self.restarted.join(", ")))
    }

    pub fn ran(&self) -> u64 {
        self.passed + self.failed
    }
}

/// The closing line.
impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            ..
        } = self;
        write!(out, "{passed} passed, {failed} failed, {ignored} skipped")
    }
}

/// The number before a word: `ok. 12 passed; 0 failed; 1 ignored; …`.
fn count(text: &str, word: &str) -> u64 {
    text.split(&[';', '.'][..])
        .find_map(|part| {
            part.trim()
                .strip_suffix(word.trim_start())?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// `test NAME ... HOW`; what the test itself prints stands where how it ended would.
fn test_line(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

/// The behaviours that a test's name begins with: `process::b14_b38_what_is_so`.
fn numbers(name: &str) -> impl Iterator<Item = u32> {
    let name = name.rsplit("::").next().unwrap_or(name);
    name.split('_')
        .map_while(|word| word.strip_prefix('b')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.take(line);
        }
        tally
    }

    #[test]
    fn results_are_added_up_and_skipped_tests_named() {
        let tally = tally(&[
            "test a ... ok",
            "test b ... ignored, wants a GPU",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
        ]);
        assert_eq!(tally.to_string(), "15 passed, 2 failed, 1 skipped");
        assert_eq!(tally.skipped, ["b: wants a GPU"]);
    }

    #[test]
    fn a_suite_that_crashes_counts_as_a_failure() {
        let tally = tally(&["test a ... ok", "xtask-suite-ended vm_x 139"]);
        assert_eq!(tally.failed, 1);
    }

    #[test]
    fn test_that_a_suite_did_not_come_out_of_is_named_with_what_it_waits_for() {
        let tally = tally(&[
            "test a ... ok",
            "test b ... Killed",
            "ok",
            "test deep::c ... not ended after 600 s; what is there, and what it waits for:",
            "child of 1 77 sleep 1000",
            "    77 sleep, S (sleeping): hrtimer_nanosleep",
            "xtask-suite-ended vm_x 137",
            "test d ... Killed",
            "ok",
            "xtask-suite-ended vm_y 139",
        ]);
        let lines: Vec<&str> = tally.failures[0].lines().collect();
        assert_eq!(
            lines,
            [
                "vm_x: ended without a result in deep::c: it crashed, took too long, or could not be built",
                "    not ended after 600 s; what is there, and what it waits for:",
                "    child of 1 77 sleep 1000",
                "        77 sleep, S (sleeping): hrtimer_nanosleep",
            ]
        );
        assert!(tally.failures[1].starts_with("vm_y: ended without a result: "));
    }

    #[test]
    fn a_suite_that_fails_is_not_counted_twice() {
        let tally = tally(&[
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "xtask-suite-ended vm_x 101",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "xtask-suite-ended vm_y 0",
        ]);
        assert_eq!(tally.to_string(), "4 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn what_failed_is_named() {
        let tally = tally(&[
            "failures:",
            "",
            "---- a stdout ----",
            "    3: rust_begin_unwind",
            "",
            "failures:",
            "    a",
            "    deep::b",
            "",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "xtask-suite-ended vm_x 101",
            "xtask-suite-ended vm_y 137",
        ]);
        assert_eq!(tally.failures[..2], ["vm_x: a", "vm_x: deep::b"]);
        assert!(tally.failures[2].starts_with("vm_y: ended without a result"));
    }

    #[test]
    fn what_two_guests_counted_is_one_result() {
        let result = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0s";
        let mut sum = tally(&[
            "test b ... ignored, no disk",
            "failures:",
            "    a",
            result,
            "xtask-suite-ended x 101",
        ]);
        sum.add(
            Some("kernel 6.1"),
            tally(&["failures:", "    c", result, "xtask-suite-ended y 101"]),
        );
        assert_eq!(sum.to_string(), "6 passed, 4 failed, 2 skipped");
        assert_eq!(sum.failures, ["x: a", "y: c (kernel 6.1)"]);
        assert_eq!(sum.skipped, ["b: no disk"]);
    }

    #[test]
    fn behaviours_go_by_the_numbers_of_tests() {
        let tally = tally(&[
            "test process::b01_b03_both ... ok",
            "test root::b03_again ... FAILED",
            "test root::bad_b02 ... ok",
            "test b04_x ... ignored, why",
        ]);
        assert_eq!(
            tally.behaviours(4),
            "behaviours: 1 of 4 hold; fail: 3; without a test: 2, 4"
        );
    }

    #[test]
    fn a_suite_that_runs_nothing_is_a_failure() {
        assert_eq!(tally(&["xtask-suite-ended vm_x 0"]).failed, 1);
    }
}
