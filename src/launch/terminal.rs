//! A terminal for the workload: its own, inside, and between it and the launcher's a relay.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, tcsetwinsize,
};

use crate::kernel::error::errno_from;
use crate::kernel::syscall::pass;

/// What ends the input of a terminal: Ctrl-D.
const END_OF_INPUT: u8 = 4;
/// How long the last words may take after the program's end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Opens a terminal of the file system that is mounted on `/dev/pts`, as large as that on stdin, if one is there, makes it
/// the caller's own, with its three streams, perhaps without stderr, and sends the other side of it through a socket.
/// Called in the child, in a session of its own: no allocation, no locks. Since 4.13 (`TIOCGPTPEER`).
pub fn take(socket: BorrowedFd<'_>, keeps_stderr: bool) -> nix::Result<()> {
    let make = || {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let outer = openpt(flags)?;
        unlockpt(&outer)?;
        let inner = ioctl_tiocgptpeer(&outer, flags)?;
        ioctl_tiocsctty(&inner)?;
        // The launcher hands on later sizes, but may do so only when the program has looked.
        if let Ok(size) = tcgetwinsize(stdin()) {
            tcsetwinsize(&inner, size)?;
        }
        pass::send(socket, outer.as_fd())?;
        dup2_stdin(&inner)?;
        dup2_stdout(&inner)?;
        if keeps_stderr {
            return Ok(());
        }
        dup2_stderr(&inner)
    };
    make().map_err(errno_from)
}

/// Between the launcher's streams and the workload's terminal.
#[derive(Debug)]
pub struct Relay {
    /// Where the other side of the terminal comes from.
    socket: OwnedFd,
    outer: Option<File>,
    /// How the launcher's own terminal was before.
    before: Option<Termios>,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    /// Whether the key that interrupts was among it.
    interrupted: bool,
    input_open: bool,
}

impl Relay {
    /// Waits for the terminal at this end of the socket. The launcher's own one, if it has one, hands on every key
    /// from now on, until this is dropped.
    /// Where nobody attends, nothing is typed.
    pub fn new(socket: OwnedFd, attended: bool) -> Self {
        let stdin = io::stdin();
        let before = (attended && stdin.is_terminal())
            .then(|| tcgetattr(&stdin).ok())
            .flatten();
        let relay = Self {
            socket,
            outer: None,
            before,
            typed: Vec::new(),
            interrupted: false,
            input_open: attended,
        };
        relay.take_keys();
        relay
    }

    fn take_keys(&self) {
        if let Some(before) = &self.before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        }
    }

    /// After a stop: the launcher's terminal may have been set otherwise and be of another size.
    pub fn resume(&self) {
        self.take_keys();
        self.resize();
    }

    /// Whether the key that interrupts was typed since the last call, for the process group of this process.
    pub fn has_interrupted(&mut self, group: u32) -> bool {
        let theirs = || {
            let foreground = tcgetpgrp(self.outer.as_ref()?).ok()?;
            Some(foreground.as_raw_pid().cast_unsigned() == group)
        };
        std::mem::take(&mut self.interrupted) && theirs() == Some(true)
    }

    /// What to wait for.
    pub fn fds<'a>(&'a self, stdin: &'a io::Stdin) -> Vec<PollFd<'a>> {
        let Some(outer) = &self.outer else {
            return vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        };
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, !self.typed.is_empty());
        let mut fds = vec![PollFd::new(outer.as_fd(), wanted)];
        if self.wants_input() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        fds
    }

    fn wants_input(&self) -> bool {
        self.input_open && self.typed.is_empty()
    }

    /// Hands on what there is, in both directions, without waiting.
    pub fn pump(&mut self, out: &mut dyn io::Write) {
        if self.outer.is_none() {
            self.outer = self.arrive();
            self.resize();
        }
        self.say(out);
        if self.wants_input() && self.outer.is_some() {
            self.listen();
        }
        if let (Some(outer), false) = (&mut self.outer, self.typed.is_empty()) {
            match outer.write(&self.typed) {
                Ok(taken) => drop(self.typed.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.typed.clear(),
            }
        }
    }

    /// Takes the other side of the terminal, once the child has sent it.
    fn arrive(&self) -> Option<File> {
        let outer = pass::receive(&self.socket, false).ok()?;
        let flags = fcntl_getfl(&outer).ok()?;
        fcntl_setfl(&outer, flags | OFlags::NONBLOCK).ok()?;
        Some(outer.into())
    }

    /// Gives the terminal the size of the launcher's own.
    pub fn resize(&self) {
        if let (Some(outer), Ok(size)) = (&self.outer, tcgetwinsize(io::stdin())) {
            let _ = tcsetwinsize(outer, size);
        }
    }

    fn say(&mut self, out: &mut dyn io::Write) {
        let mut bytes = [0; 4096];
        while let Some(outer) = &mut self.outer {
            match outer.read(&mut bytes) {
                Ok(read @ 1..) => {
                    let _ = out.write_all(&bytes[..read]).and_then(|()| out.flush());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody has it open any more.
                _ => self.outer = None,
            }
        }
    }

    fn listen(&mut self) {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO) != Ok(1) {
            return;
        }
        let mut bytes = [0; 4096];
        match nix::unistd::read(&stdin, &mut bytes) {
            Ok(read @ 1..) => {
                self.interrupted |= self.interrupts(&bytes[..read]);
                self.typed.extend_from_slice(&bytes[..read]);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            _ => {
                self.input_open = false;
                self.typed.push(END_OF_INPUT);
            }
        }
    }

    /// Whether one of these keys is a signal inside (Ctrl-C, mostly).
    fn interrupts(&self, typed: &[u8]) -> bool {
        let inner = self.outer.as_ref().and_then(|outer| tcgetattr(outer).ok());
        inner.is_some_and(|inner| {
            inner.local_modes.contains(LocalModes::ISIG)
                && typed.contains(&inner.special_codes[SpecialCodeIndex::VINTR])
        })
    }

    /// Hands on the last words of a program that has ended.
    pub fn finish(mut self, out: &mut dyn io::Write) {
        let deadline = Instant::now() + LAST_WORDS;
        self.pump(out);
        while let Some(outer) = &self.outer
            && Instant::now() < deadline
        {
            let mut fds = [PollFd::new(outer.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(20_u8));
            self.say(out);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
