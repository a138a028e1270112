//! `up` and `demo` on a real kernel: limits are met, what dies is started again, and nothing is left.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::dashboard::Dashboard;
use support::{Done, Host, SLICE, binary, end_of, is_full, read, wait_until};

fn ringfence(arguments: &[&str]) -> Done {
    let mut command = Command::new(binary());
    Done::from(
        command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("ringfence"),
    )
}

/// Writes a file for `up`.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    file
}

/// The closing summary: by workload and column.
fn summary(stdout: &str) -> HashMap<String, HashMap<String, String>> {
    let mut lines = stdout
        .lines()
        .skip_while(|line| !line.starts_with("WORKLOAD"));
    let titles: Vec<&str> = lines
        .next()
        .expect("a summary")
        .split_whitespace()
        .collect();
    lines
        .map(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(words.len(), titles.len(), "{line}");
            let columns = titles
                .iter()
                .map(ToString::to_string)
                .zip(words.iter().cloned());
            (words[0].clone(), columns.collect())
        })
        .collect()
}

#[test]
fn the_demo_meets_every_limit_and_leaves_nothing() {
    let host = Host::new();
    // On a busy host it takes longer until everything has met its limit.
    let mut demo = Command::new(binary());
    demo.args(["demo", "--plain", "--duration", "300"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut demo = demo.spawn().expect("ringfence");
    let mut said = String::new();
    let mut lines = BufReader::new(demo.stdout.take().expect("piped"));
    let mut tables = 0;
    let mut restarted = false;
    while tables < 20 || !restarted {
        let begin = said.len();
        assert_ne!(lines.read_line(&mut said).expect("a line"), 0, "{said}");
        let line = &said[begin..];
        tables += usize::from(line.starts_with("NAME "));
        restarted |= line.contains("leaker  starts again in 1s");
    }
    kill(Pid::from_raw(demo.id().cast_signed()), Signal::SIGINT).expect("kill");
    lines.read_to_string(&mut said).expect("the summary");
    let done = Done::from(demo.wait_with_output().expect("its end"));
    assert_eq!((done.code, &*done.stderr), (0, ""), "{said}");
    host.assert_clean("the demo");

    let said = &said;
    let told = |words: &[&str]| {
        said.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        told(&[
            "OOM kill  leaker  pid ",
            " (1 inside) ringfence",
            "limit memory.max 64M of leaker"
        ]),
        "{said}"
    );
    assert!(
        told(&["leaker  ended with 137"]) && told(&["leaker  starts again in 1s"]),
        "{said}"
    );
    assert!(told(&["/careless", "no-limit!"]), "{said}");
    assert!(
        told(&["forker  holding 15 of 40 children: fork: "]),
        "{said}"
    );

    let summary = summary(said);
    let number = |workload: &str, column: &str| -> f64 {
        let word = &summary[workload][column];
        let digits = word
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches('%');
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{workload} {column}: {word}\n{said}"))
    };
    let mean = number("spinner", "MEAN");
    // Half a cpu is the most. A busy host gives its guest less, so the least is only that it ran.
    assert!((25.0..=55.0).contains(&mean), "{mean} %\n{said}");
    assert!(number("spinner", "THROTTLED") > 50.0, "{said}");
    assert!(
        number("leaker", "OOM") >= 1.0 && number("leaker", "RESTARTS") >= 1.0,
        "{said}"
    );
    assert!(summary["leaker"]["MEMORY"].ends_with("/64M"), "{said}");
    assert!(number("forker", "REFUSED") > 0.0, "{said}");
    assert_eq!(summary["forker"]["PIDS"], "16/16", "{said}");
    assert!(summary["writer"]["WRITTEN/s"].ends_with("/2M"), "{said}");
    assert!(summary["careless"]["MEMORY"].ends_with("/max"), "{said}");
}

#[test]
fn a_writer_is_held_to_its_rate_by_the_kernel() {
    let host = Host::new();
    let flags = ["-m", "64m", "--device-write-bps", "/var/lib:1m"];
    let script =
        "echo ready; exec dd if=/dev/zero of=/tmp/x bs=256k count=16 conv=fsync 2>/dev/null";
    let start = std::time::Instant::now();
    let workload = host.start("writer", &flags, script);
    assert!(
        workload.read("io.max").contains("wbps=1048576"),
        "{}",
        workload.read("io.max")
    );
    assert_eq!(workload.finish().code, 0);
    // 4 MiB at 1 MiB a second.
    let took = start.elapsed().as_secs_f64();
    assert!((2.5..20.0).contains(&took), "{took} s");
}

#[test]
fn leaving_stops_with_term_and_waits_for_the_handler() {
    let _host = Host::new();
    let file = file(
        "[workload.polite]\n\
         command = ['sh', '-c', 'trap \"echo got TERM; sleep 0.3; echo bye; exit 0\" TERM; echo ready; while :; do sleep 0.1; done']\n\
         memory = '16m'\n\
         [workload.other]\ncommand = ['sleep', '1000']\nmemory = '16m'\n",
    );
    let mut up = Command::new(binary())
        .args(["up", "--plain", file.path().to_str().expect("utf-8")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ringfence");
    let mut lines = BufReader::new(up.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    assert!(
        lines
            .by_ref()
            .any(|line| line.ends_with("event: polite  ready"))
    );
    let leaf = format!("{SLICE}/polite");
    assert_eq!(read(format!("{leaf}/memory.max")), "16777216");
    kill(Pid::from_raw(up.id().cast_signed()), Signal::SIGTERM).expect("kill");
    assert_eq!(up.wait().expect("wait").code(), Some(0));
    let rest: Vec<String> = lines.collect();
    for line in ["polite  got TERM", "polite  bye", "polite  ended with 0"] {
        assert!(rest.iter().any(|said| said.ends_with(line)), "{rest:#?}");
    }
    assert!(
        rest.iter().any(|line| line.starts_with("polite ")),
        "{rest:#?}"
    );
}

#[test]
fn it_ends_by_itself_when_all_workloads_have() {
    let _host = Host::new();
    let file = file(
        "[workload.a]\ncommand = ['sh', '-c', 'echo hello from a']\n\
         [workload.b]\ncommand = ['sh', '-c', 'exit 3']\n",
    );
    let done = ringfence(&["up", "--plain", file.path().to_str().expect("utf-8")]);
    assert_eq!(done.code, 0, "{done:?}");
    for line in [
        "event: a  hello from a",
        "event: a  ended with 0",
        "warning: b  ended with 3",
    ] {
        assert!(done.stdout.contains(line), "{line}\n{}", done.stdout);
    }
}

#[test]
fn workloads_end_with_an_up_that_was_killed() {
    let host = Host::new();
    let file = file("[workload.orphan]\ncommand = ['sleep', '1000']\nmemory = '16m'\n");
    let mut up = Command::new(binary())
        .args(["up", "--plain", file.path().to_str().expect("utf-8")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("ringfence");
    let procs = format!("{SLICE}/orphan/cgroup.procs");
    wait_until("the workload", || {
        fs::read_to_string(&procs).is_ok_and(|pids| !pids.is_empty())
    });
    up.kill().expect("kill");
    up.wait().expect("wait");
    wait_until("the end of the workload", || {
        !fs::exists(format!("{SLICE}/orphan")).expect("stat")
    });
    host.assert_clean("the kill");
}

#[test]
fn who_says_more_than_is_read_waits_within_its_own_fence() {
    let host = Host::new();
    let file = file("[workload.chatter]\ncommand = ['yes']\nmemory = '16m'\n");
    let path = file.path().to_str().expect("utf-8");
    let mut up = Command::new(binary())
        .args(["up", "--plain", "--interval", "0.1", path])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ringfence");
    // Nobody reads.
    let count = |file: String, name: &str| -> u64 {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    };
    let usage = || count(format!("{SLICE}/chatter/cpu.stat"), "usage_usec ");
    let said = up.stdout.take().expect("piped");
    wait_until("the workload to wait", || {
        let before = usage();
        // On a busy machine, it may wait for its turn only.
        sleep(Duration::from_millis(500));
        before > 0 && usage() == before && is_full(&said)
    });
    let most = count(format!("/proc/{}/status", up.id()), "VmHWM:");
    assert!((1..64 << 10).contains(&most), "{most} KiB");
    kill(Pid::from_raw(up.id().cast_signed()), Signal::SIGTERM).expect("alive");
    assert_eq!(end_of(&mut up), Some(128 + Signal::SIGTERM as i32));
    wait_until("the end of the workload", || {
        !fs::exists(format!("{SLICE}/chatter")).expect("stat")
    });
    host.assert_clean("the signal");

    // Where somebody looks, it goes on, and so does the dashboard.
    let mut dashboard = Dashboard::start(&["up", path]);
    dashboard.wait("words and figures", |contents| {
        contents.contains("chatter  y") && contents.contains("16M") && contents.contains("● live")
    });
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn a_signal_while_it_starts_stops_what_has_started() {
    let host = Host::new();
    let file = file("[workload.early]\ncommand = ['sleep', '1000']\n");
    let path = file.path().to_str().expect("utf-8");
    for _ in 0..5 {
        let mut up = Command::new(binary())
            .args(["up", "--plain", path])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("ringfence");
        wait_until("the workload", || {
            fs::read_to_string(format!("{SLICE}/early/cgroup.procs"))
                .is_ok_and(|processes| !processes.is_empty())
        });
        kill(Pid::from_raw(up.id().cast_signed()), Signal::SIGTERM).expect("alive");
        assert_eq!(end_of(&mut up), Some(0));
        host.assert_clean("the signal");
    }
}

#[test]
fn what_cannot_start_is_said_and_nothing_is_left() {
    let host = Host::new();
    let nothing = file("[workload.a]\ncommand = ['/no/such/program']\n");
    let done = ringfence(&["up", "--plain", nothing.path().to_str().expect("utf-8")]);
    assert_eq!(done.code, 125, "{done:?}");
    assert!(done.stdout.contains("/no/such/program"), "{done:?}");
    assert!(
        done.stderr
            .contains("none of the workloads could be started"),
        "{done:?}"
    );
    host.assert_clean("a program that is not there");

    // One bad workload, and none is started.
    let device = file(
        "[workload.a]\ncommand = ['sleep', '1000']\n\
         [workload.b]\ncommand = ['true']\ndevice-write-bps = ['/dev/nothing:1m']\n",
    );
    let done = ringfence(&["up", "--plain", device.path().to_str().expect("utf-8")]);
    assert_eq!(done.code, 125, "{done:?}");
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("/dev/nothing"), "{done:?}");
}

#[test]
fn leaving_the_dashboard_stops_the_workloads_and_says_how_they_fared() {
    let host = Host::new();
    // The leaker waits, so that its first restart is not pushed off the event log at once by those that follow.
    let file = file(
        "[workload.spinner]\ncommand = ['sh', '-c', 'while :; do :; done']\ncpus = 0.2\nmemory = '16m'\n\
         [workload.leaker]\ncommand = ['sh', '-c', 'sleep 5; exec tail /dev/zero']\nmemory = '24m'\nrestart = 'on-failure'\n",
    );
    let mut dashboard = Dashboard::start(&["up", file.path().to_str().expect("utf-8")]);
    dashboard.wait("the kill and the restart", |screen| {
        screen.contains("✖ OOM kill  leaker  pid ") && screen.contains("leaker  starts again in 1s")
    });
    dashboard.wait_for("● spinner");
    dashboard.keys("q");
    dashboard.wait("the summary", |screen| {
        screen.contains("stopping 2 workloads") && screen.contains("WORKLOAD")
    });
    assert!(dashboard.end().success());
    host.assert_clean("the dashboard");
}

#[test]
fn top_shows_something_however_long_the_first_look_takes() {
    let base = Path::new("/sys/fs/cgroup/levels");
    let mut levels = vec![base.to_owned()];
    for _ in 0..900 {
        let next = levels[levels.len() - 1].join("d");
        levels.push(next);
    }
    for level in &levels {
        fs::create_dir(level).unwrap();
    }
    let top = Command::new(binary())
        .args(["top", "--plain", "--duration", "1"])
        .output()
        .unwrap();
    for level in levels.iter().rev() {
        fs::remove_dir(level).unwrap();
    }
    let text = String::from_utf8(top.stdout).unwrap();
    assert!(top.status.success());
    let deepest = "/levels".to_owned() + &"/d".repeat(900);
    assert!(
        text.lines().any(|line| line.starts_with(&deepest)),
        "{}",
        text.len()
    );
}
