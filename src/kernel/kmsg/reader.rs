//! Reading `/dev/kmsg` as it grows, without waiting.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Record;
use crate::kernel::error::{Error, Result, errno_of};

/// The kernel never hands out a longer record (`CONSOLE_EXT_LOG_MAX`, 8 KiB).
const RECORD_MAX: usize = 8192;

/// The kernel log, from the moment of opening on or whole. Poll [`AsFd`] for input, then call [`next`](Self::next)
/// until it says [`Next::None`].
///
/// <https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg>
#[derive(Debug)]
pub struct Reader {
    file: File,
    path: PathBuf,
    buffer: Box<[u8; RECORD_MAX]>,
}

/// What one look at the kernel log gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// Records were overwritten before they were read; reading goes on with the oldest one left.
    Lost,
    /// Nothing (more) for now.
    None,
}

impl Reader {
    /// Opens `/dev/kmsg` (or a fixture) without blocking and skips what is already in it. Needs root
    /// or `CAP_SYSLOG` where `kernel.dmesg_restrict` is on.
    pub fn open(path: &Path) -> Result<Self> {
        let mut reader = Self::open_whole(path)?;
        let skipped = reader.file.seek(SeekFrom::End(0));
        skipped.map_err(|source| Error::new("skip to the end of", path, source))?;
        Ok(reader)
    }

    /// The same from the oldest record that is left.
    pub fn open_whole(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| Error::new("open", path, source))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            buffer: Box::new([0; RECORD_MAX]),
        })
    }

    /// The next record that parses, without waiting for one.
    // Not an `Iterator`: the record borrows the buffer.
    #[expect(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Next<'_>> {
        let read = loop {
            match self.file.read(&mut self.buffer[..]) {
                // Only a fixture ends.
                Ok(0) => return Ok(Next::None),
                Ok(read) if Record::parse(&self.buffer[..read]).is_some() => break read,
                Ok(_) => {}
                Err(error) => match errno_of(&error) {
                    Errno::EAGAIN => return Ok(Next::None),
                    Errno::EPIPE => return Ok(Next::Lost),
                    Errno::EINTR => {}
                    _ => return Err(Error::new("read", &self.path, error)),
                },
            }
        };
        Ok(Record::parse(&self.buffer[..read]).map_or(Next::None, Next::Record))
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_skipped() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), "6,1,10,-;old\n").unwrap();
        let mut reader = Reader::open(log.path()).unwrap();
        assert_eq!(reader.next().unwrap(), Next::None);
        std::fs::write(log.path(), "6,1,10,-;old\n6,2,20,-;new\n").unwrap();
        let Next::Record(record) = reader.next().unwrap() else {
            panic!("no record")
        };
        assert_eq!((record.sequence, record.message), (2, "new"));
        assert_eq!(reader.next().unwrap(), Next::None);
    }
}
