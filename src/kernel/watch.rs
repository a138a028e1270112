//! inotify over cgroup directories, and waiting for it.
//!
//! The watch of a directory reports the creation and removal of children, and changes of files by name:
//! those the kernel notifies itself (`memory.events`, `cgroup.events`, `pids.events`, only while an fd
//! of the file is open) and those that somebody wrote to (limits). Notifications are coalesced to about
//! one in 10 ms per file: they say *look*, the counters say how many. A removed directory's own watch
//! says nothing at all.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// A watched directory.
pub use nix::sys::inotify::WatchDescriptor;

/// What one notification says.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A child of this name came: look.
    Created(WatchDescriptor, OsString),
    /// A child of this name went: look.
    Removed(WatchDescriptor, OsString),
    /// The file of this name has something new.
    File(WatchDescriptor, OsString),
    /// Notifications were lost: look at everything.
    Overflow,
}

/// The watches of one tree.
#[derive(Debug)]
pub struct Watcher(Inotify);

impl Watcher {
    /// Starts with no watch. `EMFILE` where the user has too many watchers
    /// (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self, Errno> {
        Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map(Self)
    }

    /// Watches a directory. `ENOSPC` where the user has too many watches
    /// (`fs.inotify.max_user_watches`).
    pub fn add(&self, directory: &Path) -> Result<WatchDescriptor, Errno> {
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ONLYDIR;
        self.0.add_watch(directory, what)
    }

    /// Forgets a watch, of a removed directory too.
    pub fn remove(&self, watch: WatchDescriptor) {
        // The kernel may have forgotten it by itself.
        let _ = self.0.rm_watch(watch);
    }

    /// All notifications that have come, without waiting.
    pub fn changes(&self) -> Result<Vec<Change>, Errno> {
        let mut changes = Vec::new();
        loop {
            let events = match self.0.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    changes.push(Change::Overflow);
                } else if let Some(name) = event.name {
                    changes.push(if event.mask.contains(AddWatchFlags::IN_CREATE) {
                        Change::Created(event.wd, name)
                    } else if event.mask.contains(AddWatchFlags::IN_DELETE) {
                        Change::Removed(event.wd, name)
                    } else {
                        Change::File(event.wd, name)
                    });
                }
            }
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes a thread out of [`wait`].
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// A waker that nobody has called yet.
    pub fn new() -> Result<Self, Errno> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// Wakes the waiting thread, now or at its next wait.
    pub fn wake(&self) {
        // Fails only when it has been called 2^64 times: then the thread is awake.
        let _ = self.0.write(1);
    }

    /// Takes the call.
    pub fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of these can be read, at most for `timeout`. Spurious returns are possible.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Duration) {
    wait_for(fds, [], timeout);
}

/// The same, and until one of the others has something urgent to say (`POLLPRI`); gives the places of those that
/// do. What is urgent may be said once only: it must not be waited for through another fd, such as epoll's.
pub fn wait_for<'a>(
    fds: &[BorrowedFd<'a>],
    urgent: impl IntoIterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> Vec<usize> {
    let count = fds.len();
    let normal = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let urgent = urgent
        .into_iter()
        .map(|fd| PollFd::new(fd, PollFlags::POLLPRI));
    let mut fds: Vec<PollFd<'_>> = normal.chain(urgent).collect();
    // Rounded up, or the last fraction of a millisecond would be spent spinning.
    let timeout = timeout.as_micros().div_ceil(1000);
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    // An interrupted wait is a short one.
    let _ = poll(&mut fds, timeout);
    let said = |fd: &PollFd<'_>| {
        fd.revents()
            .is_some_and(|events| events.contains(PollFlags::POLLPRI))
    };
    let urgent = fds.iter().skip(count).enumerate();
    urgent
        .filter(|(_, fd)| said(fd))
        .map(|(place, _)| place)
        .collect()
}

/// Whether the other end of a terminal or of a pipe is gone (`POLLHUP`, `POLLERR`).
pub fn is_over(fd: BorrowedFd<'_>) -> bool {
    has_any(fd, PollFlags::POLLHUP | PollFlags::POLLERR)
}

/// Whether there are bytes to read (`POLLIN`).
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    has_any(fd, PollFlags::POLLIN)
}

fn has_any(fd: BorrowedFd<'_>, wanted: PollFlags) -> bool {
    let mut fds = [PollFd::new(fd, wanted)];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|events| events.intersects(wanted))
}

/// Notices of any change of files in one directory. Where there are none to be had, as somebody has used up all inotify
/// instances of this user (`fs.inotify.max_user_instances`), one has to look.
#[derive(Debug)]
pub struct Folder(Option<Inotify>);

impl Folder {
    /// How often to look where there are no notices.
    const LOOK: Duration = Duration::from_millis(250);

    /// Watches from now on.
    pub fn watch(directory: &Path) -> Self {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let what = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_ONLYDIR;
            inotify.add_watch(directory, what)?;
            Ok::<_, Errno>(inotify)
        };
        Self(watch().ok())
    }

    /// Waits until something has changed, one of these is readable, or the time is over, and takes the notices.
    pub fn wait(&self, others: &[BorrowedFd<'_>], most: Duration) {
        let Some(inotify) = &self.0 else {
            return wait(others, most.min(Self::LOOK));
        };
        let fds: Vec<_> = others.iter().copied().chain([inotify.as_fd()]).collect();
        wait(&fds, most);
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

/// Waits until a process has ended, by its pidfd.
pub fn wait_until_over(pidfd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    while !matches!(poll(&mut fds, PollTimeout::NONE), Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn children_and_writes_are_reported_by_name() {
        let root = tempfile::tempdir().unwrap();
        let watcher = Watcher::new().unwrap();
        let watch = watcher.add(root.path()).unwrap();
        assert_eq!(watcher.changes(), Ok(vec![]));
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("memory.max"), "max").unwrap();
        std::fs::remove_dir(root.path().join("a")).unwrap();
        wait(&[watcher.as_fd()], Duration::from_secs(5));
        let changes = watcher.changes().unwrap();
        assert_eq!(changes[0], Change::Created(watch, "a".into()));
        assert_eq!(changes.last(), Some(&Change::Removed(watch, "a".into())));
        assert!(changes.contains(&Change::File(watch, "memory.max".into())));
    }

    #[test]
    fn a_pipe_is_over_when_its_other_end_is_gone() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert!(!is_over(reader.as_fd()) && !is_readable(reader.as_fd()));
        writer.write_all(b"x").unwrap();
        assert!(!is_over(reader.as_fd()) && is_readable(reader.as_fd()));
        drop(writer);
        assert!(is_over(reader.as_fd()));
    }

    #[test]
    fn a_waker_wakes_once() {
        let waker = Waker::new().unwrap();
        waker.wake();
        let start = std::time::Instant::now();
        wait(&[waker.as_fd()], Duration::from_secs(20));
        assert!(start.elapsed() < Duration::from_secs(10));
        waker.clear();
        let start = std::time::Instant::now();
        wait(&[waker.as_fd()], Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
}
