//! Reads what test programs print, and counts.

use std::fmt;

/// The line that a suite in a guest ends with: this, its name, its exit code.
pub const SUITE_ENDED: &str = "xtask-suite-ended";

/// All suites together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Each with why.
    pub skipped: Vec<String>,
    /// Whether anything was printed; for the caller to reset.
    pub heard: bool,
    /// Ignored tests as the closing lines count them, against those that were named.
    ignored: u64,
    /// Failures and closing lines since the last suite ended.
    failed_before: u64,
    closed: bool,
}

impl Tally {
    /// Takes one line in. Says whether a person wants to see it.
    pub fn take(&mut self, line: &str) -> bool {
        self.heard = true;
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += count(rest, " passed");
            self.failed += count(rest, " failed");
            self.ignored += count(rest, " ignored");
            self.closed = true;
        } else if let Some(rest) = line.strip_prefix(SUITE_ENDED) {
            let mut words = rest.split_whitespace();
            let (name, code) = (words.next().unwrap_or("?"), words.next());
            self.close(name, code == Some("0"));
            return false;
        } else if let Some((name, why)) = ignored(line) {
            self.skipped.push(format!("{name}: {why}"));
        }
        true
    }

    /// A suite (or several) came to its end. One that failed without saying so crashed.
    pub fn close(&mut self, name: &str, succeeded: bool) {
        if !succeeded && self.failed == self.failed_before {
            self.failed += 1;
            println!("{name}: ended without a result: it crashed or could not be built");
        } else if succeeded && !self.closed {
            self.failed += 1;
            println!("{name}: ended well, but ran no test");
        }
        self.failed_before = self.failed;
        self.closed = false;
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

/// `test NAME ... ignored, REASON`
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((
        name,
        rest.strip_prefix(", ").unwrap_or("no reason is given"),
    ))
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
    fn a_suite_that_runs_nothing_is_a_failure() {
        assert_eq!(tally(&["xtask-suite-ended vm_x 0"]).failed, 1);
    }
}
