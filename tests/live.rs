//! The live source over a tree of plain files that stands in for a cgroup file system.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use ringfence::kernel::unit::{Bytes, Limit, Reading};
use ringfence::sample::live::{Interest, Live, Options};
use ringfence::sample::{Event, Presence, Sample};

/// Longer than any test waits: what is seen was seen because of a notification.
const INTERVAL: Duration = Duration::from_mins(5);

fn make(directory: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(directory).unwrap();
    for (name, text) in [("cgroup.procs", ""), ("cgroup.controllers", "")]
        .iter()
        .chain(files)
    {
        fs::write(directory.join(name), text).unwrap();
    }
}

fn options(mount: &Path, subtree: &str, interval: Duration) -> Options {
    Options {
        proc: "/proc".into(),
        kmsg: None,
        tracing: None,
        journal: false,
        state: "/".into(),
        hierarchy: Hierarchy {
            mode: Mode::V2,
            mount: Some(mount.to_owned()),
            nsdelegate: true,
            controllers: vec!["memory".into()],
            v1: Vec::new(),
        },
        subtree: subtree.into(),
        interval,
        stall: [0; 2],
    }
}

fn start(mount: &Path, interval: Duration) -> Live {
    Live::start(options(mount, "", interval)).unwrap()
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

fn paths(sample: &Sample) -> Vec<&str> {
    sample.cgroups.iter().map(|row| &*row.path).collect()
}

#[test]
fn parents_come_before_children_and_siblings_by_name() {
    let root = tempfile::tempdir().unwrap();
    for name in ["", "b", "a", "a/z", "a/c", "a-b"] {
        make(&root.path().join(name), &[]);
    }
    let mut live = start(root.path(), INTERVAL);
    let seen = wait_for(&mut live, |_| true);
    assert_eq!(paths(&seen[0]), ["/", "/a", "/a/c", "/a/z", "/a-b", "/b"]);
    let rows = &seen[0].cgroups;
    assert_eq!(rows[0].parent, None);
    assert_eq!(rows[2].parent, Some(rows[1].id));
}

#[test]
fn a_subtree_comes_with_the_cgroups_above_it_and_without_their_other_children() {
    let root = tempfile::tempdir().unwrap();
    for name in ["", "a", "a/b", "c"] {
        make(&root.path().join(name), &[]);
    }
    for subtree in ["a", "/a"] {
        let mut live = Live::start(options(root.path(), subtree, INTERVAL)).unwrap();
        let seen = wait_for(&mut live, |_| true);
        assert_eq!(paths(&seen[0]), ["/", "/a", "/a/b"]);
    }
}

#[test]
fn a_subtree_may_come_later() {
    let root = tempfile::tempdir().unwrap();
    for name in ["", "c"] {
        make(&root.path().join(name), &[]);
    }
    let mut live = Live::start(options(root.path(), "a/b", INTERVAL)).unwrap();
    let seen = wait_for(&mut live, |_| true);
    assert_eq!(paths(&seen[0]), ["/"]);
    for name in ["a", "a/x", "a/b", "a/b/d"] {
        make(&root.path().join(name), &[]);
    }
    wait_for(&mut live, |sample| {
        paths(sample) == ["/", "/a", "/a/b", "/a/b/d"]
    });
}

#[test]
fn a_file_that_is_not_there_is_not_available_and_nonsense_is_unreadable() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &[]);
    make(
        &root.path().join("a"),
        &[
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("cpu.stat", "usage_usec x\n"),
        ],
    );
    let mut live = start(root.path(), INTERVAL);
    let seen = wait_for(&mut live, |_| true);
    let row = &seen[0].cgroups[1];
    assert_eq!(row.memory_current, Reading::Value(Bytes(4096)));
    assert_eq!(row.memory_max, Reading::Value(Limit::Max));
    assert_eq!(row.pids_current, Reading::NotAvailable);
    assert!(matches!(row.cpu_stat, Reading::Unreadable(_)));
}

#[test]
fn a_new_cgroup_and_a_changed_limit_do_not_wait_for_the_interval() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &[("cgroup.subtree_control", "\n")]);
    let mut live = start(root.path(), INTERVAL);
    wait_for(&mut live, |_| true);
    // In the kernel a cgroup comes with its files. Here they may come after the first look at it, as they do
    // where a controller is turned on later.
    make(&root.path().join("new"), &[("memory.max", "4096\n")]);
    fs::write(root.path().join("cgroup.subtree_control"), "memory\n").unwrap();
    wait_for(&mut live, |sample| {
        sample.cgroups.iter().any(|row| {
            &*row.path == "/new" && row.memory_max == Reading::Value(Limit::At(Bytes(4096)))
        })
    });
    fs::write(root.path().join("new/memory.max"), "8192\n").unwrap();
    wait_for(&mut live, |sample| {
        sample
            .cgroups
            .iter()
            .any(|row| row.memory_max == Reading::Value(Limit::At(Bytes(8192))))
    });
}

#[test]
fn a_removed_cgroup_has_one_tombstone_with_its_last_readings() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &[]);
    make(&root.path().join("a"), &[("memory.current", "4096\n")]);
    let mut live = start(root.path(), INTERVAL);
    let first = wait_for(&mut live, |_| true);
    fs::remove_dir_all(root.path().join("a")).unwrap();
    let seen = wait_for(&mut live, |sample| {
        sample
            .cgroups
            .iter()
            .any(|row| row.presence == Presence::Vanished)
    });
    let row = seen.last().unwrap().cgroups[1].clone();
    assert_eq!(row.id, first[0].cgroups[1].id);
    assert_eq!(row.memory_current, Reading::Value(Bytes(4096)));
    make(&root.path().join("b"), &[]);
    let seen = wait_for(&mut live, |sample| paths(sample).contains(&"/b"));
    assert_eq!(paths(seen.last().unwrap()), ["/", "/b"]);
}

#[test]
fn a_lost_tree_is_told_and_found_again() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("tree");
    make(&root, &[]);
    let mut live = start(&root, Duration::from_millis(20));
    wait_for(&mut live, |_| true);
    fs::remove_dir_all(&root).unwrap();
    wait_for(&mut live, |sample| {
        sample.cgroups[0].presence == Presence::Vanished
    });
    let start = Instant::now();
    let notice = loop {
        match live.events.try_recv() {
            Ok(Event::Notice { text, .. }) => break text,
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(start.elapsed() < Duration::from_secs(10)),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(notice.contains("gone"), "{notice}");
    make(&root, &[]);
    wait_for(&mut live, |sample| {
        sample.cgroups[0].presence == Presence::Alive
    });
}

#[test]
fn dear_files_are_read_for_those_of_interest_only() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &[]);
    let own = format!("{}\n", std::process::id());
    for name in ["a", "b"] {
        let files = [
            ("memory.stat", "anon 4096\n"),
            ("cgroup.procs", own.as_str()),
        ];
        make(&root.path().join(name), &files);
    }
    let mut live = start(root.path(), INTERVAL);
    let first = wait_for(&mut live, |_| true);
    let [a, b] = [1, 2].map(|n| &first[0].cgroups[n]);
    assert!(a.memory_stat.value().is_some() && b.memory_stat.value().is_some());
    assert_eq!(a.processes.value().unwrap()[0].pid, std::process::id());
    live.set_interest(Interest::Some {
        stats: [a.id].into(),
        processes: [b.id].into(),
    });
    let seen = wait_for(&mut live, |sample| {
        sample.cgroups[1].processes == Reading::NotAvailable
    });
    let [a, b] = [1, 2].map(|n| &seen.last().unwrap().cgroups[n]);
    assert!(a.memory_stat.value().is_some());
    assert_eq!(b.memory_stat, Reading::NotAvailable);
    assert_eq!(b.processes.value().unwrap().len(), 1);
}

#[test]
fn a_place_that_is_no_cgroup_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for subtree in ["", "absent"] {
        let options = options(root.path(), subtree, INTERVAL);
        assert!(Live::start(options).is_err(), "{subtree:?}");
    }
}

/// The root has no `memory.events`: there the kernel log alone tells.
#[test]
fn a_kill_that_no_counter_can_tell_is_told_by_the_log() {
    let root = tempfile::tempdir().unwrap();
    make(root.path(), &[]);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut live = Live::start(Options {
        kmsg: Some(log.path().to_owned()),
        tracing: None,
        journal: false,
        state: "/".into(),
        ..options(root.path(), "", INTERVAL)
    })
    .unwrap();
    wait_for(&mut live, |_| true);
    // One record for each read, as the kernel hands them out.
    let mut log = log.reopen().unwrap();
    for record in [
        "6,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
         task_memcg=/,task=tail,pid=4194304,uid=0\n",
        "3,2,2,-;Out of memory: Killed process 4194304 (tail) total-vm:9kB, anon-rss:4kB, file-rss:2kB, \
         shmem-rss:1kB, UID:0 pgtables:9kB oom_score_adj:0\n",
    ] {
        log.write_all(record.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let start = Instant::now();
    let kill = loop {
        if let Ok(Event::OomKill(kill)) = live.events.try_recv() {
            break kill;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!((&*kill.path.value, kill.kills), ("/", 1));
    assert_eq!(kill.limit_path(), None);
    assert_eq!(kill.victims[0].comm, "tail");
}

#[test]
fn a_new_container_has_the_name_that_its_owner_keeps() {
    let root = tempfile::tempdir().unwrap();
    let id = "0123456789abcdef".repeat(4);
    let docker = format!("/system.slice/docker-{id}.scope");
    make(root.path(), &[]);
    make(&root.path().join("system.slice"), &[]);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut live = Live::start(Options {
        state: fixtures.join("names/host"),
        ..options(root.path(), "", Duration::from_millis(100))
    })
    .unwrap();
    wait_for(&mut live, |_| true);
    make(&root.path().join(docker.trim_start_matches('/')), &[]);
    let called = |sample: &Sample, path: &str| {
        let row = sample.cgroups.iter().find(|row| &*row.path == path)?;
        row.called.clone()
    };
    let seen = wait_for(&mut live, |sample| called(sample, &docker).is_some());
    let last = seen.last().unwrap();
    assert_eq!(called(last, &docker).as_deref(), Some("web"));
    assert_eq!(called(last, "/system.slice"), None);
    // Its last row still has it.
    fs::remove_dir_all(root.path().join(docker.trim_start_matches('/'))).unwrap();
    let seen = wait_for(&mut live, |sample| {
        sample
            .cgroups
            .iter()
            .any(|row| row.presence == Presence::Vanished)
    });
    assert_eq!(
        called(seen.last().unwrap(), &docker).as_deref(),
        Some("web")
    );
}
