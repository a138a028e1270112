//! A running `ringfence events`, read line by line.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{binary, end_of, wait_until};

/// The guest emulates its CPU: what takes a millisecond elsewhere takes twenty here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fills the kernel log several times over.
pub fn flood_kernel_log() {
    // Else it takes ten lines in five seconds from programs.
    let rate = "/proc/sys/kernel/printk_devkmsg";
    let was = fs::read_to_string(rate).expect("a sysctl");
    fs::write(rate, "on\n").expect("a sysctl");
    let log = fs::OpenOptions::new().write(true).open("/dev/kmsg");
    let mut log = log.expect("the kernel log");
    for _ in 0..4000 {
        log.write_all(&[b'x'; 900]).expect("a line");
    }
    fs::write(rate, was).expect("a sysctl");
}

/// `ringfence events`, listening.
pub struct Events {
    pub child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Events {
    /// Starts it, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(Command::new(binary()).arg("events").args(arguments))
    }

    pub fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("ringfence");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                eprintln!("events: {line}");
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        // That thread starts when all is open.
        let tasks = format!("/proc/{}/task", child.id());
        wait_until("the sampler", || {
            let tasks = fs::read_dir(&tasks).into_iter().flatten().flatten();
            let mut comms =
                tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
            comms.any(|comm| comm.trim_end() == "sampler")
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that has all of these; it may have come already. Each line is found once.
    #[track_caller]
    pub fn line(&mut self, words: &[&str]) -> String {
        self.find(&format!("{words:?}"), |line| {
            words.iter().all(|words| line.contains(words))
        })
    }

    /// The same in JSON.
    #[track_caller]
    pub fn object(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        parse(&self.find(what, |line| wanted(&parse(line))))
    }

    /// What comes within this time, and has come before.
    pub fn take(&mut self, within: Duration) -> Vec<String> {
        let deadline = Instant::now() + within;
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        std::mem::take(&mut self.seen)
    }

    #[track_caller]
    fn find(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.iter().position(|line| wanted(line)) {
                return self.seen.remove(at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(how) => panic!("waiting for {what}: {how}; there is only {:#?}", self.seen),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("kill");
    }

    /// Waits for its end, and gives its exit code and what nobody has asked for.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = end_of(&mut self.child);
        self.seen.extend(self.lines.iter());
        (code, std::mem::take(&mut self.seen))
    }

    /// Interrupts it; that is a good end. Gives what nobody has asked for.
    #[track_caller]
    pub fn interrupt(self) -> Vec<String> {
        self.signal(Signal::SIGINT);
        let (code, left) = self.end();
        assert_eq!(code, Some(0));
        left
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
