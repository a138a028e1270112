//! What the dashboard costs: each view over many cgroups, in CPU and in bytes for the terminal, and a real
//! one on a terminal that nobody touches, beside `top` at the same interval.
//!
//! `cargo bench --bench ui [-- CGROUPS]` makes that many cgroups (1,000 unless told) in a subtree of its own,
//! on whatever v2 hierarchy this host has, and removes them. Needs the right to make cgroups.

#[allow(dead_code, reason = "each bench uses its part")]
mod common;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use pty_process::Size;
use pty_process::blocking as pty;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use ringfence::kernel::cgroup::hierarchy::Hierarchy;
use ringfence::model::Model;
use ringfence::sample::Sample;
use ringfence::sample::live::{Interest, Live, Options};
use ringfence::ui::state::State;
use ringfence::ui::theme::Theme;
use ringfence::ui::update::{Message, update};
use ringfence::ui::view;

use common::{Forest, cpu};

const SCREEN: (u16, u16) = (120, 40);
const SAMPLES: usize = 12;
/// How long an untouched dashboard is watched, after it has settled.
const SETTLED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    let wanted: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1000);
    let hierarchy = Hierarchy::discover(Path::new("/proc")).expect("discover cgroups");
    let Some(mount) = hierarchy.mount.clone() else {
        println!("skipped: this host has no cgroup v2 hierarchy");
        return;
    };
    println!("an untouched dashboard, of all cgroups of this host, one sample a second:");
    idle();
    for cgroups in [100.min(wanted), wanted] {
        let Some(forest) = Forest::plant(&mount, cgroups) else {
            println!("skipped: no cgroup can be made in {}", mount.display());
            return;
        };
        println!("the same with {cgroups} cgroups more:");
        idle();
        let samples = samples(&hierarchy, &forest);
        println!(
            "{cgroups} cgroups, {}x{}; CPU time and bytes per sample:",
            SCREEN.0, SCREEN.1
        );
        for (name, key) in [
            ("tree", '1'),
            ("detail", '2'),
            ("processes", '3'),
            ("OOM kills", '4'),
        ] {
            draw(name, key, &samples);
        }
    }
}

/// Real samples of the forest.
fn samples(hierarchy: &Hierarchy, forest: &Forest) -> Vec<Arc<Sample>> {
    let mut live = Live::start(Options {
        proc: "/proc".into(),
        kmsg: None,
        tracing: None,
        journal: false,
        state: "/".into(),
        hierarchy: hierarchy.clone(),
        subtree: forest.name.clone(),
        interval: Duration::from_millis(200),
        stall: [0; 2],
    })
    .expect("start");
    live.set_interest(Interest::All);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let mut samples = Vec::new();
        while samples.len() < SAMPLES {
            live.samples.changed().await.expect("a sample");
            samples.extend(live.samples.borrow_and_update().clone());
        }
        samples
    })
}

/// What would go to a terminal, counted.
struct Count(Rc<Cell<usize>>);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One view: the model, the state and the screen for each sample; the first ones are left out.
fn draw(name: &str, key: char, samples: &[Arc<Sample>]) {
    let area = Rect::new(0, 0, SCREEN.0, SCREEN.1);
    let options = TerminalOptions {
        viewport: Viewport::Fixed(area),
    };
    let written = Rc::new(Cell::new(0));
    let mut terminal =
        Terminal::with_options(CrosstermBackend::new(Count(Rc::clone(&written))), options)
            .expect("a terminal");
    let mut model = Model::new(0);
    let mut state = State::new(area, Duration::from_secs(1));
    let (mut folding, mut drawing, mut bytes, mut counted) =
        (Duration::ZERO, Duration::ZERO, 0, 0u32);
    for (at, sample) in samples.iter().enumerate() {
        let start = cpu();
        model.fold(Arc::clone(sample));
        update(&mut state, &Message::Model, &model);
        let folded = cpu();
        terminal
            .draw(|frame| view::render(frame, &model, &state, &Theme::COLOURS))
            .expect("draw");
        let drawn = cpu();
        let written = written.take();
        if at >= 2 {
            folding += folded.saturating_sub(start);
            drawing += drawn.saturating_sub(folded);
            bytes += written;
            counted += 1;
        }
        if at == 0 {
            let key = KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE);
            update(&mut state, &Message::Terminal(Event::Key(key)), &model);
        }
    }
    println!(
        "  {name:<10} model and state {:>6.2} ms, screen {:>6.2} ms, {:>6} bytes",
        (folding / counted).as_secs_f64() * 1e3,
        (drawing / counted).as_secs_f64() * 1e3,
        bytes / counted as usize
    );
}

fn idle() {
    on_terminal("ringfence top", env!("CARGO_BIN_EXE_ringfence"), &["top"]);
    if Path::new("/usr/bin/top").exists() {
        on_terminal("top -d 1", "/usr/bin/top", &["-d", "1"]);
    }
}

/// A program on a terminal of its own that nobody touches: its CPU and what it writes.
fn on_terminal(name: &str, program: &str, arguments: &[&str]) {
    let (terminal, inside) = pty::open().expect("a pty");
    terminal
        .resize(Size::new(SCREEN.1, SCREEN.0))
        .expect("a size");
    let mut child = pty::Command::new(program)
        .args(arguments)
        .env("TERM", "xterm-256color")
        .spawn(inside)
        .expect("start");
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let mut output = File::from(std::os::fd::OwnedFd::from(terminal));
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    sleep(SETTLED);
    let before = (cpu_of(child.id()), written.load(Ordering::Relaxed));
    sleep(IDLE);
    let after = (cpu_of(child.id()), written.load(Ordering::Relaxed));
    let resident = resident(child.id());
    child.kill().expect("kill");
    child.wait().expect("wait");
    println!(
        "  {name:<14} {:>5.2} % of a core, {:>6} bytes a second, {resident:>5.1} MiB resident",
        after.0.saturating_sub(before.0).as_secs_f64() / IDLE.as_secs_f64() * 100.0,
        (after.1 - before.1) / IDLE.as_secs(),
    );
}

/// CPU time of a process so far, user and system, to the nanosecond.
fn cpu_of(pid: u32) -> Duration {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("threads") {
        let schedstat = task.expect("a thread").path().join("schedstat");
        let text = fs::read_to_string(schedstat).unwrap_or_default();
        let first = text
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        nanoseconds += first.unwrap_or(0);
    }
    Duration::from_nanos(nanoseconds)
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    number.unwrap_or(0.0) / 1024.0
}
