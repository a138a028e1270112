//! What can be refused without a kernel's help is refused in one clear sentence, with the right exit code.

use std::process::{Command, Output};

use serde_json::Value;

fn ringfence(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn bad_values_are_refused_with_2_and_named() {
    for (arguments, says) in [
        (&["run", "-m", "0", "--", "true"][..], "less than one page"),
        (&["run", "-m", "-5m", "--", "true"], "-5m"),
        (
            &["run", "-m", "12parsecs", "--", "true"],
            "`12parsecs` is not a size",
        ),
        (
            &["run", "-m", "99999999999999999999", "--", "true"],
            "is not a size",
        ),
        (
            &["run", "--memory-swap", "lots", "--", "true"],
            "`lots` is not a size",
        ),
        (
            &["run", "--cpus", "0", "--", "true"],
            "`0` is not a number of CPUs",
        ),
        (
            &["run", "--pids-limit", "0", "--", "true"],
            "`0` is not a number of processes",
        ),
        (
            &["run", "--cpu-weight", "10001", "--", "true"],
            "`10001` is not a weight",
        ),
        (
            &["run", "--device-write-bps", "vda:1m", "--", "true"],
            "`vda:1m` is not a device with a rate",
        ),
        (
            &["run", "-n", "../x", "--", "true"],
            "`../x` cannot be a name",
        ),
        (
            &["run", "-w", "relative", "--", "true"],
            "must be an absolute path",
        ),
        (&["run"], "Usage"),
        (&["top", "--interval", "-1"], "-1"),
        (&["top", "--interval", "soon"], "soon"),
        (&["bogus"], "bogus"),
    ] {
        let output = ringfence(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(says),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_bad_file_is_refused_with_125_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(
        &file,
        "[workload.a]\ncommand = ['x']\nmemory = '12\x1b[2Jparsecs'\n"
            .replace('\x1b', "\\u001b")
            .replace('\'', "\""),
    )
    .unwrap();
    let output = ringfence(&["up", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(125));
    let said = stderr(&output);
    assert!(said.contains("bad.toml:3:10: "), "{said}");
    assert!(!said.contains('\x1b'), "{said:?}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let output = ringfence(&["up", "/no/such.toml"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        stderr(&output).contains("read /no/such.toml: No such file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_doctor_and_the_launcher_agree() {
    let output = ringfence(&["doctor", "--json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    let lacking = |finding: &&Value| finding["state"] == "lacking";
    assert_eq!(
        output.status.code(),
        Some(i32::from(findings.iter().any(|finding| lacking(&finding))))
    );
    for finding in findings.iter().filter(lacking) {
        assert!(finding["mend"].is_string(), "{finding}");
    }
    let mode = findings
        .iter()
        .find(|finding| finding["name"] == "cgroup mode")
        .unwrap();
    if lacking(&mode) {
        let output = ringfence(&["run", "--", "true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(
            stderr(&output).contains("ringfence doctor"),
            "{}",
            stderr(&output)
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}
