//! The one error of the kernel room: which operation, on what, and the kernel's answer.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// A refused or failed kernel operation. It names the operation and its object, and keeps the errno.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", object.display())]
pub struct Error {
    /// What was tried, as a verb: `read`, `write 64 to`, `clone3`.
    pub operation: String,
    /// What it was tried on: a path, most of the time.
    pub object: PathBuf,
    /// The kernel's answer. Raw, so that it is not a source too: the text above has it already.
    pub r#source: io::Error,
}

/// A result of the kernel room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Ties an I/O error to the operation and the object it is about.
    pub fn new(
        operation: impl Into<String>,
        object: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            operation: operation.into(),
            object: object.into(),
            source: source.into(),
        }
    }

    /// The errno, or `EIO` where the error did not come from the kernel (text that did not parse).
    pub fn errno(&self) -> Errno {
        errno_of(&self.source)
    }

    /// Whether the object is gone: a removed cgroup answers `ENODEV` on a kept fd, `ENOENT` on open.
    pub fn is_gone(&self) -> bool {
        is_gone(self.errno())
    }
}

/// The errno of an I/O error, `EIO` where it has none.
pub fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The errno of the other crate that system calls are made through.
pub fn errno_from(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

/// Whether an errno means that a cgroup (or process) no longer exists.
pub fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV | Errno::ESRCH)
}
