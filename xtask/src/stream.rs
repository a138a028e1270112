//! Output streams of the guest: copied until the mark that says they are complete.

use std::io::{self, Read, Write};

/// How copying a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The mark came: nothing is missing.
    Complete,
    /// The machine went away first.
    CutOff,
    /// Our own reader went away, as `head` does.
    ReaderGone,
}

/// Copies `from` to `to` as it comes, up to `mark`.
///
/// Bytes that may be the beginning of the mark are held back until the next ones tell. The mark is random, so a
/// program does not print it by chance, and starts with a byte that is rare in text.
pub fn copy_until(mark: &[u8], from: &mut impl Read, to: &mut impl Write) -> io::Result<End> {
    let mut pending = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        pending.extend_from_slice(&buffer[..count]);
        let complete = pending.ends_with(mark);
        let ready = if complete {
            pending.len() - mark.len()
        } else if count == 0 {
            pending.len()
        } else {
            pending.len() - held_back(mark, &pending)
        };
        match to.write_all(&pending[..ready]).and_then(|()| to.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::ReaderGone),
            Err(error) => return Err(error),
        }
        if complete {
            return Ok(End::Complete);
        }
        if count == 0 {
            return Ok(End::CutOff);
        }
        pending.drain(..ready);
    }
}

/// How many of the last bytes are a beginning of the mark.
fn held_back(mark: &[u8], bytes: &[u8]) -> usize {
    (1..mark.len().min(bytes.len() + 1))
        .rev()
        .find(|&length| bytes.ends_with(&mark[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that arrives in the given pieces.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn copied(pieces: &[&'static [u8]]) -> (End, Vec<u8>) {
        let mut to = Vec::new();
        let end = copy_until(b"\0end\0", &mut Pieces(pieces.to_vec()), &mut to).unwrap();
        (end, to)
    }

    #[test]
    fn the_mark_ends_a_stream_and_is_not_part_of_it() {
        assert_eq!(
            copied(&[b"hello\n", b"\0end\0"]),
            (End::Complete, b"hello\n".to_vec())
        );
        assert_eq!(
            copied(&[b"hello\0e", b"nd", b"\0"]),
            (End::Complete, b"hello".to_vec())
        );
        assert_eq!(copied(&[b"\0end\0"]), (End::Complete, Vec::new()));
    }

    #[test]
    fn what_only_looks_like_the_mark_passes() {
        assert_eq!(
            copied(&[b"a\0\0", b"en", b"x\0", b"end\0"]),
            (End::Complete, b"a\0\0enx".to_vec())
        );
    }

    #[test]
    fn a_stream_without_a_mark_was_cut_off() {
        assert_eq!(
            copied(&[b"hel", b"lo\0en"]),
            (End::CutOff, b"hello\0en".to_vec())
        );
    }

    #[test]
    fn a_reader_that_left_is_told() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let end = copy_until(b"\0end\0", &mut &b"text"[..], &mut Closed).unwrap();
        assert_eq!(end, End::ReaderGone);
    }
}
