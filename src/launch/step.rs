//! What the child does between clone and exec: a list of small steps, made beforehand, so that the child
//! only walks it. A failed step is known by its number.

use std::ffi::{CStr, CString, NulError};
use std::fmt;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl;
use nix::sys::stat::{Mode, stat, umask};
use nix::unistd::{chdir, mkdir, pivot_root, sethostname, setsid, symlinkat};
use rustix::mount::{MoveMountFlags, move_mount};

use crate::kernel::syscall::{close_above_stderr_on_exec, loopback_up};

/// One step. Paths are relative to the working directory, which is the new root from
/// [`EnterRoot`](Self::EnterRoot) on.
#[derive(Debug)]
pub enum Step {
    /// Nothing mounted from here on reaches the host, or comes from it.
    PrivateMounts,
    /// Attach the overlay at the scratch directory's `root`, and go there.
    EnterRoot,
    /// Mount a new file system.
    Mount(Mount),
    /// Show an existing file at another place too.
    Bind(CString, CString),
    /// Make a directory, unless it is there.
    Directory(CString),
    /// Make an empty file.
    File(CString),
    /// Make a symbolic link.
    Link {
        /// What it says.
        target: CString,
        /// Where it is.
        at: CString,
    },
    /// Forbid writes below a path, where it exists.
    ReadOnly(CString),
    /// Put an empty file or directory over a path, where it exists.
    Mask(CString),
    /// Make the working directory the root, and let go of the old one.
    LeaveOldRoot,
    /// Bring `lo` up.
    Loopback,
    /// Set the host name.
    Hostname(String),
    /// A session of its own, so that the terminal's keys reach the launcher alone.
    Session,
    /// The usual mask for new files, whatever the launcher's was.
    Umask,
    /// Start in this directory.
    Enter(CString),
    /// Leave no descriptor above 2 to the program.
    CloseDescriptors,
    /// Never gain privileges by exec.
    NoNewPrivs,
}

/// A new file system.
#[derive(Debug)]
pub struct Mount {
    source: &'static CStr,
    target: &'static CStr,
    kind: &'static CStr,
    flags: MsFlags,
    options: Option<&'static CStr>,
}

/// What only the running launcher has.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The detached overlay.
    pub overlay: BorrowedFd<'a>,
    /// Where to attach it.
    pub root: &'a CStr,
}

const NONE: Option<&CStr> = None;

/// The child's whole set-up, top to bottom.
pub fn list(hostname: &str, workdir: Option<String>) -> Result<Vec<Step>, NulError> {
    let mut steps = vec![Step::Umask, Step::PrivateMounts, Step::EnterRoot];
    kernel_file_systems(&mut steps);
    devices(&mut steps)?;
    restrictions(&mut steps);
    steps.extend([
        Step::LeaveOldRoot,
        Step::Loopback,
        Step::Hostname(hostname.to_owned()),
        Step::Session,
    ]);
    let workdir = workdir.unwrap_or_default();
    for (end, _) in workdir.match_indices('/').filter(|&(end, _)| end > 0) {
        steps.push(Step::Directory(CString::new(&workdir[..end])?));
    }
    if !matches!(&*workdir, "" | "/") {
        let workdir = CString::new(workdir)?;
        steps.push(Step::Directory(workdir.clone()));
        steps.push(Step::Enter(workdir));
    }
    steps.extend([Step::CloseDescriptors, Step::NoNewPrivs]);
    Ok(steps)
}

fn kernel_file_systems(steps: &mut Vec<Step>) {
    let hardened = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mut new = |source, target, kind, flags, options| {
        steps.push(Step::Mount(Mount {
            source,
            target,
            kind,
            flags,
            options,
        }));
    };
    let read_only = hardened | MsFlags::MS_RDONLY;
    new(c"proc", c"proc", c"proc", hardened, None);
    new(c"sysfs", c"sys", c"sysfs", read_only, None);
    new(c"cgroup", c"sys/fs/cgroup", c"cgroup2", read_only, None);
    let dev = MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME;
    let options = Some(c"mode=755,size=65536k");
    new(c"tmpfs", c"dev", c"tmpfs", dev, options);
}

fn devices(steps: &mut Vec<Step>) -> Result<(), NulError> {
    // A device node cannot be made in a user namespace, so the host's own are shown.
    for node in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (host, here) = (format!("/dev/{node}"), format!("dev/{node}"));
        steps.push(Step::File(CString::new(&*here)?));
        steps.push(Step::Bind(CString::new(host)?, CString::new(here)?));
    }
    let hardened = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let pts = (
        c"dev/pts",
        c"devpts",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
    );
    let shm = (c"dev/shm", c"tmpfs", hardened, Some(c"mode=1777,size=64m"));
    let mqueue = (c"dev/mqueue", c"mqueue", hardened, None);
    for (target, kind, flags, options) in [pts, shm, mqueue] {
        steps.push(Step::Directory(target.to_owned()));
        steps.push(Step::Mount(Mount {
            source: kind,
            target,
            kind,
            flags,
            options,
        }));
    }
    for (target, at) in [
        (c"/proc/self/fd", c"dev/fd"),
        (c"/proc/self/fd/0", c"dev/stdin"),
        (c"/proc/self/fd/1", c"dev/stdout"),
        (c"/proc/self/fd/2", c"dev/stderr"),
        (c"pts/ptmx", c"dev/ptmx"),
    ] {
        let (target, at) = (target.to_owned(), at.to_owned());
        steps.push(Step::Link { target, at });
    }
    Ok(())
}

/// What the files of the kernel would still let root do, although it is root in a namespace only;
/// docker's lists.
fn restrictions(steps: &mut Vec<Step>) {
    for path in [
        c"proc/bus",
        c"proc/fs",
        c"proc/irq",
        c"proc/sys",
        c"proc/sysrq-trigger",
    ] {
        steps.push(Step::ReadOnly(path.to_owned()));
    }
    for path in [
        c"proc/acpi",
        c"proc/asound",
        c"proc/interrupts",
        c"proc/kcore",
        c"proc/keys",
        c"proc/latency_stats",
        c"proc/scsi",
        c"proc/sched_debug",
        c"proc/timer_list",
        c"proc/timer_stats",
        c"sys/devices/virtual/powercap",
        c"sys/firmware",
    ] {
        steps.push(Step::Mask(path.to_owned()));
    }
}

impl Step {
    /// Does it. Called in the child: no allocation, no locks.
    pub fn run(&self, context: Context<'_>) -> nix::Result<()> {
        match self {
            Self::PrivateMounts => {
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(NONE, c"/", NONE, private, NONE)
            }
            Self::EnterRoot => {
                let here = rustix::fs::CWD;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(context.overlay, c"", here, context.root, flags)
                    .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
                chdir(context.root)
            }
            Self::Mount(new) => mount(
                Some(new.source),
                new.target,
                Some(new.kind),
                new.flags,
                new.options,
            ),
            Self::Bind(from, to) => bind(from, to),
            Self::Directory(path) => match mkdir(&**path, Mode::from_bits_truncate(0o755)) {
                // Whether it is a directory is for the step that uses it to find out.
                Err(Errno::EEXIST) => Ok(()),
                other => other,
            },
            Self::File(path) => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                open(&**path, flags, Mode::from_bits_truncate(0o666)).map(drop)
            }
            Self::Link { target, at } => symlinkat(&**target, AT_FDCWD, &**at),
            Self::ReadOnly(path) => match bind(path, path) {
                Err(Errno::ENOENT) => Ok(()),
                Err(errno) => Err(errno),
                Ok(()) => {
                    let flags = MsFlags::MS_REMOUNT
                        | MsFlags::MS_BIND
                        | MsFlags::MS_RDONLY
                        | MsFlags::MS_NOSUID
                        | MsFlags::MS_NODEV
                        | MsFlags::MS_NOEXEC;
                    mount(NONE, &**path, NONE, flags, NONE)
                }
            },
            Self::Mask(path) => mask(path),
            Self::LeaveOldRoot => {
                // With the same directory for both, the old root ends up on top of the new one.
                pivot_root(c".", c".")?;
                umount2(c".", MntFlags::MNT_DETACH)?;
                chdir(c"/")
            }
            Self::Loopback => loopback_up(),
            Self::Hostname(name) => sethostname(name),
            Self::Session => setsid().map(drop),
            Self::Umask => {
                umask(Mode::from_bits_truncate(0o022));
                Ok(())
            }
            Self::Enter(path) => chdir(&**path),
            Self::CloseDescriptors => close_above_stderr_on_exec(),
            Self::NoNewPrivs => prctl::set_no_new_privs(),
        }
    }
}

fn bind(from: &CStr, to: &CStr) -> nix::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE)
}

fn mask(path: &CStr) -> nix::Result<()> {
    let kind = match stat(path) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found?.st_mode & libc::S_IFMT,
    };
    if kind == libc::S_IFDIR {
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some(c"tmpfs"),
            path,
            Some(c"tmpfs"),
            flags,
            Some(c"size=0k"),
        )
    } else {
        bind(c"dev/null", path)
    }
}

/// The step as an error names it.
impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateMounts => out.write_str("make mounts private"),
            Self::EnterRoot => out.write_str("attach the overlay root"),
            Self::Mount(new) => write!(
                out,
                "mount {} on /{}",
                new.kind.to_string_lossy(),
                new.target.to_string_lossy()
            ),
            Self::Bind(from, _) => write!(out, "bind {}", from.to_string_lossy()),
            Self::Directory(path) => write!(out, "make directory {}", path.to_string_lossy()),
            Self::File(path) => write!(out, "make file /{}", path.to_string_lossy()),
            Self::Link { at, .. } => write!(out, "make link /{}", at.to_string_lossy()),
            Self::ReadOnly(path) => write!(out, "make /{} read-only", path.to_string_lossy()),
            Self::Mask(path) => write!(out, "mask /{}", path.to_string_lossy()),
            Self::LeaveOldRoot => out.write_str("change the root (pivot_root)"),
            Self::Loopback => out.write_str("bring lo up"),
            Self::Hostname(name) => write!(out, "set the host name {name}"),
            Self::Session => out.write_str("start a session"),
            Self::Umask => out.write_str("set the umask"),
            Self::Enter(path) => write!(out, "enter working directory {}", path.to_string_lossy()),
            Self::CloseDescriptors => out.write_str("close descriptors"),
            Self::NoNewPrivs => out.write_str("set no_new_privs"),
        }
    }
}
