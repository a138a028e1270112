//! The one door for system calls that no crate offers in the form that a launcher needs: safe to call,
//! and free of allocation and locks between clone and exec. What `nix` and `rustix` offer in that form
//! (mounts by C string, prctl, signals to a pidfd) is used directly.

pub mod clone;
pub mod exec;
pub mod mount;
pub mod pass;
pub mod quota;

use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{self, SigHandler, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::pipe2;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::path::Arg;

use crate::kernel::error::{Error, Result};

/// Marks every descriptor above 2 to be closed by exec. Since 5.11.
pub fn close_above_stderr_on_exec() -> nix::Result<()> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

/// Opens a file for reading, without waiting for it, by a path that leads nowhere out of `root`, whatever links there are.
/// Since 5.6.
///
/// <https://man7.org/linux/man-pages/man2/openat2.2.html>
pub fn open_in_root(root: impl AsFd, path: impl Arg) -> rustix::io::Result<File> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), resolve).map(File::from)
}

/// A pipe, to read from and to write to, which exec closes.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::new("make", "a pipe", errno))
}

/// Closes every descriptor above 2 but these. Since 5.9.
///
/// Only for a forked child, as [`Forked`](clone::Forked) shows, that ends without dropping what it has of its parent's.
pub fn close_all_but<const N: usize>(
    _: &clone::Forked,
    kept: [BorrowedFd<'_>; N],
) -> nix::Result<()> {
    let mut kept = kept.map(|fd| fd.as_raw_fd().cast_unsigned());
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close_from_to(first, fd - 1, 0)?;
        }
        first = first.max(fd + 1);
    }
    close_from_to(first, libc::c_uint::MAX, 0)
}

fn close_range(flags: libc::c_uint) -> nix::Result<()> {
    close_from_to(3, libc::c_uint::MAX, flags)
}

fn close_from_to(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of this process.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(answer).map(drop)
}

/// Gives a signal its default action back.
pub fn default_action(of: Signal) -> nix::Result<()> {
    // SAFETY: the default action runs no code of this process.
    unsafe { signal::signal(of, SigHandler::SigDfl) }.map(drop)
}

/// A signal with a number beside it, to a process that is held by its descriptor. Who reads its signals from a
/// descriptor is told the number. Since 5.1.
///
/// <https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html>
pub fn queue_signal(to: BorrowedFd<'_>, signal: Signal, value: i32) -> nix::Result<()> {
    /// What is common to all signals, and what one of `sigqueue` has.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Queued {
        signo: libc::c_int,
        errno: libc::c_int,
        code: libc::c_int,
        rest: Rest,
    }
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Rest {
        pid: libc::pid_t,
        uid: libc::uid_t,
        value: libc::sigval,
    }
    #[repr(C)]
    union Info {
        queued: Queued,
        // The kernel's type has this size.
        whole: [u8; 128],
    }
    let mut info = Info { whole: [0; 128] };
    let value = libc::sigval {
        sival_ptr: std::ptr::without_provenance_mut(value.cast_unsigned() as usize),
    };
    info.queued = Queued {
        signo: signal as libc::c_int,
        errno: 0,
        code: libc::SI_QUEUE,
        rest: Rest {
            pid: nix::unistd::getpid().as_raw(),
            uid: nix::unistd::getuid().as_raw(),
            value,
        },
    };
    // SAFETY: the call reads one `siginfo_t`, as large as `info`, which lives until it returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            to.as_raw_fd(),
            signal as libc::c_int,
            &raw const info,
            0,
        )
    };
    Errno::result(answer).map(drop)
}

/// Brings the loopback interface of this network namespace up. The kernel gives it its addresses.
#[expect(clippy::cast_possible_truncation)]
pub fn loopback_up() -> nix::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: an `ifreq` is plain numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = const { libc::IFF_UP as libc::c_short };
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives until the call returns.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(answer).map(drop)
}

/// So many random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel fills up to 256 bytes at once and without fail; zeroes would only make a dull name.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes
}
