//! Small processes beside the launcher, which go with it.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sched::CloneFlags;
use nix::sys::prctl::set_name;
use nix::sys::signal::Signal::SIGKILL;
use nix::sys::signal::{SigSet, SigmaskHow, kill, sigprocmask};
use nix::unistd::{Pid, setsid};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::stdio::leave_streams;
use crate::kernel::error::Result;
use crate::kernel::syscall::clone::{Child, spawn};
use crate::kernel::syscall::close_all_but;

/// A process with a copy of the launcher's memory, which is killed when this is dropped.
#[derive(Debug)]
pub struct Helper(Child);

impl Helper {
    /// Starts one of this name in a session of its own, without the launcher's streams, with all signals blocked and no
    /// descriptors but these. `main` must not allocate or lock.
    pub fn start<const N: usize>(
        name: &CStr,
        kept: [BorrowedFd<'_>; N],
        main: impl FnOnce(),
    ) -> Result<Self> {
        let child = spawn(CloneFlags::empty(), None, |forked| {
            let prepared = set_name(name)
                // What is typed is for the launcher alone.
                .and_then(|()| setsid().map(drop))
                .and_then(|()| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None))
                // Who waits for the end of the launcher's output does not wait for this.
                .and_then(|()| leave_streams())
                .and_then(|()| close_all_but(forked, kept));
            if prepared.is_ok() {
                main();
            }
            1
        })?;
        Ok(Self(child))
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.0.pid
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Until it is waited for, its pid is nobody else's.
        let killed = pidfd_send_signal(&self.0.pidfd, Signal::KILL).is_ok()
            || kill(self.0.pid, SIGKILL).is_ok();
        // Else it would wait for the end of this one, and this one for its.
        if killed {
            let _ = waitid(WaitId::PidFd(self.0.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}
