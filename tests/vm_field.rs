//! Faults that users of container monitors, limit editors and launchers report in public, each by its number, with the
//! right value on a real kernel: `cargo xtask test field`.

#[path = "vm_field/judged.rs"]
mod judged;
#[path = "vm_field/limits.rs"]
mod limits;
#[path = "vm_field/started.rs"]
mod started;
#[allow(dead_code, reason = "each suite uses its part")]
mod support;
#[path = "vm_field/told.rs"]
mod told;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command};

use support::own::Own;
use support::{Done, binary};

fn ringfence(arguments: &[&str]) -> Done {
    Done::from(Command::new(binary()).args(arguments).output().unwrap())
}

/// A plain table that has been watched long enough to know rates.
fn table() -> String {
    ringfence(&["top", "--plain", "--interval", "1", "--duration", "3.5"]).ok()
}

/// What the last plain table says of one cgroup, by the titles of its columns.
fn cells(table: &str, path: &str) -> BTreeMap<String, String> {
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let mut lines = table.lines().rev();
    let row = lines.find(|line| line.starts_with(&format!("{path} ")));
    let row = row.unwrap_or_else(|| panic!("no {path}:\n{table}"));
    let titles = lines.find(|line| line.starts_with("NAME "));
    let titles = titles.unwrap_or_else(|| panic!("no titles:\n{table}"));
    words(titles).into_iter().zip(words(row)).collect()
}

/// Whether a state is among the words of a row.
fn has_word(cells: &BTreeMap<String, String>, word: &str) -> bool {
    cells["STATE"].split(',').any(|state| state == word)
}

/// `64M`, `8.1K` or `512` as a number.
fn bytes(text: &str) -> f64 {
    let number = text.trim_end_matches(['B', 'K', 'M', 'G']);
    let factor = match &text[number.len()..] {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => 1,
    };
    number.parse::<f64>().unwrap_or_else(|_| panic!("{text}")) * f64::from(factor)
}

/// Ends what a test has started in its cgroup.
fn end(own: &Own, children: impl IntoIterator<Item = Child>) {
    fs::write(own.above.join("cgroup.kill"), "1").unwrap();
    for mut child in children {
        child.wait().unwrap();
    }
}
