//! Mounts that are made before any child exists.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::kernel::error::{Error, Result};

/// An overlay of `lower` that writes to `upper`, attached nowhere: it is seen by whoever is given the
/// descriptor, and gone with the last one. Since 5.2.
///
/// The host's own root can be the lower layer only for a process of the mount namespace that it is
/// mounted in: in a less privileged copy its submounts are locked, and the kernel refuses.
///
/// <https://docs.kernel.org/filesystems/overlayfs.html>
pub fn detached_overlay(lower: &Path, upper: &Path, work: &Path) -> Result<OwnedFd> {
    let make = || {
        let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, c"source", c"ringfence")?;
        fsconfig_set_string(&context, c"lowerdir", lower)?;
        fsconfig_set_string(&context, c"upperdir", upper)?;
        fsconfig_set_string(&context, c"workdir", work)?;
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NODEV,
        )
    };
    make().map_err(|errno| Error::new("make an overlay that writes to", upper, errno))
}

/// Puts a tmpfs at `at` that only this process and its children see: leaves the host's mount namespace
/// for a copy of it, for good.
pub fn private_tmpfs(at: &Path) -> Result<()> {
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
                Some("mode=0700"),
            )
        })
        .map_err(|errno| Error::new("mount a private tmpfs on", at, errno))
}
