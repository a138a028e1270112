//! `cargo xtask test`: every suite, each where it belongs, and one line that sums them up.
//!
//! Suites in `tests/vm_*.rs` want to limit and to kill, so they run as root on a real cgroup v2: this
//! host's where it is usable, else in a guest of each kernel, both at once. Those about systemd and podman run in the
//! Debian guest, wherever we are: they change units and reload systemd. All others run on this host.

mod choice;
mod tally;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guest::Added;
use crate::host;
use crate::kernel::Kernel;
use crate::session::{NotBooted, Streams};
use crate::vm::{self, Ended, MachineArgs};
use crate::{cargo, setup};
use choice::{IN_DEBIAN, is_meant, suites};
use tally::Tally;

/// All guest suites of one boot together.
const GUEST_TIMEOUT: Duration = Duration::from_hours(1);

/// How often to boot a guest that panics while it does.
const BOOTS: u32 = 3;

/// One guest suite, in seconds: one that hangs does not take the others with it, and says where.
const SUITE_TIMEOUT: u32 = 10 * 60;

/// What a launcher is to keep, by number: the tests of `vm_launch` begin with `b01` to `b60`.
const BEHAVIOURS: u32 = 60;

/// One test at a time: they share the guest's two slow processors, its kernel log and its one cgroup of
/// workloads, and several of them look at all of that.
const GUEST_THREADS: &str = "--test-threads=1";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Groups of suites: `launcher`, which behaviours of `ringfence run` hold, by number (vm_launch), `limits`, everything about changing limits (knobs, vm_limits and vm_edit on each kernel, vm_systemd \
and vm_podman in the Debian guest), and `ui`, everything about the dashboard (dashboard*, terminal, vm_dashboard*, \
vm_edit).

vm_* suites run on this host where its cgroup v2 is usable, else in the virtual machine, once on each kernel; \
vm_systemd, vm_podman and vm_skopeo always run in the Debian guest, on the newest kernel. The last line sums all suites up.")]
pub struct Args {
    /// Only suites whose name begins so: `lib`, `doc`, `xtask`, or a file in tests/ (with or without its `vm_`);
    /// or a group, `limits` or `ui`
    suite: Option<String>,
    /// Only this kernel in the virtual machine [default: all]
    #[arg(long = "kernel", value_enum)]
    kernels: Vec<Kernel>,
    /// Passed on to the test programs: a part of a test's name, --nocapture, …
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    let wanted = |suite: &str| {
        args.suite
            .as_ref()
            .is_none_or(|wanted| is_meant(wanted, suite))
    };
    let (on_kernel, native): (Vec<_>, Vec<_>) = suites()?
        .into_iter()
        .filter(|suite| wanted(suite))
        .partition(|suite| suite.starts_with("vm_"));
    let (in_debian, on_kernel): (Vec<_>, Vec<_>) = on_kernel
        .into_iter()
        .partition(|suite| IN_DEBIAN.contains(&suite.as_str()));
    let tally = Arc::new(Mutex::new(Tally::default()));

    let mut selection: Vec<OsString> = Vec::new();
    if wanted("lib") {
        selection.extend(["--lib", "--bins"].map(OsString::from));
    }
    for suite in &native {
        selection.extend(["--test".into(), suite.into()]);
    }
    if !selection.is_empty() {
        on_host(&tally, "ringfence", &selection, &args.arguments)?;
    }
    if wanted("doc") {
        on_host(&tally, "ringfence", &["--doc".into()], &args.arguments)?;
    }
    if wanted("xtask") {
        let mut selection: Vec<OsString> = vec!["--bins".into()];
        // Where the virtual machine is not used, it is not fetched to be tested either.
        if host::native_cgroup().is_err() {
            Kernel::ALL.into_iter().try_for_each(setup::ensure)?;
            selection.extend(["--test", "vm"].map(OsString::from));
        }
        on_host(&tally, "xtask", &selection, &args.arguments)?;
    }
    if !on_kernel.is_empty()
        && let Some(code) = on_real_kernel(&tally, &on_kernel, args)?
    {
        return Ok(code);
    }
    if !in_debian.is_empty()
        && let Some(code) = on_systemd(&tally, &in_debian, args)
    {
        return Ok(code);
    }

    let tally = lock(&tally);
    for skipped in &tally.skipped {
        println!("skipped: {skipped}");
    }
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    if args.suite.as_deref() == Some("launcher") {
        println!("{}", tally.behaviours(BEHAVIOURS));
    }
    println!("{tally}");
    if tally.ran() == 0 {
        bail!("no test ran; `cargo xtask test --help` says what can be chosen");
    }
    Ok(i32::from(tally.failed > 0))
}

/// Suites that `cargo test` runs on this host.
fn on_host(
    tally: &Arc<Mutex<Tally>>,
    package: &str,
    selection: &[OsString],
    arguments: &[OsString],
) -> Result<()> {
    let mut cargo = cargo::cargo("test");
    cargo
        .args(["--no-fail-fast", "--package", package])
        .args(selection)
        .arg("--")
        .args(arguments);
    let succeeded = watch(tally, &mut cargo)?;
    // A suite that crashed has no closing line of its own.
    lock(tally).close(package, succeeded);
    Ok(())
}

/// Runs a command, shows what it prints, and counts. Says whether it succeeded.
fn watch(tally: &Arc<Mutex<Tally>>, command: &mut Command) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("no pipe from the tests")?;
    let mut counter = Counter::new(tally, false);
    for line in BufReader::new(stdout).split(b'\n') {
        let mut line = line.context("read what the tests print")?;
        line.push(b'\n');
        counter.write_all(&line)?;
    }
    Ok(child.wait()?.success())
}

/// Suites that limit and kill. Returns an exit code when someone interrupted them.
fn on_real_kernel(
    tally: &Arc<Mutex<Tally>>,
    suites: &[String],
    args: &Args,
) -> Result<Option<i32>> {
    let why = match host::native_cgroup() {
        Ok(native) if args.kernels.is_empty() => {
            println!("kernel suites: on this host, which has cgroup v2");
            let ringfence = cargo::build_native_ringfence()?;
            for built in cargo::build_native("test", &selection(suites))? {
                let mut test = native.command(&built.path);
                test.env("RINGFENCE", &ringfence)
                    .arg(GUEST_THREADS)
                    .args(&args.arguments);
                let succeeded = watch(tally, &mut test)?;
                lock(tally).close(&built.name, succeeded);
            }
            return Ok(None);
        }
        Ok(_) => "as asked".to_owned(),
        Err(why) => why,
    };
    let kernels = if args.kernels.is_empty() {
        &Kernel::ALL[..]
    } else {
        &args.kernels[..]
    };
    let machines = kernels
        .iter()
        .map(|&kernel| MachineArgs::with_kernel(kernel));
    Ok(in_guests(tally, suites, machines, &why, args))
}

/// Suites that want systemd. Returns an exit code when someone interrupted them.
fn on_systemd(tally: &Arc<Mutex<Tally>>, suites: &[String], args: &Args) -> Option<i32> {
    if let Err(error) = setup::ensure_debian() {
        eprintln!("xtask: {error:#}");
        lock(tally).close("suites in the Debian guest", false);
        return None;
    }
    let kernels = if args.kernels.is_empty() {
        &Kernel::ALL[..1]
    } else {
        &args.kernels[..]
    };
    let machines = kernels.iter().map(|&kernel| MachineArgs {
        debian: true,
        ..MachineArgs::with_kernel(kernel)
    });
    in_guests(tally, suites, machines, "they reload systemd", args)
}

/// Suites in guests, all of them at once. Returns an exit code when someone interrupted them.
fn in_guests(
    tally: &Arc<Mutex<Tally>>,
    suites: &[String],
    machines: impl Iterator<Item = MachineArgs>,
    why: &str,
    args: &Args,
) -> Option<i32> {
    let built = match cargo::build_for_guest("test", &selection(suites)) {
        Ok(built) => built,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            lock(tally).close("kernel suites", false);
            return None;
        }
    };
    let added: Vec<Added> = built
        .iter()
        .map(|built| Added {
            host: built.path.clone(),
            guest: format!("/tests/{}", built.name).into(),
        })
        .collect();
    let mut machines: Vec<MachineArgs> = machines.collect();
    let several = machines.len() > 1;
    let command = &guest_command(suites, &args.arguments);
    thread::scope(|scope| {
        let runs: Vec<_> = machines
            .iter_mut()
            .map(|machine| {
                let debian = if machine.debian { "Debian, " } else { "" };
                let guest = format!("{debian}kernel {}", machine.kernel);
                println!("kernel suites: in the virtual machine, {guest}: {why}");
                machine.added.clone_from(&added);
                scope.spawn(move || {
                    let own = Arc::default();
                    let ended = in_guest(&own, several, machine, command);
                    let mut own = std::mem::take(&mut *lock(&own));
                    let interrupted = ended.unwrap_or_else(|how| {
                        // The suites have told how they ended; this is about the machine.
                        own.close(&how, false);
                        None
                    });
                    lock(tally).add(&guest, own);
                    interrupted
                })
            })
            .collect();
        let ended = runs.into_iter().map(|run| match run.join() {
            Ok(interrupted) => interrupted,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.fold(None, Option::or)
    })
}

/// The same suites as cargo's options.
fn selection(suites: &[String]) -> Vec<String> {
    suites
        .iter()
        .flat_map(|suite| ["--test".to_owned(), suite.clone()])
        .collect()
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One boot; counts what it prints, and shows it suite by suite where `several` guests run at once. Gives an exit
/// code when someone interrupted it, and as an error how the machine failed.
fn in_guest(
    tally: &Arc<Mutex<Tally>>,
    several: bool,
    machine: &MachineArgs,
    command: &[OsString],
) -> Result<Option<i32>, String> {
    let boot = || {
        let streams = Streams::Pipes {
            stdin: None,
            stdout: Box::new(Counter::new(tally, several)),
            stderr: Box::new(io::stderr()),
        };
        vm::boot(machine, command, Some(GUEST_TIMEOUT), streams)
    };
    let mut ended = boot();
    // An emulated kernel now and then panics while it boots: nothing of ours has run by then.
    for _ in 1..BOOTS {
        let Err(error) = &ended else { break };
        if !error.is::<NotBooted>() {
            break;
        }
        eprintln!("xtask: {error:#}\nxtask: booting once more");
        ended = boot();
    }
    match ended {
        Ok(Ended::Exited(0)) => Ok(None),
        Ok(Ended::Interrupted(code)) => Ok(Some(code)),
        Ok(Ended::Exited(code)) => Err(format!("the guest ended with {code}")),
        Ok(Ended::TimedOut) => Err("not all suites ended in time".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// Runs the suites one after the other; each ends with a line that says how.
fn guest_command(suites: &[String], arguments: &[OsString]) -> Vec<OsString> {
    let script = format!(
        "for suite in {}; do echo; echo \"     Running $suite on $(uname -r)\"; \
         /usr/lib/xtask/suite.sh {SUITE_TIMEOUT} /tests/$suite {GUEST_THREADS} \"$@\"; echo \"{} $suite $?\"; done",
        suites.join(" "),
        tally::SUITE_ENDED
    );
    let mut command: Vec<OsString> = ["env", "RINGFENCE=/bin/ringfence", "RUST_BACKTRACE=0"]
        .map(OsString::from)
        .to_vec();
    command.extend(for_suites(std::env::vars_os()));
    command.extend(["/bin/sh".into(), "-c".into(), script.into(), "tests".into()]);
    command.extend(arguments.iter().cloned());
    command
}

/// What suites are told by the environment: `RINGFENCE_MONKEY=600`.
fn for_suites(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = OsString> {
    let told = |name: &OsString| name.as_encoded_bytes().starts_with(b"RINGFENCE_");
    environment
        .into_iter()
        .filter(move |(name, _)| told(name))
        .map(|(mut word, value)| {
            word.push("=");
            word.push(value);
            word
        })
}

/// Passes output on to stdout, and counts whole lines.
struct Counter {
    tally: Arc<Mutex<Tally>>,
    line: Vec<u8>,
    /// What a suite has printed so far, where it is shown as a whole.
    held: Option<Vec<u8>>,
}

impl Counter {
    fn new(tally: &Arc<Mutex<Tally>>, hold: bool) -> Self {
        Self {
            tally: Arc::clone(tally),
            line: Vec::new(),
            held: hold.then(Vec::new),
        }
    }

    fn release(&mut self) -> io::Result<()> {
        match &mut self.held {
            Some(held) => io::stdout().write_all(&std::mem::take(held)),
            None => Ok(()),
        }
    }
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            if !lock(&self.tally).take(text.trim_end()) {
                self.release()?;
            } else if let Some(held) = &mut self.held {
                held.extend(line);
            } else {
                io::stdout().write_all(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // A guest that ended in the middle of a suite.
        let _ = self.release();
    }
}
