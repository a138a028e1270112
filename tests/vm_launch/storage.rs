//! What a workload writes is bounded, by a quota of the disk or in memory.

use std::fs;
use std::path::Path;

use crate::support::{Host, mount};

const BASE: &str = "/var/lib/ringfence";

#[test]
fn writes_are_bounded_in_memory_where_the_disk_has_no_quotas() {
    let host = Host::new();
    let script =
        "dd if=/dev/zero of=/big bs=64k count=64 2>&1; ls -l /big | awk '{print $5 <= 1048576}'";
    let flags = ["--storage-opt", "size=1m", "-m", "64m"];
    let done = host.sh(&flags, script);
    assert!(done.stdout.contains("No space left"), "{done:?}");
    assert!(done.stdout.ends_with("\n1\n"), "{done:?}");
    done.fails(0, &["no project quotas", "kept in memory: 1M at most"]);
    // It counts as the workload's memory.
    let flags = ["--storage-opt", "size=64m", "-m", "16m"];
    let done = host.sh(&flags, "dd if=/dev/zero of=/big bs=64k count=512");
    assert_eq!(done.code, 137, "{done:?}");
    assert!(done.stderr.contains("OOM"), "{done:?}");
    host.assert_clean("writes in memory");
}

#[test]
fn writes_are_bounded_by_a_quota_where_the_disk_has_them() {
    let host = Host::new();
    fs::create_dir_all(BASE).unwrap();
    let disk = mount(&["-t", "ext4", "-o", "prjquota", "/dev/vdb2", BASE]);
    assert!(
        host.verb(&["doctor"])
            .stdout
            .contains("enforces project quotas")
    );
    // One file, many, and one that has no name any more.
    for write in [
        "dd if=/dev/zero of=/big bs=64k count=64 2>&1",
        "for n in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/part$n bs=64k count=8 2>&1 || break; done",
        "exec 3>/big; rm /big; dd if=/dev/zero bs=64k count=64 2>&1 >&3",
    ] {
        let script = format!("{write}; echo rest > /etc/rest || echo nothing more");
        let done = host.sh(&["--storage-opt", "size=1m"], &script);
        assert!(done.stdout.contains("Disk quota exceeded"), "{done:?}");
        assert!(!done.stderr.contains("in memory"), "{done:?}");
    }
    // Of two at once, each has its own.
    let write = "dd if=/dev/zero of=/most bs=64k count=12 2>&1 || exit 9";
    let script = format!("{write}; echo written; exec sleep 1000");
    let flags = ["--storage-opt", "size=1m"];
    let mut workloads = ["first", "second"].map(|name| host.start(name, &flags, &script));
    for workload in &mut workloads {
        while workload.next_line() != "written" {}
    }
    for workload in workloads {
        workload.signal(nix::sys::signal::Signal::SIGKILL);
        workload.finish();
    }
    // Without a word there is a bound all the same, which this disk is too small for; and none where none is wanted.
    for (flags, much) in [(&[][..], "1\n"), (&["--storage-opt", "size=max"], "1\n")] {
        let script = "dd if=/dev/zero of=/big bs=64k count=64 2>/dev/null && echo 1";
        assert_eq!(host.sh(flags, script).stdout, much);
    }
    // What was thrown away takes no room.
    let left: Vec<_> = fs::read_dir(Path::new(BASE).join("scratch"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    drop(disk);
    host.assert_clean("quotas");
}

#[test]
fn what_is_kept_has_no_bound_of_ours() {
    let host = Host::new();
    let flags = ["--layer-dir", "/tmp", "--storage-opt", "size=1m"];
    host.run(&flags, &["true"])
        .fails(2, &["cannot be used with"]);
    for (option, says) in [
        ("size=1k", "nothing can be written to so little"),
        ("inodes=3", "there is size=10g"),
    ] {
        host.run(&["--storage-opt", option], &["true"])
            .fails(2, &[says]);
    }
}
