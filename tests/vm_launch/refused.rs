//! What cannot be had: one clear sentence, and nothing half-made.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Done, Host, SLICE, as_user};

#[test]
fn b51_bad_sizes() {
    let host = Host::new();
    for size in [
        "0",
        "-1",
        "-5m",
        "12parsecs",
        "18446744073709551616",
        "16777216t",
        "",
        "17e",
    ] {
        host.run(&["-m", size], &["true"])
            .fails(2, &["--memory", size]);
    }
    for cpus in ["0", "-1", "0.001", "nan"] {
        host.run(&["--cpus", cpus], &["true"])
            .fails(2, &["--cpus", cpus]);
    }
    host.run(&["--cpus", "1000"], &["true"])
        .fails(125, &["1000 cpus are more than this host has"]);
    host.run(&["--memory", "32m", "--memory-high", "64m"], &["true"])
        .fails(125, &["memory-high is above memory"]);
}

#[test]
fn bad_devices() {
    let host = Host::new();
    for (device, why) in [
        ("/dev/nosuch:1m", "no device /dev/nosuch"),
        ("/dev/null:1m", "/dev/null is neither a block device"),
        ("/proc:1m", "/proc is not on one block device"),
    ] {
        host.run(&["--device-write-bps", device], &["true"])
            .fails(125, &["ringfence: ", why]);
    }
    for device in ["/dev/vda", "/dev/vda:0", "/dev/vda:-1", "vda:1m"] {
        host.run(&["--device-write-bps", device], &["true"])
            .fails(2, &["--device-write-bps"]);
    }
}

#[test]
fn bad_names() {
    let host = Host::new();
    for name in ["", ".", "..", "a/b", "memory.max", "a b"] {
        host.run(&["--name", name], &["true"]).fails(2, &["--name"]);
    }
}

#[test]
fn b39_rootless_without_delegation() {
    let host = Host::new();
    let done = as_user(host.command(&[], &["true"]));
    done.fails(
        125,
        &["ringfence: user 1000 may not", "type `sudo ringfence run"],
    );
    assert_eq!(done.stderr.lines().count(), 1);
}

#[test]
fn a_read_only_cgroup_file_system() {
    let host = Host::new();
    let remount = |how: &str| {
        let status = Command::new("mount")
            .args(["-o", how, "/sys/fs/cgroup"])
            .status();
        assert!(status.unwrap().success());
    };
    for slice_is_there in [false, true] {
        if slice_is_there {
            fs::create_dir(SLICE).unwrap();
        }
        remount("remount,ro");
        let done = host.run(&[], &["true"]);
        remount("remount,rw");
        done.fails(
            125,
            &[
                "ringfence: ",
                "mounted read-only",
                "type `mount -o remount,rw",
            ],
        );
        assert_eq!(done.stderr.lines().count(), 1);
    }
    // An empty slice is no harm, and goes with the next workload.
    host.run(&[], &["true"]).ok();
}

/// As on a hybrid host, or in a subtree that was given none.
#[test]
fn no_controller_is_needed_without_limits() {
    let host = Host::new();
    let above = Path::new("/sys/fs/cgroup/no-controllers");
    let bare = above.join("bare");
    fs::create_dir_all(&bare).unwrap();
    let run = |arguments: &[&str]| {
        let script = format!(
            r#"mount --bind {} /sys/fs/cgroup && exec "$@""#,
            bare.display()
        );
        let command = host.command(arguments, &["cat", "/proc/self/cgroup"]);
        let mut inside = Command::new("unshare");
        inside.args(["-m", "sh", "-c", &script, "sh"]);
        inside.arg(command.get_program()).args(command.get_args());
        Done::from(inside.output().unwrap())
    };
    let done = run(&[]);
    assert_eq!((done.code, &*done.stdout), (0, "0::/\n"), "{done:?}");
    assert!(
        done.stderr.contains("an OOM kill goes unnoticed"),
        "{}",
        done.stderr
    );
    run(&["-m", "32m", "--pids-limit", "9"])
        .fails(125, &["lacks the memory, pids controller in cgroup v2"]);
    // Both are empty again.
    fs::remove_dir(&bare).unwrap();
    fs::remove_dir(above).unwrap();
}
