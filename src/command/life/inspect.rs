//! `ringfence inspect`: all that is known of a workload, and what fences it, as the kernel says it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::ps::{Seen, status};
use super::{each, shelf};
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::ids::IdRange;
use crate::kernel::process::fenced::Fenced;
use crate::launch::ids::Ids;
use crate::launch::report::oom_line;
use crate::launch::spec::{Net, Spec};
use crate::launch::state::{Record, Status};
use crate::text::ascii::in_locale;
use crate::text::sanitise;

/// Limits and what is used of them.
const BUDGET: [&str; 11] = [
    "memory.current",
    "memory.max",
    "memory.high",
    "memory.swap.current",
    "memory.swap.max",
    "cpu.max",
    "cpu.weight",
    "pids.current",
    "pids.max",
    "io.max",
    "memory.oom.group",
];

/// What nobody should forget.
const NO_BOUNDARY: &str = "Namespaces alone are no security boundary: all workloads share the host's kernel, and \
     whoever finds a hole in it is out. Capabilities, the filter of system calls and ids of its own make that harder.";

#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    seen: Seen,
    /// What the kernel says of its first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    fences: Option<Fenced>,
    /// Files of its cgroup, as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    budget: BTreeMap<&'static str, String>,
}

impl Inspected {
    fn new(record: Record, mount: Option<&Path>) -> Self {
        let process = record.process();
        // Held while it is read: a later process of its pid is another.
        let held = process.and_then(|process| process.hold());
        let fences = held.and_then(|held| Fenced::read(Path::new("/proc"), held.brief.pid));
        let leaf = mount
            .filter(|_| record.exit_code().is_none())
            .map(|mount| record.leaf(mount));
        let read = |file: &'static str| {
            let text = fs::read_to_string(leaf.as_deref()?.join(file)).ok()?;
            Some((file, text.trim_end().to_owned()))
        };
        Self {
            fences,
            budget: BUDGET.into_iter().filter_map(read).collect(),
            seen: Seen::new(record, mount),
        }
    }
}

/// Prints it, in words or as JSON.
pub fn run(names: &[String], json: bool) -> Result<u8> {
    let shelf = shelf()?;
    let mount = Hierarchy::discover(Path::new("/proc"))?.mount;
    let (all, code) = each(names, |name| {
        Ok(Inspected::new(shelf.get(name)?, mount.as_deref()))
    });
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(&all).context("write JSON")?
        );
        return Ok(code);
    }
    for inspected in &all {
        print!("{}", in_locale(&words(inspected)));
    }
    Ok(code)
}

fn words(inspected: &Inspected) -> String {
    let record = &inspected.seen.record;
    let mut out = String::new();
    let mut line = |title: &str, text: &str| {
        // Into memory: that cannot fail.
        let _ = writeln!(out, "{title:<14} {}", sanitise(text));
    };
    let process = record.process();
    let pid = process.map(|process| format!(", pid {} (1 inside)", process.pid));
    line(
        &record.name,
        &(status(&inspected.seen) + &pid.unwrap_or_default()),
    );
    if let Status::Ended { why: Some(why), .. } = &record.status {
        line("", why);
    }
    line("command", &record.command.join(" "));
    line(
        "restart",
        &format!(
            "{}; started again {} times",
            record.spec.restart, record.restarts
        ),
    );
    if let Some(log) = &record.log {
        line("log", &log.display().to_string());
    }
    line("", "");
    match &inspected.fences {
        Some(fences) => fenced(&mut line, fences, record),
        None => line("fences", "none now: it does not run"),
    }
    line("", "");
    line("cgroup", &record.cgroup.display().to_string());
    for (file, text) in &inspected.budget {
        line(file, &text.replace('\n', "; "));
    }
    for kill in &record.oom_kills {
        let at = humantime::format_rfc3339_seconds(kill.time);
        let text = oom_line(kill, &record.name, &record.cgroup);
        line("OOM kill", &format!("{at} {text}"));
    }
    line("", "");
    line("note", NO_BOUNDARY);
    out
}

/// Layer by layer, from the outermost.
fn fenced(line: &mut dyn FnMut(&str, &str), fences: &Fenced, record: &Record) {
    let spec = &record.spec;
    let own = |host| {
        let spaces = fences
            .namespaces
            .iter()
            .filter(move |space| space.host == host);
        spaces.map(|space| space.kind).collect::<Vec<_>>().join(" ")
    };
    line("namespaces", &format!("its own: {}", own(false)));
    let shared = own(true);
    if !shared.is_empty() {
        line("", &format!("the host's, so no fence: {shared}"));
    }
    let ids: Vec<String> = fences.uids.iter().map(range).collect();
    line("user ids", &ids.join(", "));
    if let Ids::Identity { why } = &record.ids {
        line("", &format!("not shifted, as {why}"));
    }
    if let Some(root) = &fences.root {
        line(
            "root",
            &format!("{}, {}", root.kind, layers(spec, root.read_only)),
        );
    }
    for mount in &fences.mounts {
        let how = if mount.read_only {
            "read-only"
        } else {
            "writable"
        };
        line(
            "mount",
            &format!("{} ({}), {how}", mount.at.display(), mount.kind),
        );
    }
    let list = |paths: &[std::path::PathBuf]| {
        let paths = paths.iter().map(|path| path.display().to_string());
        paths.collect::<Vec<_>>().join(" ")
    };
    line("masked", &list(&fences.masked));
    line("read-only", &list(&fences.read_only));
    let ports: Vec<String> = spec.publish.iter().map(ToString::to_string).collect();
    let network = match spec.net {
        Net::None => "its own, with nothing but lo".to_owned(),
        Net::Host => "the host's: no fence".to_owned(),
        Net::Pasta if ports.is_empty() => "its own, through pasta to the host's".to_owned(),
        Net::Pasta => format!(
            "its own, through pasta to the host's; ports {}",
            ports.join(" ")
        ),
    };
    line("network", &network);
    let (some, all) = (fences.capabilities.len(), fences.all_capabilities);
    line(
        "capabilities",
        &format!("{some} of {all}: {}", fences.capabilities.join(" ")),
    );
    line(
        "no_new_privs",
        if fences.no_new_privs { "yes" } else { "no" },
    );
    let filter = match fences.filters {
        0 => "no filter of system calls".to_owned(),
        filters => format!("system calls pass {filters} filters"),
    };
    line("seccomp", &filter);
}

/// What the root is made of, and where the writes go.
fn layers(spec: &Spec, read_only: bool) -> String {
    let writes = match &spec.layer_dir {
        _ if read_only => "read-only".to_owned(),
        Some(dir) => format!("writes are kept in {dir}"),
        None => "writes are thrown away at its end".to_owned(),
    };
    let mut layers: Vec<String> = spec.rootfs.iter().map(ToString::to_string).collect();
    layers.reverse();
    if let Some(image) = &spec.image {
        layers.push(format!("image {image}"));
    }
    if layers.is_empty() {
        layers.push("/".to_owned());
    }
    format!("{writes}: {}", layers.join(" over "))
}

fn range(ids: &IdRange) -> String {
    if ids.inside == ids.outside {
        return "the same as on the host".to_owned();
    }
    let last = |first: u32| first.saturating_add(ids.count - 1);
    format!(
        "{} to {} inside are {} to {} on the host",
        ids.inside,
        last(ids.inside),
        ids.outside,
        last(ids.outside)
    )
}
