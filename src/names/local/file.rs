//! Reading files that others write: only regular ones, never blocking, never more than is reasonable.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// The most that is read of a file. A list of a thousand podman containers has about 2 MiB.
const LARGEST: u64 = 8 << 20;
/// The most entries of a directory that are looked at.
const ENTRIES: usize = 50_000;

/// When a file was last changed and its length: what has the same has not changed.
pub type Version = (Option<SystemTime>, u64);

/// The whole of a regular file; nothing where it is something else or larger than is reasonable. The path
/// is as a user may have made it: what it ends with must not be a link to a device.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    read_with(path, libc::O_NOFOLLOW)
}

/// The same for the administrator's own files, which may be links.
pub fn read_through_links(path: &Path) -> Option<Vec<u8>> {
    read_with(path, 0)
}

fn read_with(path: &Path, flags: i32) -> Option<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    whole(&file)
}

fn whole(file: &File) -> Option<Vec<u8>> {
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= LARGEST).then_some(bytes)
}

/// The version of a file or directory, without reading it.
pub fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

/// The names in a directory, those that are UTF-8.
pub fn names(path: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .take(ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Where a link leads, its last part.
pub fn link(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}
