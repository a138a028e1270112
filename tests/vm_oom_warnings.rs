//! Warnings before a kill, on a real kernel: `cargo xtask test oom-warnings`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::dashboard::Dashboard;
use support::events::Events;
use support::{Host, PAGE_CACHE, binary, load};

fn is(line: &Value, kind: &str, name: &str, sign: &str) -> bool {
    line["kind"] == kind && line["name"] == name && line["sign"] == sign
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let lines = lines.iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// When something was, in seconds.
fn time(line: &Value) -> f64 {
    let time = humantime::parse_rfc3339(line["time"].as_str().unwrap()).unwrap();
    time.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn a_leak_is_warned_of_then_critical_then_killed() {
    let host = Host::new();
    let mut events = Events::start(&["--json", "--interval", "0.5"]);
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    let leaker = host.start(
        "leaker",
        &["-m", "48m"],
        &load("memory --size 96m --rate 2m"),
    );
    let warning = events.object("a warning", |line| is(line, "warning", "leaker", "memory"));
    assert_eq!(warning["severity"], "warning");
    assert_eq!(warning["limit"], 48 << 20);
    let share = warning["share"].as_u64().unwrap();
    assert!((85..95).contains(&share), "{warning}");
    dashboard.wait_for("of memory.max 48M cannot be dropped");
    let critical = events.object("a critical one", |line| {
        is(line, "warning", "leaker", "memory")
    });
    assert_eq!(critical["severity"], "critical");
    let kill = events.object("the kill", |line| {
        line["kind"] == "oom_kill" && line["name"] == "leaker"
    });
    assert_eq!(leaker.finish().code, 137);
    let over = events.object("its end", |line| is(line, "cleared", "leaker", "memory"));
    assert_eq!(over["gone"], true);
    dashboard.keys("q");
    assert!(dashboard.end().success());
    let lead = time(&kill) - time(&warning);
    let last = time(&kill) - time(&critical);
    eprintln!("warned {lead:.1} s before the kill, critical {last:.1} s before it");
    // From 85 % on it took 3.6 s.
    assert!(lead > 1.5 && last > 0.0, "{lead} {last}");
    // Each once.
    let rest = parsed(&events.interrupt());
    assert!(
        !rest
            .iter()
            .any(|line| is(line, "warning", "leaker", "memory")),
        "{rest:#?}"
    );
}

#[test]
fn memory_high_holds_back_and_that_is_over_when_it_is_raised() {
    let host = Host::new();
    let mut events = Events::start(&["--json", "--interval", "0.5"]);
    // No limit that kills: nothing but memory.high is there to be warned of.
    let held = host.start("held", &[], &load("memory --size 64m --rate 8m"));
    held.write("memory.high", "24M");
    let high = events.object("a warning", |line| {
        is(line, "warning", "held", "memory_high")
    });
    assert_eq!(high["limit"], 24 << 20);
    assert!(high["per_second"].as_u64().unwrap() >= 1, "{high}");
    assert!(high["share"].as_u64().unwrap() >= 85, "{high}");
    // It sleeps in the kernel, which counts as waiting for memory, and whose trigger says so at once.
    let waits = events.object("waiting", |line| {
        is(line, "warning", "held", "memory_pressure")
    });
    assert_eq!(
        waits["seconds"], 1,
        "the trigger was not the first: {waits}"
    );
    held.write("memory.high", "max");
    let over = events.object("its end", |line| is(line, "cleared", "held", "memory_high"));
    assert_eq!(over["gone"], false);
    assert!(over["after"].as_f64().unwrap() >= 5.0, "{over}");
    let over = events.object("its end", |line| {
        is(line, "cleared", "held", "memory_pressure")
    });
    assert_eq!(over["gone"], false);
    held.kill();
    let rest = parsed(&events.interrupt());
    assert!(
        !rest.iter().any(|line| line["sign"] == "memory"),
        "{rest:#?}"
    );
}

#[test]
fn page_cache_that_fills_a_limit_is_well() {
    let host = Host::new();
    let events = Events::start(&["--json", "--interval", "0.5"]);
    let cache = host.start("pagecache", &["-m", "32m"], PAGE_CACHE);
    let before = cache.count("memory.events", "max");
    std::thread::sleep(Duration::from_secs(10));
    let since = cache.count("memory.events", "max") - before;
    assert!(
        since > 10,
        "it met its limit {since} times, {before} times before"
    );
    cache.kill();
    let said = parsed(&events.interrupt());
    let signs = ["memory", "memory_max", "memory_high", "oom_forecast"];
    let wrong = said
        .iter()
        .filter(|line| line["kind"] == "warning" && signs.iter().any(|sign| line["sign"] == *sign));
    assert_eq!(wrong.count(), 0, "{said:#?}");
}

#[test]
fn who_may_not_have_a_trigger_is_told_so_and_of_the_average() {
    let host = Host::new();
    let held = host.start("held", &[], &load("memory --size 64m --rate 8m"));
    held.write("memory.high", "24M");
    let mut user = Command::new(binary());
    user.args(["events", "--json", "--interval", "0.5"])
        .uid(1000)
        .gid(1000);
    let mut events = Events::of(&mut user);
    events.object("why it is late", |line| {
        line["kind"] == "notice"
            && line["text"].as_str().unwrap().contains("is told some seconds late: no trigger on memory.pressure of /ringfence.slice/held: Permission denied")
    });
    let waits = events.object("waiting", |line| {
        is(line, "warning", "held", "memory_pressure")
    });
    assert_eq!(waits["seconds"], 10);
    held.kill();
    // Said once.
    let rest = parsed(&events.interrupt());
    let again = |line: &&Value| {
        line["text"]
            .as_str()
            .is_some_and(|text| text.contains("seconds late"))
    };
    assert_eq!(rest.iter().filter(again).count(), 0, "{rest:#?}");
}

#[test]
fn the_configuration_says_from_where_on_and_whether() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let config = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let early = config(
        "early",
        "interval = '500ms'\n[warnings]\nmemory = [30, 60]\npressure = false\n",
    );
    let none = config("none", "interval = '500ms'\nwarnings = false\n");
    let mut early = Events::start(&["--json", "--config", &early]);
    let none = Events::start(&["--json", "--config", &none]);
    let leaker = host.start(
        "leaker",
        &["-m", "48m"],
        &load("memory --size 96m --rate 4m"),
    );
    let warning = events_share(&mut early, "warning");
    assert!((30..60).contains(&warning), "{warning}");
    let critical = events_share(&mut early, "critical");
    assert!((60..95).contains(&critical), "{critical}");
    assert_eq!(leaker.finish().code, 137);
    early.interrupt();
    let said = parsed(&none.interrupt());
    assert!(
        said.iter().any(|line| line["kind"] == "oom_kill"),
        "{said:#?}"
    );
    assert!(
        !said.iter().any(|line| line["kind"] == "warning"),
        "{said:#?}"
    );
}

/// The share of the next warning of this severity.
fn events_share(events: &mut Events, severity: &str) -> u64 {
    let warning = events.object(severity, |line| {
        is(line, "warning", "leaker", "memory") && line["severity"] == severity
    });
    warning["share"].as_u64().unwrap()
}

#[test]
fn forks_refused_and_a_quota_are_warned_of_once_and_over() {
    let host = Host::new();
    let mut events = Events::start(&["--json", "--interval", "0.5"]);
    let busy = host.start(
        "busy",
        &["--pids-limit", "8", "--cpus", "0.2"],
        &load("cpu --percent 100"),
    );
    let quota = events.object("a warning", |line| is(line, "warning", "busy", "cpu_max"));
    assert_eq!(quota["limit"], 0.2);
    assert!(quota["share"].as_u64().unwrap() >= 50, "{quota}");
    busy.kill();
    let over = events.object("its end", |line| is(line, "cleared", "busy", "cpu_max"));
    assert_eq!(over["gone"], true);
    // Where the limit is above, it is told of who meets it.
    let forker = host.start("forker", &["--pids-limit", "8"], &load("forks --count 64"));
    let refused = events.object("a warning", |line| {
        is(line, "warning", "forker", "pids_max")
    });
    assert_eq!(refused["limit"], 8);
    assert!(refused["per_second"].as_u64().unwrap() >= 1, "{refused}");
    forker.kill();
    let rest = parsed(&events.interrupt());
    let again = rest
        .iter()
        .filter(|line| line["kind"] == "warning" && line["sign"] == "pids_max");
    assert_eq!(again.count(), 0, "{rest:#?}");
}

#[test]
fn what_others_change_is_told_and_what_was_ordered_here_is_not() {
    let host = Host::new();
    let held = host.start("held", &["-m", "64m"], "echo ready; exec sleep 1000");
    let mut events = Events::start(&["--json", "--interval", "0.5"]);
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    dashboard.select("held");
    std::thread::sleep(Duration::from_secs(3));
    held.write("memory.max", "48M");
    let changed = events.object("the limit", |line| {
        line["kind"] == "changed" && line["file"] == "memory.max"
    });
    assert_eq!(
        (&changed["name"], &changed["from"], &changed["to"]),
        (&"held".into(), &"67108864".into(), &"50331648".into())
    );
    dashboard.wait_for("held  memory.max changed from 64M to 48M");
    // By its own hand, it is said by who did it.
    dashboard.keys("f");
    let frozen = events.object("freezing", |line| line["file"] == "cgroup.freeze");
    assert_eq!((&frozen["from"], &frozen["to"]), (&"0".into(), &"1".into()));
    dashboard.wait_for("❄ held");
    held.write("cgroup.freeze", "0");
    let thawed = events.object("thawing", |line| line["file"] == "cgroup.freeze");
    assert_eq!(thawed["text"], "thawed");
    dashboard.wait_for("held  thawed");
    let contents = dashboard.contents();
    assert!(!contents.contains("held  frozen"), "{contents}");
    dashboard.keys("q");
    assert!(dashboard.end().success());
    held.kill();
    events.interrupt();
}
