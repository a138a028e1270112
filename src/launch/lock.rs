//! Locks between launchers: `flock` of a directory. The kernel lets go of one when its holder dies, however it dies, so
//! that a directory that can be locked was left behind.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use procfs::LockType;

use super::error::{Error, Result};
use crate::kernel::error::Error as KernelError;
use crate::kernel::process::held::Brief;

/// How long the lock of another launcher is waited for. Under one, cgroups and directories are made, which takes
/// milliseconds, or what many killed launchers left is removed, which takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Opens a directory to lock it, or what is in it.
fn open_dir(path: &Path) -> std::result::Result<File, KernelError> {
    File::open(path).map_err(|error| KernelError::new("open", path, error))
}

/// Locks a directory, if nobody else has: else `EWOULDBLOCK`.
pub fn try_dir(path: &Path) -> std::result::Result<File, KernelError> {
    let dir = open_dir(path)?;
    match dir.try_lock() {
        Ok(()) => Ok(dir),
        Err(TryLockError::WouldBlock) => Err(KernelError::new("lock", path, Errno::EWOULDBLOCK)),
        Err(TryLockError::Error(error)) => Err(KernelError::new("lock", path, error)),
    }
}

/// Locks a directory. Waits for who has it, for 20 s at most, and as long as it may go on.
pub fn wait_for_dir(path: &Path, go_on: &mut dyn FnMut() -> bool) -> Result<File> {
    let dir = open_dir(path)?;
    wait_for(&dir, path, File::try_lock, Some(PATIENCE), go_on)?;
    Ok(dir)
}

/// The same for an open file, and with another kind of lock; without a bound where `patience` is `None`.
pub fn wait_for(
    file: &File,
    path: &Path,
    try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
    patience: Option<Duration>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<()> {
    let begin = Instant::now();
    loop {
        match try_lock(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => {
                return Err(KernelError::new("lock", path, error).into());
            }
            Err(TryLockError::WouldBlock) if !go_on() => return Err(Error::refused("interrupted")),
            Err(TryLockError::WouldBlock) => {
                if let Some(patience) = patience.filter(|patience| begin.elapsed() >= *patience) {
                    return Err(Error::refused(format!(
                        "{} is locked by {}, which did not let go of it within {} s",
                        path.display(),
                        holder(file),
                        patience.as_secs()
                    )));
                }
                sleep(PAUSE);
            }
        }
    }
}

/// Who has locked a file, as far as we can see: `pid 123 (ringfence)`.
///
/// <https://man7.org/linux/man-pages/man5/proc_locks.5.html>
pub fn holder(file: &File) -> String {
    let pid = file.metadata().ok().and_then(|meta| {
        let device = (major(meta.dev()), minor(meta.dev()));
        let lock = procfs::locks().ok()?.into_iter().find(|lock| {
            lock.lock_type == LockType::FLock
                && lock.inode == meta.ino()
                && (lock.devmaj.into(), lock.devmin.into()) == device
        })?;
        // 0 where it is in a pid namespace that we do not see.
        lock.pid
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid != 0)
    });
    let Some(pid) = pid else {
        return "a process that is not seen here".to_owned();
    };
    match Brief::read(Path::new("/proc"), pid) {
        Some(brief) => format!("pid {pid} ({})", brief.comm),
        None => format!("pid {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_named_and_who_waits_may_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let held = try_dir(path).unwrap();
        let own = std::process::id();
        assert!(
            holder(&held).starts_with(&format!("pid {own} (")),
            "{}",
            holder(&held)
        );
        assert_eq!(try_dir(path).unwrap_err().errno(), Errno::EWOULDBLOCK);
        let mut looks = 0;
        let refused = wait_for_dir(path, &mut || {
            looks += 1;
            looks < 3
        });
        assert_eq!(refused.unwrap_err().to_string(), "interrupted");
        assert_eq!(looks, 3);
        let other = open_dir(path).unwrap();
        let refused = wait_for(&other, path, File::try_lock, Some(PAUSE), &mut || true);
        let told = refused.unwrap_err().to_string();
        assert!(
            told.contains(&format!(" is locked by pid {own} (")),
            "{told}"
        );
        wait_for(
            &other,
            path,
            File::try_lock_shared,
            Some(PAUSE),
            &mut || true,
        )
        .unwrap_err();
        let mut held = Some(held);
        wait_for_dir(path, &mut || {
            held = None;
            true
        })
        .unwrap();
    }
}
