//! What kills a workload whose launcher is gone, whatever the workload has done to its parent-death signal: it may clear it,
//! and the kernel does where a process changes its user, as entrypoints do.

use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl::set_name;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::Mode;
use nix::unistd::{setsid, write};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::stdio::leave_streams;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::{Error, Result};
use crate::kernel::syscall::clone::{Child, spawn};
use crate::kernel::syscall::close_all_but;

/// A process that waits for the end of the one that started it, and then kills what is in a cgroup. It goes with this.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Guards the workload in this cgroup.
    pub fn start(leaf: &Cgroup) -> Result<Self> {
        let launcher = pidfd_open(getpid(), PidfdFlags::empty())
            .map_err(|errno| Error::new("open", "the launcher's own pidfd", errno))?;
        let child = spawn(CloneFlags::empty(), None, |forked| {
            // Called in the child: no allocation, no locks.
            let prepared = set_name(c"ringfence-guard")
                // What is typed is for the launcher alone.
                .and_then(|()| setsid().map(drop))
                .and_then(|()| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None))
                // Who waits for the end of the launcher's output does not wait for this.
                .and_then(|()| leave_streams())
                .and_then(|()| close_all_but(forked, [launcher.as_fd(), leaf.as_fd()]));
            if prepared.is_err() {
                return 1;
            }
            let mut ended = [PollFd::new(launcher.as_fd(), PollFlags::POLLIN)];
            while poll(&mut ended, PollTimeout::NONE) == Err(Errno::EINTR) {}
            let kill = openat(leaf, c"cgroup.kill", OFlag::O_WRONLY, Mode::empty());
            let _ = kill.and_then(|kill| write(&kill, b"1"));
            0
        })?;
        Ok(Self(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end();
    }
}
