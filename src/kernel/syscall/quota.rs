//! Project quotas: how much all files together may take that carry one number, as those of one directory do. ext4 (4.5),
//! XFS and F2FS have them, where they are mounted with `prjquota`.
//!
//! <https://man7.org/linux/man-pages/man2/quotactl.2.html>,
//! <https://man7.org/linux/man-pages/man2/FS_IOC_FSSETXATTR.2const.html>

use std::ffi::{c_int, c_long, c_void};
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use rustix::ioctl::{Getter, Setter, ioctl, opcode};

use crate::kernel::error::errno_from;
use crate::kernel::unit::Bytes;

/// `PRJQUOTA`.
const PROJECT: u32 = 2;
/// `Q_XGETQSTATV`: which quotas are kept and enforced. Since 3.12.
const GET_STATE: c_int = ((b'X' as c_int) << 8) + 8;
/// `FS_QUOTA_PDQ_ENFD`: limits of projects are enforced.
const ENFORCED: u16 = 1 << 5;
/// `FS_XFLAG_PROJINHERIT`: what is made in the directory counts for its project.
const INHERIT: u32 = 0x200;

/// `struct fs_quota_statv`, but for what nobody asks for.
#[repr(C, align(8))]
struct QuotaState {
    version: i8,
    _pad: u8,
    flags: u16,
    _rest: [u32; 63],
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    _pad: [u8; 8],
}

/// Calls `quotactl_fd` (since 5.14) on the file system of `file`.
fn quotactl<T>(file: &impl AsFd, command: c_int, id: u32, with: &mut T) -> nix::Result<()> {
    let command = (command.cast_unsigned() << 8) | PROJECT;
    // SAFETY: each caller hands over the structure that the kernel reads or fills for its command.
    let done = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            c_long::from(file.as_fd().as_raw_fd()),
            c_long::from(command),
            c_long::from(id),
            std::ptr::from_mut(with).cast::<c_void>(),
        )
    };
    Errno::result(done).map(drop)
}

/// Whether the file system of a directory enforces limits of projects.
pub fn is_enforced(dir: &impl AsFd) -> bool {
    let mut state = QuotaState {
        version: 1,
        _pad: 0,
        flags: 0,
        _rest: [0; 63],
    };
    quotactl(dir, GET_STATE, 0, &mut state).is_ok() && state.flags & ENFORCED != 0
}

/// Has all that is made in a directory from now on count for this project, which may take so many bytes.
/// Processes with `CAP_SYS_RESOURCE` on the host may exceed it on ext4; writes through an overlay never do.
pub fn limit(dir: &impl AsFd, project: u32, size: Bytes) -> nix::Result<()> {
    // SAFETY: integers only.
    let mut quota: libc::dqblk = unsafe { zeroed() };
    // In blocks of 1 KiB.
    quota.dqb_bhardlimit = size.0.div_ceil(1024);
    quota.dqb_valid = libc::QIF_BLIMITS;
    quotactl(dir, libc::Q_SETQUOTA, project, &mut quota)?;
    // SAFETY: the two calls take and give this structure.
    let attributes = unsafe {
        let get = Getter::<{ opcode::read::<FileAttributes>(b'X', 31) }, FileAttributes>::new();
        ioctl(dir, get)
    };
    let mut attributes = attributes.map_err(errno_from)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: as above.
    let set = unsafe {
        let set = Setter::<{ opcode::write::<FileAttributes>(b'X', 32) }, FileAttributes>::new(
            attributes,
        );
        ioctl(dir, set)
    };
    set.map_err(errno_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<FileAttributes>(), 28);
        // What the kernel fills takes 160 bytes.
        assert!(size_of::<QuotaState>() >= 160);
        assert_eq!(GET_STATE, 0x5808);
    }

    #[test]
    fn a_file_system_without_quotas_is_told() {
        assert!(!is_enforced(&std::fs::File::open("/proc").unwrap()));
    }
}
