//! `cargo xtask vm`: one command in a fresh guest, as if it ran here.

use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::cargo;
use crate::debian;
use crate::guest::{self, Added, Job};
use crate::kernel::Kernel;
use crate::qemu::{Boot, Builder, Disk, Qemu};
use crate::setup;
use crate::stream::{self, End};
use crate::tty::{self, RawTerminal};

/// Exit code of a command that was ended for taking too long, as with timeout(1).
const TIMED_OUT: i32 = 124;

const MEMORY_MIB: u32 = 1024;

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// How long the last output may take to reach our reader after the machine has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Which guest.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineArgs {
    /// Boot this kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    pub kernel: Kernel,
    /// Boot Debian with systemd instead of the small busybox guest (about 20 s instead of 4)
    #[arg(long)]
    pub debian: bool,
    /// Memory of the guest
    #[arg(long = "mem", value_name = "MIB", default_value_t = MEMORY_MIB)]
    pub memory_mib: u32,
    /// Put a file or directory of the host into the guest, by default into /root
    #[arg(long = "add", value_name = "HOST[:GUEST]")]
    pub added: Vec<Added>,
}

impl MachineArgs {
    /// The small guest with this kernel.
    pub fn with_kernel(kernel: Kernel) -> Self {
        Self {
            kernel,
            debian: false,
            memory_mib: MEMORY_MIB,
            added: Vec::new(),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command runs as root in a fresh guest: ringfence and busybox are on PATH, cgroup v2 is at /sys/fs/cgroup, /tmp is \
on a real ext4 disk (/dev/vda), and /dev/vdb1 is a partition of a second, empty one. Stdin, stdout and stderr are \
passed through; the exit code is the command's (128+N for signal N), 124 after the timeout, 125 when the guest fails.

Without a command, a shell. On a terminal the command gets a terminal too; Ctrl-] ends the guest.")]
pub struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// End the guest after this time, with exit code 124 [default: 600, on a terminal unlimited]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    let streams = Streams::inherited()?;
    let timeout = match (args.timeout, &streams) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        (None, Streams::Terminal) => None,
        (None, Streams::Pipes { .. }) => Some(DEFAULT_TIMEOUT),
    };
    boot(&args.machine, &args.command, timeout, streams)
}

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

/// Builds ringfence, boots a guest, and returns the exit code of `command` in it.
pub fn boot(
    args: &MachineArgs,
    command: &[OsString],
    timeout: Option<Duration>,
    streams: Streams,
) -> Result<i32> {
    setup::ensure(args.kernel)?;
    let ringfence = cargo::build_ringfence()?;
    let shell = [OsString::from("/bin/sh")];
    let command = if command.is_empty() {
        &shell[..]
    } else {
        command
    };

    let (events, inbox) = channel();
    watch_signals(events.clone())?;
    let scratch = tempfile::Builder::new()
        .prefix("ringfence-vm-")
        .tempdir()
        .context("create a temporary directory")?;
    let scratch = scratch.path();
    let end_mark = end_mark();
    let terminal = matches!(streams, Streams::Terminal).then(tty::size);
    let disks = write_disks(
        args,
        &ringfence,
        scratch,
        &Job {
            command,
            end_mark: &end_mark,
            terminal,
        },
    )?;
    let initramfs = guest::write_initramfs(args.kernel, scratch)?;
    let mut builder = Builder::new(&Boot {
        kernel: &args.kernel.dir()?.join("vmlinuz"),
        initramfs: &initramfs,
        disks: &disks,
        memory_mib: args.memory_mib,
        scratch,
    })?;
    let mark = format!("\0{end_mark}\0").into_bytes();
    let mut session = Session::connect(&mut builder, streams, &mark, events)?;
    let mut qemu = builder.start()?;
    let result = session.follow(&mut qemu, &inbox, timeout);
    session.close(&mut qemu, &inbox, !matches!(result, Ok(Outcome::Exited(_))));
    match result? {
        Outcome::Exited(code) | Outcome::Interrupted(code) => Ok(code),
        Outcome::TimedOut { started } => {
            let seconds = timeout.unwrap_or_default().as_secs();
            if started {
                eprintln!(
                    "xtask: the command was ended after {seconds} s; --timeout gives it longer"
                );
            } else {
                eprintln!(
                    "xtask: the guest had not booted after {seconds} s{}",
                    qemu.last_words()
                );
            }
            Ok(TIMED_OUT)
        }
    }
}

/// The disks of a guest, with everything this run needs on them.
fn write_disks(
    args: &MachineArgs,
    ringfence: &std::path::Path,
    scratch: &std::path::Path,
    job: &Job,
) -> Result<Vec<Disk>> {
    let tree = scratch.join("root");
    std::fs::create_dir(&tree)?;
    if args.debian {
        debian::write_payload(&tree)?;
    } else {
        guest::write_system(&tree)?;
    }
    let binary = Added {
        host: ringfence.to_owned(),
        guest: "/bin/ringfence".into(),
    };
    for added in std::iter::once(&binary).chain(&args.added) {
        guest::add(&tree, added)?;
    }
    guest::write_job(&tree, job)?;
    let fresh = |name: &str| Disk {
        path: scratch.join(name),
        shared: false,
    };
    let (own, second) = (fresh("root.img"), fresh("second.img"));
    guest::write_disk(&tree, &own.path)?;
    guest::write_second_disk(&second.path)?;
    Ok(if args.debian {
        vec![
            Disk {
                path: debian::image()?,
                shared: true,
            },
            second,
            own,
        ]
    } else {
        vec![own, second]
    })
}

/// Text that no program prints: the hasher's keys are random.
fn end_mark() -> String {
    format!(
        "xtask-end-{:016x}",
        RandomState::new().build_hasher().finish()
    )
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

enum Outcome {
    Exited(i32),
    Interrupted(i32),
    TimedOut { started: bool },
}

/// Our side of a running machine.
struct Session {
    control: UnixStream,
    /// Output streams still open.
    open: usize,
    raw: Option<RawTerminal>,
}

impl Session {
    fn connect(
        builder: &mut Builder,
        streams: Streams,
        mark: &[u8],
        events: Sender<Event>,
    ) -> Result<Self> {
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
        Ok(Self { control, open, raw })
    }

    /// Follows the machine until the command has ended and all of its output has arrived.
    fn follow(
        &mut self,
        qemu: &mut Qemu,
        inbox: &Receiver<Event>,
        timeout: Option<Duration>,
    ) -> Result<Outcome> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut started = false;
        let mut exited = None;
        loop {
            if let (Some(code), 0) = (exited, self.open) {
                return Ok(Outcome::Exited(code));
            }
            let event = match deadline {
                None => inbox.recv().ok(),
                Some(deadline) => {
                    match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                        Ok(event) => Some(event),
                        Err(RecvTimeoutError::Timeout) => return Ok(Outcome::TimedOut { started }),
                        Err(RecvTimeoutError::Disconnected) => None,
                    }
                }
            };
            match event.context("the machine's threads are gone")? {
                Event::Started => started = true,
                Event::Exited(code) => exited = Some(code),
                Event::Output(end) => {
                    self.open -= 1;
                    if end.context("pass on the guest's output")? == End::ReaderGone {
                        // What the command would have got here: SIGPIPE.
                        return Ok(Outcome::Interrupted(128 + 13));
                    }
                }
                Event::Gone if exited.is_some() => {}
                Event::Gone => {
                    let status = qemu.wait()?;
                    let what = if qemu.panicked() { "panicked" } else { "ended" };
                    let words = qemu.last_words();
                    bail!("the guest {what} before its command ended (qemu: {status}){words}");
                }
                Event::Escape => return Ok(Outcome::Interrupted(128 + SIGINT)),
                Event::Signal(SIGWINCH) => {
                    let (rows, cols) = tty::size();
                    // A guest that has just ended needs no size.
                    let _ = writeln!(self.control, "{rows} {cols}");
                }
                Event::Signal(signal) => return Ok(Outcome::Interrupted(128 + signal)),
            }
        }
    }

    /// Ends the machine, passes on what it had still said, and gives the terminal back.
    fn close(&mut self, qemu: &mut Qemu, inbox: &Receiver<Event>, cut_off: bool) {
        let _ = qemu.end();
        let deadline = Instant::now() + DRAIN;
        while self.open > 0 {
            match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
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

/// Reads `start` and `exit CODE` until the machine is gone.
fn read_control(reader: impl BufRead, events: &Sender<Event>) {
    for line in reader.lines().map_while(Result::ok) {
        let event = match line.split_once(' ') {
            Some(("exit", code)) => code.parse().map(Event::Exited).ok(),
            _ => (line == "start").then_some(Event::Started),
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
