//! Processes: what a workload sees, how it ends, and what it is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Host, read, wait_until, with_input};

/// Says its line when it is ready, then waits in small pieces so that traps are served.
const WAIT: &str = "echo ready; while :; do sleep 0.05; done";

#[test]
fn b01_pid_1_inside_and_a_high_pid_outside() {
    let host = Host::new();
    let workload = host.start("b01", &[], "echo $$; exec sleep 100");
    assert_eq!(workload.line, "1");
    let pids = workload.pids();
    let status = read(format!("/proc/{}/status", pids[0]));
    let ns_pids = status.lines().find(|line| line.starts_with("NSpid:"));
    assert_eq!(ns_pids, Some(&*format!("NSpid:\t{}\t1", pids[0])));
    assert!(pids[0] > 1, "{pids:?}");
    workload.signal(Signal::SIGTERM);
    assert_eq!(workload.finish().code, 137);
}

#[test]
fn b02_no_host_pid_in_proc() {
    let host = Host::new();
    let inside = host.sh(&[], "cd /proc; echo [0-9]*").ok();
    assert_eq!(inside, "1");
}

#[test]
fn b03_a_random_host_name_of_its_own() {
    let host = Host::new();
    let before = read("/proc/sys/kernel/hostname");
    let [one, two] = [(); 2].map(|()| host.run(&[], &["hostname"]).ok());
    assert_ne!(one, two);
    assert_ne!(one, before);
    assert_eq!(host.run(&["--hostname", "box"], &["hostname"]).ok(), "box");
    assert_eq!(read("/proc/sys/kernel/hostname"), before);
}

#[test]
fn b04_every_namespace_differs_from_the_hosts() {
    let host = Host::new();
    for kind in ["pid", "mnt", "net", "uts", "ipc", "user", "cgroup"] {
        let link = format!("/proc/self/ns/{kind}");
        let inside = host.run(&[], &["readlink", &link]).ok();
        let outside = fs::read_link(&link).unwrap();
        assert!(inside.starts_with(kind), "{inside}");
        assert_ne!(inside, outside.to_str().unwrap());
    }
}

#[test]
fn b05_the_exit_code_passes_through() {
    let host = Host::new();
    for code in [0, 1, 42, 255] {
        let done = host.sh(&[], &format!("exit {code}"));
        assert_eq!((done.code, &*done.stderr), (code, ""));
    }
}

#[test]
fn b06_death_by_a_signal_gives_128_and_its_number() {
    let host = Host::new();
    for signal in [2, 9, 15, 34] {
        let done = host.sh(&["--init"], &format!("kill -{signal} $$"));
        assert_eq!((done.code, &*done.stderr), (128 + signal, ""));
    }
    let workload = host.start("b06", &[], WAIT);
    let pid = Pid::from_raw(workload.pids()[0]);
    kill(pid, Signal::SIGKILL).unwrap();
    let done = workload.finish();
    assert_eq!((done.code, &*done.stderr), (137, ""));
}

#[test]
fn b07_a_missing_command_gives_127() {
    let host = Host::new();
    host.run(&[], &["no-such-program"])
        .fails(127, &["ringfence: no-such-program", "not found in PATH"]);
    host.run(&[], &["/no/such/program"])
        .fails(127, &["ringfence: /no/such/program", "not found"]);
    host.run(&["-e", "PATH=/etc"], &["sh"])
        .fails(127, &["ringfence: sh: not found in PATH"]);
}

#[test]
fn b08_what_cannot_be_executed_gives_126() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    fs::write(&path, "\x7fno program").unwrap();
    let name = path.to_str().unwrap();
    host.run(&[], &[name])
        .fails(126, &[name, "permission denied"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    host.run(&[], &[name])
        .fails(126, &[name, "Exec format error"]);
    host.run(&[], &["/etc"]).fails(126, &["/etc"]);
}

#[test]
fn b09_a_failed_set_up_gives_125_and_names_the_step() {
    let host = Host::new();
    host.run(&["-w", "/proc/self/status/dir"], &["true"]).fails(
        125,
        &[
            "ringfence: setting the workload up failed",
            "/proc/self/status",
        ],
    );
}

#[test]
fn b10_a_failure_before_exec_is_never_taken_for_the_programs_own() {
    let host = Host::new();
    for flags in [&[][..], &["--init"]] {
        for code in [125, 126, 127] {
            let done = host.sh(flags, &format!("exit {code}"));
            assert_eq!((done.code, &*done.stderr), (code, ""));
        }
        assert_ne!(host.run(flags, &["no-such-program"]).stderr, "");
    }
}

#[test]
fn b11_init_reaps_and_forwards() {
    let host = Host::new();
    for (flags, left) in [(&[][..], 1), (&["--init"], 0)] {
        let script = "(sleep 0.1 &); echo ready; exec tail -f /dev/null";
        let workload = host.start("b11", flags, script);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(zombies_of(workload.pids()[0]), left, "{flags:?}");
        workload.signal(Signal::SIGINT);
        workload.finish();
    }

    let trap = format!("trap 'exit 7' TERM; {WAIT}");
    for (script, code) in [(&*trap, 7), (WAIT, 143)] {
        let workload = host.start("b11", &["--init"], script);
        workload.signal(Signal::SIGTERM);
        let done = workload.finish();
        assert_eq!((done.code, &*done.stderr), (code, ""));
    }
}

/// How many dead children a process has not waited for.
fn zombies_of(parent: i32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    stats
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            fields.starts_with(&format!("Z {parent} "))
        })
        .count()
}

#[test]
fn b12_term_reaches_the_handler_and_a_deaf_pid_1_is_not_waited_for() {
    let host = Host::new();
    let workload = host.start("b12", &[], &format!("trap 'exit 7' TERM; {WAIT}"));
    workload.signal(Signal::SIGTERM);
    let done = workload.finish();
    assert_eq!((done.code, &*done.stderr), (7, ""));

    let workload = host.start(
        "b12",
        &["--stop-timeout", "60"],
        "echo ready; exec sleep 100",
    );
    let since = Instant::now();
    workload.signal(Signal::SIGTERM);
    let done = workload.finish();
    done.fails(137, &["ringfence: ", "PID 1", "no handler for SIGTERM"]);
    assert_eq!(done.stderr.lines().count(), 1);
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn b13_a_workload_that_ignores_term_is_killed_after_the_grace() {
    let host = Host::new();
    let script = format!("trap 'echo no' TERM; {WAIT}");
    let workload = host.start("b13", &["--stop-timeout", "1"], &script);
    let since = Instant::now();
    workload.signal(Signal::SIGTERM);
    let done = workload.finish();
    assert_eq!((done.code, &*done.stdout), (137, "no\n"));
    assert!(since.elapsed() >= Duration::from_secs(1));
}

#[test]
fn b13_an_interrupt_is_the_programs_business_and_three_are_the_users() {
    let host = Host::new();
    let script = format!("trap 'echo no' INT; {WAIT}");
    let mut workload = host.start("b13", &["--stop-timeout", "1"], &script);
    workload.signal(Signal::SIGINT);
    assert_eq!(workload.next_line(), "no");
    // Longer than the grace, which is not for this, and than what counts as insisting.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(!workload.pids().is_empty());
    let since = Instant::now();
    for _ in 0..2 {
        workload.signal(Signal::SIGINT);
        assert_eq!(workload.next_line(), "no");
    }
    workload.signal(Signal::SIGINT);
    assert_eq!(workload.finish().code, 137);
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn b14_b38_a_killed_launcher_leaves_no_survivors_and_the_next_start_sweeps() {
    let host = Host::new();
    for flags in [&[][..], &["--init"]] {
        let workload = host.start("b14", flags, "(sleep 1000 &); echo ready; exec sleep 1000");
        assert!(workload.pids().len() >= 2);
        workload.signal(Signal::SIGKILL);
        // Before anything waits for the end of the pipe that a survivor would hold.
        wait_until("the end of all", || {
            workload.read("cgroup.procs").is_empty()
        });
        assert_eq!(workload.finish().code, 137);
        // b38: the next start sweeps what could not be cleaned up.
        let next = host.run(&[], &["true"]);
        next.fails(0, &["b14: its supervisor was killed", "removed"]);
        host.assert_clean("the sweep");
    }
}

#[test]
fn b15_what_follows_the_command_belongs_to_it() {
    let host = Host::new();
    let out = host
        .run(&[], &["echo", "--name", "x", "-m", "--", "--init"])
        .ok();
    assert_eq!(out, "--name x -m -- --init");
}

#[test]
fn b16_environment_and_arguments_are_exact() {
    let host = Host::new();
    let done = host.run(
        &[
            "-e",
            "A=1\n 2",
            "-e",
            "PATH=/bin",
            "-e",
            "COPIED",
            "-e",
            "ABSENT",
        ],
        &[
            "sh",
            "-c",
            "printf '<%s>' \"$A\" \"$PATH\" \"$COPIED\" \"${ABSENT-none}\" \"$HOME\" \"$@\"",
            "sh",
            "a\nb",
            "",
            "ü",
        ],
    );
    assert_eq!(done.stdout, "<1\n 2></bin><><none></root><a\nb><><ü>");
    let mut command = host.command(&["-e", "COPIED"], &["sh", "-c", "echo $COPIED"]);
    let output = command.env("COPIED", "from the host").output().unwrap();
    assert_eq!(output.stdout, b"from the host\n");
}

#[test]
fn b17_the_working_directory_is_made() {
    let host = Host::new();
    assert_eq!(host.run(&["-w", "/srv/a/b"], &["pwd"]).ok(), "/srv/a/b");
    assert_eq!(host.run(&[], &["pwd"]).ok(), "/");
    assert!(!fs::exists("/srv/a").unwrap());
}

#[test]
fn b18_no_descriptor_above_2_leaks() {
    let host = Host::new();
    let command = host.command(&[], &["sh", "-c", "echo /proc/1/fd/*"]);
    let mut leaky = std::process::Command::new("sh");
    leaky
        .args([
            "-c",
            "exec 7</proc/version 9</proc/version; exec \"$@\"",
            "sh",
        ])
        .arg(command.get_program())
        .args(command.get_args());
    // The shell holds a descriptor on the directory while it reads it.
    let out = String::from_utf8(leaky.output().unwrap().stdout).unwrap();
    assert_eq!(
        out.trim(),
        "/proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2 /proc/1/fd/3"
    );
}

#[test]
fn b19_piped_input_arrives() {
    let host = Host::new();
    let done = with_input(host.command(&[], &["wc", "-c"]), &vec![b'x'; 100_000]);
    assert_eq!(done.ok(), "100000");
}

#[test]
fn b55_no_new_privs() {
    let host = Host::new();
    let status = host
        .run(&[], &["grep", "NoNewPrivs", "/proc/self/status"])
        .ok();
    assert_eq!(status, "NoNewPrivs:\t1");
}

#[test]
fn b57_clocks_are_ahead_or_behind_by_what_was_asked() {
    let host = Host::new();
    let uptime = |text: &str| text.split('.').next().unwrap().parse::<i64>().unwrap();
    let offsets = [
        "--time-offset",
        "boottime=86400",
        "--time-offset",
        "monotonic=-1",
    ];
    let before = uptime(&read("/proc/uptime"));
    let inside = host.run(&offsets, &["cat", "/proc/uptime"]).ok();
    let after = uptime(&read("/proc/uptime"));
    assert!(
        (before..=after).contains(&(uptime(&inside) - 86_400)),
        "{inside}"
    );
    let offsets = host
        .sh(
            &offsets,
            "cat /proc/self/timens_offsets; readlink /proc/self/ns/time",
        )
        .ok();
    let words: Vec<_> = offsets.split_whitespace().collect();
    assert_eq!(
        words[..6],
        ["monotonic", "-1", "0", "boottime", "86400", "0"]
    );
    let hosts = fs::read_link("/proc/self/ns/time").unwrap();
    assert_ne!(words[6], hosts.to_str().unwrap());
    // Without, the clocks are the host's.
    let inside = host.run(&[], &["readlink", "/proc/self/ns/time"]).ok();
    assert_eq!(inside, hosts.to_str().unwrap());
    for (offset, why) in [
        ("boottime=-1000000", "before 0"),
        (
            "monotonic=9000000000",
            "more than the kernel's clocks can count",
        ),
        ("realtime=1", "is no clock that can be set"),
    ] {
        let done = host.run(&["--time-offset", offset], &["true"]);
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains(why), "{done:?}");
    }
}

#[test]
fn b59_the_network_has_only_lo_and_it_is_up() {
    let host = Host::new();
    let script =
        "tail -n +3 /proc/net/dev | cut -d: -f1; ping -c 1 -W 2 127.0.0.1 >/dev/null && echo up";
    let out = host.sh(&[], script).ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["lo", "up"]);
}

#[test]
fn a_start_does_not_wait_for_what_another_one_sweeps() {
    let host = Host::new();
    let base = Path::new("/var/lib/ringfence/scratch");
    let left = base.join("left/upper");
    fs::create_dir_all(&left).unwrap();
    for number in 0..10_000 {
        fs::write(left.join(number.to_string()), "").unwrap();
    }
    let mut sweeper = host.command(&[], &["true"]).spawn().unwrap();
    let pid = Pid::from_raw(sweeper.id().cast_signed());
    let swept = || {
        let mut entries = fs::read_dir(base).unwrap().flatten();
        entries.find(|entry| entry.file_name().to_string_lossy().starts_with('@'))
    };
    // Stopped while it removes, and no longer has the lock of all starts.
    let lock = fs::File::open(base).unwrap();
    let is_free = || {
        let free = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();
        free.is_ok()
    };
    wait_until("the sweep", || swept().is_some() && is_free());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_until("its stop", || {
        read(format!("/proc/{pid}/stat")).contains(") T ")
    });
    assert!(swept().is_some(), "it was too quick");
    // Its lock is only on what it removes.
    host.run(&["-n", "left"], &["true"]).ok();
    assert!(swept().is_some());
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(sweeper.wait().unwrap().success());
    assert!(swept().is_none());
}
