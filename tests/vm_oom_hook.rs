//! The user's command for an OOM kill, `--on-oom`, on a real kernel: `cargo xtask test vm_oom_hook`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::dashboard::Dashboard;
use support::events::Events;
use support::own::{Own, survivor};
use support::{Host, binary, wait_until};

/// What a command wrote of its environment; empty before it did.
fn told(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let told = text.lines().filter_map(|line| {
        let (key, value) = line.strip_prefix("RINGFENCE_")?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    told.collect()
}

/// Writes all that it is told, then says that it is done. `RINGFENCE` itself is how tests find the program.
fn note_down(file: &Path) -> String {
    format!(
        "env | grep ^RINGFENCE_ >{0}.part; mv {0}.part {0}",
        file.display()
    )
}

/// Uses too much memory within a cgroup, and goes on.
fn kill_one(own: &Own) {
    own.write("memory.max", "16M");
    let mut shell = own.start(&survivor("exit 0"));
    shell.wait().unwrap();
}

#[test]
fn it_knows_everything_and_foreign_names_are_only_values() {
    let host = Host::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("told");
    let mut events = Events::start(&["--json", "--on-oom", &note_down(&file)]);
    let own = Own::new();
    kill_one(&own);
    let kill = events.object("the kill", |line| line["kind"] == "oom_kill");
    wait_until("the command", || file.exists());
    let fields = told(&file);
    let victim = &kill["victims"][0];
    let is = |key: &str, value: &str| assert_eq!(fields[key], value, "{key} of {fields:?}");
    is("TIME", kill["time"].as_str().unwrap());
    is("CGROUP", "/above/own");
    is("NAME", "own");
    is("KILLS", "1");
    is("LIMIT_OF", "/above/own");
    is("LIMIT", &(16 << 20).to_string());
    is("COMM", "tail");
    for (key, field) in [
        ("PID", "pid"),
        ("RSS", "rss"),
        ("ANON", "anon"),
        ("FILE", "file"),
        ("SHMEM", "shmem"),
        ("OOM_SCORE_ADJ", "oom_score_adj"),
        ("UID", "uid"),
    ] {
        is(key, &victim[field].to_string());
    }
    assert!(
        fields["TEXT"].starts_with("OOM kill  own  pid "),
        "{fields:?}"
    );
    events.interrupt();
    drop(own);

    // A program that calls itself like a command of the shell.
    fs::remove_file(&file).unwrap();
    let trap = place.path().join("$(touch x);`id`");
    fs::copy(binary(), &trap).unwrap();
    let run = Command::new(binary())
        .args([
            "run",
            "-m",
            "24m",
            "--name",
            "trap",
            "--on-oom",
            &note_down(&file),
            "--",
        ])
        .arg(&trap)
        .args(["load", "memory", "--size", "64m"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(137));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        said.contains("OOM kill  trap  pid ") && said.contains("· limit memory.max 24M of trap"),
        "{said}"
    );
    let fields = told(&file);
    assert_eq!(fields["COMM"], "$(touch x);`id`");
    let leaf = "/ringfence.slice/trap";
    assert_eq!(
        (&*fields["NAME"], &*fields["CGROUP"], &*fields["LIMIT_OF"]),
        ("trap", leaf, leaf)
    );
    assert_eq!(fields["LIMIT"], (24 << 20).to_string());
    assert_eq!(fields["INNER_PID"], "1");
    assert!(!place.path().join("x").exists(), "the name was run");
    host.assert_clean("the run is over");
}

#[test]
fn one_that_hangs_or_fails_is_told_of_and_holds_nothing_up() {
    let _host = Host::new();
    let place = tempfile::tempdir().unwrap();
    let pid = place.path().join("pid");
    // The first incident's hangs, the others fail.
    let script = format!(
        "[ -e {0} ] && exit 7; echo $$ >{0}; sleep 1000",
        pid.display()
    );
    let mut events = Events::start(&["--on-oom", &script]);
    let began = Instant::now();
    for _ in 0..2 {
        let own = Own::new();
        kill_one(&own);
        events.line(&["OOM kill  own  "]);
    }
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "they were held up"
    );
    events.line(&["the command of --on-oom was killed after 10 s"]);
    events.line(&["the command of --on-oom ended with 7"]);
    let hung = fs::read_to_string(&pid).unwrap();
    let proc = format!("/proc/{}", hung.trim());
    wait_until("its end", || !Path::new(&proc).exists());
    // It ends although another one hangs, and leaves nobody behind.
    fs::remove_file(&pid).unwrap();
    let own = Own::new();
    kill_one(&own);
    wait_until("the command", || {
        fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    events.interrupt();
    let hung = fs::read_to_string(&pid).unwrap();
    assert!(!Path::new(&format!("/proc/{}", hung.trim())).exists());
}

#[test]
fn the_dashboard_runs_it_too_and_keeps_its_screen() {
    let _host = Host::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("told");
    let script = format!("echo all over the screen; {}; exit 3", note_down(&file));
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5", "--on-oom", &script]);
    dashboard.wait_for("● live");
    let own = Own::new();
    kill_one(&own);
    dashboard.wait_for("the command of --on-oom ended with 3");
    assert_eq!(told(&file)["CGROUP"], "/above/own");
    assert!(
        !dashboard.contents().contains("all over"),
        "{}",
        dashboard.contents()
    );
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn where_nothing_is_killed_it_is_not_run() {
    let _host = Host::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("told");
    let run = Command::new(binary())
        .args([
            "run",
            "-m",
            "64m",
            "--on-oom",
            &note_down(&file),
            "--",
            "true",
        ])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(run.success() && !file.exists());
}
