//! The dashboard on a real terminal, while real workloads die: `cargo xtask test vm_dashboard`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::dashboard::Dashboard;
use support::{Host, binary};

#[test]
fn an_oom_kill_is_on_the_screen_within_seconds() {
    let host = Host::new();
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("● live");
    assert!(dashboard.ask(vt100::Screen::alternate_screen));

    let flags = [
        "--name",
        "leaker",
        "-m",
        "32m",
        "--cpus",
        "1",
        "--pids-limit",
        "16",
    ];
    // As a program that leaks does, it lives past a look before it is killed.
    let mut run = host.command(&flags, &["sh", "-c", "sleep 2; exec tail /dev/zero"]);
    let start = Instant::now();
    let status = run.stdout(Stdio::null()).status().expect("ringfence run");
    assert_eq!(status.code(), Some(137));
    let lasted = start.elapsed();
    let took = dashboard.wait("the kill", |contents| {
        contents.lines().any(|line| {
            [
                "✖ OOM kill  leaker  pid ",
                " (1 inside) tail",
                "rss ",
                "limit memory.max 32M of leaker",
            ]
            .iter()
            .all(|part| line.contains(part))
        })
    });
    eprintln!("the workload lasted {lasted:?}, and its kill was on the screen {took:?} later");
    eprintln!("{}", dashboard.contents());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let lines = dashboard.contents();
    assert_eq!(
        lines.matches("✖ OOM kill").count(),
        1,
        "one line for one kill:\n{lines}"
    );
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn a_running_workload_is_shown_against_its_limits_and_keys_work() {
    let host = Host::new();
    let flags = ["--cpus", ".2", "-m", "48m", "--pids-limit", "16"];
    let spinner = host.start("spinner", &flags, "echo ready; while :; do :; done");
    let mut dashboard = Dashboard::start(&[]);
    dashboard.wait("the throttled spinner", |contents| {
        contents.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let throttled = words.iter().filter_map(|word| word.strip_suffix('%'));
            line.contains("● spinner")
                && line.contains(" .2 ")
                && line.contains(" 48M ")
                && line.contains("/16")
                && throttled
                    .skip(1)
                    .any(|share| share.parse::<f64>().is_ok_and(|share| share > 50.0))
        })
    });
    // Both pids of its process.
    dashboard.wait("the process", |contents| {
        contents
            .lines()
            .any(|line| line.contains(" 1 ") && line.contains("sh -c echo"))
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("?");
    dashboard.wait_for("KEYS");
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("KEYS"));
    dashboard.keys("/spin");
    dashboard.wait_for("filter: spin");
    dashboard.keys("\r");
    dashboard.wait_for("Esc clears");
    dashboard.keys("\x1b");
    // Sent together, they would be Alt-Z.
    dashboard.wait("no filter", |contents| !contents.contains("Esc clears"));
    dashboard.keys("Z");
    dashboard.wait_for("‖ paused");
    dashboard.keys("Z");
    dashboard.wait_for("● live");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());

    // By name, and alone.
    let plain = Command::new(binary())
        .args(["top", "spinner", "--plain", "--duration", "2.5"])
        .output()
        .expect("ringfence");
    let table = String::from_utf8_lossy(&plain.stdout);
    assert!(table.contains("/ringfence.slice/spinner "), "{table}");
    assert!(!table.contains("/ringfence.slice "), "{table}");
    assert!(table.contains("/.2 "), "{table}");
    spinner.signal(Signal::SIGTERM);
    spinner.finish();
}

#[test]
fn keys_that_come_at_once_are_not_drawn_one_by_one() {
    const MOVES: usize = 1000;
    let _host = Host::new();
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("● live");
    let before = dashboard.frames();
    dashboard.keys(&"jk".repeat(MOVES));
    // None of them is lost, and the last is seen.
    dashboard.keys("?");
    let took = dashboard.wait_for("KEYS");
    let frames = dashboard.frames() - before;
    eprintln!("{frames} screens for {} keys, {took:?}", 2 * MOVES);
    assert!((1..MOVES / 2).contains(&frames), "{frames} screens");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
}

#[test]
fn all_four_views_over_a_real_workload() {
    let host = Host::new();
    let flags = ["-m", "32m", "--pids-limit", "32"];
    // PID 1 and a child that stay; the kill is another workload's, as it takes all of that one.
    let script = "echo ready; while :; do sleep 100; done";
    let victim = host.start("victim", &flags, script);
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("● victim");
    let mut run = host.command(&["--name", "leaker", "-m", "32m"], &["tail", "/dev/zero"]);
    let status = run.stdout(Stdio::null()).status().expect("ringfence run");
    assert_eq!(status.code(), Some(137));
    dashboard.wait_for("✖ OOM kill  leaker");

    dashboard.keys("/victim\r");
    dashboard.wait_for("filter: victim");
    dashboard.keys("G");
    dashboard.wait_for("├ ringfence.slice › victim ─");
    dashboard.keys("2");
    dashboard.wait("the detail", |contents| {
        [
            "├ detail · ringfence.slice › victim ─",
            "MEMORY ",
            "█ anon ",
            "limit 32M (own memory.max)",
            "oom_kill ",
            "PRESSURE",
        ]
        .iter()
        .all(|part| contents.contains(part))
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("3");
    // Its PID 1 with both pids, and a child below it.
    dashboard.wait("both pids", |contents| {
        let first = contents.lines().find_map(|line| {
            let mut words = line.trim_start_matches('│').split_whitespace();
            let host: u32 = words.next()?.parse().ok()?;
            let inside: u32 = words.next()?.parse().ok()?;
            (line.contains("sh -c echo ready") && inside == 1).then_some(host)
        });
        first.is_some_and(|pid| pid > 1) && contents.contains("└ ")
    });
    dashboard.wait_for("own     pid:[40265");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("4");
    dashboard.wait("the kill", |contents| {
        contents.contains("├ OOM kills · 1 of ")
            && contents.contains("limit memory.max 32M of leaker")
            && contents.contains("of leaker, its own")
            && contents.contains("after    PID 1 inside was killed (exit 137); ")
    });
    eprintln!("{}", dashboard.contents());
    // Escape and a digit sent together would be Alt with it.
    dashboard.keys("\x1b");
    dashboard.wait_for("NAME▴");
    dashboard.keys(":by mem");
    dashboard.wait_for("sort by memory");
    dashboard.keys("\r");
    dashboard.wait_for("MEMORY▾");
    dashboard.keys("q");
    assert!(dashboard.end().success());
    victim.signal(Signal::SIGTERM);
    victim.finish();
}

#[test]
fn signals_give_the_terminal_back() {
    let _host = Host::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let dashboard = Dashboard::start(&["top"]);
        dashboard.wait_for("● live");
        kill(Pid::from_raw(dashboard.child.id().cast_signed()), signal).expect("kill");
        assert!(dashboard.end().success(), "{signal}");
    }
}

/// Line 0 and column 0 do not exist, yet what is pasted, or printed by others on the same terminal, may say so.
#[test]
fn mouse_and_cursor_in_column_0_end_nothing() {
    let _host = Host::new();
    let mut dashboard = Dashboard::start(&["top"]);
    dashboard.wait_for("● live");
    for report in ["\x1b[M   ", "\x1b[<0;0;0M", "\x1b[32;0;0M", "\x1b[0;0R"] {
        dashboard.keys(report);
    }
    dashboard.keys("?");
    dashboard.wait_for("help");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
}

#[test]
fn the_plain_table_ends_quietly_with_its_reader() {
    let _host = Host::new();
    let mut child = Command::new(binary())
        .args(["top", "--plain", "--interval", "0.2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ringfence");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let header = lines.next().expect("a line").expect("text");
    assert!(header.starts_with("NAME"), "{header}");
    drop(lines);
    let done = child.wait_with_output().expect("wait");
    assert!(done.status.success(), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_target_that_is_not_there_is_said_in_one_sentence() {
    let _host = Host::new();
    let done = Command::new(binary())
        .args(["top", "nobody", "--plain", "--duration", "1"])
        .output()
        .expect("ringfence");
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.starts_with("ringfence: there is no cgroup `nobody`"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
