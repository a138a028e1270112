//! The live source on a real kernel: `cargo xtask test vm_sample`. Where this host has no cgroup v2 with
//! the memory controller, or we are not root, each test says that it is skipped.

use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use ringfence::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use ringfence::kernel::kmsg::OomLine;
use ringfence::kernel::kmsg::reader::{Next, Reader};
use ringfence::kernel::unit::{Bytes, Limit, Reading};
use ringfence::oom::{Fired, OomKill};
use ringfence::sample::live::{Interest, Live, Options};
use ringfence::sample::{CgroupSample, Event, Presence, Sample};

const ROOT: &str = "/sys/fs/cgroup";
const MIB: u64 = 1 << 20;
/// Longer than any test takes: what is seen was seen because of a notification.
const INTERVAL: Duration = Duration::from_mins(1);

/// One test at a time: the kernel log is everybody's. `None` where there is nothing to test on.
fn guest() -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    let hierarchy = Hierarchy::discover(Path::new("/proc")).unwrap();
    if hierarchy.mode != Mode::V2 || !hierarchy.has("memory") || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root and a cgroup v2 with the memory controller");
        return None;
    }
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for controller in ["memory", "pids", "cpu", "io"] {
        fs::write(
            Path::new(ROOT).join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .unwrap();
    }
    Some(guard)
}

/// A cgroup of the test's own, removed with all below it.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        let started = std::env::var_os("RINGFENCE");
        started.expect("`cargo xtask test` runs this: it changes the host");
        let path = Path::new(ROOT).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A child, for which the controllers are switched on.
    fn child(&self, name: &str) -> Self {
        fs::write(self.0.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn set(&self, file: &str, value: u64) {
        fs::write(self.0.join(file), value.to_string()).unwrap();
    }

    fn path(&self) -> String {
        format!("/{}", self.0.strip_prefix(ROOT).unwrap().display())
    }

    fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap();
        text.lines().map(|pid| pid.parse().unwrap()).collect()
    }

    fn oom_kills(&self) -> u64 {
        let text = fs::read_to_string(self.0.join("memory.events")).unwrap();
        let line = text.lines().find(|line| line.starts_with("oom_kill "));
        line.unwrap()["oom_kill ".len()..].parse().unwrap()
    }

    fn remove(&self) {
        let start = Instant::now();
        while self.0.exists() && fs::remove_dir(&self.0).is_err() {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", self.path());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                drop(Group(entry.path()));
            }
        }
        for _ in 0..500 {
            if !self.0.exists() || fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn start(subtree: &str, kmsg: bool) -> Live {
    let mut live = Live::start(Options {
        proc: "/proc".into(),
        kmsg: kmsg.then(|| "/dev/kmsg".into()),
        tracing: None,
        journal: false,
        state: "/".into(),
        hierarchy: Hierarchy::discover(Path::new("/proc")).unwrap(),
        subtree: subtree.into(),
        interval: INTERVAL,
        stall: [0; 2],
    })
    .unwrap();
    wait_for(&mut live, |_| true);
    live
}

/// Waits for a sample that fits; gives all samples until then.
fn wait_for(live: &mut Live, fits: impl Fn(&Sample) -> bool) -> Vec<Arc<Sample>> {
    let start = Instant::now();
    let mut seen: Vec<Arc<Sample>> = Vec::new();
    while start.elapsed() < Duration::from_secs(20) {
        let newest = live.samples.borrow_and_update().clone();
        if let Some(sample) = newest
            && !seen.last().is_some_and(|last| Arc::ptr_eq(last, &sample))
        {
            seen.push(Arc::clone(&sample));
            if fits(&sample) {
                return seen;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no such sample in 20 s; the last: {:#?}", seen.last());
}

/// The living cgroup of this path.
fn row<'a>(sample: &'a Sample, path: &str) -> &'a CgroupSample {
    sample
        .cgroups
        .iter()
        .find(|row| &*row.path == path && row.presence == Presence::Alive)
        .unwrap_or_else(|| panic!("no {path}"))
}

/// Whether a cgroup of this path is alive.
fn has(sample: &Sample, path: &str) -> bool {
    let alive = |row: &CgroupSample| row.presence == Presence::Alive;
    sample
        .cgroups
        .iter()
        .any(|row| &*row.path == path && alive(row))
}

fn vanished(sample: &Sample) -> impl Iterator<Item = &Arc<CgroupSample>> {
    sample
        .cgroups
        .iter()
        .filter(|row| row.presence == Presence::Vanished)
}

fn newest(live: &Live) -> Arc<Sample> {
    live.samples.borrow().clone().unwrap()
}

/// All kills until so many are told, and for a moment longer: none may be told twice.
fn kills(live: &mut Live, wanted: u64) -> Vec<(OomKill, Instant)> {
    kills_within(live, wanted..=wanted)
}

/// The same where the kernel may kill some more.
fn kills_within(live: &mut Live, wanted: RangeInclusive<u64>) -> Vec<(OomKill, Instant)> {
    let start = Instant::now();
    let mut kills = Vec::new();
    let mut enough: Option<Instant> = None;
    while start.elapsed() < Duration::from_mins(2) {
        while let Ok(event) = live.events.try_recv() {
            match event {
                Event::OomKill(kill) => kills.push((*kill, Instant::now())),
                Event::Notice { text, .. } => eprintln!("notice: {text}"),
                Event::Stall { .. } => {}
            }
        }
        let told: u64 = kills.iter().map(|(kill, _)| kill.kills).sum();
        if told >= *wanted.start() {
            let since = *enough.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_millis(700) {
                assert!(wanted.contains(&told), "{kills:#?}");
                return kills;
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!("{wanted:?} kills expected: {kills:#?}");
}

/// Runs a shell script in a cgroup, in a pid namespace of its own if wanted. It starts with its first
/// line of input.
fn run(group: &Group, own_pids: bool, script: &str) -> Child {
    let enter = format!("echo $$ > {}/cgroup.procs; ", group.0.display());
    let wrap = if own_pids {
        "exec unshare -p -f sh -c \"read go; $0\""
    } else {
        "read go; eval \"$0\""
    };
    let child = Command::new("sh")
        .args(["-c", &format!("{enter}{wrap}"), script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while group.pids().len() < if own_pids { 2 } else { 1 } {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn go(child: &mut Child) {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
}

/// Takes 64 MiB.
const HOG: &str = "exec tail -c 67108864 /dev/zero";

#[test]
fn tree_changes_are_seen_at_once() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-tree");
    let mut live = start("rf-tree", false);
    let child = group.child("child");
    let path = "/rf-tree/child";
    let made = Instant::now();
    let seen = wait_for(&mut live, |sample| has(sample, path));
    println!("mkdir seen after {:?}", made.elapsed());
    let sample = seen.last().unwrap();
    let first = row(sample, path).clone();
    assert_eq!(first.parent, Some(row(sample, "/rf-tree").id));
    assert_eq!(first.memory_max, Reading::Value(Limit::Max));
    assert_eq!(first.pids_current, Reading::Value(0));

    let set = Instant::now();
    child.set("memory.max", 20 * MIB);
    wait_for(&mut live, |sample| {
        row(sample, path).memory_max == Reading::Value(Limit::At(Bytes(20 * MIB)))
    });
    println!("new limit seen after {:?}", set.elapsed());

    child.remove();
    let removed = Instant::now();
    let mut seen = wait_for(&mut live, |sample| vanished(sample).count() > 0);
    println!("rmdir seen after {:?}", removed.elapsed());
    let gone = vanished(seen.last().unwrap()).next().unwrap().clone();
    assert_eq!(gone.id, first.id);
    assert_eq!(gone.memory_max, Reading::Value(Limit::At(Bytes(20 * MIB))));
    drop(child);

    let again = group.child("child");
    seen.extend(wait_for(&mut live, |sample| has(sample, path)));
    let last = seen.last().unwrap();
    assert_ne!(row(last, path).id, first.id);
    assert_eq!(vanished(last).count(), 0);
    seen.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let all: usize = seen.iter().map(|sample| vanished(sample).count()).sum();
    assert_eq!(all, 1);
    drop(again);
}

#[test]
fn a_name_that_comes_back_between_two_sweeps_is_both() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-swap");
    let mut child = group.child("child");
    let mut live = start("rf-swap", false);
    for _ in 0..20 {
        let old = row(&newest(&live), "/rf-swap/child").id;
        child.remove();
        // Dropping the old one would remove what is at its path.
        std::mem::forget(std::mem::replace(&mut child, group.child("child")));
        let is_new = |sample: &Sample| {
            has(sample, "/rf-swap/child") && row(sample, "/rf-swap/child").id != old
        };
        let seen = wait_for(&mut live, is_new);
        if vanished(seen.last().unwrap()).any(|gone| gone.id == old) {
            return;
        }
        // A sweep came in between.
    }
    panic!("in 20 rounds it never went and came back between two sweeps");
}

/// Threads and children of a build tool come and go like this.
#[test]
fn a_storm_of_cgroups_leaves_the_tree_right() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-storm");
    // So few notifications fit that some are lost.
    let queue = Path::new("/proc/sys/fs/inotify/max_queued_events");
    let before = fs::read_to_string(queue).unwrap();
    fs::write(queue, "16").unwrap();
    let mut live = start("rf-storm", false);
    fs::write(queue, before).unwrap();
    let mut kept = Vec::new();
    for n in 0..200 {
        let child = group.child(&format!("c{n}"));
        if n % 10 == 0 {
            kept.push(child);
        }
    }
    let wanted = |sample: &Sample| {
        sample.cgroups.len() - vanished(sample).count() == 2 + kept.len()
            && kept.iter().all(|child| has(sample, &child.path()))
    };
    let seen = wait_for(&mut live, wanted);
    println!("{} samples until the tree was right", seen.len());
    let mut overflowed = false;
    while let Ok(event) = live.events.try_recv() {
        overflowed |= matches!(event, Event::Notice { text, .. } if text.contains("lost"));
    }
    println!("notifications were lost: {overflowed}");
}

#[test]
fn without_watches_changes_are_found_by_looking() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-watch");
    let limit = Path::new("/proc/sys/fs/inotify/max_user_watches");
    let before = fs::read_to_string(limit).unwrap();
    // The root and the group get a watch, the rest does not.
    fs::write(limit, "2").unwrap();
    let [a, b] = ["a", "b"].map(|name| group.child(name));
    a.set("memory.max", 20 * MIB);
    let mut live = start("rf-watch", true);
    live.set_interval(Duration::from_millis(200));
    let below = a.child("below");
    wait_for(&mut live, |sample| has(sample, "/rf-watch/a/below"));
    below.remove();
    wait_for(&mut live, |sample| !has(sample, "/rf-watch/a/below"));
    fs::write(a.0.join("cgroup.subtree_control"), "-memory -pids").unwrap();
    let mut hog = run(&a, false, HOG);
    go(&mut hog);
    let told = kills(&mut live, 1);
    hog.wait().unwrap();
    assert_eq!(&*told[0].0.path.value, a.path());
    assert_eq!(told[0].0.victims.len(), 1);
    // A kill in a cgroup that no sweep has found yet is told, and not again when one finds it.
    live.set_interval(Duration::from_secs(3));
    let unseen = b.child("unseen");
    unseen.set("memory.max", 20 * MIB);
    let mut hog = run(&unseen, false, HOG);
    go(&mut hog);
    hog.wait().unwrap();
    let told = kills(&mut live, 1);
    assert_eq!(&*told[0].0.path.value, unseen.path());
    assert_eq!(told[0].0.victims.len(), 1);
    wait_for(&mut live, |sample| has(sample, "/rf-watch/b/unseen"));
    std::thread::sleep(Duration::from_secs(1));
    while let Ok(event) = live.events.try_recv() {
        assert!(!matches!(event, Event::OomKill(_)), "told twice: {event:?}");
    }
    fs::write(limit, before).unwrap();
    drop((below, unseen, a, b));
}

#[test]
fn with_few_fds_everything_is_still_read() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-few");
    let leaves: Vec<_> = (0..40).map(|n| group.child(&format!("c{n}"))).collect();
    leaves[39].set("memory.max", 20 * MIB);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 128, 128).unwrap();
    let mut live = start("rf-few", true);
    live.set_interval(Duration::from_millis(300));
    let sample = newest(&live);
    for leaf in &leaves {
        let row = row(&sample, &leaf.path());
        assert!(row.cpu_stat.value().is_some());
        assert_eq!(row.pids_current, Reading::Value(0));
    }
    let mut hog = run(&leaves[39], false, HOG);
    go(&mut hog);
    let told = kills(&mut live, 1);
    hog.wait().unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert_eq!(&*told[0].0.path.value, leaves[39].path());
}

#[test]
fn a_kill_is_told_at_once_with_its_cgroup_its_limit_and_both_pids() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-kill");
    let leaf = group.child("leaf");
    leaf.set("memory.max", 20 * MIB);
    let mut live = start("rf-kill", true);
    let mut log = Reader::open(Path::new("/dev/kmsg")).unwrap();
    // The log's clock is near CLOCK_MONOTONIC, not the same: find the distance.
    let monotonic = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    let written = monotonic();
    fs::write("/dev/kmsg", "ringfence test: clock").unwrap();
    let mut log_ahead = None;
    for round in 0..4 {
        let mut hog = run(&leaf, true, HOG);
        let victim = *leaf.pids().iter().find(|pid| **pid != hog.id()).unwrap();
        // As a program that leaks does, it lives past a sweep before it is killed.
        live.set_interval(Duration::from_millis(500));
        std::thread::sleep(Duration::from_millis(1500));
        live.set_interval(INTERVAL);
        go(&mut hog);
        let mut told = None;
        while told.is_none() {
            if let Ok(Event::OomKill(kill)) = live.events.try_recv() {
                told = Some((kill, monotonic()));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        let (kill, at) = told.unwrap();
        hog.wait().unwrap();
        let mut killed = None;
        while let Ok(next) = log.next() {
            match next {
                Next::Record(record) => {
                    if record.message.contains("test: clock") {
                        log_ahead = Some(record.since_boot.as_secs_f64() - written.as_secs_f64());
                    }
                    if let Some(OomLine::Killed(_)) = OomLine::parse(record.message) {
                        killed = Some(record.since_boot);
                    }
                }
                Next::Lost => {}
                Next::None => break,
            }
        }
        let latency = at.as_secs_f64() + log_ahead.unwrap() - killed.unwrap().as_secs_f64();
        println!(
            "round {round}: told {:.1} ms after the kernel",
            latency * 1e3
        );
        // The next sweep is a minute away.
        assert!(latency < 20.0, "{latency} s");
        assert_eq!(&*kill.path.value, leaf.path());
        assert_eq!(kill.cgroup, row(&newest(&live), &leaf.path()).id);
        assert_eq!(kill.kills, 1);
        assert_eq!(kill.limit_path().map(AsRef::as_ref), Some(&*leaf.path()));
        assert_eq!(kill.limit(), Some(Limit::At(Bytes(20 * MIB))));
        assert_eq!(kill.victims.len(), 1);
        assert_eq!(kill.victims[0].pid, victim);
        assert_eq!(kill.victims[0].inner_pid, Some(1));
        assert_eq!(kill.victims[0].comm, "tail");
        assert!(kill.victims[0].rss() > Bytes(10 * MIB), "{kill:?}");
    }
    assert_eq!(leaf.oom_kills(), 4);
    assert!(live.events.try_recv().is_err(), "told twice");
}

#[test]
fn kills_of_a_cgroup_removed_at_once_are_not_lost() {
    let Some(_guest) = guest() else { return };
    // Below a cgroup that counts what happened below it, and below the root, which does not.
    for parent in ["rf-gone", ""] {
        let group = (!parent.is_empty()).then(|| Group::new(parent));
        let mut live = start(parent, true);
        for n in 0..6 {
            let name = format!("leaf{n}");
            let leaf = match &group {
                Some(group) => group.child(&name),
                None => Group::new(&name),
            };
            leaf.set("memory.max", 8 * MIB);
            let mut hog = run(&leaf, false, HOG);
            go(&mut hog);
            hog.wait().unwrap();
            fs::remove_dir(&leaf.0).unwrap();
            let told = kills(&mut live, 1);
            let kill = &told[0].0;
            assert_eq!(&*kill.path.value, leaf.path(), "below {parent:?}");
            assert_eq!(kill.victims.len(), 1);
            assert_eq!(kill.victims[0].pid, hog.id());
            assert_eq!(kill.limit_path().map(AsRef::as_ref), Some(&*leaf.path()));
        }
    }
}

#[test]
fn kills_of_a_removed_cgroup_are_counted_without_the_log() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-mute");
    let mut live = start("rf-mute", false);
    for n in 0..3 {
        let leaf = group.child(&format!("leaf{n}"));
        leaf.set("memory.max", 8 * MIB);
        let mut hog = run(&leaf, false, HOG);
        go(&mut hog);
        hog.wait().unwrap();
        fs::remove_dir(&leaf.0).unwrap();
        let told = kills(&mut live, 1);
        assert_eq!(&*told[0].0.path.value, leaf.path());
        assert_eq!(told[0].0.victims, []);
    }
}

#[test]
fn many_kills_in_few_cgroups_are_counted_and_never_merged() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-many");
    let leaves = ["a", "b"].map(|name| {
        let leaf = group.child(name);
        leaf.set("memory.max", 4 * MIB);
        leaf
    });
    let mut live = start("rf-many", true);
    let mut hogs = leaves.each_ref().map(|leaf| {
        // Killed one after the other, faster than the log's rate limit allows summaries for. The shell that starts them
        // stays outside: inside, it would be the victim itself where it needs memory while a hog is still dying.
        let enter = format!("echo 0 > {}/cgroup.procs", leaf.0.display());
        let script = format!("read go; for n in 1 2 3 4 5 6 7 8 9 10; do ({enter}; {HOG}); done");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().unwrap()
    });
    hogs.iter_mut().for_each(go);
    let told = kills(&mut live, 20);
    for hog in &mut hogs {
        hog.wait().unwrap();
    }
    let mut pids = Vec::new();
    for leaf in &leaves {
        let here: Vec<_> = told
            .iter()
            .filter(|(kill, _)| *kill.path.value == *leaf.path())
            .collect();
        let count: u64 = here.iter().map(|(kill, _)| kill.kills).sum();
        assert_eq!(count, leaf.oom_kills());
        for (kill, _) in here {
            assert_eq!(
                kill.limit_path().map(AsRef::as_ref),
                Some(&*leaf.path()),
                "{kill:?}"
            );
            pids.extend(kill.victims.iter().map(|victim| victim.pid));
        }
    }
    let named = pids.len();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), named, "a victim was named twice");
    // The log says of all which cgroup they were in but for those that it leaves out as too many.
    let log = Command::new("dmesg").output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout);
    let summaries = log
        .lines()
        .filter(|line| line.contains("oom-kill:") && line.contains(",task_memcg=/rf-many/"));
    let logged: Vec<u32> = summaries
        .map(|line| {
            let (_, pid) = line.rsplit_once(",pid=").unwrap();
            pid.split(',').next().unwrap().parse().unwrap()
        })
        .collect();
    println!(
        "{named} of 20 victims named, {} with their cgroup in the log",
        logged.len()
    );
    assert!(!logged.is_empty() && named <= 20);
    for pid in logged {
        assert!(pids.contains(&pid), "{pid}");
    }
}

#[test]
fn a_whole_group_that_is_killed_is_one_cgroup_and_all_its_victims() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-group");
    let leaf = group.child("leaf");
    leaf.set("memory.max", 20 * MIB);
    leaf.set("memory.oom.group", 1);
    let mut live = start("rf-group", true);
    let mut hog = run(&leaf, true, &format!("sleep 99 & sleep 99 & {HOG}"));
    live.set_interval(Duration::from_millis(500));
    std::thread::sleep(Duration::from_millis(1500));
    go(&mut hog);
    hog.wait().unwrap();
    while !leaf.pids().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // unshare, the hog, two sleepers; the kernel counts the hog twice.
    assert_eq!(leaf.oom_kills(), 5);
    let told = kills(&mut live, 4);
    let mut victims: Vec<_> = told.iter().flat_map(|(kill, _)| &kill.victims).collect();
    victims.sort_by_key(|victim| victim.pid);
    victims.dedup_by_key(|victim| victim.pid);
    let named: usize = told.iter().map(|(kill, _)| kill.victims.len()).sum();
    assert_eq!(victims.len(), named, "a victim was named twice");
    assert_eq!(named, 4);
    let pid_one = victims.iter().find(|victim| victim.comm == "tail");
    assert_eq!(pid_one.unwrap().inner_pid, Some(1));
}

#[test]
fn an_ancestors_limit_is_named_where_it_binds() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-above");
    let leaf = group.child("leaf");
    group.set("memory.max", 20 * MIB);
    for kmsg in [true, false] {
        let mut live = start("rf-above", kmsg);
        let mut hog = run(&leaf, true, HOG);
        go(&mut hog);
        let told = kills(&mut live, 1);
        hog.wait().unwrap();
        let kill = &told[0].0;
        assert_eq!(&*kill.path.value, leaf.path(), "kmsg {kmsg}");
        assert_eq!(
            kill.limit_path().map(AsRef::as_ref),
            Some("/rf-above"),
            "kmsg {kmsg}"
        );
        assert_eq!(kill.limit(), Some(Limit::At(Bytes(20 * MIB))));
        assert_eq!(kill.victims.len(), usize::from(kmsg));
    }
}

#[test]
fn memory_stat_and_processes_are_read_for_those_of_interest() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-dear");
    let [a, b] = ["a", "b"].map(|name| group.child(name));
    let mut sleeper = run(&b, true, "exec sleep 99");
    go(&mut sleeper);
    let mut live = start("rf-dear", false);
    let [id_a, id_b] = [&a, &b].map(|group| row(&newest(&live), &group.path()).id);
    live.set_interest(Interest::Some {
        stats: [id_a].into(),
        processes: [id_b].into(),
    });
    let seen = wait_for(&mut live, |sample| {
        row(sample, &b.path()).memory_stat == Reading::NotAvailable
    });
    let sample = seen.last().unwrap();
    assert!(row(sample, &a.path()).memory_stat.value().is_some());
    assert_eq!(row(sample, &a.path()).processes, Reading::NotAvailable);
    let inner: Vec<_> = row(sample, &b.path())
        .processes
        .value()
        .into_iter()
        .flatten()
        .map(|process| (&*process.command, &*process.inner_pids))
        .collect();
    assert!(inner.contains(&("sleep 99", &[1])), "{inner:?}");
    drop((a, b));
    let _ = sleeper.wait();
}

#[test]
fn when_the_host_runs_out_no_limit_is_blamed() {
    let Some(_guest) = guest() else { return };
    let group = Group::new("rf-host");
    let leaf = group.child("leaf");
    let mut live = start("", true);
    // First in a cgroup that counts it, then in the root, where only the log tells.
    for root in [false, true] {
        let eat = "tail -c 734003200 /dev/zero; kill -9 0";
        let hogs =
            format!("echo 1000 > /proc/self/oom_score_adj; exec setsid sh -c '({eat}) & {eat}'");
        let mut hog = if root {
            let mut command = Command::new("sh");
            command.args(["-c", &hogs]).stdin(Stdio::null());
            command.stdout(Stdio::null()).spawn().unwrap()
        } else {
            let mut hog = run(&leaf, false, &hogs);
            go(&mut hog);
            hog
        };
        // Whoever is left kills the rest of them; on a busy machine the kernel may be faster.
        let told = kills_within(&mut live, 1..=2);
        hog.wait().unwrap();
        let kill = &told[0].0;
        let path = if root { "/".to_owned() } else { leaf.path() };
        assert_eq!(*kill.path.value, *path);
        assert_eq!(
            kill.fired.as_ref().map(|fired| &fired.value),
            Some(&Fired::Host)
        );
        assert_eq!(kill.victims[0].comm, "tail");
    }
}
