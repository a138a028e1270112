//! Pipes for a workload's streams, and the relay between them and the launcher's own: what the workload holds leads to
//! nothing of the host's.
//!
//! Where both sides take it, bytes go from pipe to pipe without being copied (`splice`). A file that is the input is
//! copied: its pages have no business in a pipe that the workload can write to. Nobody waits here: a workload whose
//! output nobody takes waits by itself, with a full pipe.

use std::fs::File;
use std::io::{self, IsTerminal as _, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::fs::{
    FileType, Mode, OFlags, SeekFrom, Stat, fcntl_getfl, fcntl_setfl, fstat, major, minor, open,
    seek,
};
use rustix::io::{Errno, ioctl_fionread};
use rustix::pipe::{SpliceFlags, splice};
use rustix::process::getpgrp;
use rustix::termios::{isatty, tcgetpgrp};

use super::error::Result;
use super::supervise::listen::{Signals, poll_patiently, until};
use crate::kernel::error::Error;
use crate::kernel::syscall::pipe;

/// How long who reads the last words of what was stopped may take nothing.
pub const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How much of a stream is handed on at a time, so that nothing else waits for who says very much.
const AT_ONCE: usize = 256 * 1024;

/// How much is copied at a time, in bytes.
const COPIED: usize = 16 * 1024;

/// What a workload gets as stdin, stdout and stderr; where there is none, the launcher's own.
pub type Streams<'a> = [Option<BorrowedFd<'a>>; 3];

/// Whether the launcher's streams are a terminal that a user sits at, for whom the workload should have one, too.
pub fn is_attended() -> bool {
    stdin().is_terminal() && stdout().is_terminal() && is_in_foreground()
}

/// Whether what is typed on the terminal is for this process.
fn is_in_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Whether it is `/dev/null`.
pub fn is_null(of: &Stat) -> bool {
    FileType::from_raw_mode(of.st_mode) == FileType::CharacterDevice
        && (major(of.st_rdev), minor(of.st_rdev)) == (1, 3)
}

/// Lets go of the terminal or the pipes of whoever started this process. No allocation, no locks.
pub fn leave_streams() -> nix::Result<()> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let null = nix::fcntl::open(c"/dev/null", flags, nix::sys::stat::Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

/// A pipe that the workload writes to: the launcher's end, which does not wait, and the workload's, which is kept for the
/// next start.
pub fn from_workload() -> Result<(File, OwnedFd)> {
    let (near, far) = pipe()?;
    Ok((without_wait(near)?, far))
}

/// A pipe that the workload reads from.
fn to_workload() -> Result<(File, OwnedFd)> {
    let (far, near) = pipe()?;
    Ok((without_wait(near)?, far))
}

fn without_wait(end: OwnedFd) -> Result<File> {
    fcntl_getfl(&end)
        .and_then(|flags| fcntl_setfl(&end, flags | OFlags::NONBLOCK))
        .map_err(|errno| Error::new("set up", "a pipe", errno))?;
    Ok(end.into())
}

/// How many bytes are in a pipe.
fn held(pipe: &OwnedFd) -> usize {
    let held = ioctl_fionread(pipe).unwrap_or(0);
    usize::try_from(held).unwrap_or(usize::MAX)
}

/// Whether one can read, or write, without having to wait.
fn is_ready(stream: BorrowedFd<'_>, to: PollFlags) -> bool {
    let mut fds = [PollFd::new(stream, to)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(1)
}

/// Writes what was taken; how many bytes of it went.
fn hand_on(to: impl AsFd, taken: &mut Vec<u8>) -> rustix::io::Result<usize> {
    let written = rustix::io::write(to, taken)?;
    taken.drain(..written);
    Ok(written)
}

/// The pipes of a workload in the foreground.
#[derive(Debug, Default)]
pub struct Pipes {
    input: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    /// stdout and stderr are one, as the launcher's are.
    joined: bool,
    /// The input, where it is none.
    nothing: Option<File>,
    /// Why output was lost.
    lost: Option<io::Error>,
}

impl Pipes {
    /// Pipes for everything that is not `/dev/null`. Where the workload has a terminal, that is its streams, but for a
    /// stderr that is kept apart from the launcher's terminal.
    ///
    /// What is typed on a terminal while the output goes elsewhere may be meant for who has that (`run … | less`), so it is
    /// handed on only where the workload is `interactive`.
    pub fn new(tty: bool, interactive: bool) -> Result<Self> {
        let (input, output, errors) = (stdin(), stdout(), stderr());
        let [from, to, errors_to] = [input.as_fd(), output.as_fd(), errors.as_fd()].map(wanted);
        let relay_errors = || errors_to.map(|_| Output::new(errors.as_fd())).transpose();
        let mut new = Self::default();
        if tty {
            if input.is_terminal() && output.is_terminal() && !errors.is_terminal() {
                new.stderr = relay_errors()?;
            }
            return Ok(new);
        }
        if input.is_terminal() && !output.is_terminal() && !interactive {
            let null = File::open("/dev/null");
            new.nothing = Some(null.map_err(|error| Error::new("open", "/dev/null", error))?);
        } else {
            new.input = from.map(|of| Input::new(&of)).transpose()?;
        }
        new.stdout = to.map(|_| Output::new(output.as_fd())).transpose()?;
        let file = |of: Stat| (of.st_dev, of.st_ino);
        new.joined = to.is_some() && to.map(file) == errors_to.map(file);
        if !new.joined {
            new.stderr = relay_errors()?;
        }
        Ok(new)
    }

    /// The workload's ends.
    pub fn ends(&self) -> Streams<'_> {
        let input = self.input.as_ref().map(|input| input.far.as_fd());
        let input = input.or(self.nothing.as_ref().map(AsFd::as_fd));
        let [stdout, stderr] =
            [&self.stdout, &self.stderr].map(|output| Some(output.as_ref()?.far.as_fd()));
        [input, stdout, if self.joined { stdout } else { stderr }]
    }

    /// What to wait for.
    pub fn fds<'a>(&'a self, stdin: &'a io::Stdin) -> impl Iterator<Item = PollFd<'a>> {
        let input = self.input.as_ref().and_then(|input| input.fd(stdin));
        input.into_iter().chain(self.output_fds())
    }

    /// The same, for output only.
    fn output_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let outputs = self.stdout.iter().chain(&self.stderr);
        outputs.filter_map(Output::fd)
    }

    /// Hands on what there is, in all directions.
    pub fn pump(&mut self) {
        self.input.iter_mut().for_each(Input::pump);
        let outputs = self.stdout.iter_mut().chain(&mut self.stderr);
        if let Some(error) = outputs.filter_map(|output| output.pump().err()).last() {
            self.lost = Some(error);
        }
    }

    /// Fails where output was lost, as on a full disk; not where nobody wanted to read it any more.
    pub fn check(&mut self) -> Result<()> {
        let error = |error| Error::new("hand on", "what the workload said", error);
        Ok(self.lost.take().map_or(Ok(()), |lost| Err(error(lost)))?)
    }

    /// Hands on all that is left of the output, after the workload's end. Who reads it may take long, but a signal ends
    /// that, and so does having taken nothing for `patience`; then it gives false.
    pub fn drain(&mut self, signals: &Signals, patience: Option<Duration>) -> Result<bool> {
        let later = || patience.map(|patience| Instant::now() + patience);
        let mut deadline = later();
        while !self.is_drained() {
            let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.output_fds());
            poll_patiently(&mut fds, deadline.map_or(PollTimeout::NONE, until))?;
            if fds[1..].iter().any(|fd| fd.any() == Some(true)) {
                deadline = later();
            } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            while let Some(told) = signals.next() {
                if told.asks_to_end() {
                    return Ok(false);
                }
            }
            self.pump();
        }
        Ok(true)
    }

    fn is_drained(&self) -> bool {
        let mut outputs = self.stdout.iter().chain(&self.stderr);
        outputs.all(Output::is_drained)
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        if let Some(input) = &self.input {
            input.give_back();
        }
    }
}

/// What a stream is, unless it is nothing, or closed.
fn wanted(stream: BorrowedFd<'_>) -> Option<Stat> {
    fstat(stream).ok().filter(|of| !is_null(of))
}

/// From the launcher's stdin to the workload.
#[derive(Debug)]
struct Input {
    /// None where nothing more will come.
    near: Option<File>,
    far: OwnedFd,
    /// Whether the launcher's stdin may be spliced.
    splices: bool,
    is_file: bool,
    /// What was taken and not yet handed on.
    taken: Vec<u8>,
    /// Whether the pipe takes no more for now.
    is_full: bool,
}

impl Input {
    fn new(of: &Stat) -> Result<Self> {
        let kind = FileType::from_raw_mode(of.st_mode);
        let (near, far) = to_workload()?;
        Ok(Self {
            near: Some(near),
            far,
            splices: matches!(kind, FileType::Fifo | FileType::Socket),
            is_file: kind == FileType::RegularFile,
            taken: Vec::new(),
            is_full: false,
        })
    }

    fn fd<'a>(&'a self, stdin: &'a io::Stdin) -> Option<PollFd<'a>> {
        let near = self.near.as_ref()?;
        if self.is_full {
            Some(PollFd::new(near.as_fd(), PollFlags::POLLOUT))
        } else {
            // SIGCONT tells of the change.
            may_read(stdin).then(|| PollFd::new(stdin.as_fd(), PollFlags::POLLIN))
        }
    }

    fn pump(&mut self) {
        let stdin = stdin();
        let mut moved = 0;
        while moved < AT_ONCE && may_read(&stdin) {
            match self.step(stdin.as_fd()) {
                Ok(Some(step)) => moved += step,
                Ok(None) => return,
                Err(Errno::INTR) => {}
                // The end, or as good as that: a directory, a terminal that is gone.
                Err(_) => self.near = None,
            }
        }
    }

    /// How many bytes were handed on; `None` where that has to wait, or there is nothing more.
    fn step(&mut self, stdin: BorrowedFd<'_>) -> rustix::io::Result<Option<usize>> {
        let Some(near) = &self.near else {
            return Ok(None);
        };
        if self.taken.is_empty() {
            self.is_full = false;
            if !is_ready(stdin, PollFlags::POLLIN) {
                return Ok(None);
            }
            if self.splices {
                match splice(stdin, None, near, None, AT_ONCE, SpliceFlags::NONBLOCK) {
                    Ok(0) => return Err(Errno::PIPE),
                    Err(Errno::AGAIN) => {
                        self.is_full = true;
                        return Ok(None);
                    }
                    Err(Errno::INVAL) => self.splices = false,
                    moved => return moved.map(Some),
                }
            }
            let mut bytes = [0; COPIED];
            match rustix::io::read(stdin, &mut bytes) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(read) => self.taken.extend_from_slice(&bytes[..read]),
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
        match hand_on(near, &mut self.taken) {
            Err(Errno::AGAIN) => {
                self.is_full = true;
                Ok(None)
            }
            written => written.map(Some),
        }
    }

    /// What the workload did not read of a file is left to who reads it next, as in `while read … done <file`.
    fn give_back(&self) {
        let unread = self.taken.len().saturating_add(held(&self.far));
        if self.is_file
            && let Ok(unread) = i64::try_from(unread)
        {
            let _ = seek(stdin(), SeekFrom::Current(-unread));
        }
    }
}

/// Whether to read would not stop this process: it would, in the background of a terminal.
fn may_read(stdin: &io::Stdin) -> bool {
    !stdin.is_terminal() || is_in_foreground()
}

/// From the workload to one of the launcher's streams.
#[derive(Debug)]
struct Output {
    /// None where nobody takes anything any more; the workload sees that as a broken pipe.
    near: Option<File>,
    far: OwnedFd,
    /// The launcher's stream.
    to: OwnedFd,
    /// Whether it takes what is spliced.
    splices: bool,
    /// What was taken and not yet handed on.
    taken: Vec<u8>,
    /// Whether the launcher's stream takes no more for now.
    is_full: bool,
}

impl Output {
    fn new(stream: BorrowedFd<'_>) -> Result<Self> {
        let (near, far) = from_workload()?;
        let to = own_terminal(stream).map_or_else(|| stream.try_clone_to_owned(), Ok);
        Ok(Self {
            near: Some(near),
            far,
            to: to.map_err(|error| Error::new("duplicate", "an output", error))?,
            splices: true,
            taken: Vec::new(),
            is_full: false,
        })
    }

    fn fd(&self) -> Option<PollFd<'_>> {
        let near = self.near.as_ref()?;
        Some(if self.is_full {
            PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)
        } else {
            PollFd::new(near.as_fd(), PollFlags::POLLIN)
        })
    }

    fn pump(&mut self) -> io::Result<()> {
        let mut moved = 0;
        while moved < AT_ONCE {
            match self.step() {
                Ok(Some(step)) => moved += step,
                Ok(None) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.near = None;
                    self.taken.clear();
                    // Nobody reads on: that is no loss.
                    return match errno {
                        Errno::PIPE => Ok(()),
                        errno => Err(errno.into()),
                    };
                }
            }
        }
        Ok(())
    }

    /// How many bytes were handed on; `None` where that has to wait.
    fn step(&mut self) -> rustix::io::Result<Option<usize>> {
        let Some(near) = &self.near else {
            return Ok(None);
        };
        if self.taken.is_empty() && held(&self.far) == 0 {
            self.is_full = false;
            return Ok(None);
        }
        if !is_ready(self.to.as_fd(), PollFlags::POLLOUT) {
            self.is_full = true;
            return Ok(None);
        }
        if self.splices {
            match splice(near, None, &self.to, None, AT_ONCE, SpliceFlags::NONBLOCK) {
                // A file that is appended to, for one.
                Err(Errno::INVAL) => self.splices = false,
                moved => return self.seen(moved),
            }
        }
        if self.taken.is_empty() {
            let mut bytes = [0; COPIED];
            let read = rustix::io::read(near, &mut bytes)?;
            self.taken.extend_from_slice(&bytes[..read]);
        }
        let written = hand_on(&self.to, &mut self.taken);
        self.seen(written)
    }

    /// There was something to hand on.
    fn seen(&mut self, moved: rustix::io::Result<usize>) -> rustix::io::Result<Option<usize>> {
        self.is_full = matches!(moved, Err(Errno::AGAIN));
        match moved {
            Err(Errno::AGAIN) => Ok(None),
            moved => moved.map(Some),
        }
    }

    fn is_drained(&self) -> bool {
        self.near.is_none() || (self.taken.is_empty() && held(&self.far) == 0)
    }
}

/// A terminal, opened anew so as not to wait for it: who has it open besides goes on as before.
fn own_terminal(stream: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    isatty(stream).then(|| open(path, flags, Mode::empty()).ok())?
}
