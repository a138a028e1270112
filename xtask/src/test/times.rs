//! How long each suite took, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What is timed besides suites.
pub const BUILD: &str = "build";
pub const BOOT: &str = "boot";

/// Lengths of time by what took them and where.
#[derive(Debug, Default)]
pub struct Times {
    /// Columns, in the order in which they came.
    places: Vec<String>,
    rows: BTreeMap<String, BTreeMap<usize, Duration>>,
}

impl Times {
    /// Adds a time; what is run again takes the sum.
    pub fn add(&mut self, place: &str, what: &str, time: Duration) {
        let known = self.places.iter().position(|known| known == place);
        let column = known.unwrap_or_else(|| {
            self.places.push(place.to_owned());
            self.places.len() - 1
        });
        let row = self.rows.entry(what.to_owned()).or_default();
        *row.entry(column).or_default() += time;
    }
}

/// How many of the slowest tests are shown.
const SLOWEST: usize = 15;

/// The tests of the guests that took longest.
#[derive(Debug, Default)]
pub struct SlowestTests(Vec<(Duration, String)>);

impl SlowestTests {
    /// Adds a test, which has its suite before its name.
    pub fn add(&mut self, guest: &str, test: &str, time: Duration) {
        self.0.push((time, format!("{test} ({guest})")));
        self.0.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        self.0.truncate(SLOWEST);
    }
}

/// A line each, the slowest first.
impl fmt::Display for SlowestTests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            writeln!(out, "\nslowest tests:")?;
        }
        for (time, test) in &self.0 {
            writeln!(out, "{:>5.0} s  {test}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

/// A table in whole seconds: builds and boots first, then the suites by name.
impl fmt::Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.rows.keys().map(String::len).max().unwrap_or(0);
        let widths: Vec<usize> = self
            .places
            .iter()
            .map(|place| place.len().max("00000 s".len()))
            .collect();
        write!(out, "{:name$}", "")?;
        for (place, width) in self.places.iter().zip(&widths) {
            write!(out, "  {place:>width$}")?;
        }
        writeln!(out)?;
        let (first, rest): (Vec<_>, Vec<_>) = self
            .rows
            .iter()
            .partition(|(what, _)| [BUILD, BOOT].contains(&what.as_str()));
        for (what, times) in first.into_iter().rev().chain(rest) {
            write!(out, "{what:name$}")?;
            for (column, width) in widths.iter().enumerate() {
                let cell = times
                    .get(&column)
                    .map(|time| format!("{:.0} s", time.as_secs_f64()))
                    .unwrap_or_default();
                write!(out, "  {cell:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowest_tests_come_first() {
        let mut slowest = SlowestTests::default();
        assert_eq!(slowest.to_string(), "");
        for second in 0..=SLOWEST as u64 {
            slowest.add(
                "kernel 6.1",
                &format!("vm_up t{second}"),
                Duration::from_secs(second),
            );
        }
        let text = slowest.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + SLOWEST);
        assert_eq!(lines[2], "   15 s  vm_up t15 (kernel 6.1)");
        assert!(!text.contains("t0 "));
    }

    #[test]
    fn times_are_a_table_of_suites_by_place() {
        let mut times = Times::default();
        let seconds = Duration::from_secs_f64;
        times.add("host", "lib", seconds(1.2));
        times.add("host", BUILD, seconds(90.0));
        times.add("kernel 6.12", BOOT, seconds(3.6));
        times.add("kernel 6.12", "vm_up", seconds(20.0));
        times.add("kernel 6.12", "vm_up", seconds(30.0));
        let table = times.to_string();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        let expected = [
            "          host  kernel 6.12",
            "build     90 s",
            "boot                    4 s",
            "lib        1 s",
            "vm_up                  50 s",
        ];
        assert_eq!(lines, expected);
    }
}
