//! `ringfence events` beside real OOM kills: `cargo xtask test vm_oom_events`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::events::{Events, flood_kernel_log};
use support::own::{Own, survivor};
use support::{Host, binary, end_of, wait_until};

/// Keeps 64 MiB in a workload of 32, as often as it may; each time it lives for some seconds, so that it is seen to have
/// started again.
fn leaker() -> String {
    let binary = binary();
    format!(
        r#"{{"name": "leaker", "memory": "32m", "restart": "on-failure", "stop-timeout": 1,
        "command": ["{}", "load", "memory", "--size", "64m", "--rate", "16m"]}}"#,
        binary.display()
    )
}

fn is(line: &Value, kind: &str, name: &str) -> bool {
    line["kind"] == kind && line["name"] == name
}

#[test]
fn a_kill_and_what_became_of_it_are_told_in_words_and_in_json() {
    let host = Host::new();
    let mut words = Events::start(&[]);
    let mut json = Events::start(&["--json", "--follow"]);
    // What happens elsewhere is not its business.
    let elsewhere = Events::start(&["/"]);
    let supervisor = host.supervise(&leaker());
    words.line(&[
        "OOM kill  leaker  pid ",
        " (1 inside) ringfence · rss ",
        " · limit memory.max 32M of leaker",
    ]);
    words.line(&["outcome   leaker  PID 1 inside was killed (exit 137); started again within "]);

    let kill = json.object("the kill", |line| is(line, "oom_kill", "leaker"));
    assert_eq!(kill["cgroup"], "/ringfence.slice/leaker");
    assert_eq!((&kill["incident"], &kill["kills"]), (&json!(1), &json!(1)));
    let limit =
        json!({"host": false, "path": "/ringfence.slice/leaker", "own": true, "max": 32 << 20});
    assert_eq!(kill["limit"], limit);
    let victim = &kill["victims"][0];
    assert_eq!(
        (&victim["inner_pid"], &victim["comm"]),
        (&json!(1), &json!("ringfence"))
    );
    let size = |part: &str| victim[part].as_u64().unwrap();
    assert!(size("pid") > 1 && size("anon") > 24 << 20, "{victim}");
    assert_eq!(size("rss"), size("anon") + size("file") + size("shmem"));
    // Root inside is nobody outside.
    assert!(size("uid") >= 0x7000_0000, "{victim}");
    assert_eq!(victim["oom_score_adj"], 0);
    assert_eq!(kill["known"]["cgroup"], "event_counter");
    let time = humantime::parse_rfc3339(kill["time"].as_str().unwrap()).unwrap();
    assert!(time.elapsed().unwrap().as_secs() < 60, "{time:?}");
    let outcome = json.object("what became of it", |line| {
        is(line, "outcome", "leaker") && line["outcome"] == "restarted"
    });
    assert_eq!(
        (&outcome["incident"], &outcome["exit"]),
        (&json!(1), &json!(137))
    );
    assert!(outcome["after"].as_f64().unwrap() > 0.0, "{outcome}");

    supervisor.stop();
    json.interrupt();
    words.interrupt();
    assert!(!elsewhere.interrupt().is_empty(), "the root is everything");
}

#[test]
fn a_child_that_dies_at_an_ancestors_limit_leaves_survivors() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("memory.max"), "24M").unwrap();
    own.write("memory.max", "64M");
    let mut events = Events::start(&["above/own", "--json"]);
    fs::create_dir(own.above.join("other")).unwrap();
    let other = Events::start(&["above/other", "--json"]);
    let shell = own.start(&survivor("while :; do sleep 1; done"));
    let kill = events.object("the kill", |line| is(line, "oom_kill", "own"));
    assert_eq!(
        (&kill["limit"]["path"], &kill["limit"]["own"]),
        (&json!("/above"), &json!(false))
    );
    let outcome = events.object("the survivors", |line| is(line, "outcome", "own"));
    assert_eq!(
        (&outcome["outcome"], &outcome["exit"]),
        (&json!("survived"), &json!(null))
    );
    assert!(outcome["left"].as_u64().unwrap() > 0, "{outcome}");
    own.kill(shell);
    events.interrupt();
    // That the limit above both is near concerns both.
    let said = other.interrupt();
    assert!(
        said.iter()
            .all(|line| line.contains(r#""kind":"warning","cgroup":"/above","#)),
        "it is elsewhere: {said:?}"
    );
}

#[test]
fn a_kill_is_told_although_its_cgroup_and_the_one_above_came_and_went_unseen() {
    let host = Host::new();
    let slice = Path::new("/sys/fs/cgroup/ringfence.slice");
    let other = Path::new("/sys/fs/cgroup/elsewhere");
    fs::create_dir(other).unwrap();
    let everything = Events::start(&["--json", "/"]);
    let workloads = Events::start(&["--json"]);
    let elsewhere = Events::start(&["--json", "/elsewhere"]);
    let send = |signal| {
        for events in [&everything, &workloads, &elsewhere] {
            events.signal(signal);
        }
    };
    for n in 0..3 {
        wait_until("an empty host", || !slice.exists());
        send(Signal::SIGSTOP);
        let name = format!("unseen{n}");
        let done = host.run(&["--name", &name, "-m", "16m"], &["tail", "/dev/zero"]);
        assert_eq!(done.code, 137, "{done:?}");
        assert!(!slice.exists());
        send(Signal::SIGCONT);
    }
    for mut events in [everything, workloads] {
        for n in 0..3 {
            let name = format!("unseen{n}");
            let kill = events.object(&name, |line| is(line, "oom_kill", &name));
            assert_eq!(kill["victims"][0]["comm"], "tail", "{kill}");
            assert_eq!(kill["limit"]["max"], 16 << 20, "{kill}");
        }
        let more = events.interrupt();
        assert!(
            !more.iter().any(|line| line.contains("oom_kill")),
            "told twice: {more:?}"
        );
    }
    assert_eq!(elsewhere.interrupt(), Vec::<String>::new());
    fs::remove_dir(other).unwrap();
}

#[test]
fn it_ends_when_the_time_is_over_and_when_nobody_reads() {
    let host = Host::new();
    let mut events = Command::new(binary())
        .args(["events", "--duration", "0.5"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(end_of(&mut events), Some(0));
    // Nothing happens that it could fail to write.
    let mut events = Command::new(binary())
        .arg("events")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(events.stdout.take());
    assert_eq!(end_of(&mut events), Some(0));
    host.assert_clean("the readers went away");
}

/// What `events` with these arguments says, to its end.
fn said(arguments: &[&str]) -> Vec<Value> {
    let done = Command::new(binary())
        .args(["events", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The kills among them in this cgroup.
fn kills<'a>(said: &'a [Value], cgroup: &str) -> Vec<&'a Value> {
    let kills = said.iter().filter(|line| line["kind"] == "oom_kill");
    kills.filter(|line| line["cgroup"] == cgroup).collect()
}

#[test]
fn what_was_before_is_told_as_far_as_the_kernel_log_has_it() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "16M");
    let began = SystemTime::now();
    let mut shell = own.start(&survivor("exit 0"));
    shell.wait().unwrap();
    let over = SystemTime::now();
    let rfc3339 = |time| humantime::format_rfc3339_millis(time).to_string();

    // The log's clock and the wall's are read one after the other, on a slow machine.
    let slack = Duration::from_millis(300);
    // By the log's clock, which is ahead of the wall's by some 20 ms, the kill may still be to come.
    sleep(
        (over + slack)
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    );
    let since = rfc3339(began - slack);
    let all = said(&["--since", &since, "--until", "0.01"]);
    let [kill] = kills(&all, "/above/own")[..] else {
        panic!("{all:#?}")
    };
    let time = humantime::parse_rfc3339(kill["time"].as_str().unwrap()).unwrap();
    assert!(
        began - slack < time && time < over + slack,
        "{began:?} {time:?} {over:?}"
    );
    assert_eq!(
        (&kill["name"], &kill["cgroup_id"]),
        (&json!("own"), &json!(null))
    );
    let limit = json!({"host": false, "path": "/above/own", "own": true, "max": 16 << 20});
    assert_eq!(kill["limit"], limit);
    assert_eq!(
        (&kill["victims"][0]["comm"], &kill["kills"]),
        (&json!("tail"), &json!(1))
    );
    assert!(
        kill["memory_stat"]["anon"].as_u64().unwrap() > 8 << 20,
        "{kill}"
    );
    let known = json!({
        "cgroup": "kernel_log", "limit": "kernel_log", "group": null, "memory_stat": "kernel_log"
    });
    assert_eq!(kill["known"], known);
    // Neither elsewhere, nor later, nor before.
    fs::create_dir(own.above.join("other")).unwrap();
    assert_eq!(
        said(&["above/other", "--since", &since, "--until", "0.01"]),
        Vec::<Value>::new()
    );
    sleep(
        (over + slack)
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    );
    let later = ["--since", &rfc3339(over + slack), "--until", "0.01"];
    assert_eq!(kills(&said(&later), "/above/own"), Vec::<&Value>::new());
    let before = ["--since", &rfc3339(began - slack * 2), "--until", &since];
    assert_eq!(kills(&said(&before), "/above/own"), Vec::<&Value>::new());

    // Then it goes on, and nothing is told twice.
    let mut events = Events::start(&["above/own", "--since", &since, "--json"]);
    let is_kill = |line: &Value| is(line, "oom_kill", "own");
    assert_eq!(events.object("the one before", is_kill)["incident"], 1);
    let mut shell = own.start(&survivor("exit 0"));
    shell.wait().unwrap();
    assert_eq!(events.object("the new one", is_kill)["incident"], 2);
    let left = events.interrupt();
    assert!(
        left.iter().all(|line| !line.contains("oom_kill")),
        "{left:?}"
    );

    // What is overwritten is counted all the same, and said to be of no known time.
    flood_kernel_log();
    let all = said(&["above/own", "--since", "1h", "--until", "0.01"]);
    let texts: Vec<&str> = all
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "the kernel log has nothing older: it was overwritten",
            "own: memory.events counts 2 OOM kills of which the kernel log has nothing; when they were is not known",
        ]
    );
}

#[test]
fn who_may_not_read_the_log_is_told() {
    let _host = Host::new();
    let user = Command::new(binary())
        .args(["events", "--since", "1h"])
        .uid(1000)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&user.stderr);
    assert!(
        !user.status.success() && said.contains("what was before cannot be told: open /dev/kmsg: "),
        "{said}"
    );
}
