//! The terminal is given back, whatever happens: here on a panic and on a return, on a real pty. Keys
//! and signals are in `vm_dashboard.rs`.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking as pty;
use ringfence::ui::terminal::Terminal;

const CHILD: &str = "RINGFENCE_TEST_ON_A_TERMINAL";

/// What the child of the test below does; by itself it has no terminal to lose.
#[test]
fn child() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let mut terminal = Terminal::enter(true).unwrap();
    terminal
        .show(|frame| frame.render_widget("a screen", frame.area()))
        .unwrap();
    assert_eq!(what, "return", "the dashboard panics");
}

#[test]
fn a_panic_and_a_return_give_the_terminal_back() {
    for what in ["panic", "return"] {
        let (terminal, inside) = pty::open().unwrap();
        terminal.resize(Size::new(24, 80)).unwrap();
        let before = tcgetattr(&terminal).unwrap().local_flags;
        assert!(before.contains(LocalFlags::ICANON | LocalFlags::ECHO));
        let mut child: Child = pty::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD, what)
            .env("RUST_BACKTRACE", "0")
            .env("TERM", "xterm-256color")
            .spawn(inside)
            .unwrap();
        let keyboard = terminal.as_fd().try_clone_to_owned().unwrap();
        let mut output = File::from(OwnedFd::from(terminal));
        let size = |cells| NonZero::new(cells).unwrap();
        let mut screen = vt100::Parser::new(size(24), size(80), 0);
        let mut bytes = [0; 4096];
        let mut entered = false;
        // Ends with EIO once nobody has the terminal open any more.
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            for byte in &bytes[..read] {
                screen.process(&[*byte]);
                entered |= screen.screen().alternate_screen();
            }
        }
        assert_eq!(child.wait().unwrap().success(), what == "return");
        assert_eq!(tcgetattr(&keyboard).unwrap().local_flags, before, "{what}");
        let screen = screen.screen();
        assert!(entered, "{what}: it never took the terminal");
        assert!(!screen.alternate_screen(), "{what}");
        assert!(!screen.hide_cursor(), "{what}");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "{what}"
        );
        if what == "panic" {
            let said = screen.contents();
            assert!(said.contains("the dashboard panics"), "{said}");
            // In raw mode, the lines of the message would be stairs.
            let stairs = said.lines().any(|line| line.starts_with("          "));
            assert!(!stairs, "{said}");
        }
    }
}

/// A window that is closed, a connection that breaks: nobody is left to look, and the dashboard ends.
#[test]
fn a_terminal_that_dies_ends_the_dashboard() {
    let (terminal, inside) = pty::open().unwrap();
    terminal.resize(Size::new(24, 80)).unwrap();
    let mut child: Child = pty::Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["top", "--interval", "1"])
        .env("TERM", "xterm-256color")
        .spawn(inside)
        .unwrap();
    let mut output = File::from(OwnedFd::from(terminal));
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains("live") {
        let read = output.read(&mut bytes).unwrap();
        seen.extend_from_slice(&bytes[..read]);
    }
    drop(output);
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it goes on without a terminal");
        sleep(Duration::from_millis(20));
    }
}

/// A terminal that is stopped, a pipe whose reader sleeps: what is written there is never taken.
#[test]
fn a_signal_ends_it_although_nobody_takes_what_it_writes() {
    for (signal, on_screen) in [
        (Signal::SIGTERM, true),
        (Signal::SIGINT, true),
        (Signal::SIGTERM, false),
    ] {
        let (terminal, inside) = pty::open().unwrap();
        // A screen that is more than a terminal keeps for its reader.
        terminal.resize(Size::new(200, 500)).unwrap();
        let before = tcgetattr(terminal.as_fd()).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = pty::Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["top", "--interval", "0.01"])
            .env("TERM", "xterm-256color");
        if !on_screen {
            command = command.arg("--plain").stdout(writer);
        }
        let mut child: Child = command.spawn(inside).unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        // Nothing but a write that waits keeps the loop, which is the first thread, from its signals.
        let waits = format!("{} ", libc::SYS_write);
        let is_stuck = || {
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
            call.is_ok_and(|call| call.starts_with(&waits))
        };
        let mut stuck = 0;
        let deadline = Instant::now() + Duration::from_mins(1);
        while stuck < 20 {
            stuck = if is_stuck() { stuck + 1 } else { 0 };
            assert!(Instant::now() < deadline, "it is not held up");
            sleep(Duration::from_millis(10));
        }
        kill(pid, signal).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{signal} is not heard");
            sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(128 + signal as i32));
        assert_eq!(
            tcgetattr(terminal.as_fd()).unwrap().local_flags,
            before.local_flags
        );
        drop(reader);
    }
}
