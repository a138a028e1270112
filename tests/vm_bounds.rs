//! What others can make grow stays within bounds, on a real kernel, as root: `cargo xtask test bounds`. The table of them is
//! `docs/bounds.md`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::dashboard::Dashboard;
use support::{Host, Sysctl, extent, read};

/// A field of `/proc/meminfo` or of a process's `status`, in bytes.
fn field(file: impl AsRef<Path>, key: &str) -> u64 {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let words = line.and_then(|line| line.strip_prefix(':')).unwrap();
    let kib = words.trim().trim_end_matches(" kB");
    1024 * kib.parse::<u64>().unwrap()
}

/// Idle cgroups, a hundred in each of so many others, as any user with a delegated one makes them.
struct Many(PathBuf);

impl Many {
    fn new(groups: usize) -> Self {
        let many = Self(PathBuf::from("/sys/fs/cgroup/many"));
        for group in 0..groups {
            for one in 0..100 {
                fs::create_dir_all(many.0.join(format!("{group}/{one}"))).unwrap();
            }
        }
        many
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|of| of.is_dir());
        let below = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .filter(is_folder)
                .map(|entry| entry.path())
                .collect()
        };
        for group in below(&self.0) {
            for one in below(&group) {
                let _ = fs::remove_dir(one);
            }
            let _ = fs::remove_dir(group);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// What is available once the kernel has let go of what it keeps for itself: what is dropped, and what was closed, is freed
/// later, on a busy machine much later.
fn available() -> u64 {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let (mut most, mut quiet) = (0, 0);
    let begin = Instant::now();
    while quiet < 4 && begin.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(500));
        let now = field("/proc/meminfo", "MemAvailable");
        quiet = if now > most + (256 << 10) {
            0
        } else {
            quiet + 1
        };
        most = most.max(now);
    }
    most
}

/// The same while a process stands still: else some thousand files that it has just closed would count.
fn available_beside(process: Pid) -> u64 {
    kill(process, Signal::SIGSTOP).unwrap();
    let available = available();
    kill(process, Signal::SIGCONT).unwrap();
    available
}

/// What a dashboard of so many idle cgroups takes at most, with what the kernel takes for it: 150 MB of 30,300.
fn most(cgroups: u64) -> u64 {
    30_000_000 + 3_960 * cgroups
}

#[test]
fn idle_cgroups_cost_little_memory() {
    let _host = Host::new();
    // Free pages that a processor holds back for itself would count as used: as few as can be.
    let _lists = Sysctl::set("vm.percpu_pagelist_high_fraction", "100000");
    let groups = extent(30, 300);
    let many = Many::new(groups);
    let before = available();
    let mut dashboard = Dashboard::start(&["top"]);
    let pid = dashboard.child.id();
    let status = format!("/proc/{pid}/status");
    let process = Pid::from_raw(pid.cast_signed());
    let begin = Instant::now();
    let mut found = (0, 0);
    // In an emulated guest one look at all takes some 80 s.
    while begin.elapsed() < extent(Duration::from_secs(20), Duration::from_mins(6)) {
        sleep(Duration::from_secs(10));
        assert!(!dashboard.has_ended(), "{}", dashboard.contents());
        let now = (
            field(&status, "VmRSS"),
            before.saturating_sub(available_beside(process)),
        );
        println!(
            "{:.0?}: {} MB resident, {} MB of the host's",
            begin.elapsed(),
            now.0 / 1_000_000,
            now.1 / 1_000_000
        );
        found = (found.0.max(now.0), found.1.max(now.1));
    }
    dashboard.wait_for("many");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
    drop(many);
    let most = most(groups as u64 * 101);
    assert!(found.0.max(found.1) < most, "{found:?} of {most}");
}
