//! Changes on trial, on a real kernel: `cargo xtask test trial`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::dashboard::Dashboard;
use support::own::Own;
use support::{Done, Host, binary, end_of, read, wait_until, with_input};

const M: u64 = 1 << 20;

/// Longer than any test waits.
const LONG: &str = "1h";

/// `ringfence set above/own … --try TIME`.
fn command(time: &str, arguments: &[&str]) -> Command {
    let mut set = Command::new(binary());
    set.args(["set", "above/own", "--try", time])
        .args(arguments);
    set
}

/// A trial whose command waits for an answer.
struct Trial {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: BufReader<ChildStderr>,
}

impl Trial {
    /// Begins one; it is made when this returns.
    fn begin(arguments: &[&str]) -> Self {
        Self::of(command(LONG, arguments))
    }

    fn of(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut trial = Self {
            stdin: child.stdin.take(),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        };
        trial.wait_for("on trial for ");
        trial.wait_for("Enter keeps it");
        trial
    }

    /// Waits for what it says next with these words in it.
    #[track_caller]
    fn wait_for(&mut self, words: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            self.stderr.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "no `{words}` in:\n{said}");
            if line.contains(words) {
                return line.trim_end().to_owned();
            }
            said += &line;
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The process that guards it.
    fn guard(&self) -> Pid {
        let pid = self.child.id();
        let children = read(format!("/proc/{pid}/task/{pid}/children"));
        let guard = children.parse().expect("one child");
        assert_eq!(read(format!("/proc/{guard}/comm")), "ringfence-trial");
        Pid::from_raw(guard)
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end, and gives the exit code and what else it said.
    fn end(mut self) -> (Option<i32>, String) {
        let code = end_of(&mut self.child);
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (code, said)
    }

    /// Waits for its end by itself, for this reason, with `memory.max` as it was.
    #[track_caller]
    fn expect_taken_back(self, why: &str, restored: &str) {
        let (code, said) = self.end();
        assert_eq!(code, Some(1), "{said}");
        let words = ["ringfence: taken back after ", why, restored];
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
    }
}

/// Kills a process, and waits until it has let go of its locks.
fn kill_now(pid: Pid) {
    kill(pid, Signal::SIGKILL).unwrap();
    let status = format!("/proc/{pid}/stat");
    let is_dead = || fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
    wait_until("its death", is_dead);
}

/// Whether no trial is on record.
fn none_on_record() -> bool {
    fs::read_dir("/run/ringfence/trials").is_ok_and(|mut all| all.next().is_none())
}

#[test]
fn its_time_ends_it() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    let before = Instant::now();
    let mut trial = Trial::of(command(
        "2s",
        &["memory.max=48m", "pids.max=30", "cpu.max=75%"],
    ));
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    assert_eq!(
        (own.read("pids.max"), own.read("cpu.max")),
        ("30".into(), "75000 100000".into())
    );
    // Nobody can answer: it goes on all the same.
    drop(trial.stdin.take());
    let end = trial.wait_for("taken back after ");
    assert!(before.elapsed().as_secs() >= 2);
    assert_eq!(
        end,
        "ringfence: taken back after 2s: its time is up; memory.max is 64M again; pids.max is max again; cpu.max is max again"
    );
    assert_eq!(trial.end().0, Some(1));
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    assert_eq!(
        (own.read("pids.max"), own.read("cpu.max")),
        ("max".into(), "max 100000".into())
    );
    assert!(none_on_record());
}

#[test]
fn enter_keeps_it() {
    let _host = Host::new();
    let own = Own::new();
    let mut done = with_input(command(LONG, &["memory.max=48m"]), b"\n");
    assert_eq!(
        done.stdout,
        "/above/own\nmemory.max  max → 48M  (0B in use; binding)\n"
    );
    done.fails(0, &["kept after "]);
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    assert!(none_on_record());
    // What could not be tried is not changed, and says why.
    done = with_input(command(LONG, &["pids.max=0"]), b"\n");
    done.fails(125, &["pids.max of /above/own is refused"]);
    done = with_input(command("0.5", &["pids.max=9"]), b"\n");
    done.fails(2, &["a trial of 1 s or more is wanted"]);
    done = with_input(command("5m", &["pids.max=9", "--persist"]), b"\n");
    done.fails(2, &["cannot be used with"]);
    assert_eq!(own.read("pids.max"), "max");
}

#[test]
fn an_oom_kill_ends_it_at_once() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    own.write("memory.swap.max", "0");
    let shell = own.start(&format!(
        "{} load memory --size 24m; sleep 1000",
        binary().display()
    ));
    wait_until("24M in use", || {
        own.read("memory.current").parse::<u64>().unwrap() > 24 * M
    });
    let mut trial = Trial::begin(&["memory.max=16m", "--force"]);
    trial.wait_for("OOM-killed");
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    assert!(own.count("memory.events", "oom_kill") >= 1);
    assert_eq!(trial.end().0, Some(1));
    // One that comes later, by a limit of its own below.
    let child = own.dir.join("below");
    own.write("cgroup.kill", "1");
    wait_until("the end", || own.read("cgroup.procs").is_empty());
    own.write("cgroup.subtree_control", "+memory");
    fs::create_dir(&child).unwrap();
    fs::write(child.join("memory.max"), "8388608").unwrap();
    fs::write(child.join("memory.swap.max"), "0").unwrap();
    let mut trial = Trial::begin(&["memory.max=48m"]);
    let killed = support::own::start_in(&child, "exec tail /dev/zero");
    let count = || support::count(child.join("memory.events"), "oom_kill");
    wait_until("the kill", || count() >= 1);
    let begin = Instant::now();
    wait_until("64M again", || {
        own.read("memory.max") == (64 * M).to_string()
    });
    eprintln!(
        "back {} ms after the kill was seen",
        begin.elapsed().as_millis()
    );
    trial.wait_for("a process was OOM-killed; memory.max is 64M again");
    assert_eq!(trial.end().0, Some(1));
    own.kill(shell);
    let mut killed = killed;
    killed.wait().unwrap();
}

#[test]
fn a_stall_ends_it() {
    let _host = Host::new();
    let own = Own::new();
    // Each page above memory.high has to wait.
    let shell = own.start(&format!(
        "{} load memory --size 400m --rate 4m; sleep 1000",
        binary().display()
    ));
    wait_until("8M in use", || {
        own.read("memory.current").parse::<u64>().unwrap() > 8 * M
    });
    let trial = Trial::begin(&["memory.high=4m", "--force", "--margin", "10"]);
    trial.expect_taken_back(
        ": tasks waited for memory for more than ",
        "; memory.high is max again",
    );
    assert_eq!(own.read("memory.high"), "max");
    own.kill(shell);
}

#[test]
fn a_throttled_share_above_that_of_before_ends_it() {
    let _host = Host::new();
    let own = Own::new();
    let shell = own.start("while :; do :; done");
    let trial = Trial::begin(&["cpu.max=20%"]);
    trial.expect_taken_back(
        ": throttled in ",
        "% of its periods (0% before); cpu.max is max again",
    );
    assert_eq!(own.read("cpu.max"), "max 100000");
    // Where it was throttled as much before, nothing is worse.
    own.write("cpu.max", "30000 100000");
    let mut trial = Trial::begin(&["cpu.max=20%"]);
    let periods = || own.count("cpu.stat", "nr_periods");
    let first = periods();
    wait_until("twenty periods", || periods() > first + 20);
    assert_eq!(own.read("cpu.max"), "20000 100000");
    trial.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    trial.wait_for("kept after ");
    assert_eq!(own.read("cpu.max"), "20000 100000");
    own.kill(shell);
}

#[test]
fn however_the_command_ends_it_is_taken_back() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let trial = Trial::begin(&["memory.max=48m"]);
        trial.signal(signal);
        trial.expect_taken_back(": as was asked for; ", "memory.max is 64M again");
        assert_eq!(own.read("memory.max"), (64 * M).to_string());
    }
    let trial = Trial::begin(&["memory.max=48m"]);
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    let guard = trial.guard();
    trial.signal(Signal::SIGKILL);
    let begin = Instant::now();
    wait_until("64M again", || {
        own.read("memory.max") == (64 * M).to_string()
    });
    eprintln!("back {} ms after SIGKILL", begin.elapsed().as_millis());
    assert_eq!(trial.end().0, None);
    wait_until("the guard's end", || {
        !fs::exists(format!("/proc/{guard}")).unwrap()
    });
    assert!(none_on_record());
    // A stopped one is not gone: the guard sees to the end all the same.
    let trial = Trial::of(command("2s", &["memory.max=48m"]));
    trial.signal(Signal::SIGSTOP);
    wait_until("64M again", || {
        own.read("memory.max") == (64 * M).to_string()
    });
    trial.signal(Signal::SIGCONT);
    trial.expect_taken_back(": its time is up; ", "memory.max is 64M again");
}

#[test]
fn a_killed_guard_is_replaced() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    // Whoever ordered it does what is left to do.
    let mut trial = Trial::begin(&["memory.max=48m"]);
    kill(trial.guard(), Signal::SIGKILL).unwrap();
    let end = trial.wait_for("taken back");
    assert_eq!(
        end,
        "ringfence: taken back, as its guard was killed: memory.max is 64M again"
    );
    assert_eq!(trial.end().0, Some(1));
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    // It is told to end.
    let trial = Trial::begin(&["memory.max=48m"]);
    kill(trial.guard(), Signal::SIGTERM).unwrap();
    trial.expect_taken_back(": its guard was told to end; ", "memory.max is 64M again");
    // Both are killed: the next command sees to it.
    let trial = Trial::begin(&["memory.max=48m"]);
    let guard = trial.guard();
    trial.signal(Signal::SIGSTOP);
    kill_now(guard);
    trial.signal(Signal::SIGKILL);
    assert_eq!(trial.end().0, None);
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    assert!(!none_on_record());
    let mut set = Command::new(binary());
    let done = Done::from(
        set.args(["set", "above/own", "pids.max=20"])
            .output()
            .unwrap(),
    );
    done.fails(
        0,
        &["a trial of /above/own was left by who was killed: memory.max is 64M again"],
    );
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    assert!(none_on_record());
}

#[test]
fn one_knob_has_one_trial_and_what_others_set_stays() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    let mut first = Trial::begin(&["memory.max=48m"]);
    let second = with_input(command(LONG, &["memory.max=32m"]), b"\n");
    let guard = first.guard();
    second.fails(
        125,
        &[&format!(
            "memory.max of /above/own is on trial already, by pid {guard} (ringfence-trial); nothing was changed"
        )],
    );
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    // Another knob can be tried beside it.
    let other = Trial::begin(&["pids.max=30"]);
    other.signal(Signal::SIGINT);
    other.expect_taken_back(": as was asked for; ", "pids.max is max again");
    // Somebody changes it by hand: that is theirs.
    own.write("memory.max", "41943040");
    first.wait_for("nothing of it is left; somebody else has set memory.max to 40M, which stays");
    assert_eq!(first.end().0, Some(1));
    assert_eq!(own.read("memory.max"), (40 * M).to_string());
    // The cgroup goes.
    let trial = Trial::begin(&["memory.max=48m"]);
    fs::remove_dir(&own.dir).unwrap();
    trial.expect_taken_back(": nothing of it is left; ", "the cgroup was removed");
    assert!(none_on_record());
}

#[test]
fn all_kinds_of_knobs_are_as_before() {
    let _host = Host::new();
    let own = Own::new();
    own.write("cpu.weight", "250");
    let vda = read("/sys/block/vda/dev");
    own.write(
        "io.max",
        &format!("{vda} rbps=1048576 wbps=max riops=max wiops=max"),
    );
    own.write("cpuset.cpus", "0");
    let knobs = [
        "cpu.idle",
        "cpu.weight",
        "io.max",
        "cpuset.cpus",
        "memory.oom.group",
    ];
    let before = knobs.map(|knob| own.read(knob));
    let trial = Trial::begin(&[
        "cpu.idle=1",
        "io.max=/dev/vda:wbps=2m,rbps=max",
        "cpuset.cpus=",
        "memory.oom.group=1",
    ]);
    let tried = knobs.map(|knob| own.read(knob));
    assert!(
        tried
            .iter()
            .zip(&before)
            .all(|(tried, before)| tried != before),
        "{tried:?}"
    );
    trial.signal(Signal::SIGTERM);
    let (code, said) = trial.end();
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(knobs.map(|knob| own.read(knob)), before, "{said}");
}

#[test]
fn an_ordinary_user_tries_what_is_theirs() {
    let _host = Host::new();
    let own = Own::new();
    std::os::unix::fs::chown(own.dir.join("pids.max"), Some(1000), None).unwrap();
    let as_user = || {
        let mut command = command("2s", &["pids.max=30"]);
        command.uid(1000).gid(1000);
        command
    };
    with_input(as_user(), b"").fails(125, &["XDG_RUNTIME_DIR is not set"]);
    let runtime = "/tmp/runtime";
    fs::create_dir(runtime).unwrap();
    std::os::unix::fs::chown(runtime, Some(1000), None).unwrap();
    let mut command = as_user();
    let done = with_input(
        {
            command.env("XDG_RUNTIME_DIR", runtime);
            command
        },
        b"",
    );
    done.fails(
        1,
        &["taken back after 2s: its time is up; pids.max is max again"],
    );
    done.fails(1, &["waiting for memory is not watched: "]);
    assert_eq!(own.read("pids.max"), "max");
    fs::remove_dir_all(runtime).unwrap();
}

/// A dashboard with a change of memory.max of `own` on trial.
fn tried_in_dashboard(own: &Own) -> Dashboard {
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.select("own");
    dashboard.keys("e");
    dashboard.wait("the limits", |contents| {
        contents.contains("limits of own") && contents.contains("io.max vda wbps")
    });
    dashboard.keys("48m");
    dashboard.wait_for("memory.max  64M → 48M");
    dashboard.keys("\x14");
    dashboard.wait_for("Enter keeps it, C-t takes it back");
    assert_eq!(own.read("memory.max"), (48 * M).to_string());
    dashboard
}

#[test]
fn the_dashboard_shows_what_is_on_trial_and_how_long() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    let mut dashboard = tried_in_dashboard(&own);
    dashboard.keys("\x1b");
    dashboard.wait("the notice", |contents| {
        contents.contains("on trial for 4m ")
            && contents.contains(": own memory.max 64M → 48M · Y keeps · u takes back")
    });
    dashboard.wait_for("limit on trial  own  memory.max  64M → 48M");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("u");
    dashboard.wait_for("trial  own  taken back after ");
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    dashboard.wait("no notice", |contents| !contents.contains("on trial for"));
    // Again, from the editor: taken back by the same key, then kept.
    for keep in [false, true] {
        dashboard.keys("e");
        dashboard.wait_for("memory.max ▸ ▏");
        dashboard.keys("48m");
        dashboard.wait_for("memory.max  64M → 48M");
        dashboard.keys("\x14");
        dashboard.wait_for("Enter keeps it, C-t takes it back");
        dashboard.keys(if keep { "\r" } else { "\x14" });
        dashboard.wait("the end", |contents| {
            contents.contains("memory.max ▸ ▏") && !contents.contains("on trial for")
        });
        dashboard.keys("\x1b");
        dashboard.wait("the editor to close", |contents| {
            !contents.contains("limits of")
        });
        let now = if keep { 48 * M } else { 64 * M };
        wait_until("the value", || own.read("memory.max") == now.to_string());
    }
    dashboard.wait_for("trial  own  kept after ");
    // What was kept is a change like any other.
    dashboard.keys("u");
    dashboard.wait_for("limit undone  own  memory.max  48M → 64M");
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    dashboard.keys("Y");
    dashboard.wait_for("nothing is on trial here that could be kept");
    dashboard.keys("q");
    assert!(dashboard.end().success());
    assert!(none_on_record());
}

#[test]
fn however_the_dashboard_ends_it_is_taken_back() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "67108864");
    let mut dashboard = tried_in_dashboard(&own);
    dashboard.keys("\x03");
    dashboard.wait_for("taken back after ");
    assert!(dashboard.end().success());
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    let mut dashboard = tried_in_dashboard(&own);
    dashboard.child.kill().unwrap();
    dashboard.child.wait().unwrap();
    let begin = Instant::now();
    wait_until("64M again", || {
        own.read("memory.max") == (64 * M).to_string()
    });
    eprintln!("back {} ms after SIGKILL", begin.elapsed().as_millis());
    wait_until("no record", none_on_record);
    // One that is left when both were killed is seen to by the next dashboard.
    let trial = Trial::begin(&["memory.max=48m"]);
    trial.signal(Signal::SIGSTOP);
    kill_now(trial.guard());
    trial.signal(Signal::SIGKILL);
    assert_eq!(trial.end().0, None);
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("a trial of /above/own was left by who was killed");
    assert_eq!(own.read("memory.max"), (64 * M).to_string());
    dashboard.keys("q");
    assert!(dashboard.end().success());
}
