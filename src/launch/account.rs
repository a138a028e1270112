//! Who runs the program: a name or a number, looked up in the root file system that the workload will have.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::io::Errno as RawErrno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::error::{Error, Result};
use super::spec::User;
use crate::kernel::error::errno_from;
use crate::kernel::syscall::open_in_root;

/// How much of a file with users or groups is read, in bytes.
const MOST_READ: u64 = 4 << 20;

/// A user with its groups.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    /// The other groups.
    groups: Vec<Gid>,
    /// Its directory, where it is known.
    pub home: Option<String>,
}

impl Account {
    /// Looks a user up in the `/etc/passwd` and `/etc/group` of a root file system, as docker does: a number
    /// need not be there. A link there does not lead out of it.
    pub fn look_up(user: &User, root: BorrowedFd<'_>) -> Result<Self> {
        let [users, groups] = ["etc/passwd", "etc/group"].map(|file| read(root, file));
        Self::find(user, &users?, &groups?)
    }

    fn find(user: &User, users: &str, groups: &str) -> Result<Self> {
        let none = |what: &str, name: &str, file: &str| {
            Error::refused(format!(
                "there is no {what} {name} in the {file} of the root file system; a number need not be there"
            ))
        };
        // NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL
        let entry = entry(users, &user.user);
        let uid = match &entry {
            Some(entry) => entry.get(2).and_then(|uid| id(uid)),
            None => id(&user.user),
        };
        let uid = uid.ok_or_else(|| none("user", &user.user, "/etc/passwd"))?;
        let home = entry.as_ref().and_then(|entry| entry.get(5));
        let home = home
            .filter(|home| !home.is_empty())
            .map(|home| (*home).to_owned());
        let (gid, groups) = if let Some(group) = &user.group {
            // NAME:PASSWORD:GID:USERS
            let gid = match self::entry(groups, group) {
                Some(entry) => entry.get(2).and_then(|gid| id(gid)),
                None => id(group),
            };
            let gid = gid.ok_or_else(|| none("group", group, "/etc/group"))?;
            (gid, Vec::new())
        } else {
            let gid = entry.as_ref().and_then(|entry| id(entry.get(3)?));
            let others = entry.map(|entry| groups_of(groups, entry[0]));
            (gid.unwrap_or(0), others.unwrap_or_default())
        };
        Ok(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups,
            home,
        })
    }

    /// Becomes this user. Who is not root has no capabilities from here on. Called in the child: no allocation, no
    /// locks. `launcher` is a pipe that the launcher has the other end of.
    pub fn become_it(&self, launcher: BorrowedFd<'_>, has_terminal: bool) -> nix::Result<()> {
        // The program may open its streams again, by their names in /dev. The terminal is its own, and so are pipes;
        // anything else is the host's, and stays as it is.
        for stream in [stdin(), stdout(), stderr()] {
            let kind = fstat(stream).map(|found| FileType::from_raw_mode(found.st_mode));
            if has_terminal || kind == Ok(FileType::Fifo) {
                // To a user that the pipe's maker does not know, for one, it cannot be given.
                let _ = fchown(stream, Some(self.uid), None);
            }
        }
        set_thread_groups(&self.groups)
            .and_then(|()| set_thread_gid(self.gid))
            .and_then(|()| set_thread_uid(self.uid))
            .map_err(errno_from)?;
        // Taken away by the kernel with the change.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if is_deserted(launcher) {
            return Err(Errno::ESRCH);
        }
        Ok(())
    }
}

/// Whether nobody has the other end of a pipe any more.
fn is_deserted(pipe: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|told| told.contains(PollFlags::POLLERR))
}

/// The text of a file, empty where there is none.
fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let cannot = |error: std::io::Error| {
        Error::refused(format!(
            "the /{path} of the root file system cannot be read: {error}"
        ))
    };
    let file = match open_in_root(root, path) {
        Ok(file) => file,
        Err(RawErrno::NOENT | RawErrno::NOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(cannot(errno.into())),
    };
    let found = fstat(file.as_fd()).map_err(|errno| cannot(errno.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(cannot(std::io::Error::other("it is no ordinary file")));
    }
    let mut bytes = Vec::new();
    file.take(MOST_READ)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line with this name or number.
fn entry<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut entries = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|entry| {
        let is_number = || id(name).is_some() && entry.get(2).and_then(|text| id(text)) == id(name);
        entry[0] == name || is_number()
    })
}

fn groups_of(groups: &str, user: &str) -> Vec<Gid> {
    let groups = groups.lines().filter_map(|line| {
        let entry: Vec<&str> = line.split(':').collect();
        let is_member = entry.get(3)?.split(',').any(|member| member == user);
        id(entry[2]).filter(|_| is_member).map(Gid::from_raw)
    });
    groups.collect()
}

/// The highest number means no change to the kernel, so it is nobody's.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                         # nobody\n\
                         web:x:33:34:web:/var/www:/bin/false\n\
                         broken:x\n";
    const GROUPS: &str =
        "root:x:0:\nwww:x:34:\nadm:x:4:syslog,web\nlog:x:5:web\nbroken\nworse:x:y:web\n";

    fn find(user: &str) -> Result<Account> {
        Account::find(&user.parse().unwrap(), USERS, GROUPS)
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        for (user, uid, gid, groups, home) in [
            ("web", 33, 34, &[4, 5][..], Some("/var/www")),
            ("33", 33, 34, &[4, 5], Some("/var/www")),
            ("web:adm", 33, 4, &[], Some("/var/www")),
            ("web:7", 33, 7, &[], Some("/var/www")),
            ("1000", 1000, 0, &[], None),
            ("1000:1001", 1000, 1001, &[], None),
            ("root", 0, 0, &[], Some("/root")),
        ] {
            let groups = groups.iter().map(|&group| Gid::from_raw(group));
            let expected = Account {
                uid: Uid::from_raw(uid),
                gid: Gid::from_raw(gid),
                groups: groups.collect(),
                home: home.map(str::to_owned),
            };
            assert_eq!(find(user).unwrap(), expected, "{user}");
        }
        for (user, why) in [
            ("nobody", "no user nobody in the /etc/passwd"),
            ("broken", "no user broken"),
            ("4294967295", "no user 4294967295"),
            ("web:none", "no group none in the /etc/group"),
        ] {
            let error = find(user).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("root/etc");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(dir.path().join("passwd"), "out:x:1:1:::\n").unwrap();
        std::fs::write(etc.join("users"), "in:x:2:2:::\n").unwrap();
        let root = File::open(dir.path().join("root")).unwrap();
        let link = |to: &str| {
            let _ = std::fs::remove_file(etc.join("passwd"));
            std::os::unix::fs::symlink(to, etc.join("passwd")).unwrap();
            read(root.as_fd(), "etc/passwd")
        };
        assert_eq!(link("../../passwd").unwrap(), "");
        assert_eq!(
            link(dir.path().join("passwd").to_str().unwrap()).unwrap(),
            ""
        );
        assert_eq!(link("/etc/users").unwrap(), "in:x:2:2:::\n");
        assert!(link("/etc").is_err());
        assert_eq!(read(root.as_fd(), "etc/group").unwrap(), "");
    }
}
