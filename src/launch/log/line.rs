//! One line of a log.

use std::io::{self, Write};
use std::time::SystemTime;

/// Where a workload said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// On stdout, or on its terminal.
    Stdout,
    /// On stderr.
    Stderr,
}

/// One line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it came.
    pub at: SystemTime,
    /// Where it was said.
    pub stream: Stream,
    /// Whether the line ends here.
    pub complete: bool,
    /// Its bytes, without the end of the line.
    pub text: Vec<u8>,
}

impl Line {
    /// Understands a line of the file, without its end; `None` where it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.splitn(4, |byte| *byte == b' ');
        let at = std::str::from_utf8(words.next()?).ok()?;
        let at = humantime::parse_rfc3339(at).ok()?;
        let stream = match words.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let complete = match words.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self {
            at,
            stream,
            complete,
            text: words.next()?.to_vec(),
        })
    }

    /// Writes it as it is in the file.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let end = if self.complete { 'F' } else { 'P' };
        let at = humantime::format_rfc3339_nanos(self.at);
        write!(to, "{at} {stream} {end} ")?;
        to.write_all(&self.text)?;
        to.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_survives(
            seconds in 0_u32..,
            nanos in 0_u32..1_000_000_000,
            error: bool,
            complete: bool,
            text in proptest::collection::vec(any::<u8>().prop_filter("no line", |byte| *byte != b'\n'), 0..40),
        ) {
            let line = Line {
                at: SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds.into(), nanos),
                stream: if error { Stream::Stderr } else { Stream::Stdout },
                complete,
                text,
            };
            let mut written = Vec::new();
            line.write(&mut written).unwrap();
            prop_assert_eq!(Line::parse(written.strip_suffix(b"\n").unwrap()), Some(line));
        }

        #[test]
        fn nothing_it_reads_is_trouble(text: Vec<u8>) {
            let _ = Line::parse(&text);
        }
    }
}
