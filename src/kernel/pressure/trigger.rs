//! Triggers on `memory.pressure` and `io.pressure`: the kernel says at once that tasks have waited for too long.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;

use crate::kernel::error::errno_of;

/// The windows that are tried, in seconds. Who may not have any window (`CAP_SYS_RESOURCE`) may have multiples of
/// two seconds, since 6.4.
const WINDOWS: [u32; 2] = [1, 2];

/// Armed until it is dropped. Poll [`AsFd`] for `POLLPRI`, which takes the notification, of which there is at most
/// one in a window; `POLLERR` says that the cgroup is gone.
///
/// <https://docs.kernel.org/accounting/psi.html#monitoring-for-pressure-thresholds>
#[derive(Debug)]
pub struct Trigger {
    file: File,
    /// The window, in seconds.
    pub seconds: u32,
}

impl Trigger {
    /// Wants to be told when some task of a cgroup, by its directory, waits for so many percent (1 to 100) of a window;
    /// `file` says for what. `EACCES` for who may not write there, `EOPNOTSUPP` where PSI is off, `ENOENT` without it.
    /// Since 5.2.
    pub fn new(directory: &Path, file: &str, share: u32) -> Result<Self, Errno> {
        let mut refused = Errno::EINVAL;
        for seconds in WINDOWS {
            // An open file has one trigger at most.
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(directory.join(file));
            let mut file = file.map_err(|error| errno_of(&error))?;
            let window = u64::from(seconds) * 1_000_000;
            let stall = window * u64::from(share) / 100;
            // The kernel takes the last byte away, whatever it is.
            match file.write_all(format!("some {stall} {window}\n").as_bytes()) {
                Ok(()) => return Ok(Self { file, seconds }),
                Err(error) => refused = errno_of(&error),
            }
        }
        Err(refused)
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
