//! The root file system: writes stay in the workload, and what is dangerous is out of reach.

use std::fs;

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
