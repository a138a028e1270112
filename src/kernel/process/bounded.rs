//! A command that has so long to end.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::kernel::watch::wait;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Itself(ExitStatus),
    /// Its time was over: it was killed, with everybody in its process group.
    Overdue,
}

/// A running child, in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Bounded {
    /// `None` once it was waited for.
    child: Option<Child>,
    until: Instant,
}

impl Bounded {
    /// Starts it. It may run for `patience`, as soon as somebody [waits](Self::wait).
    pub fn start(command: &mut Command, patience: Duration) -> io::Result<Self> {
        Ok(Self {
            child: Some(command.process_group(0).spawn()?),
            until: Instant::now() + patience,
        })
    }

    /// Waits for its end; where its time is over, that is now.
    ///
    /// Since Linux 5.3: <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
    pub fn wait(mut self) -> io::Result<Ended> {
        let Some(child) = &mut self.child else {
            return Ok(Ended::Overdue);
        };
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(Ended::Itself(status));
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Dropping it kills it.
                return Ok(Ended::Overdue);
            }
            wait(&[pidfd.as_fd()], left);
        }
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // As nobody has waited for it, its pid is still its own.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// What it said on stdout.
    pub stdout: Vec<u8>,
    /// What it said on stderr.
    pub stderr: Vec<u8>,
}

/// Runs a command, without any input, and gives what it said until its end. That is as much as a pipe holds, 64 KiB
/// each: it is for those that say little. Who goes on after it and has its pipes still open is not waited for.
pub fn output(mut command: Command, patience: Duration) -> io::Result<Output> {
    let (mut stdout, out) = io::pipe()?;
    let (mut stderr, err) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let running = Bounded::start(&mut command, patience)?;
    drop(command);
    let ended = running.wait()?;
    Ok(Output {
        ended,
        stdout: what_is_there(&mut stdout)?,
        stderr: what_is_there(&mut stderr)?,
    })
}

fn what_is_there(pipe: &mut PipeReader) -> io::Result<Vec<u8>> {
    fcntl(&*pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut said = Vec::new();
    match pipe.read_to_end(&mut said) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_heard_although_somebody_goes_on() {
        let started = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "echo a; sleep 30 & echo b >&2; exit 3"]);
        let output = output(command, Duration::from_mins(1)).unwrap();
        assert!(started.elapsed() < Duration::from_secs(25));
        let Ended::Itself(status) = output.ended else {
            panic!("it had a minute")
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            (&b"a\n"[..], &b"b\n"[..])
        );
    }

    fn shell(script: &str, patience: Duration) -> Ended {
        let mut command = Command::new("sh");
        Bounded::start(command.args(["-c", script]), patience)
            .unwrap()
            .wait()
            .unwrap()
    }

    #[test]
    fn who_ends_in_time_says_how() {
        let Ended::Itself(status) = shell("exit 3", Duration::from_mins(1)) else {
            panic!("it had a minute")
        };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn who_hangs_is_killed_with_all_its_children() {
        let started = Instant::now();
        let place = tempfile::tempdir().unwrap();
        let pid = place.path().join("pid");
        let script = format!("sleep 99 & echo $! > {}; wait", pid.display());
        assert_eq!(shell(&script, Duration::from_secs(1)), Ended::Overdue);
        assert!(started.elapsed() < Duration::from_secs(50));
        let pid = std::fs::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Whoever inherits it may take a while to notice.
        let dead =
            |stat: &str| std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z"));
        while !dead(&stat) {
            assert!(started.elapsed() < Duration::from_secs(50), "it lives");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
