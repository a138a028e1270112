//! `cargo xtask vm`: one command in a fresh guest, as if it ran here.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo;
use crate::debian;
use crate::emulator;
use crate::guest::{self, Added, Job};
use crate::kernel::Kernel;
use crate::qemu::{Boot, Builder, Disk};
use crate::session::{Outcome, SILENCE, Session, Streams};
use crate::setup;
use crate::tty;

/// Exit code of a command that was ended for taking too long, as with timeout(1).
const TIMED_OUT: i32 = 124;

const MEMORY_MIB: u32 = 1024;

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

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
    /// Take a guest that gives no sign for so long for dead
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = SILENCE.as_secs())]
    pub silence: u64,
}

impl MachineArgs {
    /// The small guest with this kernel.
    pub fn with_kernel(kernel: Kernel) -> Self {
        Self {
            kernel,
            debian: false,
            memory_mib: MEMORY_MIB,
            added: Vec::new(),
            silence: SILENCE.as_secs(),
        }
    }

    /// How reports call it.
    pub fn name(&self) -> String {
        let debian = if self.debian { "Debian, " } else { "" };
        format!("{debian}kernel {}", self.kernel)
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
    /// End the guest when the command takes longer, with exit code 124 [default: 600, on a terminal unlimited]
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
    Ok(boot(&args.machine, &args.command, timeout, streams)?.code())
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub enum Ended {
    Exited(i32),
    /// From outside: whoever started us wants no more of this.
    Interrupted(i32),
    TimedOut,
}

impl Ended {
    /// The exit code to pass on.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) | Self::Interrupted(code) => code,
            Self::TimedOut => TIMED_OUT,
        }
    }
}

/// Builds ringfence, boots a guest, and runs `command` in it.
pub fn boot(
    args: &MachineArgs,
    command: &[OsString],
    timeout: Option<Duration>,
    streams: Streams,
) -> Result<Ended> {
    setup::ensure(args.kernel)?;
    boot_with(&cargo::build_ringfence()?, args, command, timeout, streams)
}

/// Boots a guest with this ringfence, and runs `command` in it.
pub fn boot_with(
    ringfence: &Path,
    args: &MachineArgs,
    command: &[OsString],
    timeout: Option<Duration>,
    streams: Streams,
) -> Result<Ended> {
    let shell = [OsString::from("/bin/sh")];
    let command = if command.is_empty() {
        &shell[..]
    } else {
        command
    };

    let scratch = tempfile::Builder::new()
        .prefix("ringfence-vm-")
        .tempdir()
        .context("create a temporary directory")?;
    let scratch = scratch.path();
    let end_mark = end_mark();
    let emulator = emulator::required()?;
    let terminal = matches!(streams, Streams::Terminal).then(tty::size);
    let disks = write_disks(
        args,
        ringfence,
        scratch,
        &Job {
            command,
            end_mark: &end_mark,
            terminal,
            hold_patches: !emulator.is_reliable(),
        },
    )?;
    let initramfs = guest::write_initramfs(args.kernel, scratch)?;
    let mut builder = Builder::new(&Boot {
        emulator: &emulator,
        kernel: &args.kernel.dir()?.join("vmlinuz"),
        initramfs: &initramfs,
        disks: &disks,
        memory_mib: args.memory_mib,
        scratch,
    })?;
    let mark = format!("\0{end_mark}\0").into_bytes();
    let mut session = Session::connect(&mut builder, streams, &mark)?;
    let mut qemu = builder.start()?;
    let result = session.follow(&mut qemu, timeout, Duration::from_secs(args.silence));
    session.close(&mut qemu, !matches!(result, Ok(Outcome::Exited(_))));
    match result? {
        Outcome::Exited(code) => Ok(Ended::Exited(code)),
        Outcome::Interrupted(code) => Ok(Ended::Interrupted(code)),
        Outcome::TimedOut => {
            let seconds = timeout.unwrap_or_default().as_secs();
            eprintln!("xtask: the command was ended after {seconds} s; --timeout gives it longer");
            Ok(Ended::TimedOut)
        }
    }
}

/// The disks of a guest, with everything this run needs on them.
fn write_disks(
    args: &MachineArgs,
    ringfence: &Path,
    scratch: &Path,
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
