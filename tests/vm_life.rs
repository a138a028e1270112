//! The life of detached workloads on a real kernel, as root: `cargo xtask test vm_life`.
//!
//! Every test ends with the check that no cgroup, mount, process, record, log or scratch directory is left.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;
use support::{Host, SLICE, binary, read, wait_until};

/// A handler for TERM, and a word when it is there.
const POLITE: &str = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done";

#[track_caller]
fn inspect(host: &Host, name: &str) -> Value {
    let done = host.verb(&["inspect", "--json", name]);
    let all: Value = serde_json::from_str(&done.ok()).unwrap();
    all[0].clone()
}

#[track_caller]
fn pid(value: &Value) -> Pid {
    Pid::from_raw(value.as_i64().expect("a pid").try_into().unwrap())
}

#[track_caller]
fn wait_for_log(host: &Host, name: &str, word: &str) {
    wait_until(word, || host.verb(&["logs", name]).stdout.contains(word));
}

/// The end of its supervisor: nothing of it runs then.
#[track_caller]
fn wait_for_end(host: &Host, name: &str, code: &str) {
    assert_eq!(host.verb(&["wait", name]).ok(), code);
}

#[test]
fn it_goes_on_by_itself_until_it_is_stopped() {
    let host = Host::new();
    host.detach("web", &["-m", "32m"], POLITE);
    wait_for_log(&host, "web", "ready");
    let seen = inspect(&host, "web");
    assert_eq!(seen["status"]["is"], "running");
    assert_eq!(seen["budget"]["memory.max"], (32 << 20).to_string());
    let supervisor = pid(&seen["supervisor"]["pid"]);
    // Nobody's child here, and in no session of ours.
    let stat = read(format!("/proc/{supervisor}/stat"));
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    assert_ne!(fields[1], std::process::id().to_string());
    assert_eq!(fields[3], supervisor.to_string());
    let listed = host.verb(&["ps"]).ok();
    let line = listed
        .lines()
        .find(|line| line.starts_with("web "))
        .unwrap();
    assert!(line.contains(" up ") && line.contains("/32M"), "{line}");
    assert!(line.contains(&seen["status"]["pid"].to_string()), "{line}");

    assert_eq!(host.verb(&["stop", "web"]).ok(), "web");
    assert!(!Path::new(SLICE).join("web").exists());
    assert_eq!(host.verb(&["ps", "-q"]).ok(), "");
    assert_eq!(host.verb(&["ps", "-aq"]).ok(), "web");
    assert_eq!(inspect(&host, "web")["status"]["code"], 3);
    assert_eq!(host.verb(&["logs", "web"]).ok(), "ready\nbye");
    wait_for_end(&host, "web", "3");
    assert_eq!(host.verb(&["rm", "web"]).ok(), "web");
    host.verb(&["logs", "web"])
        .fails(125, &["no workload `web`"]);
}

#[test]
fn the_end_of_who_started_it_is_nothing_to_it() {
    let host = Host::new();
    let names: Vec<String> = (0..10).map(|number| format!("long{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let flags: &[&str] = if number % 2 == 0 { &["--init"] } else { &[] };
        host.detach(name, flags, "exec sleep 1000");
    }
    thread::sleep(Duration::from_millis(500));
    assert_eq!(host.verb(&["ps", "-q"]).ok(), names.join("\n"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    host.verb(&[&["rm", "-f"], &names[..]].concat()).ok();
}

#[test]
fn its_supervisor_is_small() {
    let host = Host::new();
    host.detach("small", &[], "sleep 1000");
    let supervisor = pid(&inspect(&host, "small")["supervisor"]["pid"]);
    let rollup = read(format!("/proc/{supervisor}/smaps_rollup"));
    let kib = |key: &str| -> u64 {
        let line = rollup
            .lines()
            .find(|line| line.starts_with(key))
            .expect(key);
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // What it has for itself; its code is in the page cache once for all.
    let own = kib("Private_Dirty");
    println!("private {own} KiB, resident {} KiB", kib("Rss"));
    assert!(own < 1024, "{rollup}");
    assert_eq!(read(format!("/proc/{supervisor}/oom_score_adj")), "-998");
    let init = pid(&inspect(&host, "small")["status"]["pid"]);
    assert_eq!(read(format!("/proc/{init}/oom_score_adj")), "0");
    host.verb(&["rm", "-f", "small"]).ok();
}

#[test]
fn who_ignores_term_is_killed_after_the_grace_that_was_asked_for() {
    let host = Host::new();
    let deaf = "trap : TERM; echo ready; while :; do sleep 0.1; done";
    host.detach("deaf", &["--stop-timeout", "1000"], deaf);
    wait_for_log(&host, "deaf", "ready");
    let start = Instant::now();
    host.verb(&["stop", "-t", "1", "deaf"]).ok();
    assert!(start.elapsed() >= Duration::from_secs(1));
    wait_for_end(&host, "deaf", "137");
    host.verb(&["rm", "deaf"]).ok();
    // And at once.
    host.detach("deaf", &["--stop-timeout", "1000"], deaf);
    wait_for_log(&host, "deaf", "ready");
    assert_eq!(host.verb(&["kill", "deaf"]).ok(), "deaf");
    wait_for_end(&host, "deaf", "137");
    host.verb(&["rm", "deaf"]).ok();
}

#[test]
fn a_signal_reaches_its_first_process() {
    let host = Host::new();
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.1; done";
    host.detach("one", &[], script);
    wait_for_log(&host, "one", "ready");
    assert_eq!(host.verb(&["kill", "-s", "HUP", "one"]).ok(), "one");
    wait_for_log(&host, "one", "hup");
    // While it forks, a shell holds all signals back for a moment: then nothing is sure, and nothing is said.
    wait_until("what is said of USR1", || {
        let told = host.verb(&["kill", "-s", "USR1", "one"]);
        assert_eq!(told.code, 0);
        told.stderr.contains("no handler for USR1")
    });
    host.verb(&["kill", "-s", "NONSENSE", "one"])
        .fails(2, &["no such signal"]);
    assert_eq!(inspect(&host, "one")["status"]["is"], "running");
    host.verb(&["rm", "one"])
        .fails(125, &["still there", "ringfence stop one"]);
    host.verb(&["rm", "-f", "one"]).ok();
}

#[test]
fn what_it_says_is_kept_in_order_and_within_bounds() {
    let host = Host::new();
    host.detach("talk", &[], "echo out; echo err >&2; printf half");
    wait_for_end(&host, "talk", "0");
    let done = host.verb(&["logs", "talk"]);
    assert_eq!((&*done.stdout, &*done.stderr), ("out\nhalf", "err\n"));
    let stamped = host.verb(&["logs", "-t", "talk"]).stdout;
    assert!(
        stamped.starts_with("20") && stamped.contains("Z out\n"),
        "{stamped}"
    );
    assert_eq!(
        host.verb(&["logs", "--since", "1h", "-n", "1", "talk"])
            .stdout,
        "half"
    );
    assert_eq!(host.verb(&["logs", "--since", "0.001s", "talk"]).stdout, "");
    host.verb(&["rm", "talk"]).ok();

    let flags = ["--log-opt", "max-size=64k", "--log-opt", "max-file=2"];
    host.detach("flood", &flags, "seq 1 100000");
    wait_for_end(&host, "flood", "0");
    let dir = inspect(&host, "flood")["log"].as_str().unwrap().to_owned();
    let files: Vec<_> = fs::read_dir(dir).unwrap().flatten().collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert!(file.metadata().unwrap().len() <= 64 << 10);
    }
    let left = host.verb(&["logs", "flood"]).ok();
    let mut numbers = left.lines().map(|line| line.parse::<u32>().unwrap());
    let first = numbers.next().unwrap();
    assert!(first > 1 && numbers.eq(first + 1..=100_000), "{first}");
    assert_eq!(
        host.verb(&["logs", "-n", "2", "flood"]).ok(),
        "99999\n100000"
    );
    host.verb(&["rm", "flood"]).ok();
}

#[test]
fn logs_are_followed_to_the_end_across_files() {
    let host = Host::new();
    let script = "echo ready; read line </proc/self/fd/0; for i in $(seq 1 2000); do echo line $i; done; echo end";
    // Its stdin is at its end, so it goes on at once; the follower comes sooner or later.
    host.detach(
        "long",
        &["--log-opt", "max-size=8k", "--log-opt", "max-file=100"],
        script,
    );
    let mut follower = Command::new(binary())
        .args(["logs", "-f", "long"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    follower
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(follower.wait().unwrap().success());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines[0], lines.len(), lines[2001]),
        ("ready", 2002, "end"),
        "{text}"
    );
    host.verb(&["rm", "long"]).ok();

    // Live: a line comes before the workload's end.
    host.detach(
        "live",
        &[],
        "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done",
    );
    let mut follower = Command::new(binary())
        .args(["logs", "-f", "-n", "0", "live"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        assert!(lines.next().unwrap().unwrap().starts_with("tick "));
    }
    host.verb(&["stop", "live"]).ok();
    lines.for_each(drop);
    assert!(follower.wait().unwrap().success());
    host.verb(&["rm", "live"]).ok();
}

#[test]
fn its_restarts_and_oom_kills_are_remembered() {
    let host = Host::new();
    let flags = [
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "--restart",
        "on-failure:1",
    ];
    let hook = tempfile::tempdir().unwrap();
    let told = hook.path().join("told");
    let command = format!("echo $RINGFENCE_NAME >> {}", told.display());
    let flags = [&flags[..], &["--on-oom", &command]].concat();
    host.detach("leaker", &flags, "echo life; exec tail /dev/zero");
    wait_for_end(&host, "leaker", "137");
    let seen = inspect(&host, "leaker");
    assert_eq!(
        (&seen["restarts"], &seen["status"]["code"]),
        (&1.into(), &137.into())
    );
    let kills = seen["oom-kills"].as_array().unwrap();
    assert_eq!(kills.len(), 2, "{kills:?}");
    assert_eq!(
        kills[0]["fired"]["value"]["cgroup"]["path"],
        "/ringfence.slice/leaker"
    );
    assert_eq!(host.verb(&["logs", "leaker"]).ok(), "life\nlife");
    assert!(
        host.verb(&["inspect", "leaker"])
            .ok()
            .contains("· limit memory.max 16M of leaker")
    );
    wait_until("the hook", || {
        fs::read_to_string(&told).is_ok_and(|text| text == "leaker\nleaker\n")
    });

    // Started again, with its history.
    host.verb(&["start", "leaker"]).ok();
    wait_for_end(&host, "leaker", "137");
    assert_eq!(
        inspect(&host, "leaker")["oom-kills"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    host.verb(&["rm", "leaker"]).ok();
}

#[test]
fn a_restart_is_a_new_life_of_the_same() {
    let host = Host::new();
    host.detach(
        "again",
        &["--hostname", "same"],
        &format!("hostname; {POLITE}"),
    );
    wait_for_log(&host, "again", "ready");
    let before = inspect(&host, "again");
    host.verb(&["start", "again"]).fails(125, &["runs already"]);
    assert_eq!(host.verb(&["restart", "again"]).ok(), "again");
    let after = inspect(&host, "again");
    assert_ne!(before["status"]["pid"], after["status"]["pid"]);
    assert_eq!(before["created"], after["created"]);
    wait_until("both lives", || {
        host.verb(&["logs", "again"]).stdout == "same\nready\nbye\nsame\nready\n"
    });
    host.verb(&["rm", "-f", "again"]).ok();
}

#[test]
fn paths_are_those_of_where_it_was_started() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/file"), "here\n").unwrap();
    let flags = ["-d", "--name", "near", "-v", "./data:/data:ro"];
    let mut run = host.command(&flags, &["cat", "/data/file"]);
    run.current_dir(folder.path());
    assert_eq!(support::Done::from(run.output().unwrap()).ok(), "near");
    wait_for_end(&host, "near", "0");
    // From anywhere.
    host.verb(&["start", "near"]).ok();
    wait_for_end(&host, "near", "0");
    assert_eq!(host.verb(&["logs", "near"]).ok(), "here\nhere");
    host.verb(&["rm", "near"]).ok();
}

#[test]
fn a_name_is_one_workloads() {
    let host = Host::new();
    host.detach("mine", &[], "sleep 1000");
    let taken = host.run(&["-d", "--name", "mine"], &["true"]);
    taken.fails(125, &["a workload named mine is there already"]);
    host.run(&["--name", "mine"], &["true"])
        .fails(125, &["a workload named mine"]);
    host.verb(&["kill", "mine"]).ok();
    let kept = host.run(&["--name", "mine"], &["true"]);
    kept.fails(125, &["mine has ended and is kept", "ringfence rm mine"]);
    host.verb(&["rm", "mine"]).ok();
    host.run(&["--name", "mine"], &["true"]).ok();
    for verb in [
        "stop", "kill", "rm", "wait", "start", "restart", "logs", "inspect",
    ] {
        host.verb(&[verb, "nobody"])
            .fails(125, &["no workload `nobody`"]);
        host.verb(&[verb, "../scratch"])
            .fails(125, &["no workload `../scratch`"]);
    }
    // Several at once: what fails with one does not keep the others.
    host.detach("one", &[], "sleep 1000");
    host.detach("two", &[], "sleep 1000");
    let done = host.verb(&["kill", "one", "nobody", "two"]);
    done.fails(125, &["no workload `nobody`"]);
    assert_eq!(done.stdout, "one\ntwo\n");
    host.verb(&["rm", "one", "two"]).ok();
}

#[test]
fn what_cannot_start_is_said_and_leaves_nothing() {
    let host = Host::new();
    host.run(&["-d"], &["/no/such"])
        .fails(127, &["/no/such: not found"]);
    host.run(&["-d"], &["/etc/passwd"])
        .fails(126, &["cannot be executed"]);
    host.run(&["-d", "-m", "1"], &["true"])
        .fails(2, &["less than one page"]);
    host.sh(&["-d", "-m", "4096"], "true")
        .fails(137, &["too small"]);
    assert_eq!(host.verb(&["ps", "-aq"]).ok(), "");
}

#[test]
fn with_rm_nothing_is_kept_but_who_waits_hears_of_it() {
    let host = Host::new();
    for code in [0, 7] {
        let folder = tempfile::tempdir().unwrap();
        let volume = format!("{}:/go", folder.path().display());
        let script = format!("until [ -e /go/now ]; do sleep 0.1; done; exit {code}");
        host.detach("brief", &["--rm", "-v", &volume], &script);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let mut wait = Command::new(binary());
                wait.args(["wait", "brief"]).stdout(Stdio::piped());
                wait.spawn().unwrap()
            })
            .collect();
        // Each is past its look at the record by now, or it fails.
        thread::sleep(Duration::from_secs(1));
        fs::write(folder.path().join("now"), "").unwrap();
        for waiter in waiters {
            let output = waiter.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{code}\n"));
        }
        wait_until("its removal", || {
            host.verb(&["ps", "-aq"]).stdout.is_empty()
        });
    }
}

#[test]
fn frozen_it_stands_still_and_can_be_stopped_all_the_same() {
    let host = Host::new();
    host.detach("ice", &[], POLITE);
    wait_for_log(&host, "ice", "ready");
    assert!(
        host.verb(&["freeze", "ice"])
            .ok()
            .starts_with("froze /ringfence.slice/ice")
    );
    assert!(read(Path::new(SLICE).join("ice/cgroup.events")).contains("frozen 1"));
    assert!(host.verb(&["ps"]).ok().contains("frozen, up"));
    host.verb(&["exec", "ice", "true"])
        .fails(125, &["ice is frozen", "ringfence thaw ice"]);
    host.verb(&["thaw", "ice"]);
    assert!(read(Path::new(SLICE).join("ice/cgroup.events")).contains("frozen 0"));
    host.verb(&["freeze", "ice"]);
    // Its handler runs: it is let go on first.
    host.verb(&["stop", "ice"]).ok();
    wait_for_end(&host, "ice", "3");
    host.verb(&["rm", "ice"]).ok();
}

#[test]
fn exec_is_within_every_fence_and_the_budget() {
    let host = Host::new();
    let flags = [
        "-m",
        "64m",
        "--hostname",
        "box",
        "-e",
        "WHO=me",
        "-w",
        "/srv",
        "--cap-drop",
        "NET_RAW",
    ];
    host.detach("inner", &flags, "echo 1 >/srv/file; exec sleep 1000");
    let exec = |args: &[&str], script: &str| {
        host.verb(&[&["exec"], args, &["inner", "sh", "-c", script]].concat())
    };
    wait_until("the file", || exec(&[], "cat /srv/file").stdout == "1\n");
    assert_eq!(
        exec(
            &[],
            "hostname; pwd; echo $WHO; cat /proc/self/cgroup; cat file"
        )
        .ok(),
        "box\n/srv\nme\n0::/\n1"
    );
    assert_eq!(
        exec(&["-w", "/", "-e", "WHO=you"], "pwd; echo $WHO").ok(),
        "/\nyou"
    );
    // The same namespaces, down to the inode, and the same limits to what it may do.
    let facts = "for n in pid mnt net uts ipc user cgroup time; do readlink /proc/self/ns/$n; done; \
                 grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status";
    let init = "for n in pid mnt net uts ipc user cgroup time; do readlink /proc/1/ns/$n; done; \
                grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/1/status";
    assert_eq!(exec(&[], facts).ok(), exec(&[], init).ok());
    assert_eq!(exec(&[], "ls /proc/self/fd | wc -l").ok(), "4");
    assert_eq!(
        exec(&[], "id -u; id -G; cat /proc/self/uid_map").ok(),
        exec(&[], "echo 0; echo 0; cat /proc/1/uid_map").ok()
    );
    assert_eq!(exec(&["-u", "1000:50"], "id -u; id -g").ok(), "1000\n50");
    // In its leaf: counted, and killed, with it.
    let in_leaf = Path::new(SLICE).join("inner/cgroup.procs");
    let mut long = Command::new(binary())
        .args(["exec", "inner", "sleep", "1000"])
        .spawn()
        .unwrap();
    wait_until("a second process", || read(&in_leaf).lines().count() == 2);
    // Exit codes are a run's.
    assert_eq!(exec(&[], "exit 9").code, 9);
    assert_eq!(exec(&[], "kill -9 $$").code, 137);
    host.verb(&["exec", "inner", "no-such"])
        .fails(127, &["no-such: not found in PATH"]);
    host.verb(&["exec", "inner", "/etc/passwd"])
        .fails(126, &["cannot be executed"]);
    host.verb(&["exec", "-w", "/nowhere", "inner", "true"])
        .fails(125, &["enter working directory /nowhere"]);
    // Who asked for it dies: so does it.
    long.kill().unwrap();
    long.wait().unwrap();
    wait_until("its end", || read(&in_leaf).lines().count() == 1);
    // The workload ends: so does it.
    let mut long = Command::new(binary())
        .args(["exec", "inner", "sleep", "1000"])
        .spawn()
        .unwrap();
    wait_until("a second process", || read(&in_leaf).lines().count() == 2);
    host.verb(&["kill", "inner"]).ok();
    assert_eq!(support::end_of(&mut long), Some(137));
    exec(&[], "true").fails(125, &["inner does not run"]);
    host.verb(&["rm", "inner"]).ok();
}

#[test]
fn exec_hands_on_input_and_gives_a_terminal() {
    let host = Host::new();
    host.detach("term", &["-t"], "echo on a terminal; exec sleep 1000");
    wait_for_log(&host, "term", "on a terminal");
    let mut exec = Command::new(binary());
    exec.args(["exec", "-i", "term", "cat"]);
    assert_eq!(support::with_input(exec, b"in and out").ok(), "in and out");
    assert!(
        host.verb(&["exec", "-t", "term", "sh", "-c", "tty; stty size"])
            .stdout
            .contains("/dev/pts/")
    );
    host.verb(&["rm", "-f", "term"]).ok();
}

#[test]
fn foreground_workloads_are_known_too() {
    let host = Host::new();
    let workload = host.start("front", &[], POLITE);
    assert_eq!(host.verb(&["ps", "-q"]).ok(), "front");
    assert_eq!(host.verb(&["exec", "front", "echo", "hi"]).ok(), "hi");
    host.verb(&["logs", "front"])
        .fails(125, &["front is not detached"]);
    host.verb(&["restart", "front"])
        .fails(125, &["not detached"]);
    host.verb(&["stop", "front"]).ok();
    assert_eq!(workload.finish().code, 3);
    assert_eq!(host.verb(&["ps", "-aq"]).ok(), "");
}

/// Kills the supervisors of workloads, and waits for their end.
fn kill_supervisors(host: &Host, names: &[&str]) {
    let supervisor = |name: &&str| pid(&inspect(host, name)["supervisor"]["pid"]);
    let supervisors: Vec<_> = names.iter().map(supervisor).collect();
    for supervisor in supervisors {
        kill(supervisor, Signal::SIGKILL).unwrap();
        wait_until("its end", || {
            !Path::new(&format!("/proc/{supervisor}")).exists()
        });
    }
}

#[test]
fn a_killed_supervisor_takes_all_with_it_and_the_next_command_says_so() {
    let host = Host::new();
    host.detach("kept", &[], "echo word; exec sleep 1000");
    host.detach("gone", &["--rm"], "sleep 1000");
    wait_for_log(&host, "kept", "word");
    kill_supervisors(&host, &["kept", "gone"]);
    let told = host.verb(&["ps", "-a"]);
    told.fails(0, &["kept: its supervisor was killed"]);
    told.fails(0, &["gone: its supervisor was killed"]);
    assert!(
        told.stdout.contains("ended (137)") && !told.stdout.contains("gone"),
        "{told:?}"
    );
    assert!(!Path::new(SLICE).exists());
    let seen = inspect(&host, "kept");
    assert_eq!(seen["status"]["why"], "its supervisor was killed");
    assert_eq!(host.verb(&["logs", "kept"]).ok(), "word");
    // Nobody who waits does so for ever.
    host.verb(&["start", "kept"]).ok();
    let waiter = Command::new(binary())
        .args(["wait", "kept"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    kill_supervisors(&host, &["kept"]);
    let output = waiter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "137\n");
    host.verb(&["rm", "kept"]).ok();
    // A start is such a command too.
    host.detach("gone", &["--rm"], "sleep 1000");
    kill_supervisors(&host, &["gone"]);
    let again = host.sh(&["-d", "--rm", "--name", "gone"], "sleep 1000");
    again.fails(0, &["gone: its supervisor was killed"]);
    assert_eq!(again.stdout, "gone\n");
    host.verb(&["rm", "-f", "gone"]).ok();
}

#[test]
fn told_to_stop_while_it_writes_its_record_it_does_not_die_of_that() {
    let host = Host::new();
    host.detach("early", &[], "exit 0");
    assert_eq!(host.verb(&["wait", "early"]).ok(), "0");
    // A record that cannot be written on holds its supervisor there.
    let record = Path::new("/run/ringfence/workloads/early/state.new");
    mkfifo(record, Mode::S_IRWXU).unwrap();
    let mut start = Command::new(binary())
        .args(["start", "early"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", start.id());
    let supervisor = || Some(Pid::from_raw(read(&children).trim().parse().ok()?));
    let is_held = || {
        let at = format!("/proc/{}/syscall", supervisor().unwrap_or(Pid::this()));
        let opens = format!("{} ", libc::SYS_openat);
        fs::read_to_string(at).is_ok_and(|at| at.starts_with(&opens))
    };
    wait_until("the supervisor at its record", is_held);
    let supervisor = supervisor().unwrap();
    kill(supervisor, Signal::SIGTERM).unwrap();
    let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    let term = 1 << (Signal::SIGTERM as u64 - 1);
    assert_ne!(mask("SigBlk:") & term, 0, "{status}");
    assert_ne!(mask("ShdPnd:") & term, 0, "{status}");
    kill(supervisor, Signal::SIGKILL).unwrap();
    assert!(!start.wait().unwrap().success());
    // The record is the one before.
    assert_eq!(inspect(&host, "early")["status"]["is"], "ended");
    host.verb(&["rm", "early"]).ok();
}

#[test]
fn what_ran_once_is_kept_though_it_cannot_be_started_again() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let layer = folder.path().join("layer");
    fs::create_dir(&layer).unwrap();
    let layer = layer.to_str().unwrap();
    host.detach("once", &["--layer-dir", layer], "echo said; exit 0");
    assert_eq!(host.verb(&["wait", "once"]).ok(), "0");
    host.detach("holds", &["--layer-dir", layer], "sleep 1000");
    host.verb(&["start", "once"])
        .fails(125, &["takes the writes of another workload"]);
    let ended = inspect(&host, "once");
    assert_eq!(ended["status"]["is"], "ended");
    assert_eq!(ended["status"]["code"], 125);
    assert_eq!(ended["status"]["why"], "it could not be started again");
    assert_eq!(host.verb(&["logs", "once"]).ok(), "said");
    // So does one whose record is from before it said whether its program ran.
    let state = "/run/ringfence/workloads/once/state.json";
    let record = read(state).replace("\"ran\":true,", "");
    assert!(!record.contains("\"ran\""), "{record}");
    fs::write(state, record).unwrap();
    assert_eq!(host.verb(&["logs", "once"]).ok(), "said");
    host.verb(&["rm", "-f", "holds"]).ok();
    host.verb(&["start", "once"]).ok();
    host.verb(&["wait", "once"]).ok();
    assert_eq!(host.verb(&["logs", "once"]).ok(), "said\nsaid");
    host.verb(&["rm", "once"]).ok();
}

#[test]
fn many_commands_at_once_never_see_half_a_record() {
    let host = Host::new();
    host.detach("busy", &["--restart", "always"], "exit 0");
    let start = Instant::now();
    let threads: Vec<_> = (0..6)
        .map(|number| {
            thread::spawn(move || {
                let mut looks = 0;
                while start.elapsed() < Duration::from_secs(6) {
                    let verb: &[&str] = match number {
                        0 | 1 => &["inspect", "--json", "busy"],
                        2 => &["ps", "-a", "--json"],
                        // Refused while it is there, or starts it when it is not.
                        3 => &["run", "--name", "busy", "--", "true"],
                        4 => &["restart", "-t", "0", "busy"],
                        _ => &["kill", "busy"],
                    };
                    let output = Command::new(binary()).args(verb).output().unwrap();
                    let text = String::from_utf8_lossy(&output.stdout);
                    if number < 3 && output.status.success() {
                        let all: Value = serde_json::from_str(&text).unwrap();
                        assert_eq!(all[0]["name"], "busy", "{text}");
                    }
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(
                        !said.contains("understand") && !said.contains("panicked"),
                        "{verb:?} {said}"
                    );
                    if number < 2 {
                        assert!(output.status.success(), "{verb:?}: {said}");
                    }
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap() > 0);
    }
    host.verb(&["rm", "-f", "busy"]).ok();
}

#[test]
fn inspect_lists_the_fences_as_the_kernel_has_them() {
    let host = Host::new();
    host.detach(
        "fenced",
        &["-m", "32m", "--read-only", "--tmpfs", "/tmp"],
        "sleep 1000",
    );
    let seen = inspect(&host, "fenced");
    let fences = &seen["fences"];
    let spaces = fences["namespaces"].as_array().unwrap();
    for space in spaces {
        let own = space["kind"] != "time";
        assert_eq!(space["host"], !own, "{space}");
    }
    assert_eq!(fences["no-new-privs"], true);
    assert!(fences["filters"].as_u64().unwrap() >= 1);
    assert_eq!(fences["capabilities"].as_array().unwrap().len(), 14);
    assert_eq!(fences["root"]["kind"], "overlay");
    assert_eq!(fences["root"]["read-only"], true);
    let text = host.verb(&["inspect", "fenced"]).ok();
    for words in [
        "its own: pid mnt net uts ipc user cgroup",
        "the host's, so no fence: time",
        "root           overlay, read-only: /\n",
        "/proc/kcore",
        "14 of",
        "no_new_privs   yes",
        "memory.max     33554432",
        "Namespaces alone are no security boundary",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    host.verb(&["rm", "-f", "fenced"]).ok();
    let flags = ["-d", "--name", "open", "--privileged", "--net", "host"];
    host.sh(&flags, "sleep 1000")
        .fails(0, &["privileged: every capability"]);
    let text = host.verb(&["inspect", "open"]);
    assert!(
        text.stdout.contains("no filter of system calls"),
        "{text:?}"
    );
    assert!(text.stdout.contains("the host's: no fence"), "{text:?}");
    host.verb(&["rm", "-f", "open"]).ok();
}
