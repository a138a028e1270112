//! One cgroup, held by its directory fd, with the fds of its files kept open.
//!
//! A `pread` on a kept fd costs a fifth of open, read and close. Nothing here goes by path once the
//! directory is open, so a name that was removed and made again is never taken for the old cgroup.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File as Fd;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::CgroupId;
use super::budget::Budget;
use super::file::{File, Keep};
use crate::kernel::error::{Error, Result, errno_of, is_gone};
use crate::kernel::unit::{Malformed, Reading};

/// The cgroup no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Why a file gave no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// The file is not there, or this cgroup does not support it.
    NotAvailable,
    /// The kernel refused.
    Unreadable(Errno),
    /// The cgroup is gone.
    Gone,
}

/// What all handles of one tree share: the root they are found from, the buffer files are read into,
/// and the budget of fds.
#[derive(Debug)]
pub struct Reader {
    root: OwnedFd,
    buffer: Vec<u8>,
    /// How many fds may be kept.
    pub budget: Budget,
}

impl Reader {
    /// Opens the directory that all handles are found from.
    pub fn open(root: &Path, budget: Budget) -> Result<Self> {
        let fd = openat(nix::fcntl::AT_FDCWD, root, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::new("open", root, errno))?;
        Ok(Self {
            root: fd,
            buffer: vec![0; 4096],
            budget,
        })
    }

    /// Reads a whole file into the buffer. Most cgroup files answer with everything in one `read`;
    /// lists come in pieces and end with an empty one.
    fn fill(&mut self, fd: &Fd, in_pieces: bool) -> std::result::Result<usize, Errno> {
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length * 2, 0);
            }
            let room = &mut self.buffer[length..];
            let free = room.len();
            match fd.read_at(room, length as u64) {
                Ok(0) => return Ok(length),
                Ok(read) => {
                    length += read;
                    if read < free && !in_pieces {
                        return Ok(length);
                    }
                }
                Err(error) if errno_of(&error) == Errno::EINTR => {}
                Err(error) => return Err(errno_of(&error)),
            }
        }
    }
}

#[derive(Debug)]
enum Slot {
    /// Not kept (not yet, or there is no budget).
    Closed,
    /// Not there when last tried.
    Absent,
    Kept(Fd),
}

/// One cgroup.
#[derive(Debug)]
pub struct Handle {
    id: CgroupId,
    /// From the reader's root; `.` for the root itself.
    path: CString,
    /// `None` where the budget is used up.
    dir: Option<OwnedFd>,
    slots: [Slot; File::COUNT],
}

const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

impl Handle {
    /// Opens the reader's root.
    pub fn root(reader: &mut Reader) -> std::result::Result<Self, Errno> {
        Self::open_at(reader, c".".to_owned())
    }

    /// Opens a child of this cgroup.
    pub fn child(&self, reader: &mut Reader, name: &OsStr) -> std::result::Result<Self, Errno> {
        let mut path = match self.path.to_bytes() {
            b"." => Vec::new(),
            path => [path, b"/"].concat(),
        };
        path.extend(name.as_bytes());
        Self::open_at(reader, CString::new(path).map_err(|_| Errno::EINVAL)?)
    }

    fn open_at(reader: &mut Reader, path: CString) -> std::result::Result<Self, Errno> {
        let dir = openat(&reader.root, &*path, DIRECTORY, Mode::empty())?;
        let id = CgroupId(fstat(&dir)?.st_ino);
        Ok(Self {
            id,
            path,
            dir: reader.budget.take(Keep::Notify).then_some(dir),
            slots: [const { Slot::Closed }; File::COUNT],
        })
    }

    /// Its identity.
    pub fn id(&self) -> CgroupId {
        self.id
    }

    /// Whether the fd of this file is kept, so that its notifications come.
    pub fn keeps(&self, file: File) -> bool {
        matches!(self.slots[file as usize], Slot::Kept(_))
    }

    /// Opens and keeps what notifies, without reading it.
    pub fn keep_notifying(&mut self, reader: &mut Reader) {
        for file in File::NOTIFYING {
            if matches!(self.slots[file as usize], Slot::Closed)
                && let Ok(Ok(fd)) = self.with_dir(reader, |dir| open(dir, file.name()))
                && reader.budget.take(Keep::Notify)
            {
                self.slots[file as usize] = Slot::Kept(fd);
            }
        }
    }

    /// Looks again for files that were absent: a controller was switched on.
    pub fn forget_absent(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Absent) {
                *slot = Slot::Closed;
            }
        }
    }

    /// Gives the kept fds back.
    pub fn close(self, reader: &mut Reader) {
        let kept = self
            .slots
            .iter()
            .filter(|slot| matches!(slot, Slot::Kept(_)))
            .count();
        reader
            .budget
            .give_back(kept + usize::from(self.dir.is_some()));
    }

    /// Reads and parses a file. A text that does not parse is `Unreadable(EIO)`.
    pub fn get<T>(
        &mut self,
        reader: &mut Reader,
        file: File,
        parse: impl FnOnce(&[u8]) -> std::result::Result<T, Malformed>,
    ) -> std::result::Result<Reading<T>, Gone> {
        match self.read(reader, file) {
            Ok(text) => Ok(parse(text).map_or(Reading::Unreadable(Errno::EIO), Reading::Value)),
            Err(Miss::NotAvailable) => Ok(Reading::NotAvailable),
            Err(Miss::Unreadable(errno)) => Ok(Reading::Unreadable(errno)),
            Err(Miss::Gone) => Err(Gone),
        }
    }

    fn read<'a>(
        &mut self,
        reader: &'a mut Reader,
        file: File,
    ) -> std::result::Result<&'a [u8], Miss> {
        let in_pieces = matches!(file, File::Procs | File::Threads);
        let slot = &mut self.slots[file as usize];
        match slot {
            Slot::Absent => return Err(Miss::NotAvailable),
            Slot::Kept(fd) => match reader.fill(fd, in_pieces) {
                Ok(length) => return Ok(&reader.buffer[..length]),
                // The cgroup is gone, or its controller was switched off (and perhaps on again).
                Err(errno) if is_gone(errno) => {
                    *slot = Slot::Closed;
                    reader.budget.give_back(1);
                }
                Err(errno) => return Err(refusal(errno)),
            },
            Slot::Closed => {}
        }
        let fd = match self
            .with_dir(reader, |dir| open(dir, file.name()))
            .map_err(|Gone| Miss::Gone)?
        {
            Ok(fd) => fd,
            Err(errno) if is_gone(errno) => return Err(self.absent(reader, file)),
            Err(errno) => return Err(refusal(errno)),
        };
        let length = match reader.fill(&fd, in_pieces) {
            Ok(length) => length,
            Err(errno) if is_gone(errno) => return Err(self.absent(reader, file)),
            Err(errno) => return Err(refusal(errno)),
        };
        if reader.budget.take(file.keep()) {
            self.slots[file as usize] = Slot::Kept(fd);
        }
        Ok(&reader.buffer[..length])
    }

    /// A file is missing: does only the file not exist, or the whole cgroup?
    fn absent(&mut self, reader: &Reader, file: File) -> Miss {
        if self.is_gone(reader) {
            return Miss::Gone;
        }
        self.slots[file as usize] = Slot::Absent;
        Miss::NotAvailable
    }

    /// Whether the cgroup no longer exists. Every living one has `cgroup.procs`.
    pub fn is_gone(&self, reader: &Reader) -> bool {
        let stat = self.with_dir(reader, |dir| {
            fstatat(dir, File::Procs.name(), AtFlags::AT_SYMLINK_NOFOLLOW)
        });
        match stat {
            Ok(Ok(_)) => false,
            Ok(Err(errno)) => is_gone(errno),
            Err(Gone) => true,
        }
    }

    /// The identity that this name has now among the children; `None` where there is no such child.
    pub fn child_id(&self, reader: &Reader, name: &OsStr) -> Option<CgroupId> {
        let stat = self
            .with_dir(reader, |dir| {
                fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            })
            .ok()?
            .ok()?;
        Some(CgroupId(stat.st_ino))
    }

    /// How many children the cgroup has; cheaper than listing them.
    pub fn child_count(&self, reader: &Reader) -> std::result::Result<u64, Gone> {
        match self.with_dir(reader, |dir| fstat(dir))? {
            Ok(stat) => Ok(stat.st_nlink.saturating_sub(2)),
            Err(_) => Err(Gone),
        }
    }

    /// The names of its children, in no order.
    pub fn children(&self, reader: &Reader) -> std::result::Result<Vec<std::ffi::OsString>, Errno> {
        let mut dir = self
            .with_dir(reader, |dir| {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                Dir::openat(dir, c".", flags, Mode::empty())
            })
            .map_err(|Gone| Errno::ENOENT)??;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if entry.file_type() == Some(Type::Directory) && name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Calls `use_path` with a path that leads to this very directory, whatever its name is now.
    pub fn with_path<T>(
        &self,
        reader: &Reader,
        use_path: impl FnOnce(&Path) -> T,
    ) -> std::result::Result<T, Gone> {
        use std::os::fd::AsRawFd;
        self.with_dir(reader, |dir| {
            use_path(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())))
        })
    }

    /// Calls `with` with the directory's fd, opening it for the moment where it is not kept.
    fn with_dir<T>(
        &self,
        reader: &Reader,
        with: impl FnOnce(BorrowedFd<'_>) -> T,
    ) -> std::result::Result<T, Gone> {
        if let Some(dir) = &self.dir {
            return Ok(with(dir.as_fd()));
        }
        let dir = openat(&reader.root, &*self.path, DIRECTORY, Mode::empty()).map_err(|_| Gone)?;
        // Not kept, so the name may lead to a successor by now.
        if fstat(&dir).map_or(true, |stat| stat.st_ino != self.id.0) {
            return Err(Gone);
        }
        Ok(with(dir.as_fd()))
    }
}

fn open(dir: BorrowedFd<'_>, name: &CStr) -> std::result::Result<Fd, Errno> {
    openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(Fd::from)
}

/// A refusal, or the kernel's way of saying that this cgroup does not do that.
fn refusal(errno: Errno) -> Miss {
    match errno {
        Errno::EOPNOTSUPP => Miss::NotAvailable,
        _ => Miss::Unreadable(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cpu::CpuStat;
    use std::fs;

    fn fixture() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        for dir in ["", "a"] {
            fs::write(root.path().join(dir).join("cgroup.procs"), "").unwrap();
        }
        fs::write(root.path().join("a/cpu.stat"), "usage_usec 7\n").unwrap();
        root
    }

    #[test]
    fn a_file_is_read_kept_or_not() {
        let root = fixture();
        for limit in [0, 100] {
            let mut reader = Reader::open(root.path(), Budget::of(limit)).unwrap();
            let top = Handle::root(&mut reader).unwrap();
            let mut a = top.child(&mut reader, OsStr::new("a")).unwrap();
            for _ in 0..2 {
                let stat = a.get(&mut reader, File::CpuStat, CpuStat::parse).unwrap();
                assert_eq!(stat.value().unwrap().usage_usec.0, 7);
            }
            assert_eq!(a.keeps(File::CpuStat), limit > 0);
            assert_eq!(reader.budget.used(), if limit > 0 { 3 } else { 0 });
            a.close(&mut reader);
            assert_eq!(reader.budget.used(), usize::from(limit > 0));
        }
    }

    #[test]
    fn an_absent_file_is_remembered_until_told_to_look_again() {
        let root = fixture();
        let mut reader = Reader::open(root.path(), Budget::of(100)).unwrap();
        let top = Handle::root(&mut reader).unwrap();
        let mut a = top.child(&mut reader, OsStr::new("a")).unwrap();
        let mut read = |a: &mut Handle| a.get(&mut reader, File::PidsCurrent, |_| Ok(()));
        assert_eq!(read(&mut a), Ok(Reading::NotAvailable));
        fs::write(root.path().join("a/pids.current"), "1\n").unwrap();
        assert_eq!(read(&mut a), Ok(Reading::NotAvailable));
        a.forget_absent();
        assert_eq!(read(&mut a), Ok(Reading::Value(())));
    }

    #[test]
    fn a_removed_cgroup_is_gone_and_its_successor_is_another() {
        let root = fixture();
        for limit in [0, 100] {
            let mut reader = Reader::open(root.path(), Budget::of(limit)).unwrap();
            let top = Handle::root(&mut reader).unwrap();
            let mut a = top.child(&mut reader, OsStr::new("a")).unwrap();
            fs::rename(root.path().join("a"), root.path().join("old")).unwrap();
            fs::remove_file(root.path().join("old/cgroup.procs")).unwrap();
            fs::create_dir(root.path().join("a")).unwrap();
            fs::write(root.path().join("a/cgroup.procs"), "").unwrap();
            assert_eq!(a.get(&mut reader, File::MemoryStat, |_| Ok(())), Err(Gone));
            assert_ne!(top.child_id(&reader, OsStr::new("a")), Some(a.id()));
            fs::remove_dir_all(root.path().join("old")).unwrap();
            fs::write(root.path().join("a/cpu.stat"), "usage_usec 7\n").unwrap();
        }
    }

    #[test]
    fn a_long_file_grows_the_buffer() {
        let root = fixture();
        let long = "1\n".repeat(50_000);
        fs::write(root.path().join("a/cgroup.procs"), &long).unwrap();
        let mut reader = Reader::open(root.path(), Budget::of(100)).unwrap();
        let top = Handle::root(&mut reader).unwrap();
        let mut a = top.child(&mut reader, OsStr::new("a")).unwrap();
        let read = a.get(&mut reader, File::Procs, |text| Ok(text.len()));
        assert_eq!(read, Ok(Reading::Value(long.len())));
    }
}
