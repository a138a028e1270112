//! Removing a directory with all that is below it, however deep that is and however long its paths: only one directory is
//! open at a time, and none goes by its path. Who made what is in there may have wanted to make that hard.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::error::{Error, Result};

/// How long a directory that was just emptied may be busy, which a cgroup is for some tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// What goes with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Everything.
    Everything,
    /// Only directories, as a cgroup's files go with it.
    Cgroups,
}

/// Removes a directory and what is below it; it is no error where it is not there. Links are removed, not followed.
pub fn remove_all(path: &Path, what: What) -> Result<()> {
    let mut deadline = Instant::now();
    if what == What::Cgroups {
        deadline += PATIENCE;
    }
    remove(path, what, deadline).map_err(|errno| Error::new("remove", path, errno))
}

fn remove(path: &Path, what: What, deadline: Instant) -> nix::Result<()> {
    let here = AT_FDCWD.as_fd();
    let mut at = match open(here, path.as_os_str()) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened?,
    };
    // The names on the way there.
    let mut way = Vec::new();
    loop {
        if let Some(child) = first_full_child(at.as_fd(), what)? {
            match open(at.as_fd(), &child) {
                // It went by itself.
                Err(Errno::ENOENT) => {}
                opened => {
                    at = opened?;
                    way.push(child);
                }
            }
        } else if let Some(name) = way.pop() {
            at = open(at.as_fd(), OsStr::new(".."))?;
            remove_empty(at.as_fd(), &name, deadline)?;
        } else {
            return remove_empty(here, path.as_os_str(), deadline);
        }
    }
}

/// Removes what can be removed at once, up to the first directory that has something in it.
fn first_full_child(dir: BorrowedFd<'_>, what: What) -> nix::Result<Option<OsString>> {
    for entry in Dir::openat(dir, ".", DIRECTORY, Mode::empty())?.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            // Not every file system tells.
            None => is_directory(dir, name)?,
        };
        let flags = match what {
            // One with others in it is as busy as one that was just emptied.
            What::Cgroups if is_directory => return Ok(Some(name.to_owned())),
            What::Cgroups => continue,
            What::Everything if is_directory => UnlinkatFlags::RemoveDir,
            What::Everything => UnlinkatFlags::NoRemoveDir,
        };
        match unlinkat(dir, name, flags) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => return Ok(Some(name.to_owned())),
            Err(Errno::ENOENT) => {}
            removed => removed?,
        }
    }
    Ok(None)
}

fn is_directory(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<bool> {
    let stat = fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn remove_empty(at: BorrowedFd<'_>, name: &OsStr, deadline: Instant) -> nix::Result<()> {
    loop {
        match unlinkat(at, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => sleep(PAUSE),
            Err(errno) => return Err(errno),
        }
    }
}

fn open(at: BorrowedFd<'_>, name: &OsStr) -> nix::Result<OwnedFd> {
    openat(at, name, DIRECTORY, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::mkdirat;

    use super::*;

    #[test]
    fn a_tree_goes_whole_and_what_links_lead_to_stays() {
        let outer = tempfile::tempdir().unwrap();
        let (tree, other) = (outer.path().join("tree"), outer.path().join("other"));
        for dir in ["a/b/c", "a/empty", "d"] {
            fs::create_dir_all(tree.join(dir)).unwrap();
        }
        fs::create_dir(&other).unwrap();
        for file in [tree.join("a/b/file"), tree.join("top"), other.join("kept")] {
            fs::write(file, "text").unwrap();
        }
        symlink(&other, tree.join("a/link")).unwrap();
        remove_all(&tree, What::Everything).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        remove_all(&tree, What::Everything).unwrap();
        symlink(&other, &tree).unwrap();
        remove_all(&tree, What::Everything).unwrap_err();
        assert!(other.join("kept").exists());
    }

    #[test]
    fn neither_depth_nor_length_is_in_the_way() {
        let outer = tempfile::tempdir().unwrap();
        let tree = outer.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at = open(AT_FDCWD.as_fd(), tree.as_os_str()).unwrap();
        let name = OsString::from("d".repeat(250));
        for _ in 0..3000 {
            mkdirat(&at, &*name, Mode::S_IRWXU).unwrap();
            at = open(at.as_fd(), &name).unwrap();
        }
        drop(at);
        remove_all(&tree, What::Everything).unwrap();
        assert!(!tree.exists());
    }
}
