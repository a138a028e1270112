//! What one sweep costs: the live source beside bare reads of the same files, in one run.
//!
//! `cargo bench --bench sample [-- CGROUPS]` makes that many cgroups (1,000 unless told) in a subtree of
//! its own, on whatever v2 hierarchy this host has, and removes them. Needs the right to make cgroups.

#[allow(dead_code, reason = "each bench uses its part")]
mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringfence::kernel::cgroup::hierarchy::Hierarchy;
use ringfence::sample::live::{Interest, Live, Options};

use common::{Forest, cpu};

const SWEEPS: u32 = 50;

fn main() {
    let wanted: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1000);
    let hierarchy = Hierarchy::discover(Path::new("/proc")).expect("discover cgroups");
    let Some(mount) = hierarchy.mount.clone() else {
        println!("skipped: this host has no cgroup v2 hierarchy");
        return;
    };
    let Some(forest) = Forest::plant(&mount, wanted) else {
        println!("skipped: no cgroup can be made in {}", mount.display());
        return;
    };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("read RLIMIT_NOFILE");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raise RLIMIT_NOFILE");
    let files = forest.files();
    println!(
        "{wanted} cgroups, {:.1} hot files each, {SWEEPS} sweeps; CPU time per sweep:",
        files.len() as f64 / forest.directories.len() as f64
    );
    // Twice, in turn, so that a change of the machine's pace shows.
    for _ in 0..2 {
        let kept = kept(&files);
        report("pread of kept fds, text thrown away", kept, kept);
        report(
            "ringfence: sweep, parse, publish",
            live(&hierarchy, &forest),
            kept,
        );
        report(
            "open, read, close, text thrown away",
            reopened(&files),
            kept,
        );
    }
}

fn report(what: &str, cost: Duration, floor: Duration) {
    println!(
        "  {what:<38} {:>7.2} ms  {:>5.2}x",
        cost.as_secs_f64() * 1e3,
        cost.as_secs_f64() / floor.as_secs_f64()
    );
}

fn kept(files: &[PathBuf]) -> Duration {
    let fds: Vec<File> = files
        .iter()
        .map(|path| File::open(path).expect("open"))
        .collect();
    let mut buffer = [0; 4096];
    let mut sweep = || {
        for fd in &fds {
            fd.read_at(&mut buffer, 0).expect("read");
        }
    };
    sweep();
    let start = cpu();
    for _ in 0..SWEEPS {
        sweep();
    }
    cpu().saturating_sub(start) / SWEEPS
}

fn reopened(files: &[PathBuf]) -> Duration {
    let mut buffer = [0; 4096];
    let start = cpu();
    for _ in 0..SWEEPS {
        for path in files {
            let file = File::open(path).expect("open");
            file.read_at(&mut buffer, 0).expect("read");
        }
    }
    cpu().saturating_sub(start) / SWEEPS
}

/// The live source as the dashboard uses it: one interval after the other, nobody looks at details.
fn live(hierarchy: &Hierarchy, forest: &Forest) -> Duration {
    let mut live = Live::start(Options {
        proc: "/proc".into(),
        kmsg: None,
        tracing: None,
        journal: false,
        state: "/".into(),
        hierarchy: hierarchy.clone(),
        subtree: forest.name.clone(),
        interval: Duration::from_millis(100),
        stall: [0; 2],
    })
    .expect("start");
    live.set_interest(Interest::Some {
        stats: [].into(),
        processes: std::collections::HashSet::new(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        // The first ones open everything.
        for _ in 0..3 {
            live.samples.changed().await.expect("a sample");
        }
        let start = cpu();
        for _ in 0..SWEEPS {
            live.samples.changed().await.expect("a sample");
        }
        let rows = live
            .samples
            .borrow()
            .as_ref()
            .map_or(0, |sample| sample.cgroups.len());
        assert_eq!(
            rows,
            1 + forest.directories.len(),
            "the root and the subtree"
        );
        cpu().saturating_sub(start) / SWEEPS
    })
}
