//! What starts, what does not, and why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::ringfence;
use super::support::dashboard::Dashboard;
use super::support::{Done, Host, Sysctl, binary, load, mount, read, wait_until};

/// Below a frozen cgroup nothing would so much as begin.
#[test]
fn case_13_a_frozen_slice_is_named() {
    const FREEZE: &str = "/sys/fs/cgroup/ringfence.slice/cgroup.freeze";
    let host = Host::new();
    let other = host.start("other", &[], "echo ready; sleep 1000");
    fs::write(FREEZE, "1").unwrap();
    let begin = Instant::now();
    let done = host.run(&[], &["echo", "hi"]);
    let took = begin.elapsed();
    let words = [
        "/ringfence.slice is frozen",
        &format!("`echo 0 >{FREEZE}` thaws it"),
    ];
    done.fails(125, &words);
    assert!(took < Duration::from_secs(5), "{took:?}");
    fs::write(FREEZE, "0").unwrap();
    assert_eq!(host.run(&[], &["echo", "hi"]).ok(), "hi");
    other.kill();
    host.assert_clean("case 13");
}

/// Ctrl-Z on a workload that reads the terminal: nothing stops, or both do. Never are there two readers.
#[test]
fn case_15_a_stop_leaves_one_reader() {
    let host = Host::new();
    for flags in ["", "-i -T "] {
        let mut shell = Dashboard::run("sh", &["-i"]);
        shell.wait_for("# ");
        shell.keys(&format!("ringfence run -n reader {flags}-- cat\r"));
        // What is typed before it reads is the shell's.
        let procs = "/sys/fs/cgroup/ringfence.slice/reader/cgroup.procs";
        wait_until("cat", || {
            let pids = fs::read_to_string(procs).unwrap_or_default();
            let mut pids = pids.lines();
            pids.any(|pid| fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"cat\n"))
        });
        shell.keys("one$((0))\r");
        // What is typed, and what cat makes of it.
        let said = |contents: &str, text: &str| {
            contents.lines().filter(|line| line.ends_with(text)).count()
        };
        shell.wait("cat", |contents| said(contents, "one$((0))") >= 2);
        shell.keys("\u{1a}");
        if flags.is_empty() {
            // On a terminal of its own, it is the workload's key.
            shell.keys("two$((0))\r");
            shell.wait("cat", |contents| said(contents, "two$((0))") >= 2);
            assert!(!shell.contents().contains("Stopped"));
        } else {
            shell.wait_for("Stopped");
            shell.keys("two$((0))\r");
            shell.wait_for("two0: not found");
            shell.keys("fg\r");
            // As typed, as stopped, and as it goes on.
            shell.wait("it to go on", |contents| {
                contents.matches("ringfence run -n reader").count() >= 3
            });
        }
        eprintln!("with `{flags}`:\n{}", shell.contents());
        shell.keys("three$((0))\r");
        shell.wait("cat again", |contents| said(contents, "three$((0))") >= 2);
        shell.keys("\u{4}");
        shell.wait("its end", |contents| contents.trim_end().ends_with('#'));
        shell.keys("exit\r");
        shell.end();
    }
    drop(host);
}

/// A workload finds its own name, as programs do.
#[test]
fn case_16_the_host_name_resolves() {
    let host = Host::new();
    let before = read("/etc/hosts");
    let said = host.sh(
        &["--hostname", "box"],
        "hostname -i; cat /etc/hostname; cat /etc/hosts",
    );
    let said = said.ok();
    assert!(said.starts_with("127.0.1.1\nbox\n"), "{said}");
    assert!(
        said.contains(&before) && said.trim_end().ends_with("127.0.1.1\tbox"),
        "{said}"
    );
    // Where nothing can be written, too; and it can be changed as any other file, for itself alone.
    let name = host.sh(
        &["--read-only"],
        "grep -w $(hostname) /etc/hosts && echo more >>/etc/hosts",
    );
    name.ok();
    assert_eq!(read("/etc/hosts"), before);
    // What was asked for goes before.
    fs::write("/tmp/hosts", "10.0.0.1 other\n").unwrap();
    let said = host
        .sh(&["-v", "/tmp/hosts:/etc/hosts:ro"], "cat /etc/hosts")
        .ok();
    assert_eq!(said.trim_end(), "10.0.0.1 other");
    fs::remove_file("/tmp/hosts").unwrap();
}

/// A script whose interpreter is not there, and why.
#[test]
fn case_21_the_interpreter_is_named() {
    let host = Host::new();
    let script = Path::new("/srv/script");
    fs::create_dir_all("/srv").unwrap();
    let run = |text: &str| {
        fs::write(script, text).unwrap();
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        host.run(&[], &["/srv/script"])
    };
    run("#!/bin/sh\r\necho hi\r\n").fails(
        127,
        &[
            "/srv/script: the interpreter that it names, `/bin/sh\\r`, is not found",
            "must end in LF",
        ],
    );
    run("#!/usr/bin/nothing -x\n").fails(127, &["`/usr/bin/nothing`, is not found"]);
    run("#!/bin/sh\necho hi\n").ok();
    fs::remove_file(script).unwrap();
    host.run(&[], &["/srv/script"])
        .fails(127, &["/srv/script: not found"]);
}

/// Each limit on namespaces that is reached is named, with its value.
#[test]
fn case_17_the_limit_on_namespaces_is_named() {
    let host = Host::new();
    for kind in ["user", "pid", "mnt", "net", "uts", "ipc", "cgroup"] {
        let sysctl = format!("user.max_{kind}_namespaces");
        let none = Sysctl::set(&sysctl, "0");
        let refused = host.run(&[], &["true"]);
        let doctor = ringfence(&["doctor"]);
        drop(none);
        let what = format!("{sysctl} is 0");
        refused.fails(125, &[&what, &format!("`sysctl {sysctl}=15000`")]);
        assert!(doctor.stdout.contains(&what), "{doctor:?}");
    }
    host.run(&[], &["true"]).ok();
}

/// Whose limit it is that nothing more can be started below, and what it is.
#[test]
fn case_18_the_limits_of_the_slice_are_named() {
    let host = Host::new();
    let keeps = host.start("keeps", &[], &load("sleep"));
    let slice = Path::new("/sys/fs/cgroup/ringfence.slice");
    for (file, value, what) in [
        (
            "pids.max",
            "1",
            "pids.max of /ringfence.slice is 1, and 1 processes and threads are in it",
        ),
        (
            "cgroup.max.descendants",
            "1",
            "cgroup.max.descendants of /ringfence.slice is 1",
        ),
        (
            "cgroup.max.depth",
            "0",
            "cgroup.max.depth of /ringfence.slice is 0",
        ),
    ] {
        fs::write(slice.join(file), value).unwrap();
        let refused = host.run(&[], &["true"]);
        fs::write(slice.join(file), "max").unwrap();
        refused.fails(125, &[what, "takes the limit away"]);
    }
    host.run(&[], &["true"]).ok();
    keeps.kill();
}

/// In a container, some of `/proc` is covered.
#[test]
fn case_19_a_covered_proc_is_named() {
    let host = Host::new();
    let covered = mount(&["--bind", "/dev/null", "/proc/uptime"]);
    let refused = host.run(&[], &["true"]);
    let without = host.run(&["--userns", "host"], &["true"]);
    let doctor = ringfence(&["doctor"]);
    drop(covered);
    refused.fails(125, &["/proc/uptime is covered", "--userns host"]);
    assert_eq!(without.code, 0, "{without:?}");
    assert!(
        doctor.stdout.contains("/proc/uptime is covered"),
        "{doctor:?}"
    );
    host.run(&[], &["true"]).ok();
}

/// The mount of cgroup v2 may be covered; another one may not be.
#[test]
fn case_20_a_covered_cgroup_mount_is_named_or_gone_around() {
    let host = Host::new();
    let what = "/sys/fs/cgroup: it is covered by the tmpfs that is mounted at /sys/fs/cgroup";
    fs::create_dir_all("/tmp/cgroup").unwrap();
    let other = mount(&["--bind", "/sys/fs/cgroup", "/tmp/cgroup"]);
    // Else what covers the one would cover the other.
    let private = Command::new("mount")
        .args(["--make-private", "/tmp/cgroup"])
        .status();
    assert!(private.unwrap().success());
    let covered = mount(&["-t", "tmpfs", "none", "/sys/fs/cgroup"]);
    let run = host.run(&[], &["true"]);
    let top = ringfence(&["top", "--plain", "--duration", "1"]);
    drop(other);
    let refused = host.run(&[], &["true"]);
    let doctor = ringfence(&["doctor"]);
    drop(covered);
    fs::remove_dir("/tmp/cgroup").unwrap();
    refused.fails(125, &[what]);
    assert!(doctor.stdout.contains(what), "{doctor:?}");
    run.ok();
    assert!(top.ok().contains("\n/ "));
}

/// A file system that is full, and descriptors that are used up.
#[test]
fn a_lack_of_room_is_named() {
    let host = Host::new();
    fs::create_dir_all("/var/lib/ringfence").unwrap();
    let full = mount(&[
        "-t",
        "tmpfs",
        "-o",
        "nr_inodes=3,mode=700",
        "none",
        "/var/lib/ringfence",
    ]);
    let refused = host.run(&[], &["true"]);
    drop(full);
    refused.fails(
        125,
        &[
            "the file system of /var/lib/ringfence",
            "has no inodes left",
        ],
    );

    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -Sn 9; ulimit -Hn 9; exec \"$0\" run -- true"]);
    let few = Done::from(few.arg(binary()).output().unwrap());
    few.fails(
        125,
        &[
            "this process may have 9 files open (RLIMIT_NOFILE",
            "ulimit -n",
        ],
    );
}

/// One process of many meets the limit: the others go on, where that is wanted.
#[test]
fn case_34_the_others_may_go_on() {
    let host = Host::new();
    let script = "while :; do ringfence load memory --size 64m; echo again; done";
    let flags = [
        "-m",
        "32m",
        "--memory-swap",
        "32m",
        "--oom-policy",
        "continue",
    ];
    let many = host.start("many", &flags, &format!("echo ready; {script}"));
    assert_eq!(many.read("memory.oom.group"), "0");
    wait_until("the second kill", || {
        many.count("memory.events", "oom_kill") >= 2
    });
    assert_eq!(many.count("memory.events", "oom_group_kill"), 0);
    let pids = many.pids();
    assert!(!pids.is_empty());
    many.kill();
    // All of them else.
    let all = host.sh(&["-m", "32m", "--memory-swap", "32m"], script);
    all.fails(137, &["OOM"]);
    assert_eq!(all.stdout, "");
}

/// What a process may have is stated, and not the launcher's.
#[test]
fn case_36_limits_of_processes_are_stated() {
    let host = Host::new();
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let hard = most.unwrap_or(u64::MAX).min(524_288);
    let soft = hard.min(1024);
    let files = "ulimit -Sn; ulimit -Hn";
    let said = host.sh(&[], files).ok();
    assert_eq!(said.trim_end(), format!("{soft}\n{hard}"));
    let flags = [
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "core=0",
        "--ulimit",
        "nproc=300",
    ];
    let said = host
        .sh(&flags, "ulimit -Sn; ulimit -Hn; ulimit -c; grep -c 'Max processes  *300  *300 ' /proc/self/limits")
        .ok();
    assert_eq!(said.trim_end(), "100\n200\n0\n1");
    // Who joins it has no more.
    let joined_to = host.start("box", &flags, &load("sleep"));
    let joined = host.verb(&["exec", "box", "sh", "-c", files]).ok();
    assert_eq!(joined.trim_end(), "100\n200");
    joined_to.kill();
    host.run(&["--ulimit", "nofile=9999999999"], &["true"])
        .fails(
            125,
            &["ulimit nofile=9999999999:9999999999 is more than this user may allow"],
        );
    host.run(&["--ulimit", "files=1"], &["true"])
        .fails(2, &["there is no limit `files`"]);
}
