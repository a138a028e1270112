//! The dashboard on a real terminal, while real workloads die: `cargo xtask test vm_dashboard`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking as pty;
use support::{Host, binary};

const ROWS: u16 = 40;
const COLUMNS: u16 = 120;
/// The guest emulates its CPU: what takes a millisecond elsewhere takes twenty here.
const PATIENCE: Duration = Duration::from_secs(30);

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a terminal has cells")
}

/// A `ringfence top` on a terminal of its own.
struct Dashboard {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Dashboard {
    fn start(arguments: &[&str]) -> Self {
        let (terminal, inside) = pty::open().expect("a pty");
        terminal.resize(Size::new(ROWS, COLUMNS)).expect("a size");
        let child = pty::Command::new(binary())
            .args(arguments)
            .env("TERM", "xterm-256color")
            .spawn(inside)
            .expect("ringfence");
        let keyboard = File::from(terminal.as_fd().try_clone_to_owned().expect("a copy"));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(ROWS), size(COLUMNS), 0)));
        let seen = Arc::clone(&screen);
        let mut output = File::from(std::os::fd::OwnedFd::from(terminal));
        // Ends with EIO once nobody has the terminal open any more.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .process(&bytes[..read]);
            }
        });
        Self {
            child,
            keyboard,
            screen,
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&vt100::Screen) -> T) -> T {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        question(screen.screen())
    }

    fn contents(&self) -> String {
        self.ask(vt100::Screen::contents)
    }

    /// Waits until the screen is as wanted, and says how long that took.
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Duration {
        let start = Instant::now();
        loop {
            let contents = self.contents();
            if wanted(&contents) {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waiting for {what}:\n{contents}"
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> Duration {
        self.wait(text, |contents| contents.contains(text))
    }

    fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("keys");
    }

    /// Waits for its end, and checks that the terminal is as before.
    fn end(mut self) -> ExitStatus {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => break status,
                None => sleep(Duration::from_millis(20)),
            }
            assert!(
                start.elapsed() < PATIENCE,
                "it does not end:\n{}",
                self.contents()
            );
        };
        self.wait("the old screen", |contents| {
            !contents.contains("ringfence ──")
        });
        assert!(
            !self.ask(vt100::Screen::alternate_screen),
            "alternate screen"
        );
        assert!(!self.ask(vt100::Screen::hide_cursor), "hidden cursor");
        let mouse = self.ask(vt100::Screen::mouse_protocol_mode);
        assert_eq!(mouse, vt100::MouseProtocolMode::None);
        status
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_oom_kill_is_on_the_screen_within_seconds() {
    let host = Host::new();
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("● live");
    assert!(dashboard.ask(vt100::Screen::alternate_screen));

    let flags = [
        "--name",
        "leaker",
        "-m",
        "32m",
        "--cpus",
        "1",
        "--pids-limit",
        "16",
    ];
    let mut run = host.command(&flags, &["tail", "/dev/zero"]);
    let start = Instant::now();
    let status = run.stdout(Stdio::null()).status().expect("ringfence run");
    assert_eq!(status.code(), Some(137));
    let lasted = start.elapsed();
    let took = dashboard.wait("the kill", |contents| {
        contents.lines().any(|line| {
            [
                "✖ OOM kill  leaker  pid ",
                " (1 inside) tail",
                "rss ",
                "limit memory.max 32M of leaker",
            ]
            .iter()
            .all(|part| line.contains(part))
        })
    });
    eprintln!("the workload lasted {lasted:?}, and its kill was on the screen {took:?} later");
    eprintln!("{}", dashboard.contents());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let lines = dashboard.contents();
    assert_eq!(
        lines.matches("✖ OOM kill").count(),
        1,
        "one line for one kill:\n{lines}"
    );
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn a_running_workload_is_shown_against_its_limits_and_keys_work() {
    let host = Host::new();
    let flags = ["--cpus", ".2", "-m", "48m", "--pids-limit", "16"];
    let spinner = host.start("spinner", &flags, "echo ready; while :; do :; done");
    let mut dashboard = Dashboard::start(&[]);
    dashboard.wait("the throttled spinner", |contents| {
        contents.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let throttled = words.iter().filter_map(|word| word.strip_suffix('%'));
            line.contains("● spinner")
                && line.contains(" .2 ")
                && line.contains(" 48M ")
                && line.contains("/16")
                && throttled
                    .skip(1)
                    .any(|share| share.parse::<f64>().is_ok_and(|share| share > 50.0))
        })
    });
    // Both pids of its process.
    dashboard.wait("the process", |contents| {
        contents
            .lines()
            .any(|line| line.contains(" 1 ") && line.contains("sh -c echo"))
    });
    eprintln!("{}", dashboard.contents());
    dashboard.keys("?");
    dashboard.wait_for("KEYS");
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("KEYS"));
    dashboard.keys("/spin");
    dashboard.wait_for("filter: spin");
    dashboard.keys("\r");
    dashboard.wait_for("Esc clears");
    dashboard.keys("\x1b");
    // Sent together, they would be Alt-Z.
    dashboard.wait("no filter", |contents| !contents.contains("Esc clears"));
    dashboard.keys("Z");
    dashboard.wait_for("‖ paused");
    dashboard.keys("Z");
    dashboard.wait_for("● live");
    dashboard.keys("\x03");
    assert!(dashboard.end().success());

    // By name, and alone.
    let plain = Command::new(binary())
        .args(["top", "spinner", "--plain", "--duration", "2.5"])
        .output()
        .expect("ringfence");
    let table = String::from_utf8_lossy(&plain.stdout);
    assert!(table.contains("/ringfence.slice/spinner "), "{table}");
    assert!(!table.contains("/ringfence.slice "), "{table}");
    assert!(table.contains("/.2 "), "{table}");
    spinner.signal(Signal::SIGTERM);
    spinner.finish();
}

#[test]
fn signals_give_the_terminal_back() {
    let _host = Host::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let dashboard = Dashboard::start(&["top"]);
        dashboard.wait_for("● live");
        kill(Pid::from_raw(dashboard.child.id().cast_signed()), signal).expect("kill");
        assert!(dashboard.end().success(), "{signal}");
    }
}

#[test]
fn the_plain_table_ends_quietly_with_its_reader() {
    let _host = Host::new();
    let mut child = Command::new(binary())
        .args(["top", "--plain", "--interval", "0.2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ringfence");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let header = lines.next().expect("a line").expect("text");
    assert!(header.starts_with("NAME"), "{header}");
    drop(lines);
    let done = child.wait_with_output().expect("wait");
    assert!(done.status.success(), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_target_that_is_not_there_is_said_in_one_sentence() {
    let _host = Host::new();
    let done = Command::new(binary())
        .args(["top", "nobody", "--plain", "--duration", "1"])
        .output()
        .expect("ringfence");
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.starts_with("ringfence: there is no cgroup `nobody`"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
