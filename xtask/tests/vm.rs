//! `cargo xtask vm` runs a command as if it ran here: arguments, streams, exit code, files, time limit. `cargo xtask test`
//! tells a guest that dies from a test that fails, and ends whole.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn vm(options: &[&str], command: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("vm")
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn everything_arrives_intact() {
    // Whatever a shell would like to take apart, 64 KiB of it.
    let argument = "it's \"$HOME\" `x` \\ * ü\n\t".repeat(64 * 1024 / 24 + 1);
    assert!(argument.len() > 64 * 1024);
    let folder = tempfile::tempdir().unwrap();
    let added = folder.path().join("a file");
    fs::write(&added, "added").unwrap();
    let script = "printf %s \"$1\"; cat >&2; cat '/root/a file' /etc/other >&2; exit 7";
    for kernel in ["6.12", "6.1"] {
        let other = format!("{}:/etc/other", added.display());
        let options = [
            "--kernel",
            kernel,
            "--add",
            added.to_str().unwrap(),
            "--add",
            &other,
        ];
        let output = vm(&options, &["sh", "-c", script, "sh", &argument], b"input ");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{kernel}: {stderr}");
        assert!(
            output.stdout == argument.as_bytes(),
            "{kernel}: {} bytes",
            output.stdout.len()
        );
        assert!(stderr.ends_with("input addedadded"), "{kernel}: {stderr}");
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    let output = vm(&[], &["sh", "-c", "kill -TERM $$"], b"");
    assert_eq!(output.status.code(), Some(143));
}

#[test]
fn a_guest_that_hangs_is_ended() {
    let start = Instant::now();
    let output = vm(
        &["--timeout", "20"],
        &["sh", "-c", "echo before; sleep 1000"],
        b"",
    );
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(output.stdout, b"before\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ended after 20 s"), "{said}");
    assert!(start.elapsed() < Duration::from_mins(5));
}

#[test]
fn a_panic_is_told_with_the_kernels_words() {
    let output = vm(
        &[],
        &["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100"],
        b"",
    );
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("panicked") && said.contains("sysrq"),
        "{said}"
    );
}

#[test]
fn a_guest_that_falls_silent_is_told_from_one_that_works() {
    let script = "kill -STOP $(cat /run/xtask/heartbeat.pid); echo before; sleep 1000";
    let output = vm(&["--silence", "15"], &["sh", "-c", script], b"");
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(output.stdout, b"before\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gave no sign for 15 s"), "{said}");
    // Without a word of its command a guest lives as long as it says so.
    let output = vm(&["--silence", "15"], &["sleep", "40"], b"");
    assert_eq!(output.status.code(), Some(0));
}

/// A suite of the guest that takes seconds, with a panic of its guest.
fn suite_with_panic(how: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args([
            "test",
            "vm_oom_story",
            "--kernel",
            "6.12",
            "--panic-guest",
            how,
        ])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_suite_whose_guest_panics_once_is_run_again_and_counted() {
    let (code, stdout, stderr) = suite_with_panic("once");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(
        stderr.contains("panicked") && stderr.contains("sysrq"),
        "{stderr}"
    );
    let counted = "1 guest restarted: vm_oom_story on kernel 6.12";
    assert!(stdout.lines().any(|line| line == counted), "{stdout}");
    let line = last_line(&stdout);
    assert!(!line.starts_with("0 passed"), "{line}");
    assert!(line.ends_with(" passed, 0 failed, 0 skipped"), "{line}");
}

#[test]
fn a_suite_whose_guest_panics_again_has_failed() {
    let (code, stdout, stderr) = suite_with_panic("always");
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let failed = "failed: vm_oom_story: the guest died twice (kernel 6.12)";
    assert!(stdout.lines().any(|line| line == failed), "{stdout}");
    assert_eq!(last_line(&stdout), "0 passed, 1 failed, 0 skipped");
}

/// Processes below `ancestor`, each with its command line.
fn descendants(ancestor: u32) -> HashMap<u32, String> {
    let parent = |pid: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok()
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let below = |pid: &u32| {
        std::iter::successors(parent(*pid), |&pid| parent(pid)).any(|pid| pid == ancestor)
    };
    let command = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(below)
        .map(|pid| {
            (
                pid,
                String::from_utf8_lossy(&command(pid)).replace('\0', " "),
            )
        })
        .collect()
}

#[test]
fn an_interrupt_ends_all_guests_of_a_test_run() {
    // A process group of its own, as a shell with job control makes it.
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["test", "vm_oom_story"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.starts_with("kernel suites: in the virtual machine"))
        .expect("a guest");
    let deadline = Instant::now() + Duration::from_mins(5);
    let guests = loop {
        let below = descendants(pid);
        let guests: Vec<u32> = below
            .iter()
            .filter(|(_, command)| command.contains("-accel"))
            .map(|(pid, _)| *pid)
            .collect();
        if guests.len() == 2 {
            break guests;
        }
        assert!(Instant::now() < deadline, "no two guests: {below:?}");
        thread::sleep(Duration::from_millis(50));
    };
    let group = format!("-{pid}");
    let sent = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for guest in guests {
        let command = fs::read_to_string(format!("/proc/{guest}/cmdline")).unwrap_or_default();
        assert!(!command.contains("-accel"), "{guest} is left: {command}");
    }
    let summary = lines
        .map_while(Result::ok)
        .find(|line| line.contains(" passed, "));
    assert_eq!(summary, None);
}
