//! Supervisors killed at any moment, on a real kernel, as root: `cargo xtask test chaos-launch`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Host, SLICE, binary, extent, wait_until};

const KILLS: usize = 30;
/// With `--full`.
const ALL_KILLS: usize = 100;

/// A small generator of numbers, the same ones at each run: `xorshift64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the workloads are like: short ones, so that their end is hit too.
const KINDS: [(&[&str], &str); 6] = [
    (&[], "exit 0"),
    (&["--rm"], "echo words; sleep 0.1"),
    (
        &["-m", "16m", "--memory-swap", "16m"],
        "exec tail /dev/zero",
    ),
    (
        &["--restart", "always", "--log-opt", "max-size=1k"],
        "seq 1 200; exit 1",
    ),
    (
        &["--init", "--tmpfs", "/tmp", "--read-only"],
        "(sleep 100 &); sleep 100",
    ),
    (&["--rm", "--userns", "host", "-t"], "sleep 100"),
];

fn start(number: usize, (flags, script): (&[&str], &str)) -> (String, Child) {
    let name = format!("chaos{number}");
    let run = Command::new(binary())
        .args(["run", "-d", "--name", &name])
        .args(flags)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ringfence");
    (name, run)
}

/// The supervisor that was started by a `run -d`, as soon as it is there; `None` where that ended without.
fn supervisor_of(run: &mut Child) -> Option<Pid> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let children = format!("/proc/{0}/task/{0}/children", run.id());
    loop {
        let text = fs::read_to_string(&children).unwrap_or_default();
        // It has others, for a moment, to make a user namespace.
        let is_supervisor = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("supervise"))
        };
        if let Some(pid) = text.split_whitespace().find(is_supervisor) {
            return Some(Pid::from_raw(pid.parse().expect("a pid")));
        }
        if run.try_wait().expect("wait").is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "it waits for nobody");
        sleep(Duration::from_millis(1));
    }
}

fn records(host: &Host) -> BTreeMap<String, Value> {
    let text = host.verb(&["ps", "-a", "--json"]).stdout;
    let all: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let name = |record: &Value| record["name"].as_str().expect("a name").to_owned();
    all.into_iter()
        .map(|record| (name(&record), record))
        .collect()
}

/// Whether anything runs in a workload's cgroup.
fn runs(name: &str) -> bool {
    let events = Path::new(SLICE).join(name).join("cgroup.events");
    fs::read_to_string(events).is_ok_and(|text| text.contains("populated 1"))
}

#[test]
fn a_supervisor_killed_at_any_moment_leaves_what_the_next_command_puts_right() {
    let host = Host::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    // From the start of a supervisor to the end of the shortest workload, so that every part of it is hit.
    let begin = Instant::now();
    let (_, mut run) = start(0, KINDS[0]);
    run.wait().expect("wait");
    host.verb(&["wait", "chaos0"]);
    let whole = begin.elapsed();
    host.verb(&["rm", "chaos0"]);

    let mut hit = BTreeMap::<String, u32>::new();
    let mut kills = 0;
    let mut number = 0;
    let mut done = Vec::new();
    let enough = extent(KILLS, ALL_KILLS);
    while kills < enough {
        number += 1;
        assert!(
            number < 3 * enough,
            "{kills} of {number} supervisors were there to be killed"
        );
        let kind = KINDS[number % KINDS.len()];
        let (name, mut run) = start(number, kind);
        let Some(supervisor) = supervisor_of(&mut run) else {
            continue;
        };
        let wait = dice.below(u64::try_from(whole.as_micros()).expect("a short time"));
        sleep(Duration::from_micros(wait));
        // As it was, as far as anybody can know: by its own file.
        let state = format!("/run/ringfence/workloads/{name}/state.json");
        let before: Option<Value> = fs::read(state)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if kill(supervisor, Signal::SIGKILL).is_err() {
            // It was over already, and its record stays or not.
            run.wait().expect("wait");
            host.verb(&["rm", "-f", &name]);
            continue;
        }
        run.wait().expect("wait");
        // Until it is dead, it holds its locks.
        wait_until("its death", || kill(supervisor, None).is_err());
        kills += 1;
        let status = before
            .as_ref()
            .and_then(|record| record["status"]["is"].as_str());
        *hit.entry(status.unwrap_or("nothing yet").to_owned())
            .or_default() += 1;

        // What is listed is right: it does not run, and nothing does that is said not to.
        let all = records(&host);
        assert!(!runs(&name), "{name} runs on; {before:?}");
        if let Some(record) = all.get(&name) {
            assert_eq!(record["status"]["is"], "ended", "{record}");
            done.push(name);
        }
        // Its name is free again, after the removal of what is kept.
        if kills % 10 == 0 {
            for name in done.drain(..) {
                host.verb(&["rm", &name]).ok();
            }
            host.assert_clean(&format!("{kills} kills"));
        }
    }
    assert!(records(&host).is_empty());
    println!("{kills} kills, 0 leftovers; they hit: {hit:?}");
}
