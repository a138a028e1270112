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
        let output = ringfence(&["run", "-m", "64m", "--", "true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(
            stderr(&output).contains("ringfence doctor"),
            "{}",
            stderr(&output)
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}

/// `ringfence` with a configuration folder of its own.
fn at_home(folder: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(arguments)
        .env("XDG_CONFIG_HOME", folder)
        .output()
        .unwrap()
}

#[test]
fn the_configuration_is_written_once_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let file = home.join("ringfence/config.toml");
    let check = at_home(home, &["config", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(
        String::from_utf8_lossy(&check.stdout).starts_with("# no file: these are the defaults")
    );

    let init = at_home(home, &["config", "init"]);
    assert!(init.status.success(), "{}", stderr(&init));
    assert_eq!(
        String::from_utf8_lossy(&init.stdout).trim(),
        file.to_str().unwrap()
    );
    let again = at_home(home, &["config", "init"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("--force overwrites it"),
        "{}",
        stderr(&again)
    );

    std::fs::write(&file, "theme = 'light'\n[keys]\nquit = ['ctrl-q']\n").unwrap();
    let check = at_home(home, &["config", "check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(
        said.contains("theme = \"light\"") && said.contains("quit = [\"ctrl-q\"]"),
        "{said}"
    );

    let forced = at_home(home, &["config", "init", "--force"]);
    assert!(forced.status.success(), "{}", stderr(&forced));
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("# theme = \"auto\"")
    );
}

#[test]
fn a_bad_configuration_is_refused_with_2_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringfence/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "thme = 'dark'\n[keys]\nquit = ['k']\n").unwrap();
    let check = at_home(folder.path(), &["config", "check"]);
    assert_eq!(check.status.code(), Some(2));
    let said = stderr(&check);
    assert!(
        said.contains("config.toml:1:1: there is no setting `thme`; did you mean `theme`?"),
        "{said}"
    );
    assert!(
        said.contains("config.toml:3:8: `k` is bound to both `up` and `quit`"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
    for arguments in [&["top"][..], &[], &["demo"], &["up", "/no/such.toml"]] {
        let output = at_home(folder.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("config.toml:1:1: "),
            "{arguments:?}"
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{arguments:?}");
    }
    // One that is named has to be there, and goes before the user's own.
    let output = at_home(folder.path(), &["top", "--config", "/no/such.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("read /no/such.toml: No such file"),
        "{}",
        stderr(&output)
    );
    // The arguments are wrong before the configuration is.
    let output = at_home(folder.path(), &["top", "--theme", "drak"]);
    assert!(
        stderr(&output).contains("`drak` is not a theme"),
        "{}",
        stderr(&output)
    );
}
