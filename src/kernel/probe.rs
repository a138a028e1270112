//! Facts about the host that decide what ringfence can do on it. Nothing is changed by asking.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, access};

use super::error::errno_of;

/// The value of a sysctl (`kernel.dmesg_restrict`), `None` where this kernel does not have it.
pub fn sysctl(proc: &Path, name: &str) -> Option<i64> {
    let path = proc.join("sys").join(name.replace('.', "/"));
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether the running kernel knows a file system: built in or loaded.
pub fn knows_filesystem(proc: &Path, name: &str) -> bool {
    fs::read_to_string(proc.join("filesystems")).is_ok_and(|text| {
        text.lines()
            .any(|line| line.split('\t').nth(1) == Some(name))
    })
}

/// Whether a controller was switched off on the kernel's command line: the `enabled` column of
/// `/proc/cgroups`. `None` where the kernel was built without it.
pub fn controller_enabled(proc: &Path, name: &str) -> Option<bool> {
    // The io controller is still called blkio there.
    let name = if name == "io" { "blkio" } else { name };
    fs::read_to_string(proc.join("cgroups"))
        .ok()?
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&name))
        .and_then(|words| words.get(3).map(|enabled| *enabled == "1"))
}

/// Whether a file can be opened for reading, without waiting for it.
pub fn readable(path: &Path) -> Result<(), Errno> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map(drop)
        .map_err(|error: io::Error| errno_of(&error))
}

/// Whether this process may write here; `EROFS` on a read-only file system.
pub fn writable(path: &Path) -> Result<(), Errno> {
    access(path, AccessFlags::W_OK)
}

/// The soft and hard limit on open files.
pub fn open_files() -> Result<(u64, u64), Errno> {
    getrlimit(Resource::RLIMIT_NOFILE)
}
