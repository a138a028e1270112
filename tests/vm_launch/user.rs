//! Whom the users inside are outside.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use crate::support::{Host, Sysctl, Workload, mount, read};

/// Where ranges are if `/etc/subuid` gives none.
const RANGES: std::ops::Range<u32> = 0x7000_0000..0x7ffe_0000;

/// The ids of a line of `/proc/PID/status`.
fn ids(workload: &Workload, line: &str) -> Vec<u32> {
    let status = read(format!("/proc/{}/status", workload.pids()[0]));
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    let words = found.expect(line).split_whitespace();
    words.map(|id| id.parse().unwrap()).collect()
}

/// Whose a file is on disk.
fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid())
}

fn directory(above: &Path, name: &str) -> String {
    let dir = above.join(name);
    fs::create_dir(&dir).unwrap();
    dir.to_str().unwrap().to_owned()
}

#[test]
fn root_inside_is_nobody_outside_and_no_other_workloads_root() {
    let host = Host::new();
    let script = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' \\n' ' '; id; exec sleep 99";
    let mut first = host.start("first", &[], &script.replace("id;", "echo; id;"));
    let second = host.start("second", &[], "echo; exec sleep 99");
    let root = ids(&first, "Uid:")[0];
    assert!(RANGES.contains(&root), "{root}");
    assert_eq!(ids(&first, "Uid:"), [root; 4]);
    assert_eq!(ids(&first, "Gid:"), [root; 4]);
    assert_eq!(ids(&first, "Groups:"), [0; 0]);
    assert_eq!(first.line.trim(), format!("0 {root} 65536 0 {root} 65536"));
    assert_eq!(first.next_line(), "uid=0(root) gid=0(root)");
    let other = ids(&second, "Uid:")[0];
    assert!(other.abs_diff(root) >= 65536, "{root} {other}");
    for workload in [first, second] {
        workload.kill();
    }
    // One of the same name has the same again.
    let again = host.start("first", &[], "echo; exec sleep 99");
    assert_eq!(ids(&again, "Uid:")[0], root);
    again.kill();
}

#[test]
fn on_disk_ids_are_those_inside() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let layer = directory(dir.path(), "layer");
    let data = directory(dir.path(), "data");
    let volume = format!("{data}:/data");
    let flags = ["--layer-dir", &*layer, "-v", &volume];
    fs::write(dir.path().join("data/users"), "mine\n").unwrap();
    chown(dir.path().join("data/users"), Some(1000), Some(1000)).unwrap();
    // Of the host's files, one that is changed and one that is copied for its new owner.
    let script = "stat -c %u:%g / /etc/passwd /home/user /data /data/users; touch /etc/passwd; rm DIR/gone; \
                  chown 33:44 /etc/group; touch /roots; touch /users /data/new; chown 1000:1001 /users; \
                  mkdir /data/dir; stat -c %u:%g /etc/passwd /etc/group /users";
    let shown = "0:0\n0:0\n1000:1000\n0:0\n1000:1000\n0:0\n33:44\n1000:1001";
    fs::write(dir.path().join("gone"), "").unwrap();
    let script = script.replace("DIR", &dir.path().display().to_string());
    assert_eq!(host.sh(&flags, &script).ok(), shown);
    // What hides a deleted file.
    let hidden = format!("{layer}/upper{}/gone", dir.path().display());
    assert_eq!(owner(hidden), (0, 0));
    let upper = Path::new(&layer).join("upper");
    for (path, ids) in [
        ("roots", (0, 0)),
        ("users", (1000, 1001)),
        ("etc/passwd", (0, 0)),
        ("etc/group", (33, 44)),
    ] {
        assert_eq!(owner(upper.join(path)), ids, "{path}");
    }
    for path in ["new", "dir"] {
        assert_eq!(owner(Path::new(&data).join(path)), (0, 0), "{path}");
    }
    // The next one has another range, and finds them all the same.
    let flags = [&flags[..], &["--name", "another"]].concat();
    let script = "stat -c %u:%g /roots /users /etc/group; rm /roots /users /data/new && rmdir /data/dir && ls /data";
    let done = host.sh(&flags, script);
    assert_eq!(done.ok(), "0:0\n1000:1001\n33:44\nusers");
}

#[test]
fn pipes_can_be_opened_again() {
    let host = Host::new();
    let script = "echo out >/dev/stdout; echo err >/dev/stderr";
    let done = host.sh(&[], script);
    assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"));
}

#[test]
fn a_file_system_that_cannot_map_ids_leaves_them_as_they_are_and_says_so() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let data = directory(dir.path(), "data");
    let overlay = directory(dir.path(), "overlay");
    for at in ["lower", "upper", "work"] {
        directory(dir.path(), at);
    }
    let _tmpfs = mount(&["-t", "tmpfs", "tmpfs", &data]);
    let above = dir.path().display();
    let options = format!("lowerdir={above}/lower,upperdir={above}/upper,workdir={above}/work");
    let _overlay = mount(&["-t", "overlay", "-o", &options, "overlay", &overlay]);
    let release = nix::sys::utsname::uname().unwrap();
    let old = release.release().to_str().unwrap().starts_with("6.1.");
    // Since 6.3 tmpfs can; an overlay cannot yet.
    for (source, cannot) in [(&data, old), (&overlay, true)] {
        let volume = format!("{source}:/data");
        let script = "cat /proc/self/uid_map | tr -s ' ' | cut -d ' ' -f 3; echo x >/data/new; stat -c %u /data/new";
        let done = host.sh(&["-v", &volume], script);
        let outside: u32 = done.stdout.lines().next().unwrap().parse().unwrap();
        assert!(done.stdout.ends_with("\n0\n"), "{done:?}");
        assert_eq!(owner(Path::new(source).join("new")), (0, 0));
        if cannot {
            done.fails(
                0,
                &["root inside is uid 0 outside", source, "cannot map ids"],
            );
            assert_eq!(outside, 0);
        } else {
            assert!(RANGES.contains(&outside), "{done:?}");
            assert_eq!(done.stderr, "");
        }
    }
    // What is thrown away is mapped by whom it belongs to, wherever it is.
    let _scratch = mount(&["-t", "tmpfs", "tmpfs", "/var/lib/ringfence"]);
    let done = host.sh(
        &[],
        "cat /proc/self/uid_map | tr -s ' ' | cut -d ' ' -f 3; touch /x; stat -c %u / /x",
    );
    let done = done.ok();
    let (outside, owners) = done.split_once('\n').unwrap();
    assert!(RANGES.contains(&outside.parse().unwrap()), "{done}");
    assert_eq!(owners, "0\n0");
}

#[test]
fn a_root_that_cannot_map_ids_leaves_them_as_they_are_and_says_so() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    for at in ["lower", "upper", "work"] {
        directory(dir.path(), at);
    }
    let root = directory(dir.path(), "root");
    let above = dir.path().display();
    let options = format!("lowerdir={above}/lower,upperdir={above}/upper,workdir={above}/work");
    let _overlay = mount(&["-t", "overlay", "-o", &options, "overlay", &root]);
    fs::copy("/bin/busybox", Path::new(&root).join("busybox")).unwrap();
    let script = "/busybox cat /proc/self/uid_map; /busybox touch /new && /busybox stat -c %u /new";
    let command = ["/busybox", "sh", "-c", script];
    let done = host.run(&["--rootfs", &root], &command);
    let words: Vec<&str> = done.stdout.split_whitespace().collect();
    assert_eq!((words[1], *words.last().unwrap()), ("0", "0"), "{done:?}");
    done.fails(0, &["root inside is uid 0 outside", "cannot map ids"]);
}

/// The fence is given up by name only.
#[test]
fn without_user_namespaces_a_start_is_refused() {
    let host = Host::new();
    let none = Sysctl::set("user.max_user_namespaces", "0");
    let refused = host.run(&[], &["true"]);
    let given_up = host.run(&["--userns", "host"], &["true"]);
    drop(none);
    refused.fails(
        125,
        &[
            "user.max_user_namespaces is 0",
            "`sysctl user.max_user_namespaces=15000`",
            "--userns host",
        ],
    );
    given_up.fails(0, &["userns host"]);
    // Debian's switch is about who is not root.
    let _off = Sysctl::set("kernel.unprivileged_userns_clone", "0");
    let done = host.run(&[], &["true"]);
    assert_eq!((done.code, &*done.stderr), (0, ""), "{done:?}");
}

/// Whoever uses up what there is of root's inotify stops no start and no dashboard.
#[test]
fn no_inotify_is_needed() {
    let host = Host::new();
    let _none = Sysctl::set("fs.inotify.max_user_instances", "0");
    let done = host.run(&["-m", "16m"], &["true"]);
    let shown = host.verb(&["top", "--plain", "--duration", "1"]);
    let detached = host.sh(&["-d", "--rm", "--name", "watched"], "sleep 0.2");
    let waited = host.verb(&["wait", "watched"]);
    assert_eq!((done.code, &*done.stderr), (0, ""), "{done:?}");
    assert!(
        shown.stdout.contains("ringfence") || shown.stdout.contains("NAME"),
        "{shown:?}"
    );
    assert_eq!(detached.ok(), "watched");
    assert_eq!(waited.code, 0, "{waited:?}");
    host.assert_clean("starts without inotify");
}

#[test]
fn below_a_volume_what_cannot_be_mapped_is_nobodys() {
    let host = Host::new();
    let script = "stat -c %u /host /host/proc /host/home/user; cat /proc/self/uid_map | tr -s ' ' | cut -d ' ' -f 3";
    let done = host.sh(&["-v", "/:/host:ro"], script).ok();
    let (owners, outside) = done.rsplit_once('\n').unwrap();
    assert_eq!(owners, "0\n65534\n1000");
    assert!(RANGES.contains(&outside.parse().unwrap()), "{done}");
}

#[test]
fn userns_host_makes_none_and_says_so() {
    let host = Host::new();
    let flags = ["--userns", "host"];
    let says = ["userns host: root inside is the host's root"];
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    let script = "readlink /proc/self/ns/user; readlink /proc/self/ns/pid; \
                  sed -n 's/^CapEff:\\t//p' /proc/self/status; cat /proc/self/cgroup; echo x >/x; stat -c %u /x";
    let done = host.sh(&flags, script);
    done.fails(0, &says);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0], own.to_str().unwrap());
    let pid = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_ne!(lines[1], pid.to_str().unwrap());
    // The fences that are left are docker's.
    assert_eq!(lines[2..], ["00000000a80425fb", "0::/", "0"]);
    assert!(!fs::exists("/x").unwrap());
    for script in [
        "echo x >/proc/sys/kernel/hostname",
        "echo 1 >/sys/kernel/mm/ksm/run",
        "mkdir /sys/fs/cgroup/x",
        "echo b >/proc/sysrq-trigger",
    ] {
        host.sh(&flags, script).fails(1, &["Read-only file system"]);
    }
    // It may make the node of a disk, which counts nowhere.
    for at in ["/", "/dev/", "/dev/shm/", "/tmp/"] {
        let script = format!("mknod {at}disk b 254 0 && head -c 1 {at}disk");
        let done = host.sh(&["--userns", "host", "--tmpfs", "/tmp"], &script);
        assert!(done.stderr.contains("Permission denied"), "{at}: {done:?}");
    }
    let nest = host.sh(&flags, "unshare -U true");
    assert!(nest.stderr.contains("not permitted"), "{nest:?}");
    let rest = [
        &flags[..],
        &["--net", "host", "--init", "--privileged", "-t"],
        &["--time-offset", "boottime=86400", "-w", "/made"],
    ]
    .concat();
    let done = host.sh(&rest, "pwd; test -t 0 && test -d /dev/mqueue && echo tty");
    assert_eq!(done.stdout, "/made\r\ntty\r\n", "{done:?}");
    host.run(&["--userns", "keep-id"], &["true"])
        .fails(2, &["`keep-id` is no user namespace"]);
}
