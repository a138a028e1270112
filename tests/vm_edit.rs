//! Limits changed in the dashboard, on a real terminal and a real kernel: `cargo xtask test vm_edit`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::process::Child;

use nix::sys::signal::Signal;
use support::dashboard::Dashboard;
use support::own::Own;
use support::{Host, wait_until};

const DOWN: &str = "\x1b[B";

/// A dashboard with the cgroup selected and its editor open.
fn edit(dashboard: &mut Dashboard, name: &str) {
    dashboard.select(name);
    dashboard.keys("e");
    dashboard.wait("the limits", |contents| {
        contents.contains(&format!("limits of {name}")) && contents.contains("io.max vda wbps")
    });
}

fn end(mut child: Child) {
    let _ = child.kill();
    child.wait().expect("wait");
}

#[test]
fn a_limit_below_usage_is_asked_for_twice_kills_and_is_undone() {
    let _host = Host::new();
    let own = Own::new();
    let binary = support::binary();
    // The shell survives its child.
    let shell = own.start(&format!(
        "{} load memory --size 40m; sleep 1000",
        binary.display()
    ));
    wait_until("40M in use", || {
        own.read("memory.current").parse::<u64>().unwrap() > 40 << 20
    });
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    edit(&mut dashboard, "own");
    dashboard.keys("16m");
    dashboard.wait("the preview", |contents| {
        [
            "memory.max  max → 16M",
            "in use; binding)",
            "M below usage: the kernel will reclaim, then OOM-kill",
            "writes `16777216` to /sys/fs/cgroup/above/own/memory.max",
            "it lasts until somebody else writes it",
        ]
        .iter()
        .all(|part| contents.contains(part))
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("\r");
    dashboard.wait_for("Write it all the same? (y / n)");
    // It names whom the dashboard knows of; on a slow machine, those come after the limits.
    while !dashboard.contents().contains("load memory --size 40m") {
        dashboard.keys("n");
        dashboard.wait_for("▸ 16m");
        dashboard.keys("\r");
        dashboard.wait_for("Write it all the same? (y / n)");
    }
    eprintln!("{}", dashboard.contents());
    dashboard.keys("n");
    dashboard.wait_for("▸ 16m");
    assert_eq!(own.read("memory.max"), "max");
    dashboard.keys("\r");
    dashboard.wait_for("Write it all the same?");
    dashboard.keys("y");
    dashboard.wait_for("Sure? (y / n)");
    assert_eq!(own.read("memory.max"), "max");
    assert_eq!(own.count("memory.events", "oom_kill"), 0);
    dashboard.keys("y");
    // Where the host is short of memory too, there may be more than one.
    wait_until("the kill", || own.count("memory.events", "oom_kill") >= 1);
    assert_eq!(own.read("memory.max"), "16777216");
    dashboard.wait("the new value", |contents| {
        contents
            .lines()
            .any(|line| line.contains("│ memory.max  ") && line.contains(" 16m "))
    });
    dashboard.keys("\x1b");
    dashboard.wait("the event log", |contents| {
        contents.contains("limit set  own  memory.max  max → 16M")
            && contents.contains("✖ OOM kill  own")
            && contents.contains("limit memory.max 16M of own")
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("u");
    dashboard.wait_for("limit undone  own  memory.max  16M → max");
    assert_eq!(own.read("memory.max"), "max");
    dashboard.keys("U");
    dashboard.wait_for("undone own  memory.max  max → 16M");
    dashboard.keys("q");
    dashboard.wait("the list to close", |contents| {
        !contents.contains("changes of this run")
    });
    dashboard.keys("q");
    assert!(dashboard.end().success());
    end(shell);
}

#[test]
fn steps_bars_and_the_list_of_changes() {
    let host = Host::new();
    let flags = ["--cpus", "0.5", "-m", "64m", "--pids-limit", "16"];
    let workload = host.start("stepped", &flags, "echo ready; sleep 1000");
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    edit(&mut dashboard, "stepped");
    dashboard.wait_for("ringfence's own: it lasts as long as the workload");
    // Two steps up, one down.
    dashboard.keys("++-\r");
    dashboard.wait_for("▸ ▏");
    wait_until("72M", || {
        workload.read("memory.max") == (72 << 20).to_string()
    });
    // Down to cpu.max, as percent.
    dashboard.keys(&DOWN.repeat(6));
    dashboard.wait_for("cpu.max ▸");
    dashboard.keys("75%\r");
    wait_until("75%", || workload.read("cpu.max") == "75000 100000");
    dashboard.wait("the value", |contents| {
        contents
            .lines()
            .any(|line| line.contains("│ cpu.max  ") && line.contains(" 0.75 ─"))
    });
    // The bar is held where the mouse is: press, drag and let go, in SGR coordinates from 1.
    let contents = dashboard.contents();
    let row = contents
        .lines()
        .position(|line| line.contains("│ memory.max"))
        .expect("the line");
    let line = contents.lines().nth(row).expect("a line");
    let begin = line.chars().position(|char| "━╾─".contains(char));
    let begin = begin.expect("a bar") + 1;
    let row = row + 1;
    dashboard.keys(&format!("\x1b[<0;{begin};{row}M"));
    dashboard.wait_for("▸ 1m");
    dashboard.keys(&format!(
        "\x1b[<32;{};{row}M\x1b[<0;{};{row}m",
        begin + 10,
        begin + 10
    ));
    dashboard.wait("a larger value", |contents| {
        contents.contains("memory.max  72M → ") && !contents.contains("▸ 1m")
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("\x1b");
    dashboard.wait_for("▸ ▏");
    dashboard.keys("\x1b[F");
    dashboard.wait_for("pids.max ▸ ▏");
    dashboard.keys("max\r");
    wait_until("no pids.max", || workload.read("pids.max") == "max");
    // Until the answer is there, Escape would only clear what was typed.
    dashboard.wait("the answer", |contents| {
        let mut lines = contents.lines();
        contents.contains("pids.max ▸ ▏")
            && lines.any(|line| line.contains("│ pids.max ") && line.contains(" max "))
    });
    dashboard.keys("\x1b");
    dashboard.wait("the editor to close", |contents| {
        !contents.contains("limits of")
    });
    // The oldest of the three is undone from the list.
    dashboard.keys("U");
    dashboard.wait_for("changes of this run");
    dashboard.keys("Gu");
    wait_until("64M again", || {
        workload.read("memory.max") == (64 << 20).to_string()
    });
    dashboard.wait_for("undone stepped  memory.max  64M → 72M");
    eprintln!("{}", dashboard.contents());
    assert_eq!(workload.read("cpu.max"), "75000 100000");
    dashboard.keys("q");
    dashboard.wait("the list to close", |contents| {
        !contents.contains("changes of this run")
    });
    dashboard.keys("q");
    assert!(dashboard.end().success());
    workload.signal(Signal::SIGTERM);
    workload.finish();
}

#[test]
fn what_cannot_be_leaves_the_old_value_and_is_said() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    // So long an interval that nothing is read again meanwhile.
    let mut dashboard = Dashboard::start(&["top", "--interval", "600"]);
    edit(&mut dashboard, "own");
    for (typed, says) in [
        ("64q", "`64q` is not a size"),
        ("-1", "not a size"),
        ("99999999999t", "is not a size"),
        ("9999g", "more than this host has"),
        (
            "0",
            "no memory at all: the kernel will kill every process in it",
        ),
    ] {
        // The minus is a step; as text it comes with the rest.
        dashboard.keys(&format!("\x1b[200~{typed}\x1b[201~"));
        dashboard.wait_for(says);
        dashboard.keys("\x7f".repeat(typed.len()).as_str());
        dashboard.wait_for("▸ ▏");
    }
    // Somebody else is faster.
    dashboard.keys("32m");
    dashboard.wait_for("memory.max  64M → 32M");
    own.write("memory.max", "50331648");
    dashboard.keys("\r");
    dashboard.wait_for("memory.max was changed meanwhile, to `50331648`; nothing was changed");
    assert_eq!(own.read("memory.max"), "50331648");
    // By now it is known.
    dashboard.keys("\x7f\x7f\x7f32m");
    dashboard.wait_for("memory.max  48M → 32M");
    // What is pasted is text: its newline writes nothing.
    dashboard.keys("\x7f\x7f\x7f\x1b[200~24m\ny\x1b[201~");
    dashboard.wait_for("▸ 24m▏");
    assert_eq!(own.read("memory.max"), "50331648");
    // It vanishes while the editor is open.
    std::fs::remove_dir(&own.dir).expect("an empty cgroup");
    dashboard.keys("\r");
    dashboard.wait_for("vanished meanwhile; nothing was changed");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("\x1b");
    dashboard.wait_for("● live");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
}

#[test]
fn without_permission_nothing_is_offered() {
    let _host = Host::new();
    let own = Own::new();
    let mut dashboard = Dashboard::start_as_user(&["top", "--interval", "1"]);
    edit(&mut dashboard, "own");
    dashboard.wait_for("may only be written by its owner, root mostly; type sudo");
    dashboard.keys("16m+\r");
    // The next knob tells that those keys were taken, and to no effect.
    dashboard.keys(DOWN);
    dashboard.wait_for("memory.high ▸ ▏");
    dashboard.keys("1");
    dashboard.keys("\x1b[H");
    dashboard.wait_for("memory.max ▸ ▏");
    assert_eq!(own.read("memory.max"), "max");
    // Nothing was typed, so that one Escape closes it.
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("limits of"));
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
}
