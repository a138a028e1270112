//! The qemu process, and the sockets that are the guest's ports.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::emulator::Emulator;
use crate::host;

/// Two at work, as `maxcpus` says, and one that a test can wake: only with three can a cgroup have two of
/// its own.
const CPUS: &str = "3";

/// One thread for all emulated processors. With a thread for each, even QEMU 10 now and then keeps a translation of code
/// that another processor is just patching, and the kernel runs a breakpoint that is over (`Oops: int3`): in 5 of 36 boots
/// that did nothing but have code patched under load. The suites take as long either way; but a processor may wait 100 ms
/// for its turn, so that tests must wait for what the kernel says.
const ACCELERATOR: &str = "tcg,thread=single";

/// `panic=-1` with `-no-reboot`: a panic ends qemu. The serial console only says what went wrong.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 quiet panic=-1 mitigations=off psi=1 no_timer_check maxcpus=2";

/// For an emulator that patched code may trip. 6.12 takes the emulated counter for a steady clock and, late in its
/// start, rewrites the code of `sched_clock_cpu` while the other processor is in it. (6.1 finds the counter unsteady by
/// itself.)
const KERNEL_PRECAUTION: &str = " tsc=unstable";

/// How many lines of the console an error shows.
const CONSOLE_LINES: usize = 25;

/// A drive and whether writes to it are thrown away, as the file is shared.
pub struct Disk {
    pub path: PathBuf,
    pub shared: bool,
}

pub struct Boot<'a> {
    pub emulator: &'a Emulator,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// vda, vdb and so on.
    pub disks: &'a [Disk],
    pub memory_mib: u32,
    /// For logs.
    pub scratch: &'a Path,
}

/// A running machine; dropping it ends it.
pub struct Qemu {
    child: Child,
    console: PathBuf,
    errors: PathBuf,
}

/// A qemu command being put together.
pub struct Builder {
    command: Command,
    /// The guest's ends of the ports: open until qemu has started.
    ends: Vec<OwnedFd>,
    console: PathBuf,
    errors: PathBuf,
}

impl Builder {
    pub fn new(boot: &Boot) -> Result<Self> {
        let console = boot.scratch.join("console.log");
        let errors = boot.scratch.join("qemu.log");
        // The machine must not outlive us, not even when we are killed.
        let mut command = host::dying_with_us(boot.emulator.program())?;
        command.args(boot.emulator.options());
        // KVM is left alone: where it is nested it may hang, and the same speed everywhere is worth more.
        command.args(["-accel", ACCELERATOR, "-cpu", "max", "-smp", CPUS]);
        command.args(["-m", &boot.memory_mib.to_string()]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-nic",
            "none",
        ]);
        command.args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "chardev:console",
            "-chardev",
        ]);
        command.arg(option("file,id=console,path=", &console, ""));
        command
            .arg("-kernel")
            .arg(boot.kernel)
            .arg("-initrd")
            .arg(boot.initramfs);
        let mut arguments = KERNEL_ARGUMENTS.to_owned();
        if !boot.emulator.is_reliable() {
            arguments += KERNEL_PRECAUTION;
        }
        command.args(["-append", &arguments]);
        for (index, disk) in boot.disks.iter().enumerate() {
            // unsafe: the disk need not survive a crash of the host, and its flushes would be the slowest part.
            let snapshot = if disk.shared { "on" } else { "off" };
            let settings =
                format!(",format=raw,if=none,cache=unsafe,snapshot={snapshot},id=disk{index}");
            command
                .arg("-drive")
                .arg(option("file=", &disk.path, &settings));
            command
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive=disk{index}"));
        }
        command.args(["-device", "virtio-serial-pci"]);
        Ok(Self {
            command,
            ends: Vec::new(),
            console,
            errors,
        })
    }

    /// A port, `/dev/vport*pNUMBER` in the guest, and our end of it.
    pub fn port(&mut self, number: u32) -> Result<UnixStream> {
        self.character_device("virtserialport", number)
    }

    /// The terminal, `/dev/hvc0` in the guest, and our end of it.
    pub fn terminal(&mut self) -> Result<UnixStream> {
        self.character_device("virtconsole", 0)
    }

    fn character_device(&mut self, device: &str, number: u32) -> Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair().context("make a socket pair")?;
        fcntl_setfd(&theirs, FdFlags::empty()).context("let qemu inherit a socket")?;
        let fd = theirs.as_fd().as_raw_fd();
        self.command
            .args(["-chardev", &format!("socket,id=port{number},fd={fd}")]);
        self.command.args([
            "-device",
            &format!("{device},chardev=port{number},nr={number}"),
        ]);
        self.ends.push(theirs.into());
        Ok(ours)
    }

    pub fn start(mut self) -> Result<Qemu> {
        let errors = fs::File::create(&self.errors)?;
        // A process group of its own: Ctrl-C is for us, and we end qemu.
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0);
        let child = self.command.spawn().context("start qemu")?;
        Ok(Qemu {
            child,
            console: self.console,
            errors: self.errors,
        })
    }
}

/// A qemu option with a path in it: qemu wants commas doubled.
fn option(before: &str, path: &Path, after: &str) -> OsString {
    let path = path.to_string_lossy().replace(',', ",,");
    format!("{before}{path}{after}").into()
}

impl Qemu {
    /// Ends the machine.
    pub fn end(&mut self) -> Result<ExitStatus> {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().context("wait for qemu")
    }

    /// Waits until the machine, whose sockets are closed, has ended by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("wait for qemu")
    }

    /// What an error should show: qemu's own complaints and the last lines of the kernel's console.
    pub fn last_words(&self) -> String {
        let read = |path| printable(&fs::read(path).unwrap_or_default());
        let (errors, console) = (read(&self.errors), read(&self.console));
        let console: Vec<_> = console
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = match panic_line(&console).map(|panic| first_sign(&console[..=panic])) {
            Some(line) => &console[line..(line + CONSOLE_LINES).min(console.len())],
            None => &console[console.len().saturating_sub(CONSOLE_LINES)..],
        };
        let lines = errors.lines().chain(last.iter().copied());
        lines.fold(String::new(), |words, line| words + "\n  " + line)
    }

    pub fn panicked(&self) -> bool {
        let console = printable(&fs::read(&self.console).unwrap_or_default());
        panic_line(&console.lines().collect::<Vec<_>>()).is_some()
    }
}

fn panic_line(console: &[&str]) -> Option<usize> {
    console
        .iter()
        .position(|line| line.contains("Kernel panic"))
}

/// Where the lines begin that say why, before the one that only says that it is over.
fn first_sign(console: &[&str]) -> usize {
    const SIGNS: [&str; 5] = [
        "BUG: ",
        "Oops",
        "general protection fault",
        "invalid opcode",
        "stack segment",
    ];
    console
        .iter()
        .position(|line| SIGNS.iter().any(|sign| line.contains(sign)))
        .unwrap_or(console.len() - 1)
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Text without the escape sequences that the BIOS sends to a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                // ESC, or ESC [ parameters, up to a letter.
                characters.find(char::is_ascii_alphabetic);
            }
            '\n' => clean.push('\n'),
            control if control.is_control() => {}
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_text_is_shown_without_escape_sequences() {
        assert_eq!(
            printable(b"\x1bc\x1b[?7l\x1b[2JSeaBIOS\r\n[    0.1] panic\n"),
            "SeaBIOS\n[    0.1] panic\n"
        );
    }

    #[test]
    fn a_panic_is_told_from_its_first_sign_on() {
        let why = ["booting", "BUG: kernel NULL pointer", "Kernel panic"];
        assert_eq!(first_sign(&why), 1);
        assert_eq!(first_sign(&["booting", "Kernel panic"]), 1);
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(option("file=", Path::new("/a,b"), ",x"), "file=/a,,b,x");
    }
}
