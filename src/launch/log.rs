//! What a detached workload says: kept in files of a bounded size, in the format of the container runtime interface,
//! which podman and Kubernetes write too.
//!
//! ```text
//! 2026-11-28T18:00:00.123456789Z stdout F a whole line
//! 2026-11-28T18:00:00.123456789Z stderr P a part of one, without its end
//! ```
//!
//! <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>

mod line;
mod reader;
mod writer;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

pub use line::{Line, Stream};
pub use reader::Reader;
pub use writer::Writer;

use super::place;
use crate::kernel::error::Error;

/// Where root's logs are: on disk, or where that cannot be written, in memory.
const BASES: [&str; 2] = ["/var/lib/ringfence/logs", "/run/ringfence/logs"];

/// Makes the directory of a workload's log.
pub fn make_dir(name: &str) -> Result<PathBuf, Error> {
    let mut failed = None;
    for base in bases() {
        let dir = base.join(name);
        match place::make_private_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| Error::new("find", "a place for logs", nix::errno::Errno::ENOENT)))
}

/// Removes logs of whom nobody knows.
pub fn sweep(is_known: impl Fn(&str) -> bool) {
    for base in bases() {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(&is_known) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn bases() -> Vec<PathBuf> {
    if geteuid().is_root() {
        return BASES.map(PathBuf::from).to_vec();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let base = |dir: &OsStr| Path::new(dir).join("ringfence/logs");
    runtime.as_deref().map(base).into_iter().collect()
}

/// One of its files; the one with the highest number is written. A number is never used again, so that a reader is at
/// no other file than it thinks.
fn file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.log"))
}

/// The numbers of its files, the oldest first.
fn numbers(dir: &Path) -> Vec<u64> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".log")?.parse().ok()
    };
    let mut numbers: Vec<u64> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}
