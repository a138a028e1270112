//! Where a detached workload's output goes: through pipes, or its terminal, into its log.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags};

use crate::launch::error::Result;
use crate::launch::log::{Stream, Writer};
use crate::launch::stdio::{Streams, from_workload};

/// How much of it is taken at a time, so that nothing else waits for who says very much.
const AT_ONCE: usize = 256 * 1024;

/// Keeps what a workload says.
#[derive(Debug)]
pub struct Recorder {
    log: Writer,
    pipes: [Pipe; 2],
}

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    near: File,
    far: OwnedFd,
}

impl Recorder {
    pub fn new(log: Writer) -> Result<Self> {
        Ok(Self {
            log,
            pipes: [Pipe::new(Stream::Stdout)?, Pipe::new(Stream::Stderr)?],
        })
    }

    /// The workload's ends, where it has no terminal.
    pub fn ends(&self) -> Streams<'_> {
        let [stdout, stderr] = self.pipes.each_ref().map(|pipe| Some(pipe.far.as_fd()));
        [None, stdout, stderr]
    }

    /// What to wait for.
    pub fn fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let pipes = self.pipes.iter();
        pipes.map(|pipe| PollFd::new(pipe.near.as_fd(), PollFlags::POLLIN))
    }

    /// Takes what there is. Gives why something was lost, where it was.
    pub fn pump(&mut self) -> Option<io::Error> {
        let mut bytes = [0; 16 * 1024];
        for pipe in &mut self.pipes {
            let mut taken = 0;
            while taken < AT_ONCE
                && let Ok(read @ 1..) = pipe.near.read(&mut bytes)
            {
                self.log.take(pipe.stream, &bytes[..read]);
                taken += read;
            }
        }
        self.log.lost()
    }
}

/// What is said on the workload's terminal.
impl Write for Recorder {
    fn write(&mut self, said: &[u8]) -> io::Result<usize> {
        self.log.take(Stream::Stdout, said);
        Ok(said.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn new(stream: Stream) -> Result<Self> {
        let (near, far) = from_workload()?;
        Ok(Self { stream, near, far })
    }
}
