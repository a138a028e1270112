//! `ringfence load` uses what it says, ends when told, and leaves nothing behind.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Process;

fn load(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .arg("load")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn process(child: &Child) -> Process {
    Process::new(pid(child).as_raw()).unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Waits until a condition holds; fails after ten seconds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "waited in vain: {what}"
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn memory_is_touched_and_held_and_term_ends_it() {
    let mut child = load(&["memory", "--size", "24m"]);
    let process = process(&child);
    let rss = || {
        process
            .status()
            .ok()
            .and_then(|status| status.rssanon)
            .unwrap_or(0)
    };
    until("24 MiB resident", || rss() >= 24 << 10);
    assert!(rss() < 32 << 10, "{} kB", rss());
    kill(pid(&child), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn cpu_burns_its_share_of_one_core() {
    let mut child = load(&["cpu", "--percent", "30", "--for", "2s"]);
    let process = process(&child);
    let ticks = procfs::ticks_per_second() as f64;
    sleep(Duration::from_millis(1500));
    let stat = process.stat().unwrap();
    let share = (stat.utime + stat.stime) as f64 / ticks / 1.5;
    // A busy machine can only make it less.
    assert!(share < 0.4, "{share}");
    assert!(share > 0.05, "{share}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn io_writes_at_its_rate_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load");
    let mut child = load(&[
        "io",
        "--rate",
        "1m",
        "--file",
        file.to_str().unwrap(),
        "--for",
        "2s",
    ]);
    let process = process(&child);
    until("half a mebibyte written", || {
        process.io().is_ok_and(|io| io.wchar >= 512 << 10)
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn io_does_not_overwrite_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "dear").unwrap();
    let output = load(&["io", "--file", file.path().to_str().unwrap()])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "dear");
}

#[test]
fn forks_are_held_and_go_with_their_parent() {
    let mut child = load(&["forks", "--count", "3"]);
    let parent = process(&child);
    let children = || {
        let tasks = parent.tasks().unwrap().flatten();
        tasks
            .flat_map(|task| task.children().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    until("three children", || children().len() == 3);
    let held = children();
    kill(pid(&child), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    until("no child left", || {
        held.iter().all(|pid| {
            let alive = i32::try_from(*pid)
                .ok()
                .and_then(|pid| Process::new(pid).ok());
            alive.is_none_or(|process| process.stat().map_or(true, |stat| stat.state == 'Z'))
        })
    });
}

#[test]
fn nonsense_is_refused() {
    for arguments in [
        &["memory", "--size", "-1"][..],
        &["memory", "--size", "12parsecs"],
        &["cpu", "--percent", "0"],
        &["sleep", "--for", "never"],
        &["everything"],
    ] {
        let output = load(arguments).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
