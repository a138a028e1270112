//! A monkey at the keyboard, the mouse and the window's edge, while cgroups come, go and are killed
//! underneath: `cargo xtask test vm_monkey`, for longer with `RINGFENCE_MONKEY=600` (seconds).

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use support::dashboard::Dashboard;
use support::own::MOUNT;
use support::{Host, binary, extent};

/// How long it plays where nothing else is asked for.
const SECONDS: u64 = 20;
/// With `--full`.
const WHOLE: u64 = 600;
/// How often it hits at least.
const LEAST_HITS: u64 = 300;
/// The most memory that the dashboard may have: history and peaks of all cgroups that ever were, for a
/// while, and a screen.
const MOST_RSS: u64 = 64 << 20;
/// The most descriptors: ten for each of some hundred cgroups.
const MOST_FDS: usize = 1500;

/// xorshift64*, so that a seed tells all.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.roll(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }
}

/// Cgroups that come and go as fast as the guest can, until it is dropped.
struct Churn {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Churn {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let made = Arc::new(AtomicU64::new(0));
        let run = |work: fn(u64)| {
            let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work(made.fetch_add(1, Ordering::Relaxed));
                }
            })
        };
        let threads = vec![run(bare), run(workload)];
        Self {
            stop,
            made,
            threads,
        }
    }

    /// Ends it. How many there were.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // The monkey may have frozen a workload, which then never ends.
        while !self.threads.iter().all(thread::JoinHandle::is_finished) {
            thaw(Path::new(MOUNT));
            sleep(Duration::from_millis(50));
        }
        for thread in self.threads {
            thread.join().expect("the churn");
        }
        self.made.load(Ordering::Relaxed)
    }
}

/// Thaws every cgroup below this one.
fn thaw(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::write(entry.path().join("cgroup.freeze"), "0");
            thaw(&entry.path());
        }
    }
}

/// An empty cgroup with one below it, for a moment. Whatever the monkey did to them, they go.
fn bare(number: u64) {
    let dir = Path::new(MOUNT).join(format!("churn-{}", number % 7));
    let _ = fs::create_dir_all(dir.join("below"));
    sleep(Duration::from_millis(30 + number % 5 * 40));
    let _ = fs::remove_dir(dir.join("below"));
    let _ = fs::remove_dir(&dir);
}

/// A workload that is killed for lack of memory, or that ends by itself. The monkey may be faster.
fn workload(number: u64) {
    let name = format!("w{}", number % 5);
    let script = match number % 3 {
        0 => "tail /dev/zero",
        1 => "sleep 2 & sleep 1",
        _ => "mkdir /sys/fs/cgroup/a; sleep 0.3",
    };
    let flags = [
        "run",
        "--name",
        &name,
        "-m",
        "16m",
        "--pids-limit",
        "8",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut run = Command::new(binary());
    run.args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = run.status();
}

/// What it hits: every key of the dashboard, and what terminals send in one go.
fn hit(dice: &mut Dice, rows: u16, columns: u16) -> String {
    let place = |dice: &mut Dice| {
        let column = dice.roll(u64::from(columns) + 4) + 1;
        (column, dice.roll(u64::from(rows) + 4) + 1)
    };
    match dice.roll(20) {
        0..=8 => {
            let keys: Vec<char> = " jkhlgGCFzncmipor1234Z:?/eEuUfxsRMKTS=yyyynab09km%<>.-+,"
                .chars()
                .collect();
            dice.pick(&keys).to_string()
        }
        9..=12 => (*dice.pick(&[
            "\r", "\r", "\t", "\x1b[Z", "\x7f", "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H",
            "\x1b[F", "\x1b[5~", "\x1b[6~", "\x1b[20~", "\x1bOP", "\x1b[3~",
        ]))
        .to_owned(),
        13 | 14 => "\x1b".to_owned(),
        15 | 16 => {
            let (column, row) = place(dice);
            let button = dice.pick(&[0, 0, 0, 32, 64, 65, 35]);
            let end = dice.pick(&["M", "M", "m"]);
            format!("\x1b[<{button};{column};{row}{end}")
        }
        17 => {
            let (column, row) = place(dice);
            let (to, below) = place(dice);
            format!("\x1b[<0;{column};{row}M\x1b[<32;{to};{below}M\x1b[<0;{to};{below}m")
        }
        18 => (*dice.pick(&[
            "/leak\r",
            ":by mem\r",
            "/mem>10%\r",
            "/[\r",
            "\x1b[200~rm -rf /\ny\ny\x1b[201~",
            "e16m\ry",
            "e+\r",
            "日本",
            "/kind:ringfence\r",
            "\x1b[200~",
        ]))
        .to_owned(),
        // Half a sequence, and no sequence at all.
        _ => (*dice.pick(&[
            "\x1b[",
            "\x1b[<0;",
            "\u{0}",
            "q",
            "\x1b[99999;99999H",
            "\x1b]0;x\x07",
            "\x18",
        ]))
        .to_owned(),
    }
}

fn rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The next one: this one was told to quit, and has given the terminal back.
fn again(dashboard: Dashboard, hits: u64) -> Dashboard {
    sleep(Duration::from_millis(100));
    let said = dashboard.contents();
    let status = dashboard.end();
    assert!(status.success(), "{status} after {hits} hits:\n{said}");
    let dashboard = Dashboard::start(&["top", "--interval", "0.2"]);
    dashboard.wait_for("● live");
    dashboard
}

#[test]
fn a_monkey_breaks_nothing() {
    let _host = Host::new();
    let asked = std::env::var("RINGFENCE_MONKEY").ok();
    let seconds = asked.map_or_else(
        || extent(SECONDS, WHOLE),
        |seconds| seconds.parse().expect("seconds"),
    );
    let seed = std::env::var("RINGFENCE_SEED").map_or_else(
        |_| RandomState::new().hash_one(0),
        |seed| seed.parse().expect("a seed"),
    );
    eprintln!("RINGFENCE_SEED={seed}");
    let mut dice = Dice(seed | 1);
    // Pictures go there.
    let place: PathBuf = tempfile::tempdir().expect("a directory").keep();
    std::env::set_current_dir(&place).expect("a directory");
    let churn = Churn::start();

    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut hits, mut left, mut most, mut fds) = (0u64, 0, 0, 0);
    let mut sizes = vec![(40, 120)];
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.2"]);
    dashboard.wait_for("● live");
    // On a machine that is busy with other things, it plays until it has played enough.
    while Instant::now() < end || hits < LEAST_HITS {
        if dice.roll(40) == 0 {
            let size = *dice.pick(&[
                (40, 120),
                (24, 80),
                (15, 40),
                (1, 1),
                (2, 200),
                (60, 9),
                (50, 200),
            ]);
            dashboard.resize(size.0, size.1);
            sizes.push(size);
        }
        let (rows, columns) = *sizes.last().expect("a size");
        let keys = hit(&mut dice, rows, columns);
        hits += 1;
        if dashboard.try_keys(&keys).is_err() || dashboard.has_ended() {
            left += 1;
            dashboard = again(dashboard, hits);
            sizes.push((40, 120));
        }
        sleep(Duration::from_millis(dice.roll(30)));
        if hits % 50 == 0 {
            most = most.max(rss(dashboard.child.id()));
            fds = fds.max(descriptors(dashboard.child.id()));
        }
    }
    // It still answers: whatever is open is closed, and the tree is there.
    dashboard.resize(40, 120);
    // Half a report of the mouse would wait for its end, and what was begun to be pasted, too.
    let mut closing = vec!["m\x1b[201~"];
    closing.extend(["\x1b"; 6]);
    for keys in closing {
        let _ = dashboard.try_keys(keys);
        sleep(Duration::from_millis(200));
    }
    // The last hits may have told it to quit; on a busy machine it may only come to them now.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !dashboard.contents().contains("ringfence ──") {
        assert!(
            Instant::now() < deadline,
            "no tree:\n{}",
            dashboard.contents()
        );
        if dashboard.has_ended() {
            left += 1;
            dashboard = again(dashboard, hits);
        }
        sleep(Duration::from_millis(20));
    }
    eprintln!("{}", dashboard.contents());
    let _ = dashboard.try_keys("\x03");
    let status = dashboard.end();
    assert!(status.success(), "{status}");
    let made = churn.end();
    eprintln!(
        "{seconds} s: {hits} hits, {made} cgroups and workloads came and went, it was left {left} times; at most \
         {} MiB resident, {fds} descriptors",
        most >> 20
    );
    assert!(most < MOST_RSS, "{} MiB", most >> 20);
    assert!(fds < MOST_FDS, "{fds} descriptors");
    assert!(made > 0, "nothing came and went");
    fs::remove_dir_all(&place).expect("the pictures");
}
