//! `cargo xtask test`: every suite, each where it belongs, and one line that sums them up.
//!
//! Suites in `tests/vm_*.rs` want to limit and to kill, so they run as root on a real cgroup v2: this
//! host's where it is usable, else in a guest of each kernel. Those about systemd and podman run in the Debian guest,
//! wherever we are: they change units and reload systemd. Guests run side by side, two of each kernel. All other suites run
//! on this host; the one that tests xtask's own guests runs beside the other guests.

mod choice;
mod guests;
mod host_suite;
mod jobs;
mod tally;
mod times;

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cargo::{self, Built};
use crate::guest::Added;
use crate::host::{self, Native};
use crate::interrupt;
use crate::kernel::Kernel;
use crate::setup;
use crate::vm::MachineArgs;
use choice::{IN_DEBIAN, is_meant, suites};
use guests::PanicOnPurpose;
use host_suite::{HostReport, HostSuite, Shown};
use jobs::{Guest, Job, Outcome};
use tally::Tally;
use times::{BUILD, SlowestTests, Times};

/// What a launcher is to keep, by number: the tests of `vm_launch` begin with `b01` to `b60`.
const BEHAVIOURS: u32 = 60;

/// One test at a time: they share the guest's two slow processors, its kernel log and its one cgroup of
/// workloads, and several of them look at all of that. xtask's own tests of guests share this host's with all guests.
const ONE_AT_A_TIME: &str = "--test-threads=1";

/// xtask's own suite of guests.
const OWN_GUESTS: &str = "vm";

const HOST: &str = "host";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Groups of suites: `launcher`, which behaviours of `ringfence run` hold, by number; `limits`, everything about changing \
limits; `ui`, everything about the dashboard.

vm_* suites run on this host where its cgroup v2 is usable, else in the virtual machine, once on each kernel; those that \
want systemd or a program of Debian's always run in the Debian guest, on the newest kernel. A suite whose guest dies is run \
once more in a fresh one, which the summary counts. The last line sums all suites up.")]
pub struct Args {
    /// Only suites whose name begins so: `lib`, `doc`, `xtask`, or a file in tests/ (with or without its `vm_`);
    /// or a group, `launcher`, `limits` or `ui`
    suite: Option<String>,
    /// Only this kernel in the virtual machine [default: all]
    #[arg(long = "kernel", value_enum)]
    kernels: Vec<Kernel>,
    /// Storms, monkeys and churn at full length: hours instead of minutes
    #[arg(long)]
    full: bool,
    /// Make a guest panic before its first suite, to test what becomes of that
    #[arg(long, value_enum, hide = true)]
    panic_guest: Option<PanicOnPurpose>,
    /// Passed on to the test programs: a part of a test's name, --nocapture, …
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// How suites are run.
struct Run<'a> {
    arguments: &'a [OsString],
    full: bool,
    panic: Option<PanicOnPurpose>,
    /// One guest suite: one that hangs does not take the others with it, and says where.
    suite_timeout: Duration,
    /// All guest suites of one boot together.
    guest_timeout: Duration,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args) -> Self {
        let (suite, guest) = if args.full { (90, 12 * 60) } else { (10, 60) };
        Self {
            arguments: &args.arguments,
            full: args.full,
            panic: args.panic_guest,
            suite_timeout: Duration::from_mins(suite),
            guest_timeout: Duration::from_mins(guest),
        }
    }

    /// What suites are told, `NAME=VALUE`.
    fn environment(&self) -> impl Iterator<Item = &'static str> {
        self.full.then_some("RINGFENCE_FULL=1").into_iter()
    }
}

pub fn run(args: &Args) -> Result<i32> {
    interrupt::watch()?;
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
    let mut test = Test {
        run: Run::new(args),
        kernels: &args.kernels,
        tally: Tally::default(),
        times: Times::default(),
        slowest: SlowestTests::default(),
    };

    // One build for this host and for all guests.
    let mut selection: Vec<String> = Vec::new();
    if wanted("lib") {
        selection.extend(["--lib", "--bins"].map(str::to_owned));
    }
    for suite in native.iter().chain(&on_kernel).chain(&in_debian) {
        selection.extend(["--test".to_owned(), suite.clone()]);
    }
    let Some(built) = test.build(&selection) else {
        return test.summary(args);
    };
    let native = built.iter().filter(|built| !built.name.starts_with("vm_"));
    for program in native {
        let suite = test.host_suite(suite_name(program), &program.path, &host::workspace_dir())?;
        test.watch(suite)?;
    }
    if wanted("doc") {
        test.watch(HostSuite {
            name: "doc".to_owned(),
            command: cargo::doc_tests(),
        })?;
    }
    let own = if wanted("xtask") { test.own()? } else { None };
    if let Some(code) = test.on_kernels(&built, &on_kernel, &in_debian, own)? {
        return Ok(code);
    }
    test.summary(args)
}

/// `lib` and `bin` are the suites in src/.
fn suite_name(built: &Built) -> String {
    match built.kind.as_str() {
        "test" => built.name.clone(),
        kind => kind.to_owned(),
    }
}

/// A run of all suites, and what came of it so far.
struct Test<'a> {
    run: Run<'a>,
    kernels: &'a [Kernel],
    tally: Tally,
    times: Times,
    slowest: SlowestTests,
}

impl Test<'_> {
    /// The test programs of these suites, static, so that they run here and in a guest.
    fn build(&mut self, selection: &[String]) -> Option<Vec<Built>> {
        if selection.is_empty() {
            return Some(Vec::new());
        }
        let since = Instant::now();
        match cargo::build_for_guest("test", selection) {
            Ok(built) => {
                self.times.add(HOST, BUILD, since.elapsed());
                Some(built.into_iter().filter(|built| built.is_test).collect())
            }
            Err(error) => {
                eprintln!("xtask: {error:#}");
                self.tally.fail("the tests could not be built".to_owned());
                None
            }
        }
    }

    fn summary(&self, args: &Args) -> Result<i32> {
        let tally = &self.tally;
        println!();
        print!("{}{}", self.times, self.slowest);
        for skipped in &tally.skipped {
            println!("skipped: {skipped}");
        }
        for failure in &tally.failures {
            println!("failed: {failure}");
        }
        if args.suite.as_deref() == Some("launcher") {
            println!("{}", tally.behaviours(BEHAVIOURS));
        }
        if let Some(restarts) = tally.restarts() {
            println!("{restarts}");
        }
        println!("{tally}");
        if tally.ran() == 0 {
            bail!("no test ran; `cargo xtask test --help` says what can be chosen");
        }
        Ok(i32::from(tally.failed > 0))
    }

    /// xtask's own tests. Returns those of guests, which have not been run yet.
    fn own(&mut self) -> Result<Option<HostSuite>> {
        let mut selection = vec!["--bins"];
        // Where the virtual machine is not used, it is not fetched to be tested either.
        if host::native_cgroup().is_err() {
            Kernel::ALL.into_iter().try_for_each(setup::ensure)?;
            selection.extend(["--test", OWN_GUESTS]);
        }
        let folder = host::workspace_dir().join("xtask");
        let mut of_guests = None;
        for program in cargo::build_own_tests(&selection)? {
            if !program.is_test {
                continue;
            }
            let name = format!("xtask {}", program.name);
            let mut suite = self.host_suite(name, &program.path, &folder)?;
            if program.name == OWN_GUESTS {
                suite.command.arg(ONE_AT_A_TIME);
                of_guests = Some(suite);
            } else {
                self.watch(suite)?;
            }
        }
        Ok(of_guests)
    }

    /// The suite of a test program of this host.
    fn host_suite(&self, name: String, program: &Path, folder: &Path) -> Result<HostSuite> {
        let mut command = host::dying_with_us(program)?;
        command
            .current_dir(folder)
            .envs(self.run.environment().filter_map(|set| set.split_once('=')))
            .args(self.run.arguments);
        Ok(HostSuite { name, command })
    }

    /// Runs a suite of this host, and counts.
    fn watch(&mut self, suite: HostSuite) -> Result<()> {
        self.count(suite.run(Shown::AsItComes)?);
        Ok(())
    }

    fn count(&mut self, report: HostReport) {
        self.times.add(HOST, &report.name, report.time);
        self.tally.add(None, report.tally);
    }

    /// Suites that limit and kill. Returns an exit code when someone interrupted them.
    fn on_kernels(
        &mut self,
        built: &[Built],
        on_kernel: &[String],
        in_debian: &[String],
        beside: Option<HostSuite>,
    ) -> Result<Option<i32>> {
        let mut jobs = Vec::new();
        let mut second_halves = Vec::new();
        if !on_kernel.is_empty() {
            match host::native_cgroup() {
                Ok(native) if self.kernels.is_empty() => self.natively(built, on_kernel, native)?,
                on_host => {
                    let why = on_host.err().unwrap_or_else(|| "as asked".to_owned());
                    let halves = halves(on_kernel);
                    for &kernel in either(self.kernels, &Kernel::ALL) {
                        let machine = MachineArgs::with_kernel(kernel);
                        println!(
                            "kernel suites: in the virtual machine, {}: {why}",
                            machine.name()
                        );
                        let mut guests = halves
                            .iter()
                            .filter(|half| !half.is_empty())
                            .map(|half| Job::Guest(guest(built, &machine, half)));
                        jobs.extend(guests.next());
                        second_halves.extend(guests);
                    }
                }
            }
        }
        if !in_debian.is_empty() {
            match setup::ensure_debian() {
                Ok(()) => {
                    for &kernel in either(self.kernels, &Kernel::ALL[..1]) {
                        let machine = MachineArgs {
                            debian: true,
                            ..MachineArgs::with_kernel(kernel)
                        };
                        println!(
                            "kernel suites: in the virtual machine, {}: they reload systemd",
                            machine.name()
                        );
                        jobs.push(Job::Guest(guest(built, &machine, in_debian)));
                    }
                }
                Err(error) => {
                    eprintln!("xtask: {error:#}");
                    self.tally.close("suites in the Debian guest", false);
                }
            }
        }
        jobs.extend(beside.map(Job::Host));
        jobs.extend(second_halves);
        self.side_by_side(jobs)
    }

    fn natively(&mut self, built: &[Built], suites: &[String], native: Native) -> Result<()> {
        println!("kernel suites: on this host, which has cgroup v2");
        let ringfence = cargo::build_ringfence()?;
        for program in built.iter().filter(|built| suites.contains(&built.name)) {
            let mut command = native.command(&program.path);
            command
                .env("RINGFENCE", &ringfence)
                .envs(self.run.environment().filter_map(|set| set.split_once('=')))
                .arg(ONE_AT_A_TIME)
                .args(self.run.arguments);
            self.watch(HostSuite {
                name: program.name.clone(),
                command,
            })?;
        }
        Ok(())
    }

    /// Runs jobs, and counts. Returns an exit code when someone interrupted them.
    fn side_by_side(&mut self, jobs: Vec<Job>) -> Result<Option<i32>> {
        let mut interrupted = None;
        for outcome in jobs::run(jobs, &self.run) {
            let (guest, report) = match outcome {
                Outcome::Host(report) => {
                    self.count(report?);
                    continue;
                }
                Outcome::Guest(guest, report) => (guest, report),
            };
            for (test, time) in &report.test_times {
                self.slowest.add(&guest, test, *time);
            }
            for (what, time) in &report.times {
                self.times.add(&guest, what, *time);
            }
            self.tally.add(Some(&guest), report.tally);
            interrupted = interrupted.or(report.interrupted);
        }
        Ok(interrupted)
    }
}

/// A guest with the programs of these suites.
fn guest(built: &[Built], machine: &MachineArgs, suites: &[String]) -> Guest {
    let programs = built.iter().filter(|built| suites.contains(&built.name));
    let mut machine = machine.clone();
    machine.added.extend(programs.map(|built| Added {
        host: built.path.clone(),
        guest: format!("/tests/{}", built.name).into(),
    }));
    Guest {
        machine,
        suites: suites.to_vec(),
    }
}

/// Suites for two guests: those about OOM kills and what comes after them by name, which mostly wait, and those before,
/// which keep a processor busy.
fn halves(suites: &[String]) -> [&[String]; 2] {
    let (first, second) = suites.split_at(suites.len() / 2);
    [second, first]
}

/// What was asked for, or all where nothing was.
fn either<'a>(asked: &'a [Kernel], all: &'a [Kernel]) -> &'a [Kernel] {
    if asked.is_empty() { all } else { asked }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
