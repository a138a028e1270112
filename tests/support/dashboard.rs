//! A dashboard on a real pty, and the screen that a person would see.

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking as pty;

use rustix::termios::{Winsize, tcsetwinsize};

use super::binary;

const ROWS: u16 = 40;
const COLUMNS: u16 = 120;
/// The guest emulates its CPU: what takes a millisecond elsewhere takes twenty here.
const PATIENCE: Duration = Duration::from_secs(30);

fn size_of(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a terminal has cells")
}

/// Counts how often a whole screen was drawn.
#[derive(Default)]
struct Frames(usize);

impl vt100::Callbacks for Frames {
    fn unhandled_csi(
        &mut self,
        _: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        last: char,
    ) {
        // A synchronised update begins.
        if (first, parameters, last) == (Some(b'?'), &[&[2026]], 'h') {
            self.0 += 1;
        }
    }
}

/// A `ringfence` with a dashboard on a terminal of its own.
pub struct Dashboard {
    pub child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser<Frames>>>,
}

impl Dashboard {
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(pty::Command::new(binary()).args(arguments))
    }

    /// Another program on such a terminal.
    pub fn run(program: &str, arguments: &[&str]) -> Self {
        Self::of(pty::Command::new(program).args(arguments))
    }

    /// In this working directory.
    pub fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        Self::of(
            pty::Command::new(binary())
                .args(arguments)
                .current_dir(folder),
        )
    }

    /// As an ordinary user.
    pub fn start_as_user(arguments: &[&str]) -> Self {
        Self::of(
            pty::Command::new(binary())
                .args(arguments)
                .uid(1000)
                .gid(1000),
        )
    }

    fn of(command: pty::Command) -> Self {
        let (terminal, inside) = pty::open().expect("a pty");
        terminal.resize(Size::new(ROWS, COLUMNS)).expect("a size");
        let child = command
            .env("TERM", "xterm-256color")
            .spawn(inside)
            .expect("ringfence");
        let keyboard = File::from(terminal.as_fd().try_clone_to_owned().expect("a copy"));
        let screen = Arc::new(Mutex::new(vt100::Parser::new_with_callbacks(
            size_of(ROWS),
            size_of(COLUMNS),
            0,
            Frames::default(),
        )));
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

    pub fn ask<T>(&self, question: impl FnOnce(&vt100::Screen) -> T) -> T {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        question(screen.screen())
    }

    /// How many screens were drawn so far.
    pub fn frames(&self) -> usize {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.callbacks().0
    }

    pub fn contents(&self) -> String {
        self.ask(vt100::Screen::contents)
    }

    /// Waits until the screen is as wanted, and says how long that took.
    pub fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Duration {
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

    pub fn wait_for(&self, text: &str) -> Duration {
        self.wait(text, |contents| contents.contains(text))
    }

    /// Like [`keys`](Self::keys), of a dashboard that may have ended.
    pub fn try_keys(&mut self, keys: &str) -> io::Result<()> {
        self.keyboard.write_all(keys.as_bytes())
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // Held over both: what is drawn for the new size meets it.
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetwinsize(&self.keyboard, size).expect("a size");
        screen
            .screen_mut()
            .set_size(size_of(rows), size_of(columns));
    }

    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("keys");
    }

    /// Selects a cgroup by its name, with a filter that stays.
    pub fn select(&mut self, name: &str) {
        // Before the first sample there is nothing to choose from.
        self.wait_for(&format!(" {name} "));
        self.keys(&format!("/{name}\r"));
        self.wait_for(&format!("filter: {name} · "));
        self.keys("G");
        self.wait("the selection", |contents| {
            contents
                .lines()
                .any(|line| line.starts_with('├') && line.contains(&format!("{name} ─")))
        });
    }

    /// Waits for its end, and checks that the terminal is as before.
    pub fn end(mut self) -> ExitStatus {
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
