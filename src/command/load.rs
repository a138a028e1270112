//! `ringfence load`: the small load generator that the demo and the tests run.
//!
//! It is a good citizen of a container: as PID 1 it still ends on TERM and INT, and it leaves no file
//! and no child behind.

use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use crate::kernel::unit::{Bytes, Percent};
use crate::text;

/// How often a paced load acts: often enough to look smooth in a one-second sample.
const STEP: Duration = Duration::from_millis(100);

/// What to use, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which resource.
    pub load: Load,
    /// End after this long; forever where `None`.
    pub time: Option<Duration>,
}

/// Which resource to use.
#[derive(Debug, Clone)]
pub enum Load {
    /// Burn CPU time: 100 % is one core, 150 % takes two threads.
    Cpu {
        /// The share to burn.
        percent: Percent,
    },
    /// Touch anonymous memory and hold it.
    Memory {
        /// How much in the end.
        size: Bytes,
        /// How much per second; all at once where `None`.
        rate: Option<Bytes>,
    },
    /// Write to a file and flush it to its device, over and over.
    Io {
        /// How much per second; as fast as the device allows where `None`.
        rate: Option<Bytes>,
        /// The file; made new, and unlinked at once so that it never stays behind.
        file: PathBuf,
    },
    /// Hold child processes, and keep trying to have all of them.
    Forks {
        /// How many.
        count: usize,
    },
    /// Do nothing.
    Sleep {
        /// End when stdin closes: how the children of `forks` follow their parent.
        until_stdin_closes: bool,
    },
}

/// Generates the load until its time is over.
pub fn run(options: &Options) -> Result<u8> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always)
            .context("install a signal handler")?;
    }
    let clock = Clock::start(options.time);
    match &options.load {
        Load::Cpu { percent } => cpu(*percent, &clock),
        Load::Memory { size, rate } => memory(*size, *rate, &clock)?,
        Load::Io { rate, file } => io(*rate, file, &clock)?,
        Load::Forks { count } => forks(*count, &clock)?,
        Load::Sleep {
            until_stdin_closes: true,
        } => {
            std::io::stdin()
                .read_to_end(&mut Vec::new())
                .context("wait for stdin to close")?;
        }
        Load::Sleep { .. } => clock.sleep_to_end(),
    }
    Ok(0)
}

/// Since when the load runs, and until when.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    time: Option<Duration>,
}

impl Clock {
    fn start(time: Option<Duration>) -> Self {
        Self {
            start: Instant::now(),
            time,
        }
    }

    fn is_over(&self) -> bool {
        self.time.is_some_and(|time| self.start.elapsed() >= time)
    }

    /// How much is due by now at this rate per second.
    fn due(&self, rate: Bytes) -> u64 {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        u64::try_from(u128::from(rate.0) * u128::from(millis) / 1000).unwrap_or(u64::MAX)
    }

    fn sleep_to_end(&self) {
        match self.time {
            Some(time) => thread::sleep(time.saturating_sub(self.start.elapsed())),
            None => loop {
                thread::park();
            },
        }
    }
}

/// One thread per started hundred percent; each burns its share of every step, by its own CPU clock, so
/// that a busy or throttling host does not make it burn less than it may.
fn cpu(Percent(mut percent): Percent, clock: &Clock) {
    thread::scope(|scope| {
        while percent > 0.0 {
            let share = percent.min(100.0) / 100.0;
            percent -= 100.0;
            scope.spawn(move || burn(share, clock));
        }
    });
}

fn burn(share: f64, clock: &Clock) {
    let used =
        || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    while !clock.is_over() {
        let (step, before) = (Instant::now(), used());
        while used().saturating_sub(before) < STEP.mul_f64(share) {
            // Mostly user time: the clock is a system call.
            for _ in 0..10_000 {
                std::hint::spin_loop();
            }
        }
        thread::sleep(STEP.saturating_sub(step.elapsed()));
    }
}

fn memory(size: Bytes, rate: Option<Bytes>, clock: &Clock) -> Result<()> {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut touched = 0;
    while touched < size.0 && !clock.is_over() {
        let due = rate.map_or(size.0, |rate| clock.due(rate).min(size.0));
        if due > touched {
            let block =
                usize::try_from(due - touched).context("more than this machine can address")?;
            // Not zero: the kernel could share one zero page.
            held.push(vec![0x5a; block]);
            touched = due;
        }
        if touched < size.0 {
            thread::sleep(STEP);
        }
    }
    println!("holding {}", text::bytes(Bytes(touched)));
    clock.sleep_to_end();
    drop(std::hint::black_box(held));
    Ok(())
}

fn io(rate: Option<Bytes>, path: &PathBuf, clock: &Clock) -> Result<()> {
    /// The file is written in a circle of this size.
    const CIRCLE: u64 = 64 << 20;
    const BLOCK: usize = 256 << 10;
    let named = |verb: &str| format!("{verb} {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| named("create"))?;
    std::fs::remove_file(path).with_context(|| named("unlink"))?;
    let block = vec![0xa5; BLOCK];
    let mut written: u64 = 0;
    while !clock.is_over() {
        if rate.is_some_and(|rate| written >= clock.due(rate)) {
            thread::sleep(STEP);
            continue;
        }
        file.write_all(&block).with_context(|| named("write"))?;
        file.sync_data().with_context(|| named("flush"))?;
        written += BLOCK as u64;
        if written.is_multiple_of(CIRCLE) {
            file.rewind().with_context(|| named("rewind"))?;
        }
    }
    Ok(())
}

/// Children that end when this process does: their stdin closes.
fn forks(count: usize, clock: &Clock) -> Result<()> {
    let mut children: Vec<Child> = Vec::new();
    let mut said = false;
    while !clock.is_over() {
        while children.len() < count {
            match sleeper() {
                Ok(child) => children.push(child),
                Err(error) => {
                    if !said {
                        println!(
                            "holding {} of {count} children: fork: {error}",
                            children.len()
                        );
                        said = true;
                    }
                    break;
                }
            }
        }
        thread::sleep(STEP * 5);
    }
    for mut child in children {
        drop(child.stdin.take());
        child.wait().context("wait for a child")?;
    }
    Ok(())
}

fn sleeper() -> std::io::Result<Child> {
    Command::new("/proc/self/exe")
        .args(["load", "sleep", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .spawn()
}
