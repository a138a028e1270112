//! The files of a layer, as an overlay takes them. An archive may claim anything: nothing outside of the tree
//! is ever touched, as no path leads through a link or upwards.
//!
//! What a layer takes away from those below is told by overlayfs' own means: a character device 0:0 in place of
//! `.wh.NAME`, and `trusted.overlay.opaque` on the directory of `.wh..wh..opq`.
//! <https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories>,
//! <https://github.com/opencontainers/image-spec/blob/main/layer.md#representing-changes>

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::archive::Member;
use crate::kernel::error::{Error as KernelError, errno_from};
use crate::launch::error::{Error, Result};

/// The most files of one layer.
const MOST_MEMBERS: u64 = 1_000_000;

/// How deep a directory may be: they are removed one inside the other, each held open.
const MOST_DEEP: usize = 255;

/// A tree being made.
pub struct Tree {
    root: OwnedFd,
    at: PathBuf,
    members: u64,
    /// Directories, and their times: making a file in one changes them, so they come last.
    directories: Vec<(PathBuf, (i64, u32))>,
    /// The directory of the last file, which often is the next one's too.
    last: Option<(PathBuf, OwnedFd)>,
    buffer: Vec<u8>,
}

/// What is at a place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Directory,
    /// What hides a name of the layers below.
    Whiteout,
    Link,
    File,
}

/// Where a member goes.
struct To<'a> {
    dir: BorrowedFd<'a>,
    name: &'a OsStr,
    /// As the archive has it, for errors.
    path: &'a str,
}

impl To<'_> {
    fn failed(&self, operation: &str, errno: Errno) -> Error {
        KernelError::new(operation, self.path, errno_from(errno)).into()
    }

    fn there(&self) -> Result<There> {
        match statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(errno) => Err(self.failed("look at", errno)),
            Ok(found) => Ok(match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => There::Directory,
                FileType::Symlink => There::Link,
                FileType::CharacterDevice if found.st_rdev == 0 => There::Whiteout,
                _ => There::File,
            }),
        }
    }

    /// Makes a directory that hides what is below where it takes a whiteout's place.
    fn make_directory(&self, there: There) -> Result<()> {
        if there == There::Whiteout {
            unlinkat(self.dir, self.name, AtFlags::empty())
                .map_err(|errno| self.failed("replace", errno))?;
        }
        mkdirat(self.dir, self.name, Mode::RWXU).map_err(|errno| self.failed("make", errno))?;
        let made = self.open_directory()?;
        // Whatever the mask is.
        fchmod(&made, Mode::from_raw_mode(0o755)).map_err(|errno| self.failed("change", errno))?;
        if there == There::Whiteout {
            self.make_opaque(&made)?;
        }
        Ok(())
    }

    fn open_directory(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.dir, self.name, flags, Mode::empty())
            .map_err(|errno| self.failed("open", errno))
    }

    fn make_opaque(&self, directory: &OwnedFd) -> Result<()> {
        fsetxattr(
            directory,
            c"trusted.overlay.opaque",
            b"y",
            XattrFlags::empty(),
        )
        .map_err(|errno| self.failed("hide what is below", errno))
    }

    /// Hides a name of the layers below. What this layer has itself is there all the same, in whichever order
    /// the archive has them.
    fn white_out(&self, hidden: &OsStr, at_top: bool) -> Result<()> {
        let bad = |why: &str| Error::refused(format!("{}: {why}", self.path));
        match hidden.as_bytes() {
            b".wh..opq" if at_top => Err(bad("would hide all layers below")),
            b".wh..opq" => {
                let dir = openat(
                    self.dir,
                    c".",
                    OFlags::RDONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                )
                .map_err(|errno| self.failed("open", errno))?;
                self.make_opaque(&dir)
            }
            // Notes of aufs, for itself.
            other if other.starts_with(b".wh.") => Ok(()),
            b"" | b"." | b".." => Err(bad("hides no name")),
            _ => {
                let to = To {
                    name: hidden,
                    ..*self
                };
                match to.there()? {
                    There::Nothing => {
                        mknodat(to.dir, to.name, FileType::CharacterDevice, Mode::empty(), 0)
                            .map_err(|errno| to.failed("hide", errno))
                    }
                    There::Directory => to.make_opaque(&to.open_directory()?),
                    There::Whiteout | There::Link | There::File => Ok(()),
                }
            }
        }
    }
}

impl Tree {
    /// In an empty directory.
    pub fn new(at: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(at, flags, Mode::empty())
            .map_err(|errno| KernelError::new("open", at, errno_from(errno)))?;
        Ok(Self {
            root,
            at: at.to_owned(),
            members: 0,
            directories: Vec::new(),
            last: None,
            buffer: vec![0; 1 << 16],
        })
    }

    /// Makes one member.
    pub fn add(&mut self, member: &Member, content: &mut dyn Read) -> Result<()> {
        let path = &*String::from_utf8_lossy(&member.path);
        self.members += 1;
        if self.members > MOST_MEMBERS {
            return Err(Error::refused(format!(
                "has more than {MOST_MEMBERS} files"
            )));
        }
        let bad = |why: &str| Error::refused(format!("{path}: {why}"));
        let parts = parts(&member.path).map_err(bad)?;
        let Some((name, above)) = parts.split_last() else {
            return match member.kind {
                EntryType::Directory => {
                    self.directories.push((PathBuf::new(), member.modified));
                    dress(self.root.as_fd(), member, path)
                }
                _ => Err(bad("the top of a layer is a directory")),
            };
        };
        let (at, dir) = self.directory(above, path)?;
        let to = To {
            dir: dir.as_fd(),
            name,
            path,
        };
        let made = match hidden(name) {
            Some(hidden) => to.white_out(hidden, above.is_empty()),
            None => self.make(&to, &at, member, content),
        };
        self.last = Some((at, dir));
        made
    }

    fn make(
        &mut self,
        to: &To<'_>,
        above: &Path,
        member: &Member,
        content: &mut dyn Read,
    ) -> Result<()> {
        let bad = |why: String| Error::refused(format!("{}: {why}", to.path));
        let there = to.there()?;
        if member.kind == EntryType::Directory {
            match there {
                There::Directory => {}
                There::Nothing | There::Whiteout => to.make_directory(there)?,
                There::Link | There::File => {
                    self.clear(to, there)?;
                    to.make_directory(There::Nothing)?;
                }
            }
            self.directories
                .push((above.join(to.name), member.modified));
            return dress(to.open_directory()?.as_fd(), member, to.path);
        }
        match member.kind {
            EntryType::Regular | EntryType::Continuous => {
                self.clear(to, there)?;
                self.file(to, member, content)
            }
            EntryType::Link => {
                let source = parts(&member.link).map_err(|why| bad(format!("links to {why}")))?;
                let missing = || {
                    let link = String::from_utf8_lossy(&member.link);
                    bad(format!(
                        "is a hard link to {link}, which is not in this layer before it"
                    ))
                };
                let (name, above) = source.split_last().ok_or_else(missing)?;
                let dir = self.find(above).map_err(|_| missing())?;
                let source = To {
                    dir: dir.as_fd(),
                    name,
                    path: to.path,
                };
                match source.there()? {
                    There::File | There::Link => {}
                    _ => return Err(missing()),
                }
                if same(&source, to) {
                    return Ok(());
                }
                self.clear(to, there)?;
                linkat(source.dir, source.name, to.dir, to.name, AtFlags::empty())
                    .map_err(|errno| to.failed("link", errno))
            }
            EntryType::Symlink => {
                self.clear(to, there)?;
                symlinkat(OsStr::from_bytes(&member.link), to.dir, to.name)
                    .map_err(|errno| to.failed("make the link", errno))?;
                own(to, member)
            }
            EntryType::Fifo => {
                self.clear(to, there)?;
                let mode = Mode::from_raw_mode(member.mode & 0o777);
                mknodat(to.dir, to.name, FileType::Fifo, mode, 0)
                    .map_err(|errno| to.failed("make", errno))?;
                own(to, member)?;
                rustix::fs::chmodat(to.dir, to.name, mode, AtFlags::empty())
                    .map_err(|errno| to.failed("change", errno))
            }
            EntryType::Char | EntryType::Block => {
                Err(bad("is a device, which no image may bring along".to_owned()))
            }
            EntryType::GNUSparse => Err(bad("sparse files are not unpacked".to_owned())),
            other => Err(bad(format!(
                "is of the unknown kind `{}`",
                char::from(other.as_byte()).escape_default()
            ))),
        }
    }

    fn file(&mut self, to: &To<'_>, member: &Member, content: &mut dyn Read) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(to.dir, to.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| to.failed("make", errno))?;
        let mut file = File::from(file);
        let mut left = member.size;
        while left > 0 {
            let count = content
                .read(&mut self.buffer)
                .map_err(|error| Error::refused(format!("{}: {error}", to.path)))?;
            if count == 0 {
                return Err(Error::refused(format!(
                    "{}: the archive ends in it",
                    to.path
                )));
            }
            file.write_all(&self.buffer[..count])
                .map_err(|error| KernelError::new("write", to.path, error))?;
            left = left.saturating_sub(count as u64);
        }
        dress(file.as_fd(), member, to.path)?;
        futimens(&file, &times(member.modified)).map_err(|errno| to.failed("date", errno))
    }

    /// Removes what is in the way of something new.
    fn clear(&mut self, to: &To<'_>, there: There) -> Result<()> {
        match there {
            There::Nothing => Ok(()),
            There::Directory => {
                self.last = None;
                // By way of the open directory, and links in it are not followed.
                let path = PathBuf::from(format!("/proc/self/fd/{}", to.dir.as_raw_fd()));
                fs::remove_dir_all(path.join(to.name))
                    .map_err(|error| KernelError::new("replace", to.path, error).into())
            }
            There::Whiteout | There::Link | There::File => {
                unlinkat(to.dir, to.name, AtFlags::empty())
                    .map_err(|errno| to.failed("replace", errno))
            }
        }
    }

    /// A directory of the tree that is there, not by way of a link.
    fn find(&self, parts: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        beneath(self.root.as_fd(), &joined(parts))
    }

    /// A directory of the tree, made with all above where it is not there.
    fn directory(&mut self, parts: &[&OsStr], path: &str) -> Result<(PathBuf, OwnedFd)> {
        let wanted = joined(parts);
        if let Some(last) = self.last.take_if(|(at, _)| *at == wanted) {
            return Ok(last);
        }
        if let Ok(found) = self.find(parts) {
            return Ok((wanted, found));
        }
        let mut dir = beneath(self.root.as_fd(), Path::new("."))
            .map_err(|errno| KernelError::new("open", &self.at, errno_from(errno)))?;
        for name in parts {
            let to = To {
                dir: dir.as_fd(),
                name,
                path,
            };
            match to.there()? {
                There::Directory => {}
                there @ (There::Nothing | There::Whiteout) => to.make_directory(there)?,
                There::Link => {
                    return Err(Error::refused(format!(
                        "{path}: goes through {}, which is a symbolic link",
                        name.display()
                    )));
                }
                There::File => {
                    return Err(Error::refused(format!(
                        "{path}: goes through {}, which is no directory",
                        name.display()
                    )));
                }
            }
            dir =
                beneath(dir.as_fd(), Path::new(name)).map_err(|errno| to.failed("open", errno))?;
        }
        Ok((wanted, dir))
    }

    /// Gives the directories their times.
    pub fn finish(self) -> Result<()> {
        for (path, modified) in &self.directories {
            // One that something else took the place of later has none.
            if let Ok(dir) = beneath(self.root.as_fd(), path) {
                let at = format!("/proc/self/fd/{}", dir.as_raw_fd());
                utimensat(CWD, at, &times(*modified), AtFlags::empty())
                    .map_err(|errno| KernelError::new("date", path, errno_from(errno)))?;
            }
        }
        Ok(())
    }
}

/// A directory below another one, not by way of links, mounts or `..`.
fn beneath(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    openat2(
        dir,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
}

fn joined(parts: &[&OsStr]) -> PathBuf {
    parts.iter().collect()
}

/// The names of a path, or why it cannot be one.
fn parts(path: &[u8]) -> std::result::Result<Vec<&OsStr>, &'static str> {
    if path.starts_with(b"/") {
        return Err("an absolute path, which a layer may not have");
    }
    if path.contains(&0) {
        return Err("a NUL byte in a path");
    }
    let parts: Vec<&OsStr> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(OsStr::from_bytes)
        .collect();
    if parts.iter().any(|part| *part == "..") {
        return Err("a path with `..`, which a layer may not have");
    }
    if parts.len() > MOST_DEEP {
        return Err("a path through more than 255 directories");
    }
    match parts.split_last() {
        Some((_, above)) if above.iter().any(|part| hidden(part).is_some()) => {
            Err("a path through what is to be hidden")
        }
        _ => Ok(parts),
    }
}

/// What a name hides.
fn hidden(name: &OsStr) -> Option<&OsStr> {
    name.as_bytes().strip_prefix(b".wh.").map(OsStr::from_bytes)
}

/// Whether two places are one file already.
fn same(one: &To<'_>, other: &To<'_>) -> bool {
    let file = |to: &To<'_>| {
        let found = statat(to.dir, to.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((found.st_dev, found.st_ino))
    };
    file(one).is_some_and(|file_of_one| file(other) == Some(file_of_one))
}

/// Owner, mode and attributes, in this order: a change of the owner takes set-user-ID and capabilities away.
fn dress(file: BorrowedFd<'_>, member: &Member, path: &str) -> Result<()> {
    let failed = |operation: &str, errno| KernelError::new(operation, path, errno_from(errno));
    fchown(
        file,
        Some(Uid::from_raw(member.uid)),
        Some(Gid::from_raw(member.gid)),
    )
    .map_err(|errno| failed("give away", errno))?;
    fchmod(file, Mode::from_raw_mode(member.mode)).map_err(|errno| failed("change", errno))?;
    for (name, value) in &member.attributes {
        // Others are the kernel's own, or another system's.
        let is_users = name.starts_with("user.") && !name.starts_with("user.overlay.");
        if !is_users && name != "security.capability" {
            continue;
        }
        match fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // A file system without them.
            Err(Errno::OPNOTSUPP) => {}
            set => set.map_err(|errno| failed("set an attribute of", errno))?,
        }
    }
    Ok(())
}

/// Owner and time of what cannot be opened.
fn own(to: &To<'_>, member: &Member) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
    chownat(
        to.dir,
        to.name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|errno| to.failed("give away", errno))?;
    utimensat(
        to.dir,
        to.name,
        &times(member.modified),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|errno| to.failed("date", errno))
}

fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use proptest::prelude::*;

    use super::*;

    /// A member that is the tester's own, so that no rights are needed to make it.
    fn member(path: &str, kind: EntryType, link: &str, size: u64) -> Member {
        Member {
            path: path.into(),
            kind,
            link: link.into(),
            mode: 0o755,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            modified: (1_000_000_000, 5),
            attributes: Vec::new(),
            size,
            at: 0,
        }
    }

    /// A tree in a directory of its own, with a file next to it.
    struct Test {
        dir: tempfile::TempDir,
        tree: Tree,
    }

    impl Test {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("outside"), "untouched").unwrap();
            fs::create_dir(dir.path().join("tree")).unwrap();
            let tree = Tree::new(&dir.path().join("tree")).unwrap();
            Self { dir, tree }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.dir.path().join("tree").join(path)
        }

        fn add(&mut self, path: &str, kind: EntryType, more: &str) -> Result<()> {
            let size = if kind == Regular { more.len() } else { 0 };
            let link = if size == 0 { more } else { "" };
            let member = member(path, kind, link, size as u64);
            self.tree.add(&member, &mut more.as_bytes())
        }

        #[track_caller]
        fn refuses(&mut self, path: &str, kind: EntryType, more: &str, why: &str) {
            let error = self.add(path, kind, more).unwrap_err().to_string();
            assert!(error.contains(why), "{error}\nwanted {why}");
        }

        fn is_whiteout(&self, path: &str) -> bool {
            let found = fs::symlink_metadata(self.path(path)).unwrap();
            FileType::from_raw_mode(found.mode()) == FileType::CharacterDevice && found.rdev() == 0
        }
    }

    use EntryType::{Directory, Fifo, Link, Regular, Symlink};

    #[test]
    fn files_are_as_the_archive_says() {
        let mut test = Test::new();
        test.add("./a/", Directory, "").unwrap();
        test.add("a/b/c", Regular, "text").unwrap();
        test.add("a/hard", Link, "./a/b/c").unwrap();
        test.add("a/soft", Symlink, "../../../etc/passwd").unwrap();
        test.add("a/harder", Link, "a/soft").unwrap();
        test.add("a/fifo", Fifo, "").unwrap();
        let found = test.path("a/b/c").metadata().unwrap();
        assert_eq!(
            (found.nlink(), found.mtime(), found.mtime_nsec()),
            (2, 1_000_000_000, 5)
        );
        assert_eq!(found.permissions().mode() & 0o7777, 0o755);
        let link = fs::read_link(test.path("a/harder")).unwrap();
        assert_eq!(link, Path::new("../../../etc/passwd"));
        // The last one of a path counts.
        test.add("a/b", Regular, "now a file").unwrap();
        assert_eq!(fs::read_to_string(test.path("a/b")).unwrap(), "now a file");
        assert_eq!(fs::read_to_string(test.path("a/hard")).unwrap(), "text");
        test.add("a/b/c", Regular, "").unwrap_err();
        test.add("a/hard", Directory, "").unwrap();
        test.add("a/hard/x", Regular, "x").unwrap();
        let Test { dir, tree } = test;
        tree.finish().unwrap();
        assert_eq!(
            dir.path().join("tree/a").metadata().unwrap().mtime(),
            1_000_000_000
        );
    }

    #[test]
    fn what_would_lead_out_is_refused() {
        let mut test = Test::new();
        test.refuses("../outside", Regular, "x", "`..`");
        test.refuses("a/../../outside", Regular, "x", "`..`");
        test.refuses("/outside", Regular, "x", "absolute");
        test.refuses("a\0b", Regular, "x", "NUL");
        test.refuses(".", Regular, "x", "the top of a layer is a directory");
        test.refuses(
            &"d/".repeat(300),
            Directory,
            "",
            "more than 255 directories",
        );
        let outside = test.dir.path().join("outside").display().to_string();
        test.add("up", Symlink, "..").unwrap();
        test.add("file", Symlink, &outside).unwrap();
        test.refuses(
            "up/outside",
            Regular,
            "x",
            "goes through up, which is a symbolic link",
        );
        test.refuses("up/new", Directory, "", "goes through up");
        test.refuses("up/.wh.outside", Regular, "", "goes through up");
        test.refuses("hard", Link, "up/outside", "not in this layer");
        test.refuses("hard", Link, "../outside", "links to a path with `..`");
        test.refuses("hard", Link, &outside, "links to an absolute path");
        // In the place of a link, not where it leads.
        test.add("file", Regular, "inside").unwrap();
        assert_eq!(fs::read_to_string(test.path("file")).unwrap(), "inside");
        test.add("up", Directory, "").unwrap();
        test.add("up/outside", Regular, "inside too").unwrap();
        assert_eq!(fs::read_to_string(outside).unwrap(), "untouched");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let mut test = Test::new();
        test.refuses("null", EntryType::Char, "", "null: is a device");
        test.refuses("disk", EntryType::Block, "", "disk: is a device");
        test.refuses("holes", EntryType::GNUSparse, "", "sparse");
        test.refuses("odd", EntryType::new(b'?'), "", "unknown kind `?`");
        test.refuses(
            "hard",
            Link,
            "none",
            "is a hard link to none, which is not in this layer",
        );
        let short = member("short", Regular, "", 5);
        let error = test.tree.add(&short, &mut &b"abc"[..]).unwrap_err();
        assert!(
            error.to_string().contains("the archive ends in it"),
            "{error}"
        );
        test.tree.members = MOST_MEMBERS;
        test.refuses("one/more", Regular, "", "more than 1000000 files");
    }

    #[test]
    fn whiteouts_hide_what_is_below_only() {
        let mut test = Test::new();
        test.add("d/.wh.gone", Regular, "").unwrap();
        assert!(test.is_whiteout("d/gone"));
        test.add("d/.wh.gone", Regular, "").unwrap();
        // What is there in the same layer stays, whichever comes first.
        test.add("here", Regular, "here").unwrap();
        test.add(".wh.here", Regular, "").unwrap();
        test.add(".wh.later", Regular, "").unwrap();
        test.add("later", Regular, "later").unwrap();
        for name in ["here", "later"] {
            assert_eq!(fs::read_to_string(test.path(name)).unwrap(), name);
        }
        test.add("d/.wh..wh.plnk", Directory, "").unwrap();
        assert!(!test.path("d/.wh..wh.plnk").exists());
        for (name, why) in [
            (".wh.", "hides no name"),
            (".wh..", "hides no name"),
            (".wh...", "hides no name"),
            (".wh..wh..opq", "would hide all layers below"),
            (".wh.a/b", "a path through what is to be hidden"),
        ] {
            test.refuses(name, Regular, "", why);
        }
    }

    /// Names that are short, so that they meet, and the ones that are dangerous.
    fn path() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            6 => "[ab]",
            1 => Just("..".to_owned()),
            1 => Just(".".to_owned()),
            1 => Just(".wh.a".to_owned()),
            1 => Just(String::new()),
        ];
        prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
    }

    fn link() -> impl Strategy<Value = String> {
        prop_oneof![
            path(),
            Just("..".to_owned()),
            Just("../..".to_owned()),
            Just("/".to_owned()),
            Just("../outside".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn nothing_outside_is_ever_touched(
            members in prop::collection::vec((path(), 0..5_u8, link()), 1..24)
        ) {
            let mut test = Test::new();
            for (path, kind, link) in members {
                let kind = match kind {
                    0 => Regular,
                    1 => Directory,
                    2 => Symlink,
                    3 => Link,
                    _ => Fifo,
                };
                let _ = test.add(&path, kind, &link);
            }
            let Test { dir, tree } = test;
            tree.finish().unwrap();
            let outside: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            prop_assert_eq!(outside.len(), 2, "{:?}", outside);
            let file = dir.path().join("outside");
            prop_assert_eq!(fs::read_to_string(&file).unwrap(), "untouched");
            prop_assert_eq!(file.metadata().unwrap().nlink(), 1);
        }
    }
}
