//! The root file system: writes stay in the workload, and what is dangerous is out of reach.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Host, mount, read};

#[test]
fn b43_b44_a_write_is_seen_inside_only_and_the_next_run_starts_clean() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "lower\n").unwrap();
    let name = file.display();
    let script = format!("cat {name}; echo upper > {name}; cat {name}; echo x > /new; cat /new");
    assert_eq!(host.sh(&[], &script).ok(), "lower\nupper\nx");
    assert_eq!(read(&file), "lower");
    assert!(!fs::exists("/new").unwrap());
    let script = format!("cat {name}; ls /new 2>/dev/null; true");
    assert_eq!(host.sh(&[], &script).ok(), "lower");
}

#[test]
fn b45_a_lower_directory_is_deleted_and_made_again() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    fs::write(dir.path().join("old"), "").unwrap();
    let name = dir.path().display();
    let script = format!("rm -r {name} && mkdir {name} && echo x > {name}/new && ls {name}");
    assert_eq!(host.sh(&[], &script).ok(), "new");
    assert!(dir.path().join("old").exists());
}

#[test]
fn b47_the_old_root_is_unreachable() {
    let host = Host::new();
    let mounts = host.run(&[], &["cat", "/proc/self/mountinfo"]).ok();
    let kinds: Vec<(&str, &str)> = mounts
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let dash = words.iter().position(|word| *word == "-").unwrap();
            (words[4], words[dash + 1])
        })
        .collect();
    assert!(kinds.contains(&("/", "overlay")), "{mounts}");
    for (at, kind) in kinds {
        assert_ne!(kind, "ext4", "{at}");
    }
    // Root inside is root, but not of the host: the disk itself is out of reach too.
    let done = host.sh(
        &[],
        "mknod /disk b 254 0 2>&1; cat /dev/vda 2>&1; ls /proc/1/root/..",
    );
    assert!(done.stdout.contains("not permitted"), "{done:?}");
    assert!(done.stdout.contains("/dev/vda': No such file"), "{done:?}");
}

#[test]
fn b48_devices() {
    let host = Host::new();
    let script = "cd /dev; for node in null zero full random urandom tty ptmx; do test -c $node || echo no $node; done; \
                  head -c 4 zero | wc -c; head -c 4 urandom | wc -c; echo x > null; echo x 2>/dev/null > full || echo full; \
                  echo x > shm/file; cat shm/file; test -d pts && test -d mqueue; ls fd/ stdin stdout stderr > null && echo links";
    assert_eq!(host.sh(&[], script).ok(), "4\n4\nfull\nx\nlinks");
}

#[test]
fn b49_masks_and_read_only_paths() {
    let host = Host::new();
    let script = "for file in /proc/kcore /proc/keys /proc/timer_list; do wc -c < $file; done; ls -A /sys/firmware | wc -l; \
                  for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/power/state; do \
                  (echo x > $file) 2>/dev/null && echo wrote $file; done; true";
    assert_eq!(host.sh(&[], script).ok(), "0\n0\n0\n0");
}

#[test]
fn reading_a_launcher_through_proc_is_refused() {
    let host = Host::new();
    // PID 1 is a copy of the launcher then; its files would lead out.
    let script = "ls /proc/1/root/ /proc/1/cwd/; cat /proc/1/exe; cat /proc/1/environ; true";
    let done = host.sh(&["--init"], script);
    assert_eq!((done.code, &*done.stdout), (0, ""));
    assert_eq!(
        done.stderr.matches("Permission denied").count(),
        4,
        "{done:?}"
    );
}

#[test]
fn a_scratch_directory_on_an_overlay_falls_back_to_memory() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.path().join(name));
    for dir in [&lower, &upper, &work] {
        fs::create_dir(dir).unwrap();
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    fs::create_dir_all("/var/lib/ringfence").unwrap();
    let overlay = mount(&[
        "-t",
        "overlay",
        "-o",
        &options,
        "overlay",
        "/var/lib/ringfence",
    ]);
    let done = host.sh(&["-m", "64m"], "echo x > /new; cat /new");
    done.fails(
        0,
        &["ringfence: ", "cannot carry an overlay", "kept in memory"],
    );
    assert_eq!(done.stdout, "x\n");
    drop(overlay);
}

#[test]
fn a_program_on_another_file_system_is_told_apart() {
    let host = Host::new();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let name = dir.path().to_str().unwrap();
    let _tmpfs = mount(&["-t", "tmpfs", "tmpfs", name]);
    let program = format!("{name}/busybox");
    fs::copy("/bin/busybox", &program).unwrap();
    host.run(&[], &[&program, "true"]).fails(
        127,
        &[
            &format!("{program}: not found"),
            &format!("{name} is a file system of its own"),
        ],
    );
}

/// A root file system of one program, in a directory of this name.
fn tiny_root(above: &Path, name: &str) -> PathBuf {
    let root = above.join(name);
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "ls", "rm", "mkdir", "touch", "readlink", "mount",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    root
}

/// A directory on the disk: an overlay's layers must be on one that carries them.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in("/tmp").unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn layers_of_directories_are_the_root_and_stay_as_they_are() {
    let host = Host::new();
    let dir = on_disk();
    let base = tiny_root(dir.path(), "base");
    let top = dir.path().join("top");
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::create_dir_all(base.join("etc")).unwrap();
    fs::write(base.join("etc/name"), "base\n").unwrap();
    fs::write(base.join("etc/only"), "here\n").unwrap();
    fs::write(top.join("etc/name"), "top\n").unwrap();
    let flags = ["--rootfs", text(&base), "--rootfs", text(&top)];
    let script = "cat /etc/name /etc/only; echo new >/etc/name; rm /etc/only; ls /; echo $PATH";
    assert_eq!(
        host.sh(&flags, script).ok(),
        "top\nhere\nbin\ndev\netc\nproc\nsys\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    assert_eq!(
        (read(base.join("etc/name")), read(top.join("etc/name"))),
        ("base".into(), "top".into())
    );
    assert!(!base.join("proc").exists() && !top.join("proc").exists());
    assert_eq!(host.sh(&flags, "cat /etc/name").ok(), "top");
    for (dir, says) in [
        ("/no/such", "No such file"),
        ("/etc/passwd", "is not a directory"),
    ] {
        host.run(&["--rootfs", dir], &["true"])
            .fails(125, &[dir, says]);
    }
}

#[test]
fn a_kept_layer_is_there_again_and_one_workloads_only() {
    let host = Host::new();
    let dir = on_disk();
    let layer = dir.path().join("layer");
    fs::create_dir(&layer).unwrap();
    let flags = ["--layer-dir", text(&layer)];
    assert_eq!(host.sh(&flags, "echo kept >/kept; cat /kept").ok(), "kept");
    assert_eq!(host.sh(&flags, "cat /kept").ok(), "kept");
    assert!(!fs::exists("/kept").unwrap());
    let holder = host.start("holder", &flags, "echo ready; exec sleep 99");
    host.run(&flags, &["true"]).fails(
        125,
        &["takes the writes of another workload", "--layer-dir"],
    );
    holder.kill();
    assert_eq!(host.sh(&flags, "cat /kept").ok(), "kept");
}

#[test]
fn b46_paths_may_have_any_character() {
    let host = Host::new();
    let dir = on_disk();
    let odd = "a:b,c\\d\"e\nf g";
    let root = tiny_root(dir.path(), odd);
    let data = dir.path().join(format!("data {odd}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "odd\n").unwrap();
    let escape = |path: &str| path.replace('\\', "\\\\").replace(':', "\\:");
    let volume = format!("{}:{}", escape(text(&data)), escape(&format!("/in {odd}")));
    let script = format!("cat '/in {odd}/file'; echo new >/new; cat /new");
    let flags = ["--rootfs", text(&root), "-v", &volume];
    assert_eq!(host.sh(&flags, &script).ok(), "odd\nnew");
    let layer = dir.path().join(format!("layer {odd}"));
    fs::create_dir(&layer).unwrap();
    let flags = ["--rootfs", text(&root), "--layer-dir", text(&layer)];
    assert_eq!(host.sh(&flags, "echo kept >/kept").code, 0);
    assert_eq!(host.sh(&flags, "cat /kept").ok(), "kept");
}

#[test]
fn b50_a_link_in_place_of_proc_is_refused() {
    let host = Host::new();
    for (place, target) in [("proc", "/etc"), ("sys", "../../.."), ("dev", "/dev")] {
        let dir = on_disk();
        let root = tiny_root(dir.path(), "root");
        std::os::unix::fs::symlink(target, root.join(place)).unwrap();
        host.run(&["--rootfs", text(&root)], &["true"]).fails(
            125,
            &[
                &format!("use /{place} of the root file system as a directory"),
                "symbolic links",
            ],
        );
    }
    let dir = on_disk();
    let root = tiny_root(dir.path(), "root");
    fs::write(root.join("proc"), "").unwrap();
    host.run(&["--rootfs", text(&root)], &["true"]).fails(
        125,
        &[
            "use /proc of the root file system as a directory",
            "Not a directory",
        ],
    );
}

#[test]
fn b52_a_read_only_root_holds() {
    let host = Host::new();
    let script = "for at in / /etc /root; do touch $at/x 2>&1; done; mount -o remount,rw / 2>&1; touch /x 2>&1; \
                  echo y >/dev/shm/y; echo y >/scratch/y; cat /scratch/y; pwd";
    let flags = [
        "--read-only",
        "--tmpfs",
        "/scratch:size=1m",
        "-w",
        "/made/here",
    ];
    let done = host.sh(&flags, script);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.stdout.matches("Read-only file system").count(),
        4,
        "{done:?}"
    );
    assert!(done.stdout.ends_with("y\n/made/here\n"), "{done:?}");
}

#[test]
fn volumes_show_the_hosts_files() {
    let host = Host::new();
    let dir = on_disk();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "host\n").unwrap();
    let [rw, ro, one] = [
        format!("{}:/srv/deep/rw", text(&data)),
        format!("{}:/srv/ro:ro", text(&data)),
        format!("{}:/srv/one", text(&data.join("file"))),
    ];
    let script = "cat /srv/deep/rw/file /srv/ro/file /srv/one; echo inside >/srv/deep/rw/file; \
                  touch /srv/ro/x 2>&1; mount -o remount,rw /srv/ro 2>/dev/null || touch /srv/ro/x 2>/dev/null || echo held";
    let flags = ["-v", &rw, "-v", &ro, "-v", &one, "--cap-add", "SYS_ADMIN"];
    let done = host.sh(&flags, script);
    assert!(done.stdout.starts_with("host\nhost\nhost\n"), "{done:?}");
    assert!(
        done.stdout.contains("Read-only file system") && done.stdout.ends_with("held\n"),
        "{done:?}"
    );
    assert_eq!(read(data.join("file")), "inside");
    // A link inside leads nowhere else than inside.
    let root = tiny_root(dir.path(), "root");
    std::os::unix::fs::symlink("/tmp", root.join("link")).unwrap();
    let through = format!("{}:/link/shown", text(&data));
    let done = host.sh(
        &["--rootfs", text(&root), "-v", &through],
        "cat /tmp/shown/file",
    );
    done.fails(125, &["make directory /link/shown: No such file"]);
    assert!(!fs::exists("/tmp/shown").unwrap());
    fs::create_dir(root.join("tmp")).unwrap();
    let done = host.sh(
        &["--rootfs", text(&root), "-v", &through],
        "cat /tmp/shown/file",
    );
    assert_eq!(done.ok(), "inside");
    assert!(!fs::exists("/tmp/shown").unwrap());
    host.run(&["-v", "/no/such:/x"], &["true"])
        .fails(125, &["cannot use /no/such: No such file"]);
    host.run(&["-v", "/etc:/proc/x"], &["true"])
        .fails(2, &["/proc is the kernel's own"]);
}

#[test]
fn a_file_system_beneath_the_hosts_root_is_there_and_read_only() {
    let host = Host::new();
    let dir = on_disk();
    let at = dir.path().join("beneath");
    fs::create_dir(&at).unwrap();
    let made = std::process::Command::new("mke2fs")
        .arg("/dev/vdb1")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let _disk = mount(&["-t", "ext4", "/dev/vdb1", text(&at)]);
    fs::write(at.join("file"), "beneath\n").unwrap();
    fs::copy("/bin/busybox", at.join("busybox")).unwrap();
    let name = text(&at);
    let script = format!("cat {name}/file; touch {name}/x 2>&1; {name}/busybox echo runs");
    let done = host.sh(&[], &script).ok();
    assert!(
        done.starts_with("beneath\n") && done.contains("Read-only file system"),
        "{done}"
    );
    assert!(done.ends_with("runs"), "{done}");
    assert!(!at.join("x").exists());
}
