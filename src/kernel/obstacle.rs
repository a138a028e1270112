//! What stands in the way of a start or a change for a reason outside the workload: which file, cgroup or sysctl, its
//! value, and the command that removes it. The kernel itself says no more than an errno.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::sys::statvfs::statvfs;

use super::cgroup::hierarchy::from_root;
use super::mountinfo;
use super::probe;

/// One obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is, in one sentence without a full stop. Paths in it are foreign text.
    pub what: String,
    /// What removes it: a command, or what to do.
    pub remedy: String,
}

impl Obstacle {
    /// One of two parts.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// `user.max_net_namespaces is 0, …; sysctl user.max_net_namespaces=15000`
impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.what, self.remedy)
    }
}

/// The kinds of namespaces whose number is limited, as `user.max_KIND_namespaces` calls them.
///
/// <https://docs.kernel.org/admin-guide/sysctl/user.html>
const NAMESPACES: [(CloneFlags, &str); 7] = [
    (CloneFlags::CLONE_NEWUSER, "user"),
    (CloneFlags::CLONE_NEWPID, "pid"),
    (CloneFlags::CLONE_NEWNS, "mnt"),
    (CloneFlags::CLONE_NEWNET, "net"),
    (CloneFlags::CLONE_NEWUTS, "uts"),
    (CloneFlags::CLONE_NEWIPC, "ipc"),
    (CloneFlags::CLONE_NEWCGROUP, "cgroup"),
];

/// What keeps these namespaces from being made: `clone3` and `unshare` say `ENOSPC`. Since 4.9. Which of the limits it is that
/// is reached cannot be read; the smallest is named.
pub fn namespaces(proc: &Path, wanted: CloneFlags) -> Option<Obstacle> {
    smallest(proc, wanted).map(|(most, kind)| of_namespaces(most, kind))
}

/// That namespaces of some kind may not be made at all.
pub fn no_namespaces(proc: &Path) -> Option<Obstacle> {
    let (most, kind) = smallest(proc, CloneFlags::all())?;
    (most == 0).then(|| of_namespaces(most, kind))
}

/// The smallest limit on namespaces of these kinds.
fn smallest(proc: &Path, wanted: CloneFlags) -> Option<(i64, &'static str)> {
    NAMESPACES
        .into_iter()
        .filter(|(flag, _)| wanted.contains(*flag))
        .filter_map(|(_, kind)| {
            let sysctl = format!("user.max_{kind}_namespaces");
            Some((probe::sysctl(proc, &sysctl)?, kind))
        })
        .min()
}

fn of_namespaces(most: i64, kind: &str) -> Obstacle {
    let sysctl = format!("user.max_{kind}_namespaces");
    let mut remedy = format!("`sysctl {sysctl}=15000` allows more");
    if kind == "user" {
        remedy.push_str(", and --userns host does without one");
    }
    let what = if most == 0 {
        format!("{sysctl} is 0, so that no {kind} namespace may be made")
    } else {
        format!("no more namespaces may be made: the smallest limit is {sysctl}={most}")
    };
    Obstacle { what, remedy }
}

/// What keeps a process or thread from being started in a cgroup, by its path in the file system: `clone3` says `EAGAIN`.
/// It is the `pids.max` of the cgroup or of one above, up to the mount.
pub fn forks(mount: &Path, cgroup: &Path) -> Option<Obstacle> {
    above(mount, cgroup).find_map(|level| {
        let most: u64 = read(level, "pids.max")?;
        let current: u64 = read(level, "pids.current")?;
        (current >= most).then(|| {
            let path = from_root(mount, level).display().to_string();
            Obstacle {
                what: format!(
                    "pids.max of {path} is {most}, and {current} processes and threads are in it"
                ),
                remedy: format!("`ringfence set {path} pids.max=max` takes the limit away"),
            }
        })
    })
}

/// What keeps a cgroup from being made in another one, by its path in the file system: `mkdir` says `EAGAIN`. Since 4.14.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#core-interface-files>
pub fn new_cgroup(mount: &Path, parent: &Path) -> Option<Obstacle> {
    above(mount, parent).zip(1..).find_map(|(level, depth)| {
        let path = from_root(mount, level).display().to_string();
        let lift = |file: &str| {
            let file = level.join(file);
            format!("`echo max >{}` takes the limit away", file.display())
        };
        if let Some(most) = read::<u64>(level, "cgroup.max.descendants")
            && descendants(level)? >= most
        {
            return Some(Obstacle {
                what: format!("cgroup.max.descendants of {path} is {most}, and it has as many"),
                remedy: lift("cgroup.max.descendants"),
            });
        }
        let most = read::<u64>(level, "cgroup.max.depth").filter(|most| depth > *most)?;
        Some(Obstacle {
            what: format!(
                "cgroup.max.depth of {path} is {most}, and this one would be {depth} below it"
            ),
            remedy: lift("cgroup.max.depth"),
        })
    })
}

/// What keeps `/proc` from being mounted in a user namespace, which says `EPERM`: of what the host's shows, something is
/// covered by another mount, as docker does it, and would show again.
pub fn covered_proc(proc: &Path) -> Option<Obstacle> {
    /// An empty directory, which may be covered.
    const EMPTY: &str = "/proc/sys/fs/binfmt_misc";
    let text = mountinfo::read(proc).ok()?;
    let mut covered: Vec<PathBuf> = mountinfo::entries(&text)
        .map(|entry| entry.mount_point())
        .filter(|at| at.starts_with("/proc") && at != Path::new("/proc") && at != Path::new(EMPTY))
        .collect();
    covered.sort();
    covered.dedup();
    let first = covered.first()?.display();
    let (places, are) = match covered.len() {
        1 => (first.to_string(), "is"),
        count => (format!("{count} places of /proc ({first}, …)"), "are"),
    };
    Some(Obstacle {
        what: format!(
            "{places} {are} covered by other mounts on this host, as in a container, so that a user namespace may mount no \
             /proc of its own"
        ),
        remedy: "`umount` them, or --userns host does without a user namespace".to_owned(),
    })
}

/// What keeps files from being made below a path: `ENOSPC`.
pub fn full_disk(path: &Path) -> Option<Obstacle> {
    let exists = path.ancestors().find(|path| path.exists())?;
    let found = statvfs(exists).ok()?;
    let lacks = if found.blocks_available() == 0 {
        "is full"
    } else if found.files() > 0 && found.files_available() == 0 {
        "has no inodes left"
    } else {
        return None;
    };
    Some(Obstacle {
        what: format!("the file system of {} {lacks}", exists.display()),
        remedy: format!(
            "`df -h {0}; df -i {0}` shows it; make room there",
            exists.display()
        ),
    })
}

/// What keeps a descriptor from being opened: `EMFILE` of this process, `ENFILE` of the host.
pub fn descriptors(proc: &Path, of_host: bool) -> Option<Obstacle> {
    if of_host {
        let most = probe::sysctl(proc, "fs.file-max")?;
        return Some(Obstacle {
            what: format!("fs.file-max is {most}, and as many files are open on this host"),
            remedy: format!("sysctl fs.file-max={}", most.saturating_mul(2)),
        });
    }
    let (most, hard) = probe::open_files().ok()?;
    Some(Obstacle {
        what: format!("this process may have {most} files open (RLIMIT_NOFILE, at most {hard})"),
        remedy: "`ulimit -n 4096` before it allows more".to_owned(),
    })
}

/// A cgroup and those above it, up to the mount.
fn above<'a>(mount: &'a Path, cgroup: &'a Path) -> impl Iterator<Item = &'a Path> {
    cgroup
        .ancestors()
        .take_while(move |level| level.starts_with(mount))
}

/// The number in a file; `None` without a limit (`max`), and without the file.
fn read<T: std::str::FromStr>(level: &Path, file: &str) -> Option<T> {
    let text = std::fs::read_to_string(level.join(file)).ok()?;
    text.trim().parse().ok()
}

fn descendants(level: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(level.join("cgroup.stat")).ok()?;
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("nr_descendants "))?;
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = mount.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        mount
    }

    #[test]
    fn the_limit_on_processes_that_is_reached_is_named_with_its_cgroup() {
        let mount = tree(&[
            ("slice/pids.max", "5\n"),
            ("slice/pids.current", "5\n"),
            ("slice/web/pids.max", "max\n"),
            ("slice/web/pids.current", "3\n"),
        ]);
        let found = forks(mount.path(), &mount.path().join("slice/web")).unwrap();
        assert_eq!(
            found.to_string(),
            "pids.max of /slice is 5, and 5 processes and threads are in it; `ringfence set /slice pids.max=max` takes the \
             limit away"
        );
        std::fs::write(mount.path().join("slice/pids.current"), "4\n").unwrap();
        assert_eq!(forks(mount.path(), &mount.path().join("slice/web")), None);
    }

    #[test]
    fn the_limit_on_cgroups_that_is_reached_is_named() {
        let mount = tree(&[
            ("slice/cgroup.max.descendants", "max\n"),
            ("slice/cgroup.max.depth", "1\n"),
            ("slice/cgroup.stat", "nr_descendants 7\n"),
            ("slice/web/cgroup.max.descendants", "max\n"),
            ("slice/web/cgroup.max.depth", "max\n"),
        ]);
        let of = |parent: &str| new_cgroup(mount.path(), &mount.path().join(parent));
        assert_eq!(of("slice"), None);
        let deep = of("slice/web").unwrap();
        assert!(
            deep.what.contains("cgroup.max.depth of /slice is 1"),
            "{deep}"
        );
        std::fs::write(mount.path().join("slice/cgroup.max.descendants"), "7\n").unwrap();
        let many = of("slice").unwrap();
        assert!(
            many.what.contains("cgroup.max.descendants of /slice is 7"),
            "{many}"
        );
    }

    #[test]
    fn the_smallest_limit_on_namespaces_is_named() {
        let proc = tree(&[
            ("sys/user/max_user_namespaces", "15000\n"),
            ("sys/user/max_net_namespaces", "0\n"),
            ("sys/user/max_ipc_namespaces", "7\n"),
        ]);
        let of = |flags| namespaces(proc.path(), flags).unwrap().what;
        let net = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUSER;
        assert_eq!(
            of(net),
            "user.max_net_namespaces is 0, so that no net namespace may be made"
        );
        let ipc = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUSER;
        assert!(of(ipc).ends_with("user.max_ipc_namespaces=7"));
        assert_eq!(namespaces(proc.path(), CloneFlags::CLONE_NEWPID), None);
    }
}
