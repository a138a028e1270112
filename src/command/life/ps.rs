//! `ringfence ps`: the workloads, and how they are.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::shelf;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::cgroup::subtree;
use crate::kernel::unit::{Bytes, Limit};
use crate::launch::state::{Record, Status};
use crate::text::ascii::in_locale;
use crate::text::{self, sanitise};

/// What of it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Also those that have ended.
    pub all: bool,
    /// Names only.
    pub quiet: bool,
    /// As JSON.
    pub json: bool,
}

/// A workload as it is now.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// What is known of it.
    #[serde(flatten)]
    pub record: Record,
    /// Whether it is held still.
    pub frozen: bool,
    /// What it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What a workload uses, against its own limits. What the kernel does not say is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids_max: Option<String>,
}

impl Seen {
    /// Looks at one.
    pub fn new(record: Record, mount: Option<&Path>) -> Self {
        let leaf = mount
            .filter(|_| record.exit_code().is_none())
            .map(|mount| record.leaf(mount));
        Self {
            frozen: leaf.as_deref().is_some_and(subtree::is_frozen),
            usage: leaf.as_deref().map(Usage::read),
            record,
        }
    }
}

impl Usage {
    fn read(leaf: &Path) -> Self {
        let word = |file: &str| {
            let text = fs::read_to_string(leaf.join(file)).ok()?;
            Some(text.trim().to_owned())
        };
        let number = |file: &str| word(file)?.parse().ok();
        Self {
            memory: number("memory.current").map(Bytes),
            memory_max: word("memory.max"),
            pids: number("pids.current"),
            pids_max: word("pids.max"),
        }
    }

    fn memory(&self) -> String {
        let Some(used) = self.memory else {
            return "-".to_owned();
        };
        let max = self.memory_max.as_deref().map_or("?".to_owned(), |max| {
            text::limit(max.parse().map_or(Limit::Max, |max| Limit::At(Bytes(max))))
        });
        format!("{}/{max}", text::bytes(used))
    }

    fn pids(&self) -> String {
        match (self.pids, &self.pids_max) {
            (Some(pids), Some(max)) => format!("{pids}/{max}"),
            _ => "-".to_owned(),
        }
    }
}

/// Prints them.
pub fn run(options: Options) -> Result<u8> {
    let mut all = shelf()?.all();
    all.retain(|record| options.all || record.exit_code().is_none());
    if options.quiet {
        for record in all {
            println!("{}", record.name);
        }
        return Ok(0);
    }
    let mount = Hierarchy::discover(Path::new("/proc"))?.mount;
    let seen = all
        .into_iter()
        .map(|record| Seen::new(record, mount.as_deref()));
    if options.json {
        let seen: Vec<Seen> = seen.collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&seen).context("write JSON")?
        );
        return Ok(0);
    }
    let title = ["NAME", "STATUS", "PID", "MEMORY", "PIDS", "OOM", "COMMAND"];
    println!("{}", line(&title.map(str::to_owned)));
    for seen in seen {
        println!("{}", in_locale(&line(&cells(&seen))));
    }
    Ok(0)
}

fn cells(seen: &Seen) -> [String; 7] {
    let record = &seen.record;
    let none = || "-".to_owned();
    [
        record.name.clone(),
        status(seen),
        record
            .process()
            .map_or_else(none, |process| process.pid.to_string()),
        seen.usage.as_ref().map_or_else(none, Usage::memory),
        seen.usage.as_ref().map_or_else(none, Usage::pids),
        record.oom_kills.len().to_string(),
        sanitise(&record.command.join(" ")).into_owned(),
    ]
}

/// Every column begins at the same place, as the eye reads it; a longer cell pushes the others.
fn line(cells: &[String; 7]) -> String {
    let [name, status, pid, memory, pids, oom, command] = cells;
    let command = text::fit(command, 40);
    format!("{name:<16} {status:<26} {pid:>7}  {memory:<15} {pids:<8} {oom:<4} {command}")
}

/// How it is, in a few words.
pub fn status(seen: &Seen) -> String {
    let now = SystemTime::now();
    let age = |since: SystemTime| text::age(now.duration_since(since).unwrap_or_default());
    match &seen.record.status {
        Status::Starting => "starting".to_owned(),
        Status::Running { since, .. } => {
            let how = if seen.frozen { "frozen, up" } else { "up" };
            format!("{how} {}", age(*since))
        }
        Status::Restarting { code, at } => {
            let left = at.duration_since(now).unwrap_or_default();
            format!("restarts in {} s ({code})", left.as_secs())
        }
        Status::Ended { code, at, .. } => format!("ended ({code}) {} ago", age(*at)),
    }
}
