//! Following the log of a workload for a screen, on a thread of its own: disks may be slow.
//!
//! The thread says what came, and waits until it is told to go on: however fast a workload is, no more than one answer
//! waits for the screen, and of what comes meanwhile, the last lines are kept.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::make::Keeper;
use super::worker::Outcome;
use super::workload;
use crate::kernel::watch::Folder;
use crate::launch::log::{Line, Reader, Stream};

/// How many lines are kept.
pub const LINES: usize = 10_000;
/// So much of a line is kept, in bytes.
const LONGEST: usize = 2048;
/// How often is looked where nothing is heard, and whether somebody still listens.
const LOOK: Duration = Duration::from_millis(250);
/// How long is read at a time where a lot comes, and how long at first.
const GATHER: Duration = Duration::from_millis(250);
const GATHER_FIRST: Duration = Duration::from_secs(10);
/// Where the next column of a tab is.
const TAB: usize = 8;

/// One line that a workload said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When its first part came.
    pub at: SystemTime,
    /// Where it was said.
    pub stream: Stream,
    /// Whether the line ends here.
    pub complete: bool,
    /// What was said, without escape sequences. Foreign text.
    pub text: String,
}

/// The last lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    lines: VecDeque<Said>,
    gone: u64,
}

impl From<Line> for Said {
    fn from(line: Line) -> Self {
        let plain = anstream::adapter::strip_bytes(&line.text).into_vec();
        let text = String::from_utf8_lossy(&plain);
        // What was written over is not seen on a terminal either.
        let text = text.trim_end_matches('\r');
        let text = text.rsplit('\r').next().unwrap_or_default();
        let mut said = Self {
            at: line.at,
            stream: line.stream,
            complete: line.complete,
            text: String::with_capacity(text.len().min(LONGEST)),
        };
        said.add(text);
        said
    }
}

impl Said {
    fn add(&mut self, text: &str) {
        let mut columns = self.text.chars().count();
        for char in text.chars() {
            if self.text.len() >= LONGEST {
                if !self.text.ends_with('…') {
                    self.text.push('…');
                }
                return;
            }
            if char == '\t' {
                let blanks = TAB - columns % TAB;
                self.text.extend(std::iter::repeat_n(' ', blanks));
                columns += blanks;
            } else {
                self.text.push(char);
                columns += 1;
            }
        }
    }
}

impl Lines {
    /// Adds a line, or goes on with the last one where that has not ended.
    pub fn push(&mut self, said: Said) {
        if let Some(last) = self.lines.back_mut()
            && !last.complete
            && last.stream == said.stream
        {
            last.add(&said.text);
            last.complete = said.complete;
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.gone += 1;
        }
        self.lines.push_back(said);
    }

    /// The number of the first line that is kept, and of the one after the last. Numbers stay when lines go.
    pub fn range(&self) -> (u64, u64) {
        (self.gone, self.gone + self.lines.len() as u64)
    }

    /// The lines from this number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Said> {
        let skip = usize::try_from(number.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Extend<Said> for Lines {
    fn extend<T: IntoIterator<Item = Said>>(&mut self, lines: T) {
        lines.into_iter().for_each(|said| self.push(said));
    }
}

impl IntoIterator for Lines {
    type Item = Said;
    type IntoIter = std::collections::vec_deque::IntoIter<Said>;

    fn into_iter(self) -> Self::IntoIter {
        self.lines.into_iter()
    }
}

/// A log that is followed. Dropping it ends that.
#[derive(Debug)]
pub struct Follower {
    more: Sender<()>,
}

impl Follower {
    /// Begins with what was said so far, of the workload whose cgroup this is, or was, or is in. `number` is for who
    /// ordered.
    pub fn start(
        number: u64,
        path: Arc<str>,
        answers: UnboundedSender<Outcome>,
    ) -> std::io::Result<Self> {
        let (more, goes_on) = mpsc::channel();
        let follow = move || {
            let say = |said: Result<Lines, String>| {
                // Where nobody listens any more, nobody follows either.
                let _ = answers.send(Outcome::Said { number, said });
            };
            if let Err(error) = follow(&path, &goes_on, &|lines| say(Ok(lines))) {
                say(Err(format!("{error:#}")));
            }
        };
        thread::Builder::new().name("log".into()).spawn(follow)?;
        Ok(Self { more })
    }

    /// Says what comes next, as soon as something does.
    pub fn go_on(&self) {
        // It ends by itself only with an error, which it has told.
        let _ = self.more.send(());
    }
}

fn follow(path: &str, goes_on: &Receiver<()>, say: &dyn Fn(Lines)) -> Result<()> {
    let dir = log_of(path)?;
    let folder = Folder::watch(&dir);
    let mut reader = Reader::new(&dir);
    let is_over = || goes_on.try_recv() == Err(TryRecvError::Disconnected);
    let mut gather = |patience: Duration| -> Result<Option<Lines>> {
        let begin = Instant::now();
        let mut gathered = Lines::default();
        loop {
            let lines = reader.lines().context("read its log")?;
            if lines.is_empty() || begin.elapsed() > patience {
                gathered.extend(lines.into_iter().map(Said::from));
                return Ok(Some(gathered));
            }
            gathered.extend(lines.into_iter().map(Said::from));
            if is_over() {
                return Ok(None);
            }
        }
    };
    // All that is there, before anything is shown: the end is what matters.
    let Some(lines) = gather(GATHER_FIRST)? else {
        return Ok(());
    };
    say(lines);
    while goes_on.recv().is_ok() {
        loop {
            match gather(GATHER)? {
                None => return Ok(()),
                Some(lines) if lines.is_empty() => {}
                Some(lines) => {
                    say(lines);
                    break;
                }
            }
            if is_over() {
                return Ok(());
            }
            folder.wait(&[], LOOK);
        }
    }
    Ok(())
}

/// Where a log is, or why there is none.
fn log_of(path: &str) -> Result<PathBuf> {
    let mut ancestors = std::path::Path::new(path).ancestors();
    let record = ancestors.find_map(|path| workload::recorded(path.to_str()?));
    let Some(record) = record else {
        match Keeper::of(std::path::Path::new(path.trim_start_matches('/'))) {
            Keeper::Systemd(unit) if unit.kind() == "service" => bail!(
                "what {} says is in the journal: `journalctl -f -u {}`",
                unit.name,
                unit.name
            ),
            _ => bail!(
                "only the log of a workload that `run -d` or the dashboard has started is kept here"
            ),
        }
    };
    record.log.with_context(|| {
        format!(
            "{} is not detached: what it says goes to where it was started, and is not kept",
            record.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, stream: Stream, complete: bool) -> Said {
        Said::from(Line {
            at: SystemTime::UNIX_EPOCH,
            stream,
            complete,
            text: text.as_bytes().to_vec(),
        })
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_there() {
        for (said, shown) in [
            ("\x1b[31mred\x1b[0m", "red"),
            ("a\tb", "a       b"),
            ("10 %\r20 %\r\r", "20 %"),
            ("", ""),
        ] {
            assert_eq!(line(said, Stream::Stdout, true).text, shown);
        }
        let long = line(&"x".repeat(1 << 20), Stream::Stdout, true).text;
        assert!(long.len() <= LONGEST + 4 && long.ends_with('…'));
    }

    #[test]
    fn parts_of_a_line_are_one_line_and_the_last_ones_stay() {
        let mut lines = Lines::default();
        lines.push(line("pass", Stream::Stdout, false));
        lines.push(line("word: ", Stream::Stdout, false));
        lines.push(line("oops", Stream::Stderr, true));
        lines.push(line("a", Stream::Stdout, true));
        let texts: Vec<&str> = lines.from(0).map(|said| &*said.text).collect();
        assert_eq!(texts, ["password: ", "oops", "a"]);
        lines.extend((0..LINES).map(|n| line(&n.to_string(), Stream::Stdout, true)));
        assert_eq!((lines.len(), lines.range()), (LINES, (3, 10_003)));
        assert_eq!(lines.from(10_002).next().unwrap().text, "9999");
        assert_eq!(lines.from(0).next().unwrap().text, "0");
    }
}
