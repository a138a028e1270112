//! What the child does between clone and exec: a list of small steps, made beforehand, so that the child
//! only walks it. A failed step is known by its number.

mod own_file;

use std::borrow::Cow;
use std::ffi::{CStr, CString, NulError};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::stat::{Mode, lstat, stat, umask};
use nix::unistd::{
    chdir, dup2_stderr, dup2_stdin, dup2_stdout, mkdir, pivot_root, sethostname, setsid, symlinkat,
    write,
};
use rustix::fs::{Gid, Uid};
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use own_file::OwnFile;

use super::account::Account;
use super::error::FILTER;
use super::fence::{Capabilities, Filter, Ready};
use super::lock_mounts::LockMounts;
use super::root::Root;
use super::spec::{Net, Spec, Ulimit};
use super::{stdio, terminal};
use crate::kernel::error::errno_from;
use crate::kernel::syscall::clone::Forked;
use crate::kernel::syscall::exec::Program;
use crate::kernel::syscall::{close_above_stderr_on_exec, loopback_up};

/// One step. Paths are relative to the working directory, which is the new root from
/// [`EnterRoot`](Self::EnterRoot) on.
#[derive(Debug)]
pub enum Step {
    /// Nothing mounted from here on reaches the host, or comes from it.
    PrivateMounts,
    /// Attach the overlay on the scratch directory, and go there.
    EnterRoot,
    /// Join these namespaces of a process.
    Join(CloneFlags),
    /// Be root inside, of no other groups. Until then one is whom the launcher is, who may go where only it may.
    BecomeRoot,
    /// Mount a new file system.
    Mount(Mount),
    /// Show a device of the host's at a file. It can be used, but its owner and its mode cannot be changed, as they are
    /// the host's too.
    Device(CString, CString),
    /// Make a directory, unless it is there.
    Directory(CString),
    /// Make a directory, unless it is there; a link to one is refused.
    RealDirectory(CString),
    /// Make an empty file.
    File(CString),
    /// Make an empty file, unless something is there.
    Anything(CString),
    /// Attach a detached mount.
    Show {
        /// Its place among the context's copies.
        copy: usize,
        /// Where.
        at: CString,
    },
    /// Let nothing be written to the root.
    ReadOnlyRoot,
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
    /// Have what is mounted by now locked.
    LockMounts(LockMounts),
    /// A time namespace whose clocks are this far from the host's, as `timens_offsets` takes it.
    Clocks(String),
    /// Bring `lo` up.
    Loopback,
    /// Set the host name.
    Hostname(String),
    /// Show a file of its own.
    OwnFile(OwnFile),
    /// A session of its own, so that the terminal's keys reach the launcher alone.
    Session,
    /// A terminal of its own.
    Terminal,
    /// Open `/dev/null` anew where it is one of the streams: the launcher's is the host's file.
    OwnNull,
    /// The usual mask for new files, whatever the launcher's was.
    Umask,
    /// Start in this directory.
    Enter(CString),
    /// Leave no descriptor above 2 to the program.
    CloseDescriptors,
    /// Never gain privileges by exec.
    NoNewPrivs,
    /// Let no program have other capabilities than these.
    Bound(Capabilities),
    /// Become the user that runs the program.
    User,
    /// Keep these capabilities only.
    Capabilities(Capabilities),
    /// Let no other system calls through.
    Filter(Filter),
}

/// A new file system.
#[derive(Debug)]
pub struct Mount {
    source: &'static CStr,
    target: Cow<'static, CStr>,
    kind: &'static CStr,
    flags: MsFlags,
    options: Option<Cow<'static, CStr>>,
}

/// All that the child does.
#[derive(Debug)]
pub struct Walk {
    /// First.
    pub steps: Vec<Step>,
    /// Last: the fences that it could not go on within.
    pub fences: Vec<Step>,
    /// What it becomes.
    pub program: Program,
    /// Whether it stays, as a reaper, and its child becomes that.
    pub init: bool,
    /// What each of its processes may have.
    pub ulimits: Vec<Ulimit>,
}

/// What only the running launcher has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The detached overlay, and where to attach it.
    pub overlay: Option<(BorrowedFd<'a>, &'a CStr)>,
    /// Whose namespaces to join, by its pidfd.
    pub joined: Option<BorrowedFd<'a>>,
    /// Detached mounts that show inside.
    pub copies: &'a [OwnedFd],
    /// Where to send the other side of its terminal.
    pub terminal: Option<BorrowedFd<'a>>,
    /// Whether stderr is none of the terminal's.
    pub keeps_stderr: bool,
    /// Who runs the program, where that is not root.
    pub account: Option<&'a Account>,
    /// That it is one.
    pub forked: Option<&'a Forked>,
    /// A pipe that the launcher has the other end of.
    pub launcher: Option<BorrowedFd<'a>>,
}

const NONE: Option<&CStr> = None;
const SHM: &CStr = c"dev/shm";
/// What the kernel's own file systems need nothing of.
const HARDENED: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// The child's whole set-up, top to bottom.
pub fn list(
    hostname: &str,
    spec: &Spec,
    root: &Root,
    lock: Option<LockMounts>,
) -> Result<Vec<Step>, NulError> {
    let mut steps = vec![
        Step::Umask,
        Step::PrivateMounts,
        Step::EnterRoot,
        Step::BecomeRoot,
    ];
    // A link there would lead out of the root.
    for dir in [c"proc", c"sys", c"dev"] {
        steps.push(Step::RealDirectory(dir.to_owned()));
    }
    let sys = root.hosts_sys.then_some(root.shown.len());
    kernel_file_systems(&mut steps, spec.privileged, sys);
    devices(&mut steps)?;
    if !spec.privileged {
        restrictions(&mut steps);
    }
    steps.push(Step::LeaveOldRoot);
    if !spec.time_offset.is_empty() {
        let offsets = spec.time_offset.iter();
        let lines = offsets.map(|offset| format!("{} {} 0\n", offset.clock, offset.seconds));
        steps.push(Step::Clocks(lines.collect()));
    }
    if let Some(lock) = lock {
        steps.push(Step::LockMounts(lock));
        steps.push(message_queues(c"dev/mqueue"));
    }
    if spec.net != Net::Host {
        steps.push(Step::Loopback);
    }
    steps.extend([
        Step::Hostname(hostname.to_owned()),
        Step::OwnNull,
        Step::Session,
    ]);
    if spec.tty {
        steps.push(Step::Terminal);
    }
    steps.extend(own_file::of_host_name(hostname).map(Step::OwnFile));
    // Covers where they were made.
    let options = Some(c"mode=1777,size=64m");
    steps.push(fixed(c"tmpfs", SHM, c"tmpfs", HARDENED, options));
    own_mounts(&mut steps, spec, root)?;
    let workdir = spec.workdir.as_ref().map(ToString::to_string);
    let workdir = workdir.unwrap_or_default();
    if !matches!(&*workdir, "" | "/") {
        directories_to(&mut steps, &workdir)?;
        let workdir = CString::new(workdir)?;
        steps.push(Step::Directory(workdir.clone()));
        steps.push(Step::Enter(workdir));
    }
    if spec.read_only {
        steps.push(Step::ReadOnlyRoot);
    }
    steps.extend([Step::CloseDescriptors, Step::NoNewPrivs]);
    Ok(steps)
}

/// What a program does that joins a running workload.
pub fn joining(
    namespaces: CloneFlags,
    workdir: Option<&str>,
    tty: bool,
) -> Result<Vec<Step>, NulError> {
    let mut steps = vec![
        Step::Umask,
        Step::Join(namespaces),
        Step::BecomeRoot,
        Step::OwnNull,
        Step::Session,
    ];
    if tty {
        steps.push(Step::Terminal);
    }
    steps.push(Step::Enter(CString::new(workdir.unwrap_or("/"))?));
    steps.extend([Step::CloseDescriptors, Step::NoNewPrivs]);
    Ok(steps)
}

/// What the user wants to be there. By now the root is the new one, so that links lead nowhere else.
fn own_mounts(steps: &mut Vec<Step>, spec: &Spec, root: &Root) -> Result<(), NulError> {
    let mut masked = root.masked_beneath.iter();
    for (copy, shown) in root.shown.iter().enumerate() {
        if shown.volume {
            // What was asked for shows, wherever.
            mask_all(steps, masked.by_ref())?;
        }
        directories_to(steps, &shown.target)?;
        let at = CString::new(&*shown.target)?;
        steps.push(if shown.directory {
            Step::Directory(at.clone())
        } else {
            Step::Anything(at.clone())
        });
        steps.push(Step::Show { copy, at });
    }
    mask_all(steps, masked)?;
    for tmpfs in &spec.tmpfs {
        directories_to(steps, &tmpfs.target)?;
        let at = CString::new(&*tmpfs.target)?;
        let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        flags.set(MsFlags::MS_NOEXEC, !tmpfs.exec);
        flags.set(MsFlags::MS_RDONLY, tmpfs.read_only);
        steps.push(Step::Directory(at));
        // From here on the working directory is the root.
        let target = CString::new(tmpfs.target.trim_start_matches('/'))?;
        steps.push(Step::Mount(Mount {
            source: c"tmpfs",
            target: target.into(),
            kind: c"tmpfs",
            flags,
            options: Some(CString::new(&*tmpfs.options)?.into()),
        }));
    }
    Ok(())
}

fn mask_all<'a>(
    steps: &mut Vec<Step>,
    paths: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), NulError> {
    for path in paths {
        steps.push(Step::Mask(CString::new(path.as_os_str().as_bytes())?));
    }
    Ok(())
}

/// Makes the directories that a path is in.
fn directories_to(steps: &mut Vec<Step>, path: &str) -> Result<(), NulError> {
    for (end, _) in path.match_indices('/').filter(|&(end, _)| end > 0) {
        steps.push(Step::Directory(CString::new(&path[..end])?));
    }
    Ok(())
}

/// What comes after all of that: from here on hardly anything is allowed.
pub fn fences(ready: Ready, has_user: bool) -> Vec<Step> {
    let mut fences = vec![Step::Bound(ready.capabilities)];
    if has_user {
        fences.push(Step::User);
    }
    fences.push(Step::Capabilities(ready.capabilities));
    fences.extend(ready.filters.into_iter().map(Step::Filter));
    fences
}

fn kernel_file_systems(steps: &mut Vec<Step>, writable: bool, hosts_sys: Option<usize>) {
    let read_only = if writable {
        HARDENED
    } else {
        HARDENED | MsFlags::MS_RDONLY
    };
    steps.push(fixed(c"proc", c"proc", c"proc", HARDENED, None));
    steps.push(match hosts_sys {
        None => fixed(c"sysfs", c"sys", c"sysfs", read_only, None),
        Some(copy) => Step::Show {
            copy,
            at: c"sys".to_owned(),
        },
    });
    let cgroup = c"sys/fs/cgroup";
    steps.push(fixed(c"cgroup", cgroup, c"cgroup2", read_only, None));
    // The nodes that count in it are mounts of their own: none that is made there does.
    let dev = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_STRICTATIME;
    let options = Some(c"mode=755,size=65536k");
    steps.push(fixed(c"tmpfs", c"dev", c"tmpfs", dev, options));
}

/// A mount that every workload has.
fn fixed(
    source: &'static CStr,
    target: &'static CStr,
    kind: &'static CStr,
    flags: MsFlags,
    options: Option<&'static CStr>,
) -> Step {
    Step::Mount(Mount {
        source,
        target: target.into(),
        kind,
        flags,
        options: options.map(Cow::from),
    })
}

fn devices(steps: &mut Vec<Step>) -> Result<(), NulError> {
    // A device node cannot be made in a user namespace, so the host's own are shown.
    for node in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (host, here) = (format!("/dev/{node}"), format!("dev/{node}"));
        steps.push(Step::File(CString::new(&*here)?));
        steps.push(Step::Device(CString::new(host)?, CString::new(here)?));
    }
    let pts = c"dev/pts";
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5");
    steps.push(Step::Directory(pts.to_owned()));
    steps.push(fixed(c"devpts", pts, c"devpts", flags, options));
    steps.push(Step::Directory(SHM.to_owned()));
    let mqueue = c"dev/mqueue";
    steps.push(Step::Directory(mqueue.to_owned()));
    steps.push(message_queues(mqueue));
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

/// Those of the ipc namespace.
fn message_queues(at: &'static CStr) -> Step {
    fixed(c"mqueue", at, c"mqueue", HARDENED, None)
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
                let (overlay, root) = context.overlay.ok_or(Errno::EBADF)?;
                move_mount(overlay, c"", here, root, flags).map_err(errno_from)?;
                chdir(root)
            }
            Self::Join(namespaces) => setns(context.joined.ok_or(Errno::EBADF)?, *namespaces),
            Self::BecomeRoot => become_root(),
            Self::Mount(new) => mount(
                Some(new.source),
                &*new.target,
                Some(new.kind),
                new.flags,
                new.options.as_deref(),
            ),
            Self::Device(from, to) => show_device(from, to),
            Self::Directory(path) => match mkdir(&**path, Mode::from_bits_truncate(0o755)) {
                // Whether it is a directory is for the step that uses it to find out.
                Err(Errno::EEXIST) => Ok(()),
                other => other,
            },
            Self::RealDirectory(path) => match mkdir(&**path, Mode::from_bits_truncate(0o755)) {
                Err(Errno::EEXIST) => match lstat(&**path)?.st_mode & libc::S_IFMT {
                    libc::S_IFDIR => Ok(()),
                    libc::S_IFLNK => Err(Errno::ELOOP),
                    _ => Err(Errno::ENOTDIR),
                },
                other => other,
            },
            Self::Anything(path) => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                match open(&**path, flags, Mode::from_bits_truncate(0o644)) {
                    Err(Errno::EEXIST) => Ok(()),
                    other => other.map(drop),
                }
            }
            Self::Show { copy, at } => {
                let copy = context.copies.get(*copy).ok_or(Errno::EBADF)?;
                let flags =
                    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
                move_mount(copy.as_fd(), c"", rustix::fs::CWD, &**at, flags).map_err(errno_from)
            }
            Self::ReadOnlyRoot => {
                let flags =
                    MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
                mount(NONE, c"/", NONE, flags, NONE)
            }
            Self::File(path) => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                open(&**path, flags, Mode::from_bits_truncate(0o666)).map(drop)
            }
            Self::Link { target, at } => symlinkat(&**target, AT_FDCWD, &**at),
            Self::ReadOnly(path) => match bind(path, path) {
                Err(Errno::ENOENT) => Ok(()),
                bound => bound.and_then(|()| make_read_only(path, MsFlags::MS_NODEV)),
            },
            Self::Mask(path) => mask(path),
            Self::LeaveOldRoot => {
                // With the same directory for both, the old root ends up on top of the new one.
                pivot_root(c".", c".")?;
                umount2(c".", MntFlags::MNT_DETACH)?;
                chdir(c"/")
            }
            Self::LockMounts(lock) => lock.enter(context.forked.ok_or(Errno::ECHILD)?),
            Self::Clocks(offsets) => enter_time_namespace(offsets),
            Self::Loopback => loopback_up(),
            Self::Hostname(name) => sethostname(name),
            Self::OwnFile(file) => file.show(),
            Self::Session => setsid().map(drop),
            Self::Terminal => {
                let socket = context.terminal.ok_or(Errno::EBADF)?;
                terminal::take(socket, context.keeps_stderr)
            }
            Self::OwnNull => open_own_null(),
            Self::Umask => {
                umask(Mode::from_bits_truncate(0o022));
                Ok(())
            }
            Self::Enter(path) => chdir(&**path),
            Self::CloseDescriptors => close_above_stderr_on_exec(),
            Self::NoNewPrivs => prctl::set_no_new_privs(),
            Self::Bound(capabilities) => capabilities.bound(),
            Self::User => {
                let account = context.account.ok_or(Errno::EINVAL)?;
                let launcher = context.launcher.ok_or(Errno::EBADF)?;
                account.become_it(launcher, context.terminal.is_some())
            }
            Self::Capabilities(capabilities) => capabilities.keep(),
            Self::Filter(filter) => filter.put_up(),
        }
    }
}

fn become_root() -> nix::Result<()> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(errno_from)
}

/// The node inside leads to the same device, but its owner and its mode cannot be changed.
fn open_own_null() -> nix::Result<()> {
    let own = || {
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let own = open(c"/dev/null", flags, Mode::empty())?;
        // What stands there in a running workload, it may have put there.
        let found = rustix::fs::fstat(&own).map_err(errno_from)?;
        stdio::is_null(&found).then_some(own).ok_or(Errno::ENODEV)
    };
    let is_null = |stream| rustix::fs::fstat(stream).is_ok_and(|found| stdio::is_null(&found));
    if is_null(stdin()) {
        dup2_stdin(own()?)?;
    }
    if is_null(stdout()) {
        dup2_stdout(own()?)?;
    }
    if is_null(stderr()) {
        dup2_stderr(own()?)?;
    }
    Ok(())
}

fn bind(from: &CStr, to: &CStr) -> nix::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE)
}

/// Nothing below a mount can be changed, and nothing of it executed.
fn make_read_only(at: &CStr, more: MsFlags) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_BIND
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NOEXEC
        | more;
    mount(NONE, at, NONE, flags, NONE)
}

/// A device can be written although its mount is read-only.
fn show_device(from: &CStr, at: &CStr) -> nix::Result<()> {
    bind(from, at)?;
    make_read_only(at, MsFlags::empty())
}

/// The offsets can be written until somebody enters, and who makes the namespace is not in it.
fn enter_time_namespace(offsets: &str) -> nix::Result<()> {
    let time = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    unshare(time)?;
    // The files in /proc of who is not dumpable are the host's root's, who one is no more. Nobody else is here yet.
    prctl::set_dumpable(true)?;
    let file = open(
        c"/proc/self/timens_offsets",
        OFlag::O_WRONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    write(&file, offsets.as_bytes())?;
    prctl::set_dumpable(false)?;
    let namespace = open(
        c"/proc/self/ns/time_for_children",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    setns(namespace, time)
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
        show_device(c"dev/null", path)
    }
}

/// The step as an error names it.
impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateMounts => out.write_str("make mounts private"),
            Self::EnterRoot => out.write_str("attach the overlay root"),
            Self::Join(_) => out.write_str("join the namespaces"),
            Self::BecomeRoot => out.write_str("become root inside"),
            Self::Mount(new) => write!(
                out,
                "mount {} on /{}",
                new.kind.to_string_lossy(),
                new.target.to_string_lossy()
            ),
            Self::Device(from, _) => write!(out, "show {}", from.to_string_lossy()),
            Self::Directory(path) => write!(out, "make directory {}", path.to_string_lossy()),
            Self::RealDirectory(path) => write!(
                out,
                "use /{} of the root file system as a directory",
                path.to_string_lossy()
            ),
            Self::Anything(path) => write!(out, "make file {}", path.to_string_lossy()),
            Self::Show { at, .. } => write!(out, "show the volume at {}", at.to_string_lossy()),
            Self::ReadOnlyRoot => out.write_str("make the root read-only"),
            Self::File(path) => write!(out, "make file /{}", path.to_string_lossy()),
            Self::Link { at, .. } => write!(out, "make link /{}", at.to_string_lossy()),
            Self::ReadOnly(path) => write!(out, "make /{} read-only", path.to_string_lossy()),
            Self::Mask(path) => write!(out, "mask /{}", path.to_string_lossy()),
            Self::LeaveOldRoot => out.write_str("change the root (pivot_root)"),
            Self::LockMounts(_) => out.write_str("enter a second user namespace"),
            Self::Clocks(_) => out.write_str("set the clocks"),
            Self::Loopback => out.write_str("bring lo up"),
            Self::Hostname(name) => write!(out, "set the host name {name}"),
            Self::OwnFile(file) => write!(out, "show its own /{}", file.at.to_string_lossy()),
            Self::Session => out.write_str("start a session"),
            Self::Terminal => out.write_str("open a terminal"),
            Self::OwnNull => out.write_str("open /dev/null"),
            Self::Umask => out.write_str("set the umask"),
            Self::Enter(path) => write!(out, "enter working directory {}", path.to_string_lossy()),
            Self::CloseDescriptors => out.write_str("close descriptors"),
            Self::NoNewPrivs => out.write_str("set no_new_privs"),
            Self::Bound(_) | Self::Capabilities(_) => out.write_str("drop capabilities"),
            Self::User => out.write_str("become the user"),
            Self::Filter(_) => out.write_str(FILTER),
        }
    }
}
