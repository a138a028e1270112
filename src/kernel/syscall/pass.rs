//! A descriptor from one process to another, through a socket (`SCM_RIGHTS`).
//!
//! <https://man7.org/linux/man-pages/man7/unix.7.html>

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::kernel::error::{Error, Result};

/// Two sockets that are each other's other end.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
        .map_err(|errno| Error::new("make", "a pair of sockets", errno))
}

/// Sends one: no allocation, no locks.
pub fn send(socket: BorrowedFd<'_>, what: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let fds = [what];
    message.push(SendAncillaryMessage::ScmRights(&fds));
    let word = [IoSlice::new(b"d")];
    sendmsg(socket, &word, &mut message, SendFlags::NOSIGNAL).map(drop)
}

/// Takes one that was sent. `wait` for it, or `EAGAIN` where it is not there yet; `EPIPE` where none will come.
pub fn receive(socket: &impl AsFd, wait: bool) -> rustix::io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let mut words = [IoSliceMut::new(&mut word)];
    recvmsg(socket, &mut words, &mut message, flags)?;
    let fd = message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.ok_or(Errno::PIPE)
}
