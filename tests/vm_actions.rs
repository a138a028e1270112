//! Freezing, stopping, killing, signalling, reclaiming and moving on a real kernel, as root:
//! `cargo xtask test vm_actions`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, setresuid};
use ringfence::control::act::survey::Survey;
use ringfence::control::act::{Act, Chosen, Ground, Target};
use ringfence::kernel::cgroup::CgroupId;
use ringfence::kernel::cgroup::tree::Cgroup;
use ringfence::kernel::process::held::Brief;
use ringfence::kernel::unit::Bytes;

use support::{Host, read, wait_until};

const MOUNT: &str = "/sys/fs/cgroup";
const PROC: &str = "/proc";
/// Ready, then waiting in small pieces, so that traps are served.
const WAIT: &str = "echo ready; while :; do sleep 0.05; done";
const GRACE: Duration = Duration::from_secs(2);
/// Longer than any test takes: what ends, ended by itself.
const LONG: Duration = Duration::from_mins(1);

fn ground() -> Ground {
    Ground::new(Path::new(MOUNT))
}

fn target(path: &str) -> Target {
    let dir = Path::new(MOUNT).join(path.trim_start_matches('/'));
    Target {
        path: path.into(),
        id: CgroupId(fs::metadata(dir).expect(path).ino()),
    }
}

fn workload(name: &str) -> Target {
    target(&format!("/ringfence.slice/{name}"))
}

fn chosen(pid: u32) -> Chosen {
    let brief = Brief::read(Path::new(PROC), pid).expect("a process");
    Chosen {
        pid,
        start_time: brief.start_time,
    }
}

/// Does something; gives all that was said, the last line last.
fn act(act: &Act) -> Result<Vec<String>, String> {
    let said = RefCell::new(Vec::new());
    let end = act.carry_out(&ground(), &|text| said.borrow_mut().push(text));
    let mut said = said.into_inner();
    eprintln!("{act}: {said:?} {end:?}");
    said.push(end.map_err(|error| format!("{error:#}"))?);
    Ok(said)
}

#[track_caller]
fn refused(order: &Act, words: &[&str]) {
    let why = act(order).expect_err("refused");
    for word in words {
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[track_caller]
fn said(order: &Act, words: &[&str]) -> Vec<String> {
    let lines = act(order).unwrap_or_else(|why| panic!("{order}: {why}"));
    for word in words {
        assert!(
            lines.iter().any(|line| line.contains(word)),
            "{word}: {lines:?}"
        );
    }
    lines
}

fn look(target: &Target, chosen: Option<&Chosen>) -> Survey {
    Survey::look(&ground(), target, chosen).expect("a survey")
}

/// A cgroup at the top, with what is below it; killed and removed at its end.
struct Own(PathBuf);

impl Own {
    fn new(name: &str) -> Self {
        let dir = Path::new(MOUNT).join(name);
        fs::create_dir(&dir).expect("a cgroup");
        Self(dir)
    }

    fn below(&self, path: &str) -> PathBuf {
        let dir = self.0.join(path);
        fs::create_dir_all(&dir).expect("cgroups");
        dir
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = Cgroup::open(&self.0).and_then(|cgroup| cgroup.remove());
    }
}

/// A process that is not there any more when this is dropped.
struct Started(Child);

impl Started {
    /// A script in a cgroup, which has begun.
    fn new(dir: &Path, script: &str) -> Self {
        let procs = dir.join("cgroup.procs");
        let script = format!("echo $$ > {}; {script}", procs.display());
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .expect("sh");
        let pid = child.id();
        wait_until("it is in its cgroup", || {
            read(&procs).lines().any(|line| line == pid.to_string())
        });
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_none()
    }

    /// Waits for its end by itself.
    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.is_alive() {
            assert!(Instant::now() < deadline, "it does not end");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pids(dir: &Path) -> Vec<u32> {
    let text = read(dir.join("cgroup.procs"));
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn frozen_and_thawed_again() {
    let host = Host::new();
    let still = host.start("still", &[], WAIT);
    let it = workload("still");
    assert!(!look(&it, None).frozen);
    said(
        &Act::Freeze(it.clone()),
        &["froze /ringfence.slice/still: "],
    );
    assert!(still.read("cgroup.events").contains("frozen 1"));
    said(&Act::Freeze(it.clone()), &["froze "]);
    assert!(look(&it, None).frozen);
    said(&Act::Thaw(it.clone()), &["thawed /ringfence.slice/still"]);
    assert!(still.read("cgroup.events").contains("frozen 0"));
    refused(&Act::Thaw(it.clone()), &["is not frozen"]);

    // By the cgroup above: it can be thawed only there.
    let slice = target("/ringfence.slice");
    said(&Act::Freeze(slice.clone()), &["froze /ringfence.slice: "]);
    assert!(still.read("cgroup.events").contains("frozen 1"));
    let by_above = ["kept frozen by /ringfence.slice", "thaw that one"];
    refused(&Act::Thaw(it.clone()), &by_above);
    refused(&Act::Stop(it.clone(), GRACE), &by_above);
    let why = look(&it, None).objections.stop.unwrap();
    assert!(why.contains("kept frozen by /ringfence.slice"), "{why}");
    said(&Act::Freeze(it.clone()), &["froze"]);
    said(
        &Act::Thaw(slice.clone()),
        &["thawed /ringfence.slice; /ringfence.slice/still is still frozen"],
    );
    said(&Act::Thaw(it.clone()), &["thawed"]);
    said(&Act::Kill(it), &["killed"]);
    assert_eq!(still.finish().code, 137);
}

#[test]
fn a_stop_lets_the_handler_tidy_up() {
    let host = Host::new();
    let script = "trap 'sleep 0.3; echo bye; exit 3' TERM; ";
    let patient = ["--stop-timeout", "60"];
    let polite = host.start("polite", &patient, &format!("{script}{WAIT}"));
    let it = workload("polite");
    // Only PID 1 is told: the others are its own to stop.
    let lines = said(
        &Act::Stop(it, LONG),
        &[
            "TERM sent to 1 process of /ringfence.slice/polite; what still runs after 60 s is killed",
            "/ringfence.slice/polite has ended, ",
        ],
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    let done = polite.finish();
    assert_eq!((done.code, &*done.stdout), (3, "bye\n"), "{done:?}");

    // A frozen one has to be thawed to hear it, be it frozen itself or below.
    let frozen = host.start("cold", &[], &format!("{script}{WAIT}"));
    let it = workload("cold");
    said(&Act::Freeze(it.clone()), &["froze"]);
    said(
        &Act::Stop(it, LONG),
        &["thawed /ringfence.slice/cold", "TERM sent", "has ended"],
    );
    assert_eq!(frozen.finish().code, 3);

    // A reaper passes it on.
    let flags = ["--init"];
    let reaped = host.start("reaped", &flags, &format!("{script}{WAIT}"));
    said(
        &Act::Stop(workload("reaped"), LONG),
        &["TERM sent", "has ended"],
    );
    assert_eq!(reaped.finish().code, 3);
}

#[test]
fn who_does_not_listen_is_killed_after_the_grace() {
    let host = Host::new();
    // A workload's own grace counts.
    let flags = ["--stop-timeout", "2"];
    let deaf = host.start("busy", &flags, &format!("trap : TERM; {WAIT}"));
    let begin = Instant::now();
    let lines = said(
        &Act::Stop(workload("busy"), LONG),
        &["TERM sent to 1 process"],
    );
    assert!(begin.elapsed() >= GRACE);
    assert_eq!(
        lines[1],
        "/ringfence.slice/busy still ran after 2 s: killed"
    );
    assert_eq!(deaf.finish().code, 137);

    // PID 1 without a handler cannot notice: no use to wait.
    let deaf = host.start("deaf", &[], "echo ready; exec sleep 100");
    let proc = format!("/proc/{}", deaf.pids()[0]);
    // One that runs may be on its way to a handler, and one that waits for its own pages runs soon.
    let sleeps = [libc::SYS_nanosleep, libc::SYS_clock_nanosleep];
    wait_until("its rest", || {
        let call = read(format!("{proc}/syscall"));
        let call = call.split(' ').next().and_then(|call| call.parse().ok());
        read(format!("{proc}/comm")) == "sleep" && call.is_some_and(|call| sleeps.contains(&call))
    });
    let begin = Instant::now();
    said(
        &Act::Stop(workload("deaf"), LONG),
        &[
            "is PID 1 and has no handler for TERM",
            "killed 1 process of /ringfence.slice/deaf",
        ],
    );
    assert!(begin.elapsed() < LONG / 2);
    assert_eq!(deaf.finish().code, 137);

    // Outside any pid namespace everybody is told, and most end by it.
    let own = Own::new("stopped");
    let nested = own.below("a/b");
    let mut one = Started::new(&own.0, "exec sleep 100");
    let mut other = Started::new(&nested, "exec sleep 100");
    let mut stubborn = Started::new(&nested, "trap '' TERM; while :; do sleep 0.05; done");
    let it = target("/stopped");
    let order = Act::Stop(it.clone(), GRACE);
    let lines = act(&order).unwrap();
    assert!(lines[0].starts_with("TERM sent to "), "{lines:?}");
    assert!(lines[1].ends_with("after 2 s: killed"), "{lines:?}");
    for child in [&mut one, &mut other, &mut stubborn] {
        child.wait();
    }
    refused(&order, &["nothing runs in /stopped"]);
    let why = look(&it, None).objections.stop.unwrap();
    assert!(why.contains("nothing runs in /stopped"), "{why}");
}

#[test]
fn a_kill_takes_all_that_is_below_and_the_frozen_too() {
    let _host = Host::new();
    let own = Own::new("killed");
    let deep = own.below("a/b/c");
    let mut children = [
        Started::new(&own.0, "trap '' TERM; exec sleep 100"),
        Started::new(&own.0.join("a"), "exec sleep 100"),
        Started::new(&deep, "exec sleep 100"),
    ];
    let beside = Own::new("beside");
    let mut spared = Started::new(&beside.0, "exec sleep 100");
    let it = target("/killed");
    said(&Act::Freeze(target("/killed/a")), &["froze /killed/a: 2"]);
    let seen = look(&it, None);
    let mut listed: Vec<_> = seen
        .members
        .iter()
        .map(|member| (member.brief.pid, &*member.cgroup))
        .collect();
    listed.sort_unstable();
    let mut expected: Vec<_> = children
        .iter()
        .map(Started::pid)
        .zip(["/killed", "/killed/a", "/killed/a/b/c"])
        .collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert!(seen.objections.kill.is_none() && seen.unseen == 0);
    said(&Act::Kill(it), &["killed 3 processes of /killed"]);
    for child in &mut children {
        child.wait();
    }
    assert!(spared.is_alive());
}

#[test]
fn a_signal_reaches_the_chosen_process_alone() {
    let host = Host::new();
    // It rests all the time.
    let script = "trap 'echo got it' USR1; sleep 1000 & echo ready; while :; do wait; done";
    let mut heard = host.start("heard", &[], script);
    let other = host.start(
        "other",
        &[],
        "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done",
    );
    let one = |workload: &support::Workload| {
        let inits = workload.pids();
        let init = inits.iter().map(|pid| pid.cast_unsigned());
        let mut init = init.filter(|pid| {
            Brief::read(Path::new(PROC), *pid).is_some_and(|brief| brief.inside == Some(1))
        });
        chosen(init.next().expect("PID 1"))
    };
    let first = one(&heard);
    said(
        &Act::Signal(first.clone(), Signal::SIGUSR1),
        &[&format!("USR1 sent to pid {} (1 inside) sh", first.pid)],
    );
    assert_eq!(heard.next_line(), "got it");
    let state = |pid: u32| {
        let stat = read(format!("/proc/{pid}/stat"));
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    };
    said(&Act::Signal(first.clone(), Signal::SIGSTOP), &["STOP sent"]);
    wait_until("it is stopped", || state(first.pid) == 'T');
    said(&Act::Signal(first.clone(), Signal::SIGCONT), &["CONT sent"]);
    wait_until("it goes on", || state(first.pid) != 'T');
    // As PID 1 it is deaf for what it has no handler for, which can be seen while it rests.
    wait_until("it rests", || {
        fs::read_to_string(format!("/proc/{}/syscall", first.pid))
            .is_ok_and(|call| call.starts_with(|char: char| char.is_ascii_digit()))
    });
    said(
        &Act::Signal(first.clone(), Signal::SIGHUP),
        &["has no handler for it, so it never notices"],
    );
    assert!(
        look(&workload("other"), Some(&first))
            .chosen
            .unwrap()
            .is_ok()
    );
    let with = look(&workload("heard"), Some(&first))
        .chosen
        .unwrap()
        .unwrap();
    assert!(
        with.with_it.iter().all(|brief| brief.comm != "ringfence"),
        "{with:?}"
    );
    said(&Act::Signal(first.clone(), Signal::SIGKILL), &["KILL sent"]);
    assert_eq!(heard.finish().code, 137);
    refused(
        &Act::Signal(first, Signal::SIGTERM),
        &["has ended meanwhile"],
    );
    said(&Act::Signal(one(&other), Signal::SIGUSR1), &["USR1 sent"]);
    assert_eq!(other.finish().code, 9);

    for (pid, why) in [
        (1, "is init"),
        (2, "is a thread of the kernel"),
        (std::process::id(), "is ringfence itself"),
    ] {
        refused(
            &Act::Signal(chosen(pid), Signal::SIGCONT),
            &[why, "left alone"],
        );
        let seen = look(&target("/"), Some(&chosen(pid)))
            .chosen
            .unwrap()
            .unwrap();
        assert!(seen.no_signal.unwrap().contains(why));
    }
}

#[test]
fn a_pid_that_came_to_another_process_is_not_hit() {
    let _host = Host::new();
    let sleeper = || {
        let child = Command::new("sleep").arg("100").spawn().expect("sleep");
        Started(child)
    };
    let first = sleeper();
    let meant = chosen(first.pid());
    drop(first);
    refused(
        &Act::Signal(meant.clone(), Signal::SIGKILL),
        &["has ended meanwhile"],
    );
    sleep(Duration::from_millis(100));
    // The kernel is told which pid was the last.
    let mut reused = None;
    for _ in 0..50 {
        fs::write("/proc/sys/kernel/ns_last_pid", (meant.pid - 1).to_string()).unwrap();
        let next = sleeper();
        if next.pid() == meant.pid {
            reused = Some(next);
            break;
        }
    }
    let mut reused = reused.expect("the same pid again");
    let why = ["has ended meanwhile and is sleep now", "nothing was done"];
    wait_until("sleep runs", || {
        read(format!("/proc/{}/comm", meant.pid)) == "sleep"
    });
    refused(&Act::Signal(meant.clone(), Signal::SIGKILL), &why);
    assert!(reused.is_alive());
    let seen = look(&target("/"), Some(&meant)).chosen.unwrap();
    assert!(seen.unwrap_err().contains("has ended meanwhile"));
}

#[test]
fn reclaim_gives_memory_back() {
    let host = Host::new();
    let script = format!("dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; sync; {WAIT}");
    let cache = host.start("cache", &["-m", "96m"], &script);
    let it = workload("cache");
    let (current, easy) = look(&it, None).memory.unwrap();
    assert!(
        easy.0 >= 16 << 20 && easy < current,
        "{easy:?} of {current:?}"
    );
    let now = || cache.read("memory.current").parse::<u64>().unwrap();
    let before = now();
    said(
        &Act::Reclaim(it.clone(), Bytes(16 << 20)),
        &["of 16M came back from /ringfence.slice/cache: "],
    );
    assert!(now() + (12 << 20) <= before, "{before} → {}", now());
    said(
        &Act::Reclaim(it.clone(), Bytes(1 << 30)),
        &["of 1G came back", "the kernel found no more"],
    );
    refused(
        &Act::Reclaim(target("/"), Bytes(1)),
        &["the root cgroup is the host itself"],
    );
    said(&Act::Kill(it), &["killed"]);
    assert_eq!(cache.finish().code, 137);
}

#[test]
fn processes_move_up_where_the_kernel_lets_them() {
    let _host = Host::new();
    let own = Own::new("moved");
    let inner = own.below("inner");
    let deep = own.below("inner/deep");
    let mut children = [(); 3].map(|()| Started::new(&inner, "exec sleep 100"));
    let below = Started::new(&deep, "exec sleep 100");
    let (home, above) = (target("/moved/inner"), target("/moved"));
    let first = chosen(children[0].pid());
    said(
        &Act::MoveProcessUp(first.clone(), home.clone()),
        &["moved pid ", " from /moved/inner to /moved"],
    );
    assert_eq!(pids(&own.0), [first.pid]);
    refused(
        &Act::MoveProcessUp(first.clone(), home.clone()),
        &["is not in /moved/inner any more"],
    );
    said(
        &Act::MoveUp(home.clone()),
        &["moved 2 processes from /moved/inner to /moved"],
    );
    assert_eq!((pids(&inner), pids(&own.0).len()), (Vec::new(), 3));
    assert_eq!(pids(&deep), [below.pid()]);
    let why = look(&home, None).objections.move_up.unwrap();
    assert!(
        why.contains("no process is in /moved/inner itself"),
        "{why}"
    );
    refused(&Act::MoveUp(home.clone()), &["nothing was moved"]);

    // Who hands controllers on has no processes of its own.
    said(
        &Act::MoveUp(above.clone()),
        &["moved 3 processes from /moved to /"],
    );
    for controllers in [Path::new(MOUNT), &own.0] {
        fs::write(controllers.join("cgroup.subtree_control"), "+memory").unwrap();
    }
    fs::write(inner.join("cgroup.procs"), children[1].pid().to_string()).unwrap();
    let why = ["/moved hands memory on to its children", "EBUSY"];
    refused(&Act::MoveUp(home.clone()), &why);
    let second = chosen(children[1].pid());
    refused(&Act::MoveProcessUp(second.clone(), home.clone()), &why);
    let seen = look(&home, Some(&second));
    assert!(seen.objections.move_up.unwrap().contains("EBUSY"));
    assert!(
        seen.chosen
            .unwrap()
            .unwrap()
            .no_move
            .unwrap()
            .contains("EBUSY")
    );

    // Threads are no processes.
    let threads = own.below("threads");
    fs::write(own.0.join("cgroup.subtree_control"), "-memory").unwrap();
    said(
        &Act::MoveUp(home),
        &["moved 1 process from /moved/inner to /moved"],
    );
    drop(below);
    for child in &mut children {
        assert!(child.is_alive());
    }
    fs::write(threads.join("cgroup.type"), "threaded").unwrap();
    let why = Survey::look(&ground(), &target("/moved/threads"), None).unwrap_err();
    assert!(why.to_string().contains("is threaded"), "{why}");
    refused(&Act::MoveUp(target("/moved/threads")), &["is threaded"]);
}

/// Every destructive act on a cgroup, and freezing.
fn acts(target: &Target) -> [Act; 4] {
    [
        Act::Freeze(target.clone()),
        Act::Stop(target.clone(), GRACE),
        Act::Kill(target.clone()),
        Act::MoveUp(target.clone()),
    ]
}

#[track_caller]
fn spared(path: &str, why: &str) {
    let target = target(path);
    for act in acts(&target) {
        refused(&act, &[why, "left alone"]);
    }
    let all = look(&target, None).objections;
    for objection in [all.freeze, all.stop, all.kill, all.move_up] {
        assert!(objection.unwrap().contains(why), "{path}: {why}");
    }
}

/// Moves a process, and back when dropped.
struct Away(u32, PathBuf);

impl Away {
    fn new(pid: u32, to: &Path) -> Self {
        let home = ringfence::kernel::task::cgroup(Path::new(PROC), pid).unwrap();
        let home = Path::new(MOUNT).join(home.trim_start_matches('/'));
        fs::write(to.join("cgroup.procs"), pid.to_string()).unwrap();
        Self(pid, home)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = fs::write(self.1.join("cgroup.procs"), self.0.to_string());
    }
}

#[test]
fn ringfence_itself_its_session_and_init_are_spared() {
    let _host = Host::new();
    spared("/", "the root cgroup is the host itself");
    let own = Own::new("spared");
    let (a, b) = (own.below("a/b"), own.below("a/c"));
    let parent = std::os::unix::process::parent_id();
    for (pid, why) in [
        (std::process::id(), "holds ringfence itself"),
        (parent, "holds the session that ringfence was started from"),
        (1, "holds init"),
    ] {
        let away = Away::new(pid, &a);
        spared("/spared/a/b", why);
        spared("/spared/a", why);
        spared("/spared", &format!("(pid {pid} "));
        // What is beside them is not.
        let mut child = Started::new(&b, "exec sleep 100");
        said(&Act::Freeze(target("/spared/a/c")), &["froze"]);
        said(&Act::Kill(target("/spared/a/c")), &["killed 1 process"]);
        child.wait();
        drop(away);
    }
    // Once they are gone, so is the objection.
    let mut child = Started::new(&a, "exec sleep 100");
    said(&Act::Kill(target("/spared")), &["killed 1 process"]);
    child.wait();
}

#[test]
fn another_cgroup_of_the_same_name_is_not_hit() {
    let _host = Host::new();
    let own = Own::new("again");
    let dir = own.below("it");
    let meant = target("/again/it");
    fs::remove_dir(&dir).unwrap();
    for act in acts(&meant) {
        refused(&act, &["/again/it is gone; nothing was done"]);
    }
    let dir = own.below("it");
    let mut child = Started::new(&dir, "exec sleep 100");
    for act in acts(&meant) {
        refused(&act, &["/again/it is gone; nothing was done"]);
    }
    refused(&Act::Reclaim(meant.clone(), Bytes(1)), &["is gone"]);
    assert!(Survey::look(&ground(), &meant, None).is_err());
    assert!(child.is_alive());
}

#[test]
fn without_permission_it_says_what_is_needed() {
    let _host = Host::new();
    let own = Own::new("theirs");
    let inner = own.below("inner");
    let mut child = Started::new(&inner, "exec sleep 100");
    let one = chosen(child.pid());
    let it = target("/theirs/inner");
    let (user, root) = (Uid::from_raw(1000), Uid::from_raw(0));
    setresuid(user, user, root).unwrap();
    let seen = Survey::look(&ground(), &it, Some(&one));
    let signal = act(&Act::Signal(one.clone(), Signal::SIGKILL));
    let kill_all = act(&Act::Kill(it.clone()));
    let freeze = act(&Act::Freeze(it.clone()));
    let moved = act(&Act::MoveUp(it));
    setresuid(root, root, root).unwrap();
    let seen = seen.unwrap();
    let all = seen.objections;
    for objection in [all.freeze, all.stop, all.kill, all.move_up] {
        let objection = objection.unwrap();
        assert!(objection.contains("sudo in front"), "{objection}");
    }
    let one = seen.chosen.unwrap().unwrap();
    assert!(one.no_signal.unwrap().contains("sudo in front"));
    for refused in [signal, kill_all, freeze, moved] {
        let why = refused.unwrap_err();
        assert!(why.contains("sudo in front"), "{why}");
    }
    assert!(child.is_alive());
    kill(Pid::from_raw(child.pid().cast_signed()), Signal::SIGKILL).unwrap();
}
