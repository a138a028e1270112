//! Whose limit it was and who was killed, against what the test itself knows: `cargo xtask test oom-attribution`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::{Events, flood_kernel_log};
use support::own::{Own, start_in, survivor};
use support::{Host, read, wait_until};

/// The next kill in this cgroup.
fn kill_in(events: &mut Events, cgroup: &str) -> Value {
    events.object(cgroup, |line| {
        line["kind"] == "oom_kill" && line["cgroup"] == cgroup
    })
}

fn limit(path: &str, own: bool, max: u64) -> Value {
    json!({"host": false, "path": path, "own": own, "max": max})
}

#[test]
fn its_own_limit_and_a_child_that_is_chosen() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "24M");
    let mut events = Events::start(&["--json"]);
    // The shell knows the pid of its child, and asks for it to be chosen.
    let file = tempfile::tempdir().unwrap();
    let pid = file.path().join("pid");
    let script = format!(
        "(echo 500 >/proc/self/oom_score_adj; exec tail /dev/zero) & echo $! >{}; wait; sleep 2",
        pid.display()
    );
    let shell = own.start(&script);
    let kill = kill_in(&mut events, "/above/own");
    let victim = &kill["victims"][0];
    assert_eq!(victim["pid"].to_string(), read(&pid));
    assert_eq!(
        (&victim["comm"], &victim["inner_pid"]),
        (&json!("tail"), &json!(null))
    );
    assert_eq!(victim["oom_score_adj"], 500);
    assert_eq!(kill["limit"], limit("/above/own", true, 24 << 20));
    assert_eq!((&kill["kills"], &kill["group"]), (&json!(1), &json!(false)));
    // Nothing else has memory there.
    let size = |value: &Value| value.as_u64().unwrap();
    assert!(
        (16 << 20..=24 << 20).contains(&size(&victim["anon"])),
        "{victim}"
    );
    let anon = size(&kill["memory_stat"]["anon"]);
    assert!((16 << 20..=24 << 20).contains(&anon), "{kill}");
    assert_eq!(kill["known"]["memory_stat"], "kernel_log");
    // The shell could have been killed, too: it is smaller, and its score is not raised.
    let candidates: Vec<(&Value, &Value, bool)> = kill["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (&of["comm"], &of["oom_score_adj"], of["killed"] == true))
        .collect();
    assert_eq!(
        candidates,
        [
            (&json!("tail"), &json!(500), true),
            (&json!("sh"), &json!(0), false)
        ]
    );
    assert_eq!(kill["more_candidates"], 0);
    let chosen = &kill["candidates"][0];
    assert!(
        (16 << 20..=25 << 20).contains(&size(&chosen["rss"])),
        "{kill}"
    );
    assert_eq!(kill["asked"]["comm"], "tail");
    assert_eq!(kill["asked"]["pid"], victim["pid"]);
    events.interrupt();
    own.kill(shell);
}

#[test]
fn the_limit_of_an_ancestor_and_a_sibling_that_pays() {
    let _host = Host::new();
    let own = Own::new();
    let sibling = own.above.join("sibling");
    fs::create_dir(&sibling).unwrap();
    fs::write(own.above.join("memory.max"), "32M").unwrap();
    own.write("memory.max", "64M");
    let mut events = Events::start(&["--json"]);
    // The one that holds most dies, although another one asks.
    let holder = start_in(&sibling, "exec ringfence load memory --size 20m");
    let current = || read(sibling.join("memory.current")).parse::<u64>().unwrap();
    wait_until("what it holds", || current() > 20 << 20);
    let asker = own.start("exec head -c 18m /dev/zero | tail");
    let kill = kill_in(&mut events, "/above/sibling");
    assert_eq!(kill["limit"], limit("/above", false, 32 << 20));
    assert_eq!(kill["victims"][0]["pid"], holder.id());
    events.interrupt();
    own.kill(asker);
    let mut holder = holder;
    holder.wait().unwrap();
}

#[test]
fn a_group_dies_together_and_is_one_incident() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "24M");
    own.write("memory.oom.group", "1");
    let mut events = Events::start(&["--json"]);
    let mut shell = own.start("sleep 99 & sleep 99 & exec tail /dev/zero");
    let kill = kill_in(&mut events, "/above/own");
    assert_eq!((&kill["kills"], &kill["group"]), (&json!(3), &json!(true)));
    let victims = kill["victims"].as_array().unwrap();
    let mut comms: Vec<_> = victims
        .iter()
        .map(|victim| victim["comm"].as_str().unwrap())
        .collect();
    assert_eq!(victims[0]["pid"], shell.id(), "the chosen one comes first");
    comms.sort_unstable();
    assert_eq!(comms, ["sleep", "sleep", "tail"]);
    shell.wait().unwrap();
    let left = events.interrupt();
    assert!(
        left.iter().all(|line| !line.contains("oom_kill")),
        "{left:?}"
    );
}

#[test]
fn a_pid_namespace_in_another_has_the_innermost_pid() {
    let host = Host::new();
    let mut events = Events::start(&["--json"]);
    // `unshare` makes one more: its child is 1 there, and the child of that one 2. It lives long enough to be seen before
    // it is killed: afterwards its pid inside may be gone with it.
    let done = host.sh(
        &["--name", "nest", "-m", "32m", "--cap-add", "SYS_ADMIN"],
        "unshare -p -f sh -c '(sleep 3; exec tail /dev/zero); exit 3' || exit 4",
    );
    assert_eq!(done.code, 137, "{done:?}");
    let kill = kill_in(&mut events, "/ringfence.slice/nest");
    assert_eq!(
        kill["limit"],
        limit("/ringfence.slice/nest", true, 32 << 20)
    );
    // Workloads die as a group; who dies of its PID 1's death before its turn is not counted.
    assert_eq!(kill["group"], true);
    let victims = kill["victims"].as_array().unwrap();
    let inside: Vec<_> = victims
        .iter()
        .map(|victim| {
            // Of those that go with it, some may never have been seen alive.
            let inner = victim["inner_pid"].as_u64().unwrap_or(0);
            (victim["comm"].as_str().unwrap(), inner)
        })
        .collect();
    assert_eq!(inside[0], ("tail", 2), "the chosen one comes first");
    assert!(inside.contains(&("sh", 1)), "{inside:?}");
    assert_eq!(kill["kills"], inside.len());
    events.interrupt();
}

#[test]
fn throttling_alone_kills_nobody() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.high", "8M");
    own.write("memory.max", "64M");
    let events = Events::start(&["--json"]);
    let shell = own.start("exec head -c 24m /dev/zero | tail -c 24m >/dev/null");
    let throttled = || own.count("memory.events", "high") > 0;
    wait_until("throttling", throttled);
    std::thread::sleep(Duration::from_secs(2));
    own.kill(shell);
    let said = events.interrupt();
    assert!(
        said.iter().all(|line| !line.contains("oom_kill")),
        "{said:?}"
    );
    assert_eq!(own.count("memory.events", "oom_kill"), 0);
}

#[test]
fn a_cgroup_of_the_same_name_is_another_one() {
    let _host = Host::new();
    let mut events = Events::start(&["--json"]);
    let mut ids = Vec::new();
    for size in [16_u64, 24] {
        let own = Own::new();
        own.write("memory.max", &format!("{size}M"));
        let mut shell = own.start("exec tail /dev/zero");
        let kill = kill_in(&mut events, "/above/own");
        assert_eq!(kill["limit"], limit("/above/own", true, size << 20));
        assert_eq!(kill["victims"][0]["pid"], shell.id());
        ids.push(kill["cgroup_id"].as_u64().unwrap());
        shell.wait().unwrap();
    }
    assert_ne!(ids[0], ids[1]);
    events.interrupt();
}

#[test]
fn the_log_is_overrun_while_it_is_not_read() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "16M");
    let mut events = Events::start(&["--json"]);
    std::thread::sleep(Duration::from_secs(1));
    events.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut shell = own.start(&survivor("exit 0"));
    shell.wait().unwrap();
    flood_kernel_log();
    events.signal(nix::sys::signal::Signal::SIGCONT);
    let kill = kill_in(&mut events, "/above/own");
    // The tracepoint, which nobody else can flood, or the counter still tell.
    assert_eq!(
        (&kill["kills"], &kill["known"]["cgroup"]),
        (&json!(1), &json!("event_counter"))
    );
    assert_eq!(kill["limit"], limit("/above/own", true, 16 << 20));
    assert_eq!(kill["victims"][0]["known"], "tracepoint");
    events.object("what was lost", |line| {
        line["text"]
            .as_str()
            .is_some_and(|text| text.contains("the kernel log was overwritten"))
    });
    events.interrupt();
}
