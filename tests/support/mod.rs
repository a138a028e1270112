//! Starting workloads on a real kernel, and the proof that nothing of them is left.

pub mod dashboard;
pub mod events;
pub mod own;
pub mod systemd;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Above all workloads.
pub const SLICE: &str = "/sys/fs/cgroup/ringfence.slice";
/// Where things of workloads are while they are needed.
const KEPT: [&str; 4] = [
    "/var/lib/ringfence/scratch",
    "/var/lib/ringfence/logs",
    "/run/ringfence/trials",
    "/run/ringfence/workloads",
];

/// Reads a file of 64 MiB over and over.
pub const PAGE_CACHE: &str =
    "head -c 64m /dev/zero >/root/big && echo ready && while cat /root/big >/dev/null; do :; done";

/// The machine, to one test at a time. When a test has passed, dropping this checks that no cgroup, mount,
/// process or scratch directory is there that was not there before.
pub struct Host {
    before: Snapshot,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl Host {
    pub fn new() -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        binary();
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            before: Snapshot::take(),
            _one_at_a_time: guard,
        }
    }

    /// `ringfence run FLAGS -- COMMAND`, to its end.
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Done {
        Done::from(self.command(flags, command).output().expect("ringfence"))
    }

    /// `ringfence run FLAGS -- sh -c SCRIPT`, to its end.
    pub fn sh(&self, flags: &[&str], script: &str) -> Done {
        self.run(flags, &["sh", "-c", script])
    }

    /// The same as a command to change further.
    #[expect(
        clippy::unused_self,
        reason = "to start a workload, a test must have the host"
    )]
    pub fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut run = Command::new(binary());
        run.arg("run").args(flags).arg("--").args(command);
        run.stdin(Stdio::null());
        run
    }

    /// Starts `sh -c SCRIPT` and waits for its first line, which it says when it is ready.
    pub fn start(&self, name: &str, flags: &[&str], script: &str) -> Workload {
        let flags = [&["--name", name], flags].concat();
        let mut child = self
            .command(&flags, &["sh", "-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ringfence");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let workload = Workload {
            leaf: Path::new(SLICE).join(name),
            line: line.trim_end().to_owned(),
            child,
            stdout,
        };
        if script.contains("exec ") {
            let comm = format!("/proc/{}/comm", workload.pids()[0]);
            let is_init = flags.contains(&"--init");
            wait_until("exec", || is_init || read(&comm) != "sh");
        }
        workload
    }

    /// Another verb of ringfence's, to its end.
    #[expect(
        clippy::unused_self,
        reason = "to touch a workload, a test must have the host"
    )]
    pub fn verb(&self, args: &[&str]) -> Done {
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null());
        Done::from(command.output().expect("ringfence"))
    }

    /// `ringfence run -d --name NAME FLAGS -- sh -c SCRIPT`. It runs when this returns.
    #[track_caller]
    pub fn detach(&self, name: &str, flags: &[&str], script: &str) {
        let flags = [&["-d", "--name", name], flags].concat();
        assert_eq!(self.sh(&flags, script).ok(), name);
    }

    /// Hands a spec to `ringfence supervise`.
    #[expect(
        clippy::unused_self,
        reason = "to start a workload, a test must have the host"
    )]
    pub fn supervise(&self, spec: &str) -> Supervisor {
        let mut child = Command::new(binary())
            .arg("supervise")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ringfence");
        let mut stdin = child.stdin.take().expect("piped");
        write!(stdin, "{{\"spec\":{spec}}}").expect("stdin");
        let reports = BufReader::new(child.stdout.take().expect("piped"));
        Supervisor { child, reports }
    }

    /// Whether nothing is left at this moment.
    pub fn is_clean(&self) -> bool {
        Snapshot::take().without(&self.before).is_empty()
    }

    /// Checks now that nothing is left, as the end of the test will again.
    pub fn assert_clean(&self, after: &str) {
        // The kernel may still be busy with the last process.
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let left = Snapshot::take().without(&self.before);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left after {after}: {left}");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_clean("the test");
        }
    }
}

/// A running workload.
pub struct Workload {
    /// Its cgroup.
    pub leaf: PathBuf,
    /// What it said first.
    pub line: String,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Workload {
    /// The launcher's pid.
    pub fn launcher(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// A counter in a file of its cgroup that has one on each line.
    pub fn count(&self, file: &str, key: &str) -> u64 {
        count(self.leaf.join(file), key)
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.launcher(), signal).expect("kill");
    }

    /// A file of its cgroup, without the newline at the end.
    pub fn read(&self, file: &str) -> String {
        read(self.leaf.join(file))
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.leaf.join(file), text).expect(file);
    }

    /// Host pids of its processes.
    pub fn pids(&self) -> Vec<i32> {
        let text = self.read("cgroup.procs");
        text.lines()
            .map(|pid| pid.parse().expect("a pid"))
            .collect()
    }

    /// Waits for its next line.
    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Kills it, and waits for the launcher's end.
    pub fn kill(self) {
        self.write("cgroup.kill", "1");
        self.finish();
    }

    /// Waits for the launcher's end.
    pub fn finish(mut self) -> Done {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("stdout");
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("stderr");
        let status = self.child.wait().expect("wait");
        Done {
            code: code(status),
            stdout,
            stderr,
        }
    }
}

/// A supervisor of `up`.
pub struct Supervisor {
    child: Child,
    reports: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Waits for the next JSON line.
    pub fn next_report(&mut self) -> String {
        let mut line = String::new();
        self.reports.read_line(&mut line).expect("a report");
        line
    }

    /// Tells it to stop, and waits for that.
    pub fn stop(mut self) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .expect("kill");
        self.child.wait().expect("wait");
    }
}

/// Mounts something; dropping the answer takes the last argument's mount away again.
pub fn mount(args: &[&str]) -> Mounted {
    let status = Command::new("mount").args(args).status().expect("mount");
    assert!(status.success(), "{args:?}");
    Mounted((*args.last().expect("a place")).to_owned())
}

/// A mount for the time of a test.
pub struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Done {
    /// The launcher's exit code; 128 and the signal where one ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// What the program said, where it did well and ringfence had nothing to say.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, &*self.stderr), (0, ""), "{self:?}");
        self.stdout.trim_end().to_owned()
    }

    /// That it ended so, and what was said on stderr has all of these in one line.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &str {
        let told = self
            .stderr
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        match told {
            Some(line) if self.code == code => line,
            _ => panic!("not {code} with {words:?}: {self:#?}"),
        }
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(by_signal).expect("ended")
}

/// How much of what is long by nature: a little, or the whole of it with `cargo xtask test --full`.
pub fn extent<T>(little: T, whole: T) -> T {
    if std::env::var_os("RINGFENCE_FULL").is_some() {
        whole
    } else {
        little
    }
}

/// A setting of the kernel, which is as before when this is dropped.
pub struct Sysctl {
    path: PathBuf,
    before: String,
}

impl Sysctl {
    /// `user.max_user_namespaces` and its like.
    pub fn set(name: &str, value: &str) -> Self {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let before = read(&path);
        fs::write(&path, value).expect(name);
        Self { path, before }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, &self.before);
    }
}

/// A script for a workload: it says that it is ready, and becomes a load.
pub fn load(arguments: &str) -> String {
    format!("echo ready; exec {} load {arguments}", binary().display())
}

/// The binary under test. These tests change the host they run on, so a plain `cargo test` must not run them.
pub fn binary() -> PathBuf {
    let program = std::env::var_os("RINGFENCE");
    PathBuf::from(
        program.expect("`cargo xtask test` runs this, in a virtual machine where need be"),
    )
}

/// Waits, for some seconds at most, for something to be so.
#[track_caller]
pub fn wait_until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// The exit code of a child that ends within half a minute; `None` where a signal ended it.
#[track_caller]
pub fn end_of(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it does not end");
        sleep(Duration::from_millis(10));
    }
}

/// A number of a flat keyed file: `oom_kill 1`.
#[track_caller]
pub fn count(path: impl AsRef<Path>, key: &str) -> u64 {
    let text = read(path);
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(found, _)| *found == key).expect(key);
    found.1.parse().expect("a number")
}

/// Whether a pipe holds about as much as fits.
pub fn is_full(pipe: &impl AsFd) -> bool {
    rustix::io::ioctl_fionread(pipe).expect("a pipe") >= 60_000
}

/// A file's text without the newline at the end; what is not UTF-8 is replaced.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// A command as an ordinary user.
pub fn as_user(mut command: Command) -> Done {
    command.uid(1000).gid(1000);
    Done::from(command.output().expect("ringfence"))
}

/// Feeds a command.
pub fn with_input(mut command: Command, input: &[u8]) -> Done {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("ringfence");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("stdin");
    Done::from(child.wait_with_output().expect("output"))
}

/// What a launcher could leave behind.
#[derive(Default)]
struct Snapshot(BTreeSet<String>);

impl Snapshot {
    fn take() -> Self {
        let mut all = Self::default();
        all.add_dirs(Path::new("/sys/fs/cgroup"));
        for line in read("/proc/self/mountinfo").lines() {
            all.0.insert(format!("mount {line}"));
        }
        for dir in KEPT {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                all.0
                    .insert(format!("directory {}", entry.path().display()));
            }
        }
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Threads of the kernel have no command line; it starts them as it likes, and so does udev its workers,
            // here for the links that tests make.
            if let Ok(line) = fs::read_to_string(entry.path().join("cmdline"))
                && name.parse::<u32>().is_ok()
                && !line.is_empty()
                && !line.starts_with("(udev-worker)")
            {
                all.0
                    .insert(format!("process {name} {}", line.replace('\0', " ")));
            }
        }
        all
    }

    fn add_dirs(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // systemd makes and removes its own as it likes.
            let of_systemd = ["user.slice", "system.slice", "init.scope"]
                .iter()
                .any(|name| entry.file_name() == *name);
            if !of_systemd && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                // An empty slice stays for as long as it likes.
                if entry.path() != Path::new(SLICE) || !Path::new("/run/systemd/system").exists() {
                    self.0.insert(format!("cgroup {}", entry.path().display()));
                }
                self.add_dirs(&entry.path());
            }
        }
    }

    fn without(mut self, other: &Self) -> Self {
        self.0.retain(|thing| !other.0.contains(thing));
        self
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|thing| write!(out, "\n  {thing}"))
    }
}
