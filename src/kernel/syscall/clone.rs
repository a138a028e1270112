//! clone3: a new process, directly in its cgroup and its namespaces.
//!
//! <https://man7.org/linux/man-pages/man2/clone3.2.html>

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::stat;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::kernel::error::{Error, Result};

/// A started child.
#[derive(Debug)]
pub struct Child {
    /// Its pid as the parent sees it.
    pub pid: Pid,
    /// A descriptor of it that becomes readable when it ends.
    pub pidfd: OwnedFd,
}

/// A child that exits by itself, soon. It is waited for when this is dropped, so that something else can be done meanwhile.
#[derive(Debug)]
pub struct ExitingChild(Pid);

impl ExitingChild {
    /// Waits now, for one that exits as [`wait_for_errno`] says.
    pub fn wait_for_errno(self) -> nix::Result<()> {
        let pid = self.0;
        std::mem::forget(self);
        wait_for_errno(pid)
    }
}

impl From<Child> for ExitingChild {
    fn from(child: Child) -> Self {
        Self(child.pid)
    }
}

impl Drop for ExitingChild {
    fn drop(&mut self) {
        // It is this process's child, and nobody else has waited for it.
        let _ = waitpid(self.0, None);
    }
}

/// Waits for a child whose exit code is the errno of what failed in it, or 0. One that a signal ended is `ECHILD`.
pub fn wait_for_errno(child: Pid) -> nix::Result<()> {
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno)),
        _ => Err(Errno::ECHILD),
    }
}

/// The proof that this is a forked child: alone in its copy of the address space.
#[derive(Debug)]
pub struct Forked(());

/// Starts a child directly in `cgroup` (or its parent's), in fresh namespaces, with all signal handlers at their default,
/// and runs `main` in it, whose result is the child's exit code. `main` has a copy of all memory and
/// must not allocate or lock, out of care: this process has one thread, which is checked. Since 5.7.
pub fn spawn(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    main: impl FnOnce(&Forked) -> u8,
) -> Result<Child> {
    let error = |source: Errno| Error::new("start", "a process (clone3)", source);
    // A directory for each thread, each with a link to the one above; and two links of its own.
    let links = stat(c"/proc/self/task").map_or(0, |task| task.st_nlink);
    if links != 3 {
        // Another thread may hold a lock that nobody would release in the child.
        return Err(error(Errno::EDEADLK));
    }
    let mut pidfd: RawFd = -1;
    let namespaces = u64::from(namespaces.bits().cast_unsigned());
    let flags = libc::CLONE_PIDFD.cast_unsigned();
    // libc types these two as `c_int`, which their 33rd and 34th bit do not fit.
    let (clear_sighand, into_cgroup) = (0x1_0000_0000, 0x2_0000_0000);
    let into_cgroup = cgroup.map_or(0, |_| into_cgroup);
    let pid = clone3(
        namespaces | u64::from(flags) | clear_sighand | into_cgroup,
        cgroup,
        &mut pidfd,
        main,
    )
    .map_err(error)?;
    // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Forks once more inside a child: `main` runs in the grandchild, and its result is that one's exit code.
pub fn fork(_: &Forked, main: impl FnOnce(&Forked) -> u8) -> nix::Result<Pid> {
    clone3(0, None, &mut -1, main)
}

fn clone3(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    pidfd: &mut RawFd,
    main: impl FnOnce(&Forked) -> u8,
) -> nix::Result<Pid> {
    let args = libc::clone_args {
        flags,
        pidfd: (&raw mut *pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |cgroup| u64::from(cgroup.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: without CLONE_VM the child goes on in its own copy of this stack, as after fork, and both
    // callers make sure that no other thread was lost on the way. `args` and `pidfd` outlive the call.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    if answer == 0 {
        // A panic in the child must not unwind into the parent's code.
        let exit = ExitOnDrop;
        let code = main(&Forked(()));
        std::mem::forget(exit);
        leave(code);
    }
    Errno::result(answer).map(|pid| Pid::from_raw(libc::pid_t::try_from(pid).unwrap_or(-1)))
}

struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        leave(125)
    }
}

fn leave(code: u8) -> ! {
    // SAFETY: ends this process without running anything else of it.
    unsafe { libc::_exit(code.into()) }
}
