//! Programs that kill before the kernel must, as root in the Debian guest: `cargo xtask test vm_killers`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::dashboard::Dashboard;
use support::systemd::call;
use support::{Done, binary, read, wait_until};

/// A service that a test started, stopped in any case.
struct Service(&'static str);

impl Service {
    fn start(name: &'static str, properties: &[&str], command: &[&str]) -> Self {
        let unit = format!("--unit={name}");
        let mut words = vec!["systemd-run", "--quiet", "--collect", &unit];
        words.extend(properties);
        call(&[&words[..], command].concat());
        Self(name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may ignore what ends others.
        for arguments in [&["kill", "--signal=KILL", self.0][..], &["stop", self.0]] {
            let _ = Command::new("systemctl").args(arguments).output();
        }
    }
}

/// The answers about a name whose kill a program says it did.
fn killed_by(name: &str, program: &str) -> Vec<Value> {
    let why = Command::new(binary())
        .args(["why", name, "--json"])
        .output();
    let lines = String::from_utf8(why.unwrap().stdout).unwrap();
    let answers = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    answers
        .filter(|answer: &Value| answer["by"] == program)
        .collect()
}

#[test]
fn systemd_oomd_kills_a_service_under_pressure() {
    call(&["systemctl", "start", "systemd-oomd.service"]);
    let _oomd = Service("systemd-oomd.service");
    // Stopped first: it starts the service again.
    let _socket = Service("systemd-oomd.socket");
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    // It holds all that it may have, and reads what it has written: each page that comes in is waited for. Beside it, one
    // lives on, so that its cgroup stays.
    let thrash = "head -c 64M /dev/zero >/var/tmp/large; tail /dev/zero & while :; do cat /var/tmp/large >/dev/null; done";
    let script = format!(
        "set -e; cd /sys/fs/cgroup/system.slice/thrash.service; mkdir keep job; echo $$ >keep/cgroup.procs\n\
         echo +memory >cgroup.subtree_control; echo 12M >job/memory.high\n\
         (echo 0 >job/cgroup.procs; {thrash}) &\nexec sleep 1000"
    );
    fs::write("/run/thrash.sh", script).unwrap();
    let _thrash = Service::start(
        "thrash.service",
        &[
            "--property=Delegate=yes",
            "--property=ManagedOOMMemoryPressure=kill",
            "--property=ManagedOOMMemoryPressureLimit=2%",
        ],
        &["sh", "/run/thrash.sh"],
    );
    dashboard.keys("4");
    // It waits for 20 s before it kills, and the guest is slow.
    let deadline = Instant::now() + Duration::from_mins(2);
    while !dashboard
        .contents()
        .contains("killed   by systemd-oomd at ")
    {
        assert!(Instant::now() < deadline, "{}", dashboard.contents());
        sleep(Duration::from_millis(200));
    }
    eprintln!("{}", dashboard.contents());
    for words in [
        "✖ thrash.service/",
        "cgroup   /system.slice/thrash.service/job",
        "why      Killed /system.slice/thrash.service/job due to",
    ] {
        dashboard.wait_for(words);
    }
    dashboard.keys("q");
    assert!(dashboard.end().success());
    let answers = killed_by("thrash", "systemd-oomd");
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(answers[0]["certainty"], "certain");
    let mut sources: Vec<&str> = answers[0]["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["source"].as_str().unwrap())
        .collect();
    sources.dedup();
    assert_eq!(sources, ["journal", "oomd_mark"], "{answers:#?}");
    fs::remove_file("/var/tmp/large").unwrap();
}

#[test]
fn earlyoom_kills_a_process_and_events_tell_who_it_was() {
    // Some hundred megabytes less than there are now, which the hog takes.
    let info = read("/proc/meminfo");
    let [available, all] = ["MemAvailable:", "MemTotal:"].map(|field| {
        let (_, rest) = info.split_once(field).unwrap();
        let kilobytes = rest.split_whitespace().next().unwrap();
        kilobytes.parse::<u64>().unwrap()
    });
    let percent = (available - (200 << 10)) * 100 / all;
    let arguments = format!("EARLYOOM_ARGS=\"-r 0 -m {percent} -s 100\"\n");
    fs::write("/etc/default/earlyoom", arguments).unwrap();
    call(&["systemctl", "start", "earlyoom.service"]);
    let _earlyoom = Service("earlyoom.service");
    let mut events = Command::new(binary());
    events.args(["events", "--json", "--duration", "60s"]);
    let log = fs::File::create("/run/events.json").unwrap();
    let mut events = events.stdout(log).spawn().unwrap();
    let told = || fs::read_to_string("/run/events.json").unwrap();
    // It does not end before its cgroup can be looked up.
    let script = "trap '' TERM; head -c 500M /dev/zero | tail -n 1 | sleep 1000";
    let hog = ["choom", "-n", "1000", "--", "sh", "-c", script];
    let _hog = Service::start("hog.service", &[], &hog);
    wait_until("earlyoom's kill", || told().contains("\"by\":\"earlyoom\""));
    let line = told()
        .lines()
        .find(|line| line.contains("\"by\":\"earlyoom\""))
        .unwrap()
        .to_owned();
    let kill: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(kill["cgroup"], "/system.slice/hog.service", "{kill:#}");
    assert_eq!(kill["known"]["limit"], "journal");
    assert!(
        kill["said"].as_str().unwrap().starts_with("sending SIG"),
        "{kill:#}"
    );
    assert_eq!(
        told().matches("\"by\":\"earlyoom\"").count(),
        1,
        "{}",
        told()
    );
    stop(&mut events);
    let answers = killed_by("tail", "earlyoom");
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

fn stop(events: &mut Child) {
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn nobody_else_can_say_so() {
    let lie = "Killed /system.slice/ssh.service due to memory pressure for / being 99% > 1%";
    call(&[
        "su",
        "user",
        "-c",
        &format!(
            "logger -t systemd-oomd '{lie}'; logger -t kubelet 'eviction manager: pod ssh.service is evicted successfully'"
        ),
    ]);
    call(&["journalctl", "--sync"]);
    assert!(call(&["journalctl", "-t", "systemd-oomd"]).contains("ssh.service"));
    let why = Command::new(binary())
        .args(["why", "ssh"])
        .output()
        .unwrap();
    Done::from(why).fails(1, &["nothing is known of a death of ssh"]);
}

#[test]
fn who_listens_to_the_journal_leaves_nobody_behind() {
    call(&["systemctl", "start", "systemd-oomd.service"]);
    let _oomd = Service("systemd-oomd.service");
    // Stopped first: it starts the service again.
    let _socket = Service("systemd-oomd.socket");
    let followers = || call(&["sh", "-c", "pgrep -c journalctl || true"]);
    for signal in ["TERM", "KILL"] {
        let mut events = Command::new(binary()).arg("events").spawn().unwrap();
        wait_until("a listener", || followers() == "1");
        call(&["kill", "-s", signal, &events.id().to_string()]);
        events.wait().unwrap();
        wait_until("its end", || followers() == "0");
    }
}

#[test]
fn zz_no_killer_goes_on() {
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        let left = call(&["sh", "-c", "pgrep -a 'systemd-oomd|earlyoom' || true"]);
        assert_eq!(left, "");
        sleep(Duration::from_millis(200));
    }
}
