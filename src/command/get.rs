//! `ringfence get`: what the knobs of a cgroup stand at, and what is known of each.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::command::target::{find, v2_mount};
use crate::control::drift::{Belief, beliefs};
use crate::control::sheet::{Line, Sheet, all_addresses};
use crate::export;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::cgroup::knob::Knob;
use crate::model::change::{amount_text, value_text};
use crate::text::ascii::all_in_locale;
use crate::text::{sanitise, to_terminal};
use crate::ui::plain::quiet_end;

/// What `get` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose: a cgroup path or a name.
    pub target: String,
    /// Which knobs; all where there are none.
    pub knobs: Vec<Knob>,
    /// Whether to print JSON, an object a knob.
    pub json: bool,
}

/// Reads the knobs and prints them.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let mount = v2_mount(&Hierarchy::discover(Path::new("/proc"))?)?;
    let path = find(&mount, &options.target)?;
    let wanted = |knob: Knob| options.knobs.is_empty() || options.knobs.contains(&knob);
    let addresses = all_addresses()
        .into_iter()
        .filter(|(address, _)| wanted(address.knob));
    let sheet = Sheet::read(&mount, &path, addresses)?;
    let (beliefs, silent) = beliefs(&sheet);
    for silent in sheet.about_payload().into_iter().chain(silent) {
        eprintln!("ringfence: {}", to_terminal(&silent));
    }
    let out = &mut io::stdout().lock();
    let lines: Vec<String> = if options.json {
        let objects = sheet
            .lines
            .iter()
            .map(|line| object(&sheet, &beliefs, line));
        objects.filter_map(|object| export::json(&object)).collect()
    } else {
        let path = sanitise(&format!("/{}", path.display())).into_owned();
        let lines = sheet.lines.iter();
        let about = lines.flat_map(|line| about(&sheet, &beliefs, line));
        all_in_locale(std::iter::once(path).chain(about))
    };
    let told = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    quiet_end(told.and_then(|()| out.flush())).context("cannot write what was read")?;
    Ok(0)
}

/// Its value, what is known of it, and where that is written.
fn about(sheet: &Sheet, beliefs: &[Belief], line: &Line) -> Vec<String> {
    let knob = line.address.knob;
    let entry = knob.entry();
    let disk = line
        .disk
        .as_ref()
        .map_or_else(String::new, |disk| format!(" {disk}"));
    let value = match (line.value(), &line.missing) {
        (Some(value), None) => value_text(knob, value),
        (_, Some(missing)) => format!("- ({missing})"),
        (None, None) => "- (not read)".to_owned(),
    };
    let used = sheet.used(knob);
    let used = used.map(|used| format!("{} in use", amount_text(knob, used)));
    let effective = line.effective_text(&sheet.cpus());
    let beside: Vec<String> = effective.into_iter().chain(used).collect();
    let beside = match &*beside.join("; ") {
        "" => String::new(),
        beside => format!("  ({beside})"),
    };
    let default = match entry.default {
        "" => "nothing",
        default => default,
    };
    let drift = beliefs
        .iter()
        .filter_map(|belief| belief.drift(sheet, line));
    let drift = drift.map(|drift| sanitise(&format!("    {drift}")).into_owned());
    let value = sanitise(&format!("{knob}{disk}  {value}{beside}")).into_owned();
    let known = [
        format!(
            "    {}; a new cgroup has {default}; since Linux {}",
            entry.range, entry.since
        ),
        format!("    {}", entry.doc()),
    ];
    std::iter::once(value).chain(drift).chain(known).collect()
}

/// One knob for programs. Values are the kernel's own text.
#[derive(Debug, Serialize)]
struct Object {
    cgroup: String,
    cgroup_id: u64,
    knob: &'static str,
    /// `254:0`
    device: Option<String>,
    /// `vda`
    disk: Option<String>,
    value: Option<String>,
    /// Why there is no value.
    missing: Option<String>,
    effective: Option<String>,
    /// Whose the effective one is, where it is not its own.
    effective_of: Option<String>,
    /// Bytes, CPUs, processes.
    used: Option<f64>,
    range: &'static str,
    default: &'static str,
    since: &'static str,
    document: String,
    /// What docker, podman or systemd take it to be, where they say so.
    believed: BTreeMap<&'static str, String>,
}

fn object(sheet: &Sheet, beliefs: &[Belief], line: &Line) -> Object {
    let address = line.address;
    let entry = address.knob.entry();
    let effective = line.effective(&sheet.cpus());
    Object {
        cgroup: format!("/{}", sheet.path.display()),
        cgroup_id: sheet.inode,
        knob: entry.name,
        device: address.device.map(|device| device.to_string()),
        disk: line.disk.clone(),
        value: line
            .value()
            .map(|value| value.to_text(address).trim_end().to_owned()),
        missing: line.missing.as_ref().map(ToString::to_string),
        effective: effective
            .as_ref()
            .map(|found| found.value.to_text(address).trim_end().to_owned()),
        effective_of: effective.and_then(|found| found.of),
        used: sheet.used(address.knob),
        range: entry.range,
        default: entry.default,
        since: entry.since,
        document: entry.doc(),
        believed: beliefs
            .iter()
            .filter_map(|belief| Some((belief.by, belief.of(line)?)))
            .map(|(by, value)| (by, value.to_text(address).trim_end().to_owned()))
            .collect(),
    }
}
