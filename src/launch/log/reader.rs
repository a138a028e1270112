//! Reading a log, while it is written and rotated.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Line, file, numbers};

/// Reads from the oldest line to the newest, and on.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    file: Option<(u64, File)>,
    /// What was read and is no whole line yet.
    rest: Vec<u8>,
}

impl Reader {
    /// At the oldest line there is.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            file: None,
            rest: Vec::new(),
        }
    }

    /// The lines that came since the last call; empty where there are none now. Some of many at a time.
    pub fn lines(&mut self) -> io::Result<VecDeque<Line>> {
        let mut lines = VecDeque::new();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            // Looked for before the last read: nothing is added to a file once there is a next one.
            let next = self.next_number();
            if let Some((_, open)) = &mut self.file {
                let read = open.read(&mut bytes)?;
                if read > 0 {
                    self.rest.extend_from_slice(&bytes[..read]);
                    self.take_lines(&mut lines);
                    if !lines.is_empty() {
                        return Ok(lines);
                    }
                    continue;
                }
            }
            let Some(next) = next else {
                return Ok(lines);
            };
            self.file = match File::open(file(&self.dir, next)) {
                Ok(open) => Some((next, open)),
                // Removed since: there is one after it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
        }
    }

    /// The oldest file after this one.
    fn next_number(&self) -> Option<u64> {
        let current = self.file.as_ref().map_or(0, |(number, _)| *number);
        numbers(&self.dir)
            .into_iter()
            .find(|number| *number > current)
    }

    fn take_lines(&mut self, lines: &mut VecDeque<Line>) {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let whole = &self.rest[..end];
        lines.extend(whole.split(|byte| *byte == b'\n').filter_map(Line::parse));
        self.rest.drain(..=end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stream, Writer};
    use super::*;
    use crate::kernel::unit::Bytes;
    use crate::launch::spec::LogRules;

    fn text(line: &Line) -> String {
        let end = if line.complete { "\n" } else { "" };
        String::from_utf8_lossy(&line.text).into_owned() + end
    }

    fn rules(max_size: u64, max_file: u32) -> LogRules {
        LogRules {
            max_size: Bytes(max_size),
            max_file: max_file.try_into().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path().to_owned(), rules(500, 100)).unwrap();
        let mut reader = Reader::new(dir.path());
        let (mut said, mut heard) = (String::new(), String::new());
        for number in 0..300 {
            let words = format!("line {number}\nand half of");
            said += &words;
            writer.take(Stream::Stdout, words.as_bytes());
            if number % 7 == 0 {
                while let lines = reader.lines().unwrap()
                    && !lines.is_empty()
                {
                    heard.extend(lines.iter().map(text));
                }
            }
        }
        while let lines = reader.lines().unwrap()
            && !lines.is_empty()
        {
            heard.extend(lines.iter().map(text));
        }
        assert!(writer.lost().is_none());
        assert_eq!(heard, said);
        // Who comes late has it all too.
        let mut late = Reader::new(dir.path());
        let mut heard = String::new();
        while let lines = late.lines().unwrap()
            && !lines.is_empty()
        {
            heard.extend(lines.iter().map(text));
        }
        assert_eq!(heard, said);
    }

    #[test]
    fn it_stays_small_and_has_the_newest() {
        for files in [1, 3] {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = Writer::open(dir.path().to_owned(), rules(4096, files)).unwrap();
            for number in 0..2000 {
                writer.take(Stream::Stderr, format!("line {number}\n").as_bytes());
            }
            let entries: Vec<_> = dir.path().read_dir().unwrap().flatten().collect();
            assert_eq!(entries.len(), files as usize);
            for entry in entries {
                assert!(entry.metadata().unwrap().len() <= 4096);
            }
            let mut reader = Reader::new(dir.path());
            let mut last = None;
            while let lines = reader.lines().unwrap()
                && !lines.is_empty()
            {
                last = lines.back().cloned();
            }
            assert_eq!(text(&last.unwrap()), "line 1999\n");
        }
    }
}
