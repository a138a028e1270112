//! What is in the directories that others keep their state in.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::file;

/// The most entries of a directory that are looked at.
const ENTRIES: usize = 50_000;

/// When a file was last changed and its length: what has the same has not changed.
pub type Version = (Option<SystemTime>, u64);

/// The whole of a file, as [`file::read`].
pub fn read(path: &Path) -> Option<Vec<u8>> {
    file::read(path).ok()
}

/// The whole of a file, as [`file::read_through_links`].
pub fn read_through_links(path: &Path) -> Option<Vec<u8>> {
    file::read_through_links(path).ok()
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
