//! How much a workload may write to what is thrown away with it: a project quota of the file system, or a file system in
//! memory.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::place;
use super::spec::StorageOpt;
use crate::kernel::error::Error as KernelError;
use crate::kernel::syscall::mount::private_tmpfs;
use crate::kernel::syscall::quota;
use crate::kernel::unit::{Bytes, Limit};
use crate::text;

/// How much a workload writes where nothing else is said and a quota can be had.
pub const DEFAULT: Bytes = Bytes(10 << 30);

/// Where what a workload writes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// To the file system of the scratch directory.
    OnDisk,
    /// To a private tmpfs on it: the file system carries no overlay's writes, or has no quotas.
    InMemory,
}

/// Bounds what is written below a directory, which is empty yet.
pub fn bound(
    dir: &Path,
    asked: Option<StorageOpt>,
    notice: &mut dyn FnMut(String),
) -> Result<Writes> {
    let size = match asked.map_or(Limit::At(DEFAULT), |asked| asked.size) {
        Limit::Max => return Ok(Writes::OnDisk),
        Limit::At(size) => size,
    };
    let error = |error| KernelError::new("open", dir, error);
    let opened = File::open(dir).map_err(error)?;
    if quota::is_enforced(&opened) {
        let inode = opened.metadata().map_err(error)?.ino();
        match quota::limit(&opened, project(inode), size) {
            Ok(()) => return Ok(Writes::OnDisk),
            // As in a container, where root may set none.
            Err(errno) => notice(KernelError::new("set a quota for", dir, errno).to_string()),
        }
    }
    if asked.is_none() {
        return Ok(Writes::OnDisk);
    }
    private_tmpfs(dir, Some(size))?;
    notice(format!(
        "{} has no project quotas for it, so what is written is kept in memory: {} at most, within the memory limit",
        dir.display(),
        text::bytes(size)
    ));
    Ok(Writes::InMemory)
}

/// The nearest directory that there is above all scratch directories, and whether its file system has quotas.
pub fn look() -> (PathBuf, bool) {
    let base = Path::new(place::SCRATCH[0]);
    let there = base.ancestors().find(|dir| dir.is_dir());
    let there = there.unwrap_or(Path::new("/"));
    let is_enforced = File::open(there).is_ok_and(|dir| quota::is_enforced(&dir));
    (there.to_owned(), is_enforced)
}

/// A directory's project: nobody else's, as long as it is there. Small numbers are people's own.
#[expect(clippy::cast_possible_truncation, reason = "a project is 32 bits wide")]
fn project(inode: u64) -> u32 {
    inode as u32 | 1 << 31
}
