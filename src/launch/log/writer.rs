//! Writing a log: bounded, whatever a workload says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Line, Stream, file, numbers};
use crate::kernel::error::Error;
use crate::launch::spec::LogRules;

/// Longer lines are written in parts.
const LONGEST: usize = 16 * 1024;

/// Takes what a workload says.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    number: u64,
    file: File,
    size: u64,
    rules: LogRules,
    lost: Option<io::Error>,
}

impl Writer {
    /// Goes on with the log in a directory.
    pub fn open(dir: PathBuf, rules: LogRules) -> Result<Self, Error> {
        let number = numbers(&dir).last().copied().unwrap_or(1);
        let path = file(&dir, number);
        let opened = open(&path);
        let (file, size) = opened.map_err(|error| Error::new("open", &path, error))?;
        Ok(Self {
            dir,
            number,
            file,
            size,
            rules,
            lost: None,
        })
    }

    /// Keeps what was said. What cannot be kept is lost: a full disk does not stop the workload.
    pub fn take(&mut self, stream: Stream, said: &[u8]) {
        let at = SystemTime::now();
        for piece in said.split_inclusive(|byte| *byte == b'\n') {
            let (text, complete) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut parts = text.chunks(LONGEST).peekable();
            if parts.peek().is_none() {
                self.write(at, stream, complete, &[]);
            }
            while let Some(part) = parts.next() {
                self.write(at, stream, complete && parts.peek().is_none(), part);
            }
        }
    }

    /// Why something was lost since the last call.
    pub fn lost(&mut self) -> Option<io::Error> {
        self.lost.take()
    }

    fn write(&mut self, at: SystemTime, stream: Stream, complete: bool, text: &[u8]) {
        let line = Line {
            at,
            stream,
            complete,
            text: text.to_vec(),
        };
        let mut bytes = Vec::with_capacity(text.len() + 50);
        // Into memory: that cannot fail.
        let _ = line.write(&mut bytes);
        let written = self.make_room(bytes.len() as u64).and_then(|()| {
            // One call: a reader never sees half of a line.
            self.file.write_all(&bytes)
        });
        match written {
            Ok(()) => self.size += bytes.len() as u64,
            Err(error) => self.lost = Some(error),
        }
    }

    fn make_room(&mut self, more: u64) -> io::Result<()> {
        if self.size == 0 || self.size + more <= self.rules.max_size.0 {
            return Ok(());
        }
        let next = self.number + 1;
        (self.file, self.size) = open(&file(&self.dir, next))?;
        self.number = next;
        let kept = u64::from(self.rules.max_file.get());
        for old in numbers(&self.dir) {
            if old + kept <= next {
                fs::remove_file(file(&self.dir, old))?;
            }
        }
        Ok(())
    }
}

fn open(path: &std::path::Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}
