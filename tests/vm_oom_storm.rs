//! A thousand OOM kills in cgroups whose owners remove them at once: `cargo xtask test oom-storm`. Each must be
//! told once, by whatever means there are.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringfence::kernel::memory::MemoryEvents;
use ringfence::kernel::trace::Event;
use ringfence::kernel::trace::reader::Reader;
use serde_json::Value;
use support::events::{Events, flood_kernel_log};
use support::own::MOUNT;
use support::{Host, binary, extent};

/// How many are killed in each cgroup.
const EACH: u64 = 5;
/// How many owners there are at once.
const OWNERS: usize = 3;

/// The cgroup above all of them.
struct Storm(PathBuf);

impl Storm {
    fn new() -> Self {
        let path = Path::new(MOUNT).join("storm");
        fs::create_dir(&path).unwrap();
        for dir in [Path::new(MOUNT), &path] {
            fs::write(dir.join("cgroup.subtree_control"), "+memory").unwrap();
        }
        Self(path)
    }

    /// Kills that the kernel counts below.
    fn counted(&self) -> u64 {
        let text = fs::read(self.0.join("memory.events")).unwrap();
        MemoryEvents::parse(&text).unwrap().kills()
    }

    /// One cgroup, [`EACH`] kills, and its end.
    fn one(&self, number: usize, kinds: usize) {
        let dir = self.0.join(format!("s{number}"));
        fs::create_dir(&dir).unwrap();
        let mut leaf = dir.clone();
        fs::write(dir.join("memory.max"), "2M").unwrap();
        let script = match number % kinds {
            // One after the other.
            0 => "for i in 1 2 3 4 5; do tail /dev/zero; done",
            // Together, each on its own.
            1 => "for i in 1 2 3 4 5; do tail /dev/zero & done; wait",
            // At the limit of the one above.
            2 => {
                fs::write(dir.join("cgroup.subtree_control"), "+memory").unwrap();
                leaf = dir.join("leaf");
                fs::create_dir(&leaf).unwrap();
                "for i in 1 2 3 4 5; do tail /dev/zero; done"
            }
            // As a group.
            _ => {
                fs::write(dir.join("memory.oom.group"), "1").unwrap();
                "for i in 1 2 3 4; do sleep 99 & done; exec tail /dev/zero"
            }
        };
        let enter = format!("echo $$ >{}/cgroup.procs; {script}", leaf.display());
        Command::new("sh")
            .args(["-c", &enter])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        for dir in [&leaf, &dir] {
            let deadline = Instant::now() + Duration::from_secs(30);
            while dir.exists() && fs::remove_dir(dir).is_err() {
                assert!(Instant::now() < deadline, "{} is not empty", dir.display());
                sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// What was told below the storm.
#[derive(Debug, Default)]
struct Told {
    kills: u64,
    /// By cgroup.
    by_cgroup: BTreeMap<String, u64>,
    pids: HashSet<u64>,
    /// How many victims are known by each means, and how many cgroups.
    victims: BTreeMap<String, u64>,
    cgroups: BTreeMap<String, u64>,
}

impl Told {
    fn take(&mut self, line: &Value) {
        let cgroup = line["cgroup"].as_str().unwrap_or_default();
        if line["kind"] != "oom_kill" || !cgroup.starts_with("/storm") {
            return;
        }
        let kills = line["kills"].as_u64().unwrap();
        self.kills += kills;
        *self.by_cgroup.entry(cgroup.to_owned()).or_default() += kills;
        let means = |value: &Value| value.as_str().unwrap().to_owned();
        *self
            .cgroups
            .entry(means(&line["known"]["cgroup"]))
            .or_default() += kills;
        let victims = line["victims"].as_array().unwrap();
        assert!(
            victims.len() as u64 <= kills,
            "more victims than kills: {line}"
        );
        for victim in victims {
            let pid = victim["pid"].as_u64().unwrap();
            assert!(self.pids.insert(pid), "pid {pid} was told twice: {line}");
            *self.victims.entry(means(&victim["known"])).or_default() += 1;
        }
    }
}

/// `events`, which lacks what `hide`, a script, takes away.
fn without(hide: &str) -> Events {
    let command = format!("{hide} exec \"$0\" events --json");
    let mut unshare = Command::new("unshare");
    Events::of(unshare.args(["-m", "sh", "-c", &command]).arg(binary()))
}

/// A storm over so many cgroups, watched through `hide`, a script that takes means away.
/// With groups or not: the kernel counts the first victim of a group once or twice, as it happens, so counters
/// alone cannot tell.
fn storm(cgroups: usize, groups: bool, hide: &str) -> Told {
    let _host = Host::new();
    let storm = Storm::new();
    let mut events = without(hide);
    let mut trace = Reader::open(Path::new("/")).unwrap();
    // What it does not know yet when the first sample is taken was before its time.
    sleep(Duration::from_secs(2));
    let began = Instant::now();
    thread::scope(|scope| {
        for owner in 0..OWNERS {
            let storm = &storm;
            scope.spawn(move || {
                // One more than is asked for: now and then a cgroup goes before its last victim.
                for number in (owner..=cgroups).step_by(OWNERS) {
                    storm.one(number, if groups { 4 } else { 3 });
                }
            });
        }
    });
    let took = began.elapsed();
    let expected = cgroups as u64 * EACH;
    // The kernel's own word, and nobody was killed who should not be.
    let mut marked = HashSet::new();
    trace
        .read(|event| match event {
            Event::Victim(marks) => {
                marked.insert(marks.pid);
            }
            Event::Attached(_) => {}
            Event::Lost(_) => panic!("the test itself lost events"),
        })
        .unwrap();
    // Now and then a shell goes with its child.
    assert!(
        marked.len() as u64 >= expected,
        "the kernel marks {}",
        marked.len()
    );
    let expected = marked.len() as u64;
    if !groups {
        assert_eq!(storm.counted(), expected, "the kernel counts");
    }
    let mut told = Told::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    while told.kills < expected && Instant::now() < deadline {
        for line in events.take(Duration::from_millis(500)) {
            told.take(&serde_json::from_str(&line).unwrap());
        }
    }
    // What is told twice comes late.
    for line in events.take(Duration::from_secs(2)) {
        told.take(&serde_json::from_str(&line).unwrap());
    }
    for line in events.interrupt() {
        told.take(&serde_json::from_str(&line).unwrap());
    }
    eprintln!(
        "{} of {expected} kills in {cgroups} cgroups told, within {:.0} s; cgroups known by {:?}, victims by {:?}",
        told.kills,
        took.as_secs_f64(),
        told.cgroups,
        told.victims
    );
    let odd: Vec<_> = told
        .by_cgroup
        .iter()
        .filter(|(_, kills)| **kills != EACH)
        .collect();
    eprintln!("not {EACH} in {odd:?}");
    assert_eq!(told.kills, expected);
    told
}

#[test]
fn a_log_that_was_overwritten_loses_no_kill_and_is_said_once() {
    let _host = Host::new();
    let storm = Storm::new();
    let mut events = Events::start(&["--json"]);
    // As in a storm.
    sleep(Duration::from_secs(2));
    events.signal(Signal::SIGSTOP);
    // The log's lines about the first are lost, those about the second are there.
    storm.one(0, 3);
    flood_kernel_log();
    storm.one(1, 3);
    events.signal(Signal::SIGCONT);
    let expected = storm.counted();
    assert!(expected >= 2 * EACH, "the kernel counts {expected}");
    let mut told = Told::default();
    let mut notices = Vec::new();
    let mut take = |lines: Vec<String>| {
        for line in lines {
            let line: Value = serde_json::from_str(&line).unwrap();
            told.take(&line);
            if line["kind"] == "notice" {
                notices.push(line["text"].as_str().unwrap().to_owned());
            }
        }
        told.kills
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while take(events.take(Duration::from_millis(500))) < expected && Instant::now() < deadline {}
    take(events.take(Duration::from_secs(2)));
    take(events.interrupt());
    assert_eq!(told.kills, expected, "{told:?}");
    let overwritten = notices
        .iter()
        .filter(|text| text.starts_with("the kernel log was overwritten before it was read"));
    assert_eq!(overwritten.count(), 1, "{notices:?}");
}

/// The counters of the one above have the kill, and whoever was removed before is not taken for the one in which it was.
#[test]
fn kills_in_cgroups_that_nobody_saw_are_told_of_these() {
    let _host = Host::new();
    let storm = Storm::new();
    let mut events = without(&format!("{NO_LOG}{NO_TRACE}"));
    sleep(Duration::from_secs(2));
    for number in 0..6 {
        // Every second one comes and goes while nobody looks.
        let is_seen = number % 2 == 0;
        if !is_seen {
            events.signal(Signal::SIGSTOP);
        }
        storm.one(number, 1);
        events.signal(Signal::SIGCONT);
        let mut told = Told::default();
        let deadline = Instant::now() + Duration::from_secs(20);
        while told.kills < EACH && Instant::now() < deadline {
            for line in events.take(Duration::from_millis(500)) {
                told.take(&serde_json::from_str(&line).unwrap());
            }
        }
        let expected = BTreeMap::from([(format!("/storm/s{number}"), EACH)]);
        assert_eq!(told.by_cgroup, expected, "{told:?}");
        let inferred = told.cgroups.get("inferred");
        assert!(is_seen || inferred == Some(&EACH), "{told:?}");
    }
    events.interrupt();
}

const NO_LOG: &str = "mount -t tmpfs none /dev;";
const NO_TRACE: &str = "umount /sys/kernel/tracing;";

#[test]
fn a_thousand_with_the_log_and_the_tracepoint() {
    let told = storm(extent(60, 200), true, "");
    // Whose victims were reaped before anybody looked, nothing says, as the log holds summaries back.
    let named = told.pids.len() as u64;
    assert!(named > told.kills / 4 * 3, "{named} victims are named");
}

#[test]
fn with_the_log_alone() {
    let told = storm(extent(20, 200), true, NO_TRACE);
    assert!(!told.victims.contains_key("tracepoint"), "{told:?}");
}

#[test]
fn with_the_tracepoint_alone() {
    let told = storm(extent(20, 200), true, NO_LOG);
    assert!(!told.victims.contains_key("kernel_log"), "{told:?}");
}

#[test]
fn with_counters_alone() {
    let told = storm(extent(20, 200), false, &format!("{NO_LOG}{NO_TRACE}"));
    assert_eq!(told.pids.len(), 0, "nobody can be named");
}
