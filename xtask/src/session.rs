//! Our side of a running machine: its streams, its exit code, our signals.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::qemu::{Builder, Qemu};
use crate::stream::{self, End};
use crate::tty::{self, RawTerminal};

/// How long a boot may take. Seconds, but minutes where the host is busy with other things.
const BOOT: Duration = Duration::from_mins(5);

/// How often a guest that says nothing is looked at: its kernel may have panicked and hang instead of ending.
const LOOK: Duration = Duration::from_secs(1);

/// A booted guest says every few seconds that it is alive (`guest/run.sh`). After so long without a sign it is taken for
/// dead: long enough for a host that is busy with other things.
pub const SILENCE: Duration = Duration::from_mins(3);

/// How long the last output may take to reach our reader after the machine has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// What the command's streams are.
pub enum Streams {
    /// The terminal we run on, in raw mode.
    Terminal,
    Pipes {
        stdin: Option<Box<dyn Read + Send>>,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    },
}

impl Streams {
    /// Our own; stdin only where it is not a terminal, which would wait for someone to type.
    pub fn inherited() -> Result<Self> {
        if tty::is_interactive() {
            return Ok(Self::Terminal);
        }
        // Unbuffered, unlike io::stdout.
        let own = |fd: rustix::fd::BorrowedFd| {
            fd.try_clone_to_owned()
                .map(File::from)
                .context("duplicate a stream")
        };
        let stdin = if rustix::termios::isatty(io::stdin()) {
            None
        } else {
            Some(own(io::stdin().as_fd())?)
        };
        Ok(Self::Pipes {
            stdin: stdin.map(|file| Box::new(file) as Box<dyn Read + Send>),
            stdout: Box::new(own(io::stdout().as_fd())?),
            stderr: Box::new(own(io::stderr().as_fd())?),
        })
    }
}

/// What happens while a machine runs.
enum Event {
    /// The guest is up and starts the command.
    Started,
    /// The guest is still there.
    Alive,
    /// The command has ended with this code.
    Exited(i32),
    /// An output stream has ended.
    Output(io::Result<End>),
    /// The machine is gone.
    Gone,
    /// Someone pressed Ctrl-].
    Escape,
    Signal(i32),
}

/// The machine panicked, ended or fell silent before its command ended: no result of the command.
#[derive(Debug, thiserror::Error)]
#[error("the guest {how}")]
pub struct GuestDied {
    /// Whether the command had been started.
    pub booted: bool,
    /// With the console's last lines.
    how: String,
}

/// How following a machine ended.
pub enum Outcome {
    Exited(i32),
    /// By a signal to us, by Ctrl-], or as nobody reads the output any more.
    Interrupted(i32),
    TimedOut,
}

/// Our side of a running machine.
pub struct Session {
    inbox: Receiver<Event>,
    control: UnixStream,
    /// Output streams still open.
    open: usize,
    raw: Option<RawTerminal>,
}

impl Session {
    /// Gives the machine its ports and starts to serve them.
    pub fn connect(builder: &mut Builder, streams: Streams, mark: &[u8]) -> Result<Self> {
        let (events, inbox) = channel();
        watch_signals(events.clone())?;
        let mut open = 0;
        let mut copy_out = |mut from: UnixStream, mut to: Box<dyn Write + Send>| {
            let (mark, events) = (mark.to_vec(), events.clone());
            open += 1;
            thread::spawn(move || {
                events.send(Event::Output(stream::copy_until(&mark, &mut from, &mut to)))
            });
        };
        let mut raw = None;
        match streams {
            Streams::Terminal => {
                eprintln!("xtask: booting; Ctrl-] ends the guest");
                let port = builder.terminal()?;
                copy_out(port.try_clone()?, Box::new(io::stdout()));
                raw = Some(RawTerminal::enter()?);
                let events = events.clone();
                thread::spawn(move || copy_keys(port, &events));
            }
            Streams::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                let input = builder.port(1)?;
                copy_out(builder.port(2)?, stdout);
                copy_out(builder.port(3)?, stderr);
                thread::spawn(move || copy_in(stdin, input));
            }
        }
        let control = builder.port(4)?;
        let reader = BufReader::new(control.try_clone()?);
        thread::spawn(move || read_control(reader, &events));
        Ok(Self {
            inbox,
            control,
            open,
            raw,
        })
    }

    /// Follows the machine until the command, which may take as long as `timeout`, has ended and all of its
    /// output has arrived. A guest that gives no sign for as long as `silence` is dead.
    pub fn follow(
        &mut self,
        qemu: &mut Qemu,
        timeout: Option<Duration>,
        silence: Duration,
    ) -> Result<Outcome> {
        let mut deadline = Some(Instant::now() + BOOT);
        let mut sign = Instant::now();
        let mut booted = false;
        let mut exited = None;
        let died = |qemu: &Qemu, booted, how: &str| {
            let what = if qemu.panicked() { "panicked" } else { how };
            let when = if booted {
                "its command ended"
            } else {
                "it had booted"
            };
            let how = format!("{what} before {when}{}", qemu.last_words());
            anyhow::Error::from(GuestDied { booted, how })
        };
        loop {
            if let (Some(code), 0) = (exited, self.open) {
                return Ok(Outcome::Exited(code));
            }
            let event = match self.inbox.recv_timeout(LOOK) {
                Ok(event) => event,
                Err(RecvTimeoutError::Disconnected) => bail!("the machine's threads are gone"),
                Err(RecvTimeoutError::Timeout) => {
                    let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                    if !booted && (late || qemu.panicked()) {
                        let how = format!("did nothing for {} s", BOOT.as_secs());
                        return Err(died(qemu, booted, &how));
                    } else if booted && exited.is_none() && sign.elapsed() >= silence {
                        let how = format!("gave no sign for {} s", silence.as_secs());
                        return Err(died(qemu, booted, &how));
                    } else if late {
                        return Ok(Outcome::TimedOut);
                    }
                    continue;
                }
            };
            match event {
                Event::Started => {
                    booted = true;
                    sign = Instant::now();
                    deadline = timeout.map(|timeout| Instant::now() + timeout);
                }
                Event::Alive => sign = Instant::now(),
                Event::Exited(code) => exited = Some(code),
                Event::Output(end) => {
                    self.open -= 1;
                    if end.context("pass on the guest's output")? == End::ReaderGone {
                        // What the command would have got here: SIGPIPE.
                        return Ok(Outcome::Interrupted(128 + SIGPIPE));
                    }
                }
                Event::Gone if exited.is_some() => {}
                Event::Gone => {
                    let status = qemu.wait()?;
                    return Err(died(qemu, booted, &format!("ended (qemu: {status})")));
                }
                Event::Escape => return Ok(Outcome::Interrupted(128 + SIGINT)),
                Event::Signal(SIGWINCH) => {
                    let (rows, cols) = tty::size();
                    // A guest that has just ended needs no size.
                    let _ = writeln!(self.control, "{rows} {cols}");
                }
                Event::Signal(signal) => {
                    eprintln!("xtask: ended by signal {signal}");
                    return Ok(Outcome::Interrupted(128 + signal));
                }
            }
        }
    }

    /// Ends the machine, passes on what it had still said, and gives the terminal back.
    pub fn close(mut self, qemu: &mut Qemu, cut_off: bool) {
        let _ = qemu.end();
        let deadline = Instant::now() + DRAIN;
        while self.open > 0 {
            match self
                .inbox
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Output(_)) => self.open -= 1,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if self.raw.take().is_some() && cut_off {
            tty::reset_screen();
        }
    }
}

/// Reads `start`, `alive` and `exit CODE` until the machine is gone.
fn read_control(reader: impl BufRead, events: &Sender<Event>) {
    for line in reader.lines().map_while(Result::ok) {
        let event = match line.split_once(' ') {
            Some(("exit", code)) => code.parse().map(Event::Exited).ok(),
            _ => match line.as_str() {
                "start" => Some(Event::Started),
                "alive" => Some(Event::Alive),
                _ => None,
            },
        };
        if let Some(event) = event {
            let _ = events.send(event);
        }
    }
    let _ = events.send(Event::Gone);
}

/// Passes stdin on, and then its end: only shut down, as a closed socket may lose what is still in it.
fn copy_in(stdin: Option<Box<dyn Read + Send>>, mut port: UnixStream) {
    if let Some(mut stdin) = stdin {
        // The guest may not want it all.
        let _ = io::copy(&mut stdin, &mut port);
    }
    let _ = port.shutdown(Shutdown::Write);
    // Until the machine is gone.
    let _ = port.read(&mut [0]);
}

fn copy_keys(mut port: UnixStream, events: &Sender<Event>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stdin.read(&mut buffer) {
        if buffer[..count].contains(&tty::ESCAPE) {
            let _ = events.send(Event::Escape);
            return;
        }
        if port.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn watch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH]).context("watch for signals")?;
    thread::spawn(move || {
        signals
            .forever()
            .try_for_each(|signal| events.send(Event::Signal(signal)))
    });
    Ok(())
}
