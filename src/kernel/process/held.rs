//! One process, known by pid and start time, and held so that a signal reaches it or nobody.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use procfs::process::StatFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal, test_kill_process};

use super::open;
use crate::kernel::error::{Error, Result, errno_of};
use crate::kernel::syscall::queue_signal;
use crate::kernel::task::innermost_pid;
use crate::kernel::task::namespace::pid_namespace;

/// What a process is, in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its pid as the reader sees it.
    pub pid: u32,
    /// When it started, in clock ticks since boot; with the pid, its identity.
    pub start_time: u64,
    /// The pid of its parent; 0 where that is outside the reader's pid namespace.
    pub ppid: u32,
    /// The pid of its session's leader; 0 where that is outside the reader's pid namespace.
    pub session: u32,
    /// The pid that it sees itself, where that is in another namespace than the reader's.
    pub inside: Option<u32>,
    /// What it runs, in up to 15 bytes. Foreign text.
    pub comm: String,
    /// Whether it is a thread of the kernel.
    pub of_kernel: bool,
    /// Whether it is dead, and only its parent has not noticed yet.
    pub zombie: bool,
}

impl Brief {
    /// Reads it; `None` where the process is gone, or may not be seen.
    pub fn read(proc: &Path, pid: u32) -> Option<Self> {
        let stat = open(proc, pid)?.stat().ok()?;
        let inside = innermost_pid(proc, pid);
        Some(Self {
            pid,
            start_time: stat.starttime,
            ppid: u32::try_from(stat.ppid).unwrap_or(0),
            session: u32::try_from(stat.session).unwrap_or(0),
            inside,
            of_kernel: stat
                .flags()
                .is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD)),
            zombie: matches!(stat.state, 'Z' | 'X'),
            comm: stat.comm,
        })
    }

    /// `48110 (2 inside) ringfence`
    pub fn name(&self) -> String {
        let Self { pid, comm, .. } = self;
        match self.inside {
            Some(inside) => format!("{pid} ({inside} inside) {comm}"),
            None => format!("{pid} {comm}"),
        }
    }
}

/// All others that die with a process: those of its pid namespace, where it is the first one there, with
/// all below. Processes of the kernel's own or that may not be seen are left out.
pub fn dying_with(proc: &Path, init: &Brief) -> Vec<Brief> {
    if init.inside != Some(1) {
        return Vec::new();
    }
    let space = pid_namespace(proc, init.pid);
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut all: Vec<Brief> = pids.filter_map(|pid| Brief::read(proc, pid)).collect();
    all.sort_unstable_by_key(|brief| brief.pid);
    let parents: HashMap<u32, u32> = all.iter().map(|brief| (brief.pid, brief.ppid)).collect();
    let is_below = |pid: u32| {
        let mut above = parents.get(&pid);
        // Each was read at its own moment: a circle must not hold us.
        for _ in 0..parents.len() {
            match above {
                Some(pid) if *pid == init.pid => return true,
                Some(pid) => above = parents.get(pid),
                None => return false,
            }
        }
        false
    };
    all.retain(|brief| {
        // Who entered it from outside has a parent there.
        let entered = || brief.inside.is_some() && space == pid_namespace(proc, brief.pid);
        brief.pid != init.pid && !brief.zombie && (is_below(brief.pid) || entered())
    });
    all
}

/// A process held by a descriptor (`pidfd_open`, since 5.3): a later one of the same pid is another.
///
/// <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
#[derive(Debug)]
pub struct Held {
    /// What it is.
    pub brief: Brief,
    fd: OwnedFd,
}

impl Held {
    /// Takes hold of a process; `None` where it is gone.
    pub fn open(proc: &Path, pid: u32) -> Result<Option<Self>> {
        let error = |errno: rustix::io::Errno| Error::new("open pid", pid.to_string(), errno);
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(error(errno)),
        };
        let brief = Brief::read(proc, pid);
        // Still alive, it is the one that was read: its pid cannot have been given to another.
        if is_over(&fd) {
            return Ok(None);
        }
        Ok(brief.map(|brief| Self { brief, fd }))
    }

    /// Sends it a signal (`pidfd_send_signal`, since 5.1); `false` where it has ended.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) else {
            return Ok(false);
        };
        match pidfd_send_signal(&self.fd, number) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => {
                let object = format!("pid {}", self.brief.pid);
                Err(Error::new(format!("send {signal} to"), object, errno))
            }
        }
    }

    /// Sends it a signal with a number beside it; `false` where it has ended.
    pub fn queue(&self, signal: Signal, value: i32) -> Result<bool> {
        match queue_signal(self.fd.as_fd(), signal, value) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => {
                let object = format!("pid {}", self.brief.pid);
                Err(Error::new(format!("send {signal} to"), object, errno))
            }
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        is_over(&self.fd)
    }
}

/// Readable once it has ended.
impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A pidfd is readable once its process has ended.
fn is_over(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Why a process may not be signalled by us; `None` where it may, or is gone. No signal is sent.
pub fn why_not_signalled(pid: u32) -> Option<Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    match test_kill_process(pid) {
        Err(rustix::io::Errno::PERM) => Some(errno_of(&rustix::io::Errno::PERM.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const PROC: &str = "/proc";

    #[test]
    fn a_signal_reaches_whom_it_is_meant_for_or_nobody() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let held = Held::open(Path::new(PROC), child.id()).unwrap().unwrap();
        assert_eq!(held.brief.pid, child.id());
        assert_eq!(held.brief.ppid, std::process::id());
        assert!(!held.brief.of_kernel && !held.is_over());
        assert_eq!(why_not_signalled(child.id()), None);
        assert!(held.signal(Signal::SIGKILL).unwrap());
        child.wait().unwrap();
        assert!(held.is_over());
        assert!(!held.signal(Signal::SIGKILL).unwrap());
        assert!(Held::open(Path::new(PROC), child.id()).unwrap().is_none());
        assert!(Held::open(Path::new(PROC), u32::MAX).unwrap().is_none());
    }
}
