//! A private tracing instance on a real kernel: `cargo xtask test vm_trace`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence::kernel::host;
use ringfence::kernel::trace::reader::Reader;
use ringfence::kernel::trace::{Attached, Event};
use ringfence::kernel::watch::wait;
use std::os::fd::AsFd;
use support::own::Own;
use support::{Host, wait_until};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

fn instances() -> BTreeSet<String> {
    let entries = fs::read_dir(INSTANCES).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_kill_is_told_with_the_victims_cgroup_and_nothing_is_left() {
    let _host = Host::new();
    let before = instances();
    let own = Own::new();
    own.write("memory.max", "8M");
    let mut reader = Reader::open(Path::new("/")).unwrap();
    assert_eq!(instances().len(), before.len() + 1);
    let began = host::since_boot();
    let mut shell = own.start("exec tail /dev/zero");
    let mut heard = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_victim = |event: &Event| matches!(event, Event::Victim(_));
    while !heard.iter().any(is_victim) {
        assert!(Instant::now() < deadline, "{heard:?}");
        // It is the trace that wakes.
        wait(&[reader.as_fd()], Duration::from_secs(20));
        reader.read(|event| heard.push(event)).unwrap();
    }
    shell.wait().unwrap();
    let id = fs::metadata(&own.dir).map(|dir| std::os::unix::fs::MetadataExt::ino(&dir));
    let attached = Attached {
        pid: shell.id(),
        cgroup: ringfence::kernel::cgroup::CgroupId(id.unwrap()),
        path: "/above/own".into(),
    };
    assert!(heard.contains(&Event::Attached(attached)), "{heard:?}");
    let victims: Vec<_> = heard.iter().filter(|event| is_victim(event)).collect();
    let [Event::Victim(marked)] = victims[..] else {
        panic!("{victims:?}")
    };
    assert_eq!(marked.pid, shell.id());
    assert!(
        began < marked.at && marked.at < host::since_boot(),
        "{marked:?}"
    );
    let process = marked.process.as_ref().unwrap();
    assert_eq!(
        (&*process.comm, process.uid, process.oom_score_adj),
        ("tail", Some(0), Some(0))
    );
    assert!(process.anon_rss.0 > 4 << 20, "{process:?}");
    drop(reader);
    assert_eq!(instances(), before);
}

#[test]
fn what_a_killed_program_left_is_removed_and_what_is_in_use_is_not() {
    let before = instances();
    // Of one that is dead, of one that lives, and of one that is dead here but has it open.
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let mut living = Command::new("sleep").arg("99").spawn().unwrap();
    let name = |pid: u32, number: u32| format!("{INSTANCES}/ringfence-{pid}-{number}");
    let [left, others, held] = [name(dead.id(), 1), name(living.id(), 1), name(dead.id(), 2)];
    for dir in [&left, &others, &held] {
        fs::create_dir(dir).unwrap();
    }
    let mut holder = Command::new("cat")
        .arg(format!("{held}/trace_pipe"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let fds = format!("/proc/{}/fd", holder.id());
    wait_until("the pipe to be open", || {
        let fds = fs::read_dir(&fds).unwrap().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|path| path.ends_with("trace_pipe"))
    });
    let reader = Reader::open(Path::new("/")).unwrap();
    let is_there = |dir: &String| Path::new(dir).exists();
    assert_eq!([&left, &others, &held].map(is_there), [false, true, true]);
    for child in [&mut holder, &mut living] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    drop(Reader::open(Path::new("/")).unwrap());
    assert_eq!([&left, &others, &held].map(is_there), [false; 3]);
    drop(reader);
    assert_eq!(instances(), before);
}
