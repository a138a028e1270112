//! Unpacked layers, each in a directory that is named after its digest, so that images share them.
//!
//! ```text
//! /var/lib/ringfence/store/      of root alone: files in it may have set-user-ID
//!     layers/sha256/DIGEST/      complete, and never changed
//!     tmp/DIGEST/                in the making
//! ```
//!
//! Who makes layers has `tmp` locked (`flock`), one launcher at a time. The kernel lets go of the lock when that
//! launcher dies, however it dies: whoever gets it finds in there what was left behind, and sweeps it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use oci_spec::image::Digest;

use crate::kernel::error::{Error as KernelError, errno_from};
use crate::launch::error::Result;
use crate::launch::lock;

const STORE: &str = "/var/lib/ringfence/store";

/// The part of the free disk space that is left alone: one in so many bytes.
const LEFT_FREE: u64 = 20;

/// Where a layer is, or will be.
pub fn path_of(diff_id: &Digest) -> PathBuf {
    let layers = Path::new(STORE).join("layers");
    layers
        .join(diff_id.algorithm().as_ref())
        .join(diff_id.digest())
}

/// Removes what launchers left that did not live to finish, unless one is at work.
pub fn sweep() {
    let tmp = Path::new(STORE).join("tmp");
    if let Ok(dir) = File::open(&tmp)
        && fs::read_dir(&tmp).is_ok_and(|mut left| left.next().is_some())
        && dir.try_lock().is_ok()
    {
        empty(&tmp);
    }
}

fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // What cannot be removed stays for the next one.
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// The right to make layers.
pub struct Making {
    tmp: PathBuf,
    /// Held until everything is done or removed.
    lock: File,
}

impl Making {
    /// Waits for the launcher that is making some, as long as it may go on. `waits` is told who that is.
    pub fn begin(go_on: &mut dyn FnMut() -> bool, waits: impl FnOnce(String)) -> Result<Self> {
        let tmp = Path::new(STORE).join("tmp");
        make_private_dir(&tmp)?;
        let file = File::open(&tmp).map_err(|error| KernelError::new("open", &tmp, error))?;
        let mut waits = Some(waits);
        let mut go_on = || {
            if let Some(waits) = waits.take() {
                waits(lock::holder(&file));
            }
            go_on()
        };
        // Unpacking may take as long as it takes.
        lock::wait_for(&file, &tmp, File::try_lock, None, &mut go_on)?;
        empty(&tmp);
        Ok(Self { tmp, lock: file })
    }

    /// How many bytes may be written.
    pub fn room(&self) -> Result<u64> {
        let found =
            statvfs(&self.tmp).map_err(|errno| KernelError::new("look at", &self.tmp, errno))?;
        let free = found
            .blocks_available()
            .saturating_mul(found.fragment_size());
        Ok(free - free / LEFT_FREE)
    }

    /// An empty directory for a layer.
    pub fn directory(&self, diff_id: &Digest) -> Result<PathBuf> {
        let path = self.tmp.join(diff_id.digest());
        // Only what a layer says of its own top makes it another one.
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(|error| KernelError::new("make", &path, error))?;
        Ok(path)
    }

    /// Puts complete layers where they belong: all that is in them is on the disk before, as a layer that is
    /// there is never looked at again.
    pub fn finish(self, layers: &[&Digest]) -> Result<()> {
        rustix::fs::syncfs(&self.lock)
            .map_err(|errno| KernelError::new("write out", &self.tmp, errno_from(errno)))?;
        for diff_id in layers {
            let path = path_of(diff_id);
            path.parent().map_or(Ok(()), make_private_dir)?;
            fs::rename(self.tmp.join(diff_id.digest()), &path)
                .map_err(|error| KernelError::new("make", &path, error))?;
        }
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        empty(&self.tmp);
    }
}

fn make_private_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error: io::Error| KernelError::new("make", path, error).into())
}
