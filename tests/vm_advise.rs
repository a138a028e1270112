//! Suggested limits on a real kernel, and what comes of following them: `cargo xtask test vm_advise`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::{Host, binary, load, wait_until};

fn ringfence(arguments: &[&str]) -> String {
    let done = Command::new(binary()).args(arguments).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    let text = ringfence(&[&["advise", "--json"], arguments].concat());
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Ends it at once.
fn suggestion<'a>(advice: &'a Value, knob: &str) -> &'a Value {
    let all = advice["suggestions"].as_array().unwrap();
    let found = all.iter().find(|one| one["knob"] == knob);
    found.unwrap_or_else(|| panic!("nothing for {knob}: {advice:#}"))
}

#[test]
fn who_has_no_limits_is_named_and_lives_well_with_those_suggested() {
    let host = Host::new();
    let load = load("memory --size 24m");
    let careless = host.start("careless", &[], &load);
    let idle = host.start("idle", &[], "echo ready; exec sleep 99");
    let memory = || std::fs::read_to_string(careless.leaf.join("memory.current")).unwrap();
    wait_until("its memory", || {
        memory().trim().parse::<u64>().unwrap() > 24 << 20
    });

    let advice = objects(&["--for", "4"]);
    let names: Vec<&Value> = advice.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["careless", "idle"], "{advice:#?}");
    for one in &advice {
        assert_eq!(one["unlimited"], true);
        for knob in ["memory.max", "cpu.max", "pids.max"] {
            assert_eq!(suggestion(one, knob)["now"], json!(null), "{one:#}");
        }
        let reason = suggestion(one, "memory.max")["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("no memory limit: it can take all of the host's "),
            "{reason}"
        );
    }
    let size = suggestion(&advice[0], "memory.max")["to"].as_str().unwrap();
    let size: u64 = size.strip_suffix('m').unwrap().parse().unwrap();
    assert!((28..=48).contains(&size), "{size}m for 24m");

    // What is printed for people can be pasted, and the workload goes on within it.
    let text = ringfence(&["advise", "careless", "--for", "3"]);
    assert!(
        text.contains("  run with   -m ") && !text.contains("idle"),
        "{text}"
    );
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("or now     ringfence "));
    let arguments: Vec<&str> = line.unwrap().split(' ').collect();
    ringfence(&arguments);
    let limit = std::fs::read_to_string(careless.leaf.join("memory.max")).unwrap();
    assert!(limit.trim().parse::<u64>().is_ok(), "{limit}");
    let after = objects(&["careless", "--for", "3"]);
    assert_eq!(after[0]["unlimited"], false);
    assert_eq!(
        (&after[0]["oom_kills"], &after[0]["suggestions"]),
        (&json!(0), &json!([]))
    );
    careless.kill();
    idle.kill();
}

#[test]
fn who_is_held_back_or_killed_is_to_have_more() {
    let host = Host::new();
    let busy = load("cpu --percent 100");
    let throttled = host.start(
        "busy",
        &["--cpus", "0.2", "-m", "32m", "--pids-limit", "32"],
        &busy,
    );
    let advice = objects(&["busy", "--for", "4"]);
    let cpu = suggestion(&advice[0], "cpu.max");
    assert_eq!(cpu["now"], "20%");
    let to: f64 = cpu["to"]
        .as_str()
        .unwrap()
        .trim_end_matches('%')
        .parse()
        .unwrap();
    assert!((25.0..=45.0).contains(&to), "{cpu}");
    assert!(
        cpu["reason"]
            .as_str()
            .unwrap()
            .contains("of 0.2 CPUs ran out in "),
        "{cpu}"
    );
    // Followed until there is no more to say, it has what it wants.
    for _ in 0..8 {
        let advice = objects(&["busy", "--for", "2"]);
        let all = advice[0]["suggestions"].as_array().unwrap();
        let Some(more) = all.iter().find(|one| one["knob"] == "cpu.max") else {
            break;
        };
        ringfence(&[
            "set",
            "busy",
            &format!("cpu.max={}", more["to"].as_str().unwrap()),
        ]);
    }
    let max = std::fs::read_to_string(throttled.leaf.join("cpu.max")).unwrap();
    let quota: u64 = max.split(' ').next().unwrap().parse().unwrap();
    assert!((90_000..=200_000).contains(&quota), "{max}");
    throttled.kill();

    // A child was killed, and the others live on.
    let script = "echo ready; sleep 1; tail /dev/zero; sleep 99";
    let survivor = host.start("survivor", &["-m", "16m"], script);
    survivor.write("memory.oom.group", "0");
    // On a busy machine it may take longer to fill its memory.
    let advice = (0..10)
        .map(|_| objects(&["survivor", "--for", "4"]))
        .find(|advice| advice[0]["oom_kills"] == 1)
        .expect("an OOM kill");
    let more = suggestion(&advice[0], "memory.max");
    assert_eq!((&more["now"], &more["to"]), (&json!("16m"), &json!("24m")));
    let reason = more["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("OOM-killed once; its limit is 16M; at most "),
        "{reason}"
    );
    survivor.kill();

    let script = "echo ready; tail /dev/zero & wait; sleep 99";
    let killed = host.start("killed", &["-m", "16m"], script);
    let advice = objects(&["killed", "--for", "3"]);
    // A workload dies as a whole, and then there is nobody to advise.
    assert_eq!(advice, Vec::<Value>::new());
    assert_eq!(killed.finish().code, 137);
}

#[test]
fn where_nothing_runs_that_is_said() {
    let _host = Host::new();
    let text = ringfence(&["advise", "--for", "1"]);
    assert_eq!(
        text,
        "no workload and no container runs here; name a cgroup to hear about it\n"
    );
}
