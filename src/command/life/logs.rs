//! `ringfence logs`: what a detached workload said.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::shelf;
use crate::kernel::watch::{Folder, is_over};
use crate::launch::log::{Line, Reader, Stream};
use crate::launch::state::Shelf;
use crate::ui::plain::quiet_end;

/// How often is looked where nothing is heard.
const LOOK: Duration = Duration::from_secs(1);

/// What of a log is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose.
    pub name: String,
    /// Go on until the workload has ended.
    pub follow: bool,
    /// Only the last lines.
    pub tail: Option<usize>,
    /// Only what came since then.
    pub since: Option<SystemTime>,
    /// With the time of each line.
    pub timestamps: bool,
}

/// Prints it: what was said on stderr goes to stderr.
pub fn run(options: &Options) -> Result<u8> {
    let shelf = shelf()?;
    let record = shelf.get(&options.name)?;
    let Some(dir) = record.log else {
        bail!(
            "{} is not detached: what it says goes to where it was started",
            options.name
        );
    };
    let folder = options.follow.then(|| Folder::watch(&dir));
    let mut reader = Reader::new(&dir);
    let mut out = Out::new(options.timestamps);
    let mut said = || -> Result<Option<VecDeque<Line>>> {
        let lines = reader.lines().context("read the log")?;
        Ok((!lines.is_empty()).then(|| {
            let mut lines = lines;
            lines.retain(|line| options.since.is_none_or(|since| line.at >= since));
            lines
        }))
    };
    let mut last = VecDeque::new();
    while let Some(lines) = said()? {
        match options.tail {
            None => {
                if !quiet_end(out.print(lines))? {
                    return Ok(0);
                }
            }
            Some(tail) => {
                last.extend(lines);
                keep_last(&mut last, tail);
            }
        }
    }
    if !quiet_end(out.print(last))? {
        return Ok(0);
    }
    let Some(folder) = folder else {
        return Ok(0);
    };
    loop {
        // First whether it has ended, then what it said: nothing of its last words is missed.
        let ended = has_ended(&shelf, &options.name);
        while let Some(lines) = said()? {
            if !quiet_end(out.print(lines))? {
                return Ok(0);
            }
        }
        if ended || is_over(out.stdout.as_fd()) {
            return Ok(0);
        }
        folder.wait(&[], LOOK);
    }
}

/// Whole lines, of which each may have come in parts.
fn keep_last(lines: &mut VecDeque<Line>, tail: usize) {
    let whole = lines.iter().filter(|line| line.complete).count();
    // One that has not ended yet is a line too.
    let open = lines.back().is_some_and(|line| !line.complete);
    let mut more = (whole + usize::from(open)).saturating_sub(tail);
    while more > 0 {
        let Some(line) = lines.pop_front() else {
            return;
        };
        more -= usize::from(line.complete || lines.is_empty());
    }
}

fn has_ended(shelf: &Shelf, name: &str) -> bool {
    shelf.get(name).map_or(true, |record| {
        record.exit_code().is_some() || record.supervisor.hold().is_none()
    })
}

struct Out {
    stdout: io::Stdout,
    stderr: io::Stderr,
    timestamps: bool,
    /// Whether the next part begins a line.
    fresh: bool,
}

impl Out {
    fn new(timestamps: bool) -> Self {
        Self {
            stdout: io::stdout(),
            stderr: io::stderr(),
            timestamps,
            fresh: true,
        }
    }

    fn print(&mut self, lines: VecDeque<Line>) -> io::Result<()> {
        for line in lines {
            let mut bytes = Vec::with_capacity(line.text.len() + 40);
            if self.timestamps && self.fresh {
                write!(bytes, "{} ", humantime::format_rfc3339_nanos(line.at))?;
            }
            bytes.extend_from_slice(&line.text);
            if line.complete {
                bytes.push(b'\n');
            }
            self.fresh = line.complete;
            match line.stream {
                Stream::Stdout => self.stdout.lock().write_all(&bytes)?,
                Stream::Stderr => self.stderr.lock().write_all(&bytes)?,
            }
        }
        self.stdout.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_of_whole_lines() {
        let line = |text: &str, complete| Line {
            at: SystemTime::UNIX_EPOCH,
            stream: Stream::Stdout,
            complete,
            text: text.as_bytes().to_vec(),
        };
        let all = || {
            VecDeque::from([
                line("a", true),
                line("b", false),
                line("c", true),
                line("d", false),
            ])
        };
        for (tail, left) in [(0, ""), (1, "d"), (2, "bcd"), (3, "abcd"), (9, "abcd")] {
            let mut lines = all();
            keep_last(&mut lines, tail);
            let text: Vec<u8> = lines.into_iter().flat_map(|line| line.text).collect();
            assert_eq!(String::from_utf8(text).unwrap(), left, "{tail}");
        }
    }
}
