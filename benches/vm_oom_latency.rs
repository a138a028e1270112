//! From the kernel's kill to where a user sees it: `cargo xtask bench oom-latency`, in the virtual machine.
//!
//! The kill's time is that of the kernel's own tracepoint. Side by side with each way of ringfence's runs a
//! watcher that does nothing but wait for `memory.events` to change (the floor: nobody can know sooner without
//! tracing), and one that reads it once a second. `-- KILLS` for another number of kills each.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pty_process::Size;
use pty_process::blocking as pty;
use ringfence::kernel::host::since_boot;
use ringfence::kernel::memory::MemoryEvents;
use ringfence::kernel::trace::Event;
use ringfence::kernel::trace::reader::Reader;
use serde_json::Value;

const MOUNT: &str = "/sys/fs/cgroup";
const SCREEN: (u16, u16) = (40, 120);
const POLL: Duration = Duration::from_secs(1);

/// When each pid was seen first, on the clock that counts from boot.
type Seen = Arc<Mutex<HashMap<u32, Duration>>>;
/// When a counter was seen to stand at a number, in that order.
type Counts = Arc<Mutex<Vec<(Duration, u64)>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() {
    let kills: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100);
    println!(
        "kernel {}, {kills} kills each; from the kernel's mark to …, in ms:",
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .expect("its release")
            .trim()
    );
    println!(
        "{:34}{:>8} {:>8} {:>8} {:>8} {:>6}",
        "", "median", "p90", "p99", "most", "missed"
    );
    for (name, start) in [
        (
            "a line of `ringfence events`",
            events as fn(&Seen) -> Observer,
        ),
        ("the screen of `ringfence top`", dashboard),
    ] {
        measure(name, start, kills);
    }
}

/// A ringfence that watches; what it prints is read on a thread.
struct Observer {
    child: Child,
    /// Keeps its terminal open.
    _terminal: Option<OwnedFd>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ringfence() -> PathBuf {
    std::env::var_os("RINGFENCE").expect("RINGFENCE").into()
}

fn events(seen: &Seen) -> Observer {
    let mut child = Command::new(ringfence())
        .args(["events", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ringfence");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let at = since_boot();
            let line: Value = serde_json::from_str(&line).expect("JSON");
            for victim in line["victims"].as_array().into_iter().flatten() {
                let pid = victim["pid"].as_u64().and_then(|pid| pid.try_into().ok());
                lock(&seen).entry(pid.expect("a pid")).or_insert(at);
            }
        }
    });
    Observer {
        child,
        _terminal: None,
    }
}

fn dashboard(seen: &Seen) -> Observer {
    let (terminal, inside) = pty::open().expect("a pty");
    terminal
        .resize(Size::new(SCREEN.0, SCREEN.1))
        .expect("a size");
    let child = pty::Command::new(ringfence())
        .args(["top"])
        .env("TERM", "xterm-256color")
        .spawn(inside)
        .expect("ringfence");
    let terminal = OwnedFd::from(terminal);
    let mut output = File::from(terminal.try_clone().expect("a copy"));
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let (rows, columns) = SCREEN;
        let cells = |cells: u16| cells.try_into().expect("a terminal has cells");
        let mut screen = vt100::Parser::new(cells(rows), cells(columns), 0);
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            let at = since_boot();
            screen.process(&bytes[..read]);
            let contents = screen.screen().contents();
            for words in contents.split(" pid ").skip(1) {
                let digits = words.split(' ').next().unwrap_or_default();
                if let Ok(pid) = digits.parse() {
                    lock(&seen).entry(pid).or_insert(at);
                }
            }
        }
    });
    Observer {
        child,
        _terminal: Some(terminal),
    }
}

/// The cgroup above all that are killed in.
struct Above(PathBuf);

impl Above {
    fn new() -> Self {
        let path = Path::new(MOUNT).join("latency");
        fs::create_dir(&path).expect("a cgroup");
        fs::write(Path::new(MOUNT).join("cgroup.subtree_control"), "+memory").expect("memory");
        fs::write(path.join("cgroup.subtree_control"), "+memory").expect("memory");
        Self(path)
    }

    fn count(&self) -> u64 {
        let text = fs::read(self.0.join("memory.events")).expect("memory.events");
        MemoryEvents::parse(&text).expect("memory.events").oom_kill
    }

    /// One kill in a cgroup that is there for it alone, and for a little longer.
    fn kill(&self, number: usize) {
        let leaf = self.0.join(format!("k{number}"));
        fs::create_dir(&leaf).expect("a cgroup");
        fs::write(leaf.join("memory.max"), "4M").expect("a limit");
        let script = format!(
            "echo $$ >{}/cgroup.procs; exec tail /dev/zero",
            leaf.display()
        );
        let status = Command::new("sh")
            .args(["-c", &script])
            .status()
            .expect("a shell");
        assert!(!status.success(), "it was not killed");
        sleep(Duration::from_millis(100));
        fs::remove_dir(&leaf).expect("an empty cgroup");
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn measure(name: &str, start: fn(&Seen) -> Observer, kills: usize) {
    let above = Arc::new(Above::new());
    let mut trace = Reader::open(Path::new("/")).expect("tracing");
    let (seen, woken, polled) = (Seen::default(), Counts::default(), Counts::default());
    let observer = start(&seen);
    // Started, settled, and between two samples.
    sleep(Duration::from_millis(2500));
    let before = above.count();
    let over = Arc::new(AtomicBool::new(false));
    let watchers = [
        watch(&above, &woken, &over, |file| {
            let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            let _ = poll(&mut fds, PollTimeout::from(200_u16));
        }),
        watch(&above, &polled, &over, |_| sleep(POLL)),
    ];
    for number in 0..kills {
        above.kill(number);
    }
    // The last one polls once more.
    sleep(POLL * 2);
    over.store(true, Ordering::Relaxed);
    for watcher in watchers {
        watcher.join().expect("a watcher");
    }
    drop(observer);
    let mut marks = Vec::new();
    trace
        .read(|event| {
            if let Event::Victim(victim) = event {
                marks.push((victim.at, victim.pid));
            }
        })
        .expect("the trace");
    assert_eq!(marks.len(), kills, "the kernel's marks");
    let seen = lock(&seen);
    row(
        name,
        marks
            .iter()
            .map(|(at, pid)| Some(seen.get(pid)?.saturating_sub(*at))),
    );
    for (name, counts) in [
        ("   waiting for memory.events alone", woken),
        ("   reading it once a second", polled),
    ] {
        let counts = lock(&counts);
        let when = |number: u64| counts.iter().find(|(_, count)| *count >= number);
        let numbered = marks.iter().zip(before + 1..);
        row(
            name,
            numbered.map(|((at, _), number)| Some(when(number)?.0.saturating_sub(*at))),
        );
    }
}

/// Reads the counter again and again, with a pause between.
fn watch(
    above: &Arc<Above>,
    counts: &Counts,
    over: &Arc<AtomicBool>,
    pause: fn(&File),
) -> thread::JoinHandle<()> {
    let (above, counts, over) = (Arc::clone(above), Arc::clone(counts), Arc::clone(over));
    thread::spawn(move || {
        let file = File::open(above.0.join("memory.events")).expect("memory.events");
        while !over.load(Ordering::Relaxed) {
            let count = above.count();
            lock(&counts).push((since_boot(), count));
            // What was read of the open file is what a wait begins from.
            let mut text = String::new();
            let mut again = &file;
            let _ = std::io::Seek::rewind(&mut again);
            let _ = again.read_to_string(&mut text);
            pause(&file);
        }
    })
}

fn row(name: &str, latencies: impl Iterator<Item = Option<Duration>>) {
    let mut missed = 0;
    let mut found: Vec<Duration> = Vec::new();
    for latency in latencies {
        match latency {
            Some(latency) => found.push(latency),
            None => missed += 1,
        }
    }
    found.sort_unstable();
    // Nearest rank.
    let at = |percent: usize| {
        let rank = (found.len() * percent).div_ceil(100).max(1);
        found
            .get(rank - 1)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    println!(
        "{name:34}{:>8.1} {:>8.1} {:>8.1} {:>8.1} {missed:>6}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}
