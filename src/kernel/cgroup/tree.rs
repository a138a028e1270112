//! Editing the tree: create, enable controllers, write limits, kill, remove.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, fchownat};

use super::CgroupEvents;
use crate::kernel::error::{Error, Result};
use crate::kernel::obstacle::Obstacle;
use crate::kernel::remove::{What, remove_all};

/// How long a killed cgroup may take to become empty; the kernel needs tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// One cgroup, held by its directory: a directory of the same name that comes later is another one.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: File,
}

impl Cgroup {
    /// Opens an existing one by its path in the file system.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let dir = File::open(&path).map_err(|error| Error::new("open", &path, error))?;
        Ok(Self { path, dir })
    }

    /// Makes a new one; `EEXIST` where there is one.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir(&path).map_err(|error| Error::new("create cgroup", &path, error))?;
        // One that its maker knows nothing of would be left behind.
        Self::open(&path).inspect_err(|_| drop(fs::remove_dir(&path)))
    }

    /// Its path in the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of its directory. No other cgroup gets it while the host is up.
    pub fn inode(&self) -> Result<u64> {
        let meta = self.dir.metadata();
        meta.map(|meta| meta.ino())
            .map_err(|error| Error::new("look at", &self.path, error))
    }

    /// What keeps us from writing one of its files; `None` where nothing does. Nothing is written.
    pub fn why_not_writable(&self, file: &str) -> Option<Obstacle> {
        let flags = AtFlags::AT_EACCESS;
        match faccessat(&self.dir, file, AccessFlags::W_OK, flags) {
            Err(Errno::EROFS) => Some(read_only(&self.path)),
            Err(Errno::EACCES | Errno::EPERM) => Some(not_ours(&self.path.join(file))),
            // What else is wrong, the write will tell.
            Ok(()) | Err(_) => None,
        }
    }

    /// Opens one of its files for reading; an open file is what makes the kernel notify of its changes.
    pub fn open_file(&self, file: &str) -> Result<File> {
        self.open_with(file, OFlag::O_RDONLY, "open")
    }

    /// Reads one of its files.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        let mut text = Vec::with_capacity(512);
        self.open_file(file)?
            .read_to_end(&mut text)
            .map_err(|error| self.error("read", file, error))?;
        Ok(text)
    }

    /// The words of one of its files.
    pub fn words(&self, file: &str) -> Result<Vec<String>> {
        let text = self.read(file)?;
        let words = String::from_utf8_lossy(&text);
        Ok(words.split_whitespace().map(str::to_owned).collect())
    }

    /// Writes one of its files, in one write as the kernel wants it.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let operation = format!("write `{text}` to");
        self.open_with(file, OFlag::O_WRONLY, &operation)?
            .write_all(text.as_bytes())
            .map_err(|error| self.error(operation, file, error))
    }

    /// Lets this user make cgroups in it and move processes between them. Its limits stay who made it's.
    ///
    /// <https://docs.kernel.org/admin-guide/cgroup-v2.html#model-of-delegation>
    pub fn delegate(&self, uid: u32, gid: u32) -> Result<()> {
        const DELEGATED: [&str; 4] = [
            ".",
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.subtree_control",
        ];
        let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        DELEGATED.iter().try_for_each(|file| {
            fchownat(&self.dir, *file, owner, group, AtFlags::empty())
                .map_err(|errno| self.error("hand over", file, errno))
        })
    }

    /// `cgroup.events`.
    pub fn events(&self) -> Result<CgroupEvents> {
        CgroupEvents::parse(&self.read("cgroup.events")?)
            .map_err(|malformed| self.error("read", "cgroup.events", io::Error::other(malformed)))
    }

    /// The processes directly in it that are not yet dead.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let text = self.read("cgroup.procs")?;
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect())
    }

    /// Whether it no longer exists. Every living one has `cgroup.procs`.
    pub fn is_gone(&self) -> bool {
        self.open_file("cgroup.procs")
            .is_err_and(|error| error.is_gone())
    }

    /// Kills every process in it and below it, frozen ones too (`cgroup.kill`, since 5.14).
    pub fn kill(&self) -> Result<()> {
        self.write("cgroup.kill", "1")
    }

    /// Kills what still runs in it, and waits until it is empty. Then its counters no longer move.
    pub fn empty(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        match self.events() {
            Err(error) if error.is_gone() => return Ok(()),
            Ok(events) if !events.populated => return Ok(()),
            _ => self.kill()?,
        }
        while self.events().is_ok_and(|events| events.populated) && Instant::now() < deadline {
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Empties it, and removes it with all that is below it.
    pub fn remove(&self) -> Result<()> {
        self.empty()?;
        remove_all(&self.path, What::Cgroups)
    }

    fn open_with(&self, file: &str, flags: OFlag, operation: &str) -> Result<File> {
        openat(&self.dir, file, flags | OFlag::O_CLOEXEC, Mode::empty())
            .map(File::from)
            .map_err(|errno| self.error(operation, file, errno))
    }

    fn error(
        &self,
        operation: impl Into<String>,
        file: &str,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::new(operation, self.path.join(file), source)
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// What is needed to write a file of a cgroup that belongs to somebody else.
pub(super) fn not_ours(file: &Path) -> Obstacle {
    Obstacle::new(
        format!(
            "{} may only be written by its owner, root mostly",
            file.display()
        ),
        "type sudo in front, or have the cgroup delegated",
    )
}

/// What is needed where the file system is mounted read-only.
pub(super) fn read_only(path: &Path) -> Obstacle {
    Obstacle::new(
        format!(
            "the cgroup file system at {} is mounted read-only here",
            path.display()
        ),
        "type `mount -o remount,rw` and its mount point, or do this where it is writable",
    )
}

/// Hands controllers of a cgroup down to its children (`cgroup.subtree_control`), one at a time: one
/// that is refused must not take the others with it. Those already on are left alone; those that are
/// not offered are returned.
pub fn enable<'a>(cgroup: &Cgroup, controllers: &[&'a str]) -> Result<Vec<&'a str>> {
    let has = |words: &[String], name: &str| words.iter().any(|word| word == name);
    let on = cgroup.words("cgroup.subtree_control")?;
    let off: Vec<&str> = controllers
        .iter()
        .copied()
        .filter(|name| !has(&on, name))
        .collect();
    if off.is_empty() {
        return Ok(off);
    }
    let offered = cgroup.words("cgroup.controllers")?;
    let (offered, missing): (Vec<&str>, Vec<&str>) =
        off.into_iter().partition(|name| has(&offered, name));
    for controller in offered {
        cgroup.write("cgroup.subtree_control", &format!("+{controller}"))?;
    }
    Ok(missing)
}
