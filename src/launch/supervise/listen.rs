//! What a supervisor listens to: signals, the leaf's notifications, and the wait for either.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::launch::error::Result;

/// Signals that are the program's business, but for SIGCONT.
const WANTED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

/// A signal that came.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub signal: Signal,
    /// The number beside it, from who has something more to say.
    pub value: Option<i32>,
}

impl Told {
    /// Whether nothing is to be waited for any more.
    pub fn asks_to_end(&self) -> bool {
        matches!(
            self.signal,
            Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP
        )
    }
}

/// What blocks these signals and reads them; dropping it gives the mask back.
pub struct Signals {
    fd: SignalFd,
    /// The mask before, which is the program's.
    pub before: SigSet,
}

impl Signals {
    pub fn take() -> Result<Self> {
        let error = |errno| KernelError::new("read signals from", "a descriptor", errno);
        let wanted: SigSet = WANTED.into_iter().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&wanted), Some(&mut before)).map_err(error)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&wanted, flags).map_err(error)?;
        Ok(Self { fd, before })
    }

    pub fn next(&self) -> Option<Told> {
        let info = self.fd.read_signal().ok()??;
        Some(Told {
            signal: Signal::try_from(info.ssi_signo.cast_signed()).ok()?,
            value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Notifications of the leaf's memory counters: each file tells whoever polls it since it was last read. An inotify would
/// do as well, but the kernel takes milliseconds to let go of one.
pub struct Watch(Vec<File>);

impl Watch {
    pub fn new(leaf: &Cgroup) -> Result<Self> {
        let files = ["memory.events", "memory.events.local"]
            .into_iter()
            .map(|file| leaf.open_file(file))
            // They are not there without the controller.
            .filter(|opened| !matches!(opened, Err(error) if error.errno() == Errno::ENOENT))
            .collect::<std::result::Result<_, _>>()?;
        let watch = Self(files);
        watch.0.iter().for_each(read);
        Ok(watch)
    }

    /// What to poll.
    pub fn fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.0
            .iter()
            .map(|file| PollFd::new(file.as_fd(), PollFlags::POLLPRI))
    }

    /// Whether anything moved; the counters say what.
    pub fn moved(&self) -> bool {
        let mut fds: Vec<PollFd> = self.fds().collect();
        let _ = poll(&mut fds, PollTimeout::ZERO);
        let mut any = false;
        for (fd, file) in fds.iter().zip(&self.0) {
            if fd.any() == Some(true) {
                read(file);
                any = true;
            }
        }
        any
    }
}

/// From here on a change is news.
fn read(file: &File) {
    let _ = file.read_at(&mut [0; 512], 0);
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
