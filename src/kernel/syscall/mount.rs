//! Mounts that are made before any child exists.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use rustix::thread::{capabilities, set_capabilities};

use super::clone::{ExitingChild, spawn};
use super::close_all_but;
use super::pass;
use crate::kernel::error::{Error, Result, errno_from};
use crate::kernel::unit::Bytes;

/// What fills an empty directory.
pub type Fill<'a> = dyn Fn(&Path) -> Result<()> + 'a;

/// What an overlay is made of.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Overlay<'a> {
    /// Directories that are only read, the top one first.
    pub lower: &'a [PathBuf],
    /// Makes a layer above these in an empty directory, in memory. Its ids are those outside.
    pub mask: Option<&'a Fill<'a>>,
    /// The directory that holds `upper`, which takes the writes, and `work`.
    pub writes: &'a Path,
    /// Any directory, to attach layers to where nobody sees it.
    pub at: &'a Path,
    /// How the layers' ids show in it, where not as they are.
    pub mapped: Option<Mapped<'a>>,
    /// Whether nothing of it is made sure to be on disk: no `fsync` in it does anything, and its end does not wait for
    /// the whole file system of `writes` to be written, as that of any other does. Since 5.10.
    pub volatile: bool,
}

/// Layers whose ids inside of a user namespace are those on disk. Since 5.19.
#[derive(Debug, Clone, Copy)]
pub struct Mapped<'a> {
    /// Of which user namespace.
    pub userns: BorrowedFd<'a>,
    /// Root's uid and gid outside, where the layer that takes the writes is one of them; else its ids on disk are those
    /// outside.
    pub writes: Option<(u32, u32)>,
}

/// A mount that is attached nowhere yet.
#[derive(Debug)]
pub struct DetachedMount {
    mount: OwnedFd,
    /// The process that made it: its mount namespace takes some 0.3 ms to go.
    _maker: Option<ExitingChild>,
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl Overlay<'_> {
    /// Makes it, attached nowhere: it is seen by whoever is given the descriptor, and gone with the last one. Since
    /// 5.2. Must be called in a process with one thread.
    ///
    /// The host's own root can be the lower layer only for a process of the mount namespace that it is
    /// mounted in: in a less privileged copy its submounts are locked, and the kernel refuses.
    ///
    /// <https://docs.kernel.org/filesystems/overlayfs.html>
    pub fn make(&self) -> Result<DetachedMount> {
        let made = match (self.mapped, self.mask) {
            (None, None) => self.make_of(&open_directory).map(|mount| DetachedMount {
                mount,
                _maker: None,
            }),
            // Until 6.15 a layer must be a mount of the maker's namespace, where nobody else should see it.
            (None, Some(_)) => in_mount_namespace(None, || self.make_of(&open_directory)),
            (Some(mapped), _) => {
                in_mount_namespace(Some(mapped.userns), || self.make_mapped(mapped))
            }
        };
        made.map_err(|errno| Error::new("make an overlay that writes to", self.writes, errno))
    }

    /// On a file system of its own: what is in one lower layer cannot be another.
    fn make_mask(&self, fill: &Fill<'_>) -> nix::Result<OwnedFd> {
        let make = || {
            let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&context, c"mode", "0755")?;
            fsconfig_create(&context)?;
            let flags = MountAttrFlags::MOUNT_ATTR_NODEV;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        };
        let mask = make().map_err(errno_from)?;
        self.attach(&mask)?;
        let dir = format!("/proc/self/fd/{}", mask.as_raw_fd());
        fill(Path::new(&dir)).map_err(|error| error.errno())?;
        Ok(mask)
    }

    /// One on top of the other: each is reached by its descriptor.
    fn attach(&self, layer: &OwnedFd) -> nix::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(layer, c"", rustix::fs::CWD, self.at, flags).map_err(errno_from)
    }

    fn make_mapped(&self, mapped: Mapped<'_>) -> nix::Result<OwnedFd> {
        if let Some((uid, gid)) = mapped.writes {
            be_in_files(uid, gid)?;
        }
        self.make_of(&|dir| {
            if dir == self.writes && mapped.writes.is_none() {
                return open_directory(dir);
            }
            let layer = clone_mount(dir, false)?;
            map_ids(&layer, false, mapped.userns)?;
            self.attach(&layer)?;
            Ok(layer)
        })
    }

    /// By descriptor: in a list of paths, colons and backslashes would have to be written in another way.
    fn make_of(&self, open: &dyn Fn(&Path) -> nix::Result<OwnedFd>) -> nix::Result<OwnedFd> {
        // First: it may be where the layers are attached to.
        let writes = open(self.writes)?;
        let mask = self.mask.map(|fill| self.make_mask(fill));
        let lower = self.lower.iter().map(|dir| open(dir));
        let layers: Vec<OwnedFd> = mask.into_iter().chain(lower).collect::<nix::Result<_>>()?;
        let path = |dir: &OwnedFd| format!("/proc/self/fd/{}", dir.as_raw_fd());
        let [upper, work] = ["upper", "work"].map(|dir| format!("{}/{dir}", path(&writes)));
        let make = || {
            let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&context, c"source", c"ringfence")?;
            fsconfig_set_string(&context, c"upperdir", upper)?;
            fsconfig_set_string(&context, c"workdir", work)?;
            if self.volatile {
                fsconfig_set_flag(&context, c"volatile")?;
            }
            create_with_lower(&context, &layers)?;
            fsmount(
                &context,
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NODEV,
            )
        };
        make().map_err(errno_from)
    }
}

/// Makes files as this user, still with all capabilities. An overlay makes some in the name of who mounted it (what
/// hides a deleted file), and the host's root has no id in a mapped layer.
fn be_in_files(uid: u32, gid: u32) -> nix::Result<()> {
    let before = capabilities(None).map_err(errno_from)?;
    setfsgid(Gid::from_raw(gid));
    setfsuid(Uid::from_raw(uid));
    set_capabilities(None, before).map_err(errno_from)
}

fn open_directory(dir: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty()).map_err(errno_from)
}

/// Runs `make`, which may need one descriptor of this process, in a child with a copy of the mount namespace that goes with
/// it, and takes the mount that it gives.
fn in_mount_namespace(
    needs: Option<BorrowedFd<'_>>,
    make: impl FnOnce() -> nix::Result<OwnedFd>,
) -> nix::Result<DetachedMount> {
    let (near, far) = pass::pair().map_err(|error| error.errno())?;
    let child = spawn(CloneFlags::CLONE_NEWNS, None, |forked| {
        let none = None::<&Path>;
        let answer = prctl::set_pdeathsig(Signal::SIGKILL)
            // The lower the numbers of the layers, the more of them there is room for.
            .and_then(|()| close_all_but(forked, [needs.unwrap_or(far.as_fd()), far.as_fd()]))
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
            .and_then(|()| make())
            .and_then(|answer| pass::send(far.as_fd(), answer.as_fd()).map_err(errno_from));
        answer.err().map_or(0, |errno| errno as u8)
    });
    let maker = ExitingChild::from(child.map_err(|error| error.errno())?);
    drop(far);
    match pass::receive(&near, true).map_err(errno_from) {
        Ok(mount) => Ok(DetachedMount {
            mount,
            _maker: Some(maker),
        }),
        Err(not_received) => Err(maker.wait_for_errno().err().unwrap_or(not_received)),
    }
}

/// The longest value of an option, in bytes.
const MOST_TEXT: usize = 255;

/// Makes an overlay over these layers. In one option there is room for some 15 paths, so they go by their numbers, in
/// the directory of all descriptors: that makes 87. More of them are told one by one, which a kernel before 6.7
/// refuses (`EINVAL`).
fn create_with_lower(overlay: &OwnedFd, layers: &[OwnedFd]) -> rustix::io::Result<()> {
    let names: Vec<String> = layers
        .iter()
        .map(|layer| layer.as_raw_fd().to_string())
        .collect();
    let here = rustix::fs::open(c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(c"/proc/self/fd")?;
    let list = names.join(":");
    let told = if list.len() <= MOST_TEXT {
        fsconfig_set_string(overlay, c"lowerdir", list)
    } else {
        let mut names = names.iter();
        names.try_for_each(|name| fsconfig_set_string(overlay, c"lowerdir+", name.as_str()))
    };
    let created = told.and_then(|()| fsconfig_create(overlay));
    rustix::process::fchdir(here)?;
    created
}

/// Puts a tmpfs of this size at `at` that only this process and its children see: leaves the host's mount namespace
/// for a copy of it, for good. Without a size, half of the host's memory.
pub fn private_tmpfs(at: &Path, size: Option<Bytes>) -> Result<()> {
    let size = size.map_or_else(String::new, |size| format!(",size={}", size.0));
    let options = format!("mode=0700{size}");
    let none = None::<&Path>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| {
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(none, "/", none, private, none)
        })
        .and_then(|()| {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(
                Some("ringfence"),
                at,
                Some("tmpfs"),
                flags,
                Some(options.as_str()),
            )
        })
        .map_err(|errno| Error::new("mount a private tmpfs on", at, errno))
}

/// A copy of what is mounted at a path, attached nowhere: a file, or a directory, and where it is `whole` with all that
/// is mounted below it.
/// No set-user-ID bits and devices count in it, and where it is read-only, nothing in it can be written. Since 5.12.
///
/// <https://man7.org/linux/man-pages/man2/mount_setattr.2.html>
pub fn detached_copy(of: &Path, whole: bool, read_only: bool) -> Result<OwnedFd> {
    let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    clone_mount(of, whole)
        .and_then(|copy| set_attributes(&copy, true, set, 0).map(|()| copy))
        .map_err(|errno| Error::new("show", of, errno))
}

/// Has the ids of a detached copy, and where it is `whole` of all that is mounted below it, show in a user namespace as
/// they are on disk. `EINVAL` where the file system cannot do that, as tmpfs before 6.3. Since 5.12.
///
/// <https://docs.kernel.org/filesystems/idmappings.html>
pub fn map_ids(copy: &OwnedFd, whole: bool, userns: BorrowedFd<'_>) -> nix::Result<()> {
    let userns = u64::from(userns.as_raw_fd().cast_unsigned());
    set_attributes(copy, whole, libc::MOUNT_ATTR_IDMAP, userns)
}

fn clone_mount(of: &Path, whole: bool) -> nix::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, whole);
    open_tree(rustix::fs::CWD, of, flags).map_err(errno_from)
}

fn set_attributes(copy: &OwnedFd, whole: bool, set: u64, userns_fd: u64) -> nix::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if whole {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the kernel reads an empty string and one structure, which both outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            copy.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    Errno::result(answer).map(drop)
}
