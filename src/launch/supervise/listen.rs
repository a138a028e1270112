//! What a supervisor listens to: signals, the leaf's notifications, and the wait for either.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::launch::error::Result;

/// Signals that are the program's business.
const FORWARDED: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// What blocks the forwarded signals and reads them; dropping it gives the mask back.
pub struct Signals {
    fd: SignalFd,
    /// The mask before, which is the program's.
    pub before: SigSet,
}

impl Signals {
    pub fn take() -> Result<Self> {
        let error = |errno| KernelError::new("read signals from", "a descriptor", errno);
        let wanted: SigSet = FORWARDED.into_iter().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&wanted), Some(&mut before)).map_err(error)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&wanted, flags).map_err(error)?;
        Ok(Self { fd, before })
    }

    pub fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok()??;
        Signal::try_from(info.ssi_signo.cast_signed()).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Notifications of the leaf's counters.
pub struct Watch {
    inotify: Inotify,
    /// The kernel notifies only of files whose inode is in memory, which an open descriptor sees to.
    _kept: Vec<File>,
}

impl Watch {
    pub fn new(leaf: &Cgroup) -> Result<Self> {
        let error = |errno| KernelError::new("watch", leaf.path(), errno);
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(error)?;
        let kept = ["memory.events", "memory.events.local", "cgroup.events"]
            .into_iter()
            .map(|file| leaf.open_file(file))
            .collect::<std::result::Result<_, _>>()?;
        inotify
            .add_watch(leaf.path(), AddWatchFlags::IN_MODIFY)
            .map_err(error)?;
        Ok(Self {
            inotify,
            _kept: kept,
        })
    }

    /// Whether anything moved; the counters say what.
    pub fn moved(&self) -> bool {
        let mut any = false;
        while self
            .inotify
            .read_events()
            .is_ok_and(|events| !events.is_empty())
        {
            any = true;
        }
        any
    }
}

pub fn until(deadline: Instant) -> PollTimeout {
    // Rounded up, so as not to wake just before it.
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

pub fn poll_patiently(fds: &mut [PollFd<'_>], timeout: PollTimeout) -> Result<()> {
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(KernelError::new("poll", "the workload", errno).into()),
    }
}
