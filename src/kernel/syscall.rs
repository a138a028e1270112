//! The one door for system calls that no crate offers in the form that a launcher needs: safe to call,
//! and free of allocation and locks between clone and exec. What `nix` and `rustix` offer in that form
//! (mounts by C string, prctl, signals to a pidfd) is used directly.

pub mod clone;
pub mod exec;
pub mod mount;

use std::mem;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::signal::{self, SigHandler, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Marks every descriptor above 2 to be closed by exec. Since 5.11.
pub fn close_above_stderr_on_exec() -> nix::Result<()> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor above 2, for a process that never calls exec. Since 5.9.
///
/// Only for a forked child at the end of its set-up, as [`Forked`](clone::Forked) shows: nothing there
/// owns a descriptor that it would use or close later.
pub fn close_above_stderr(_: &clone::Forked) -> nix::Result<()> {
    close_range(0)
}

fn close_range(flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of this process.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) };
    Errno::result(answer).map(drop)
}

/// Gives a signal its default action back.
pub fn default_action(of: Signal) -> nix::Result<()> {
    // SAFETY: the default action runs no code of this process.
    unsafe { signal::signal(of, SigHandler::SigDfl) }.map(drop)
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
