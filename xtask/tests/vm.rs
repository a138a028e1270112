//! `cargo xtask vm` runs a command as if it ran here: arguments, streams, exit code, files, time limit.

use std::io::Write;
use std::process::{Command, Output, Stdio};
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
    std::fs::write(&added, "added").unwrap();
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
        &["--timeout", "12"],
        &["sh", "-c", "echo before; sleep 1000"],
        b"",
    );
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(output.stdout, b"before\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ended after 12 s"), "{said}");
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
