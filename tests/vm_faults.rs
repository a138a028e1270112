//! A start whose every system call fails once, on a real kernel, as root: `cargo xtask test faults`. None may hang, keep a
//! lock, or leave anything that the next start does not put right.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::{Host, binary, extent};

/// What fails without being asked for anything, or ends a process whatever is done about it. Without random numbers, which
/// the kernel never lacks, Rust's maps panic.
const SPARED: [libc::c_long; 22] = [
    libc::SYS_arch_prctl,
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_umask,
    libc::SYS_vfork,
];

/// How many calls Rust's runtime makes before `main`. It aborts where they fail.
const BEFORE_MAIN: usize = 20;

/// How a traced start ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    signal: Option<Signal>,
    /// The call that failed; none where there were fewer.
    failed: Option<i64>,
    stderr: String,
}

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy)]
struct Fault {
    whose: Whose,
    which: Which,
    errno: Errno,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    /// The call of this number, from 0 on.
    Nth(usize),
    /// The first one of this kind.
    Kind(libc::c_long),
}

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Launcher,
    /// Up to their exec.
    Children,
}

/// Runs a command one call of which fails.
#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
fn run_with_fault(flags: &[&str], fault: Fault) -> Ended {
    let mut run = Command::new(binary());
    run.arg("run").args(flags).args(["--", "true"]);
    run.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: between fork and exec only ptrace is called.
    unsafe { run.pre_exec(|| Ok(ptrace::traceme()?)) };
    let mut child = run.spawn().unwrap();
    let launcher = Pid::from_raw(child.id().cast_signed());
    waitpid(launcher, None).unwrap();
    let mut options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    if fault.whose == Whose::Children {
        options |= Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEEXEC;
    }
    ptrace::setoptions(launcher, options).unwrap();
    ptrace::syscall(launcher, None).unwrap();
    let mut tracer = Tracer {
        launcher,
        fault,
        failed: None,
        inside: BTreeSet::new(),
        traced: BTreeSet::from([launcher]),
    };
    let (code, signal) = tracer.follow();
    let mut stderr = String::new();
    // Whoever is left of it holds it open.
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    Ended {
        code,
        signal,
        failed: tracer.failed,
        stderr,
    }
}

struct Tracer {
    launcher: Pid,
    fault: Fault,
    failed: Option<i64>,
    /// Who is in a call, and whether it is the one that fails.
    inside: BTreeSet<Pid>,
    traced: BTreeSet<Pid>,
}

impl Tracer {
    /// Until the launcher has ended.
    fn follow(&mut self) -> (Option<i32>, Option<Signal>) {
        let begin = Instant::now();
        loop {
            assert!(
                begin.elapsed() < Duration::from_mins(1),
                "it hangs after {:?} failed",
                self.failed
            );
            let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    std::thread::sleep(Duration::from_micros(100));
                    continue;
                }
                status => status.unwrap(),
            };
            match status {
                WaitStatus::Exited(pid, code) if pid == self.launcher => return (Some(code), None),
                WaitStatus::Signaled(pid, signal, _) if pid == self.launcher => {
                    return (None, Some(signal));
                }
                WaitStatus::PtraceSyscall(pid) => {
                    self.at_call(pid);
                    self.go_on(pid, None);
                }
                // From here on it is the program.
                WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                    let _ = ptrace::detach(pid, None);
                    self.traced.remove(&pid);
                }
                WaitStatus::PtraceEvent(pid, ..) => self.go_on(pid, None),
                WaitStatus::Stopped(pid, signal) => {
                    // A new one begins with a stop of its own.
                    let is_first = self.traced.insert(pid);
                    self.go_on(pid, (!is_first).then_some(signal));
                }
                _ => {}
            }
        }
    }

    /// On its way into a call, or out of it.
    fn at_call(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return;
        };
        let number = registers.orig_rax.cast_signed();
        if self.inside.remove(&pid) {
            // It was sent into a call that there is none of.
            if number == -1 {
                registers.rax = (-i64::from(self.fault.errno as i32)).cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
            return;
        }
        self.inside.insert(pid);
        let counts = (pid == self.launcher) == (self.fault.whose == Whose::Launcher);
        if !counts || SPARED.contains(&number) || self.failed.is_some() {
            return;
        }
        match &mut self.fault.which {
            Which::Nth(0) => {}
            Which::Nth(left) => {
                *left -= 1;
                return;
            }
            Which::Kind(kind) if *kind == number => {}
            Which::Kind(_) => return,
        }
        self.failed = Some(number);
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, registers);
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        // It may have been killed meanwhile.
        let _ = if self.failed.is_some() && !self.inside.contains(&pid) {
            ptrace::detach(pid, signal)
        } else {
            ptrace::syscall(pid, signal)
        };
    }
}

fn every_call_fails_once(flags: &[&str], whose: Whose) {
    let host = Host::new();
    let step = extent(29, 1);
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    let mut ways: BTreeMap<String, usize> = BTreeMap::new();
    let mut put_right = 0;
    let mut number = match whose {
        Whose::Launcher => BEFORE_MAIN,
        Whose::Children => 0,
    };
    loop {
        let fault = Fault {
            whose,
            which: Which::Nth(number),
            errno: Errno::EIO,
        };
        let ended = run_with_fault(flags, fault);
        let Some(failed) = ended.failed else { break };
        *seen.entry(failed).or_default() += 1;
        let way = match (ended.code, ended.signal) {
            (Some(code), _) => format!("code {code}"),
            (_, signal) => format!("{signal:?}"),
        };
        *ways.entry(way).or_default() += 1;
        let what = format!("call {number} ({failed}) of {whose:?} failed: {ended:?}");
        // 137: the child did not hear that it may go.
        assert!(
            matches!(ended.code, Some(0 | 125 | 126 | 127 | 137)),
            "{what}"
        );
        let is_told = ended.stderr.contains("ringfence: ") || ended.stderr.starts_with("error");
        assert!(
            ended.code == Some(0) || is_told || failed == libc::SYS_write,
            "{what}"
        );
        put_right += usize::from(!host.is_clean());
        // No lock is held, and what was left is swept.
        let next = host.run(&[], &["echo", "next"]);
        assert_eq!(
            (next.code, &*next.stdout),
            (0, "next\n"),
            "{what}, then {next:?}"
        );
        host.assert_clean(&what);
        number += step;
    }
    println!(
        "{whose:?} {flags:?}: {number} calls, every {step}th; {ways:?}; {put_right} put right by the next start"
    );
    println!("{seen:?}");
    assert!(number > 50, "{number}");
}

#[test]
fn the_launcher_fails_cleanly_at_every_call() {
    every_call_fails_once(&["-m", "32m", "--tmpfs", "/tmp"], Whose::Launcher);
}

#[test]
fn the_child_fails_cleanly_at_every_call() {
    every_call_fails_once(&["-m", "32m", "--tmpfs", "/tmp", "--init"], Whose::Children);
}

/// Nothing starts with less of a fence than was asked for.
#[test]
fn a_kernel_without_seccomp_is_said() {
    let host = Host::new();
    for errno in [Errno::ENOSYS, Errno::EINVAL] {
        let without = Fault {
            whose: Whose::Children,
            which: Which::Kind(libc::SYS_seccomp),
            errno,
        };
        let ended = run_with_fault(&[], without);
        assert_eq!(ended.code, Some(125), "{ended:?}");
        let hint = "has this kernel no seccomp? `--security-opt seccomp=unconfined` does without";
        assert!(ended.stderr.contains(hint), "{ended:?}");
        let ended = run_with_fault(&["--security-opt", "seccomp=unconfined"], without);
        assert_eq!((ended.code, ended.failed), (Some(0), None), "{ended:?}");
    }
    host.assert_clean("without seccomp");
}

/// The tracer itself: a call that is not made fails as it is told to.
#[test]
fn a_fault_is_seen() {
    let host = Host::new();
    let none = Fault {
        whose: Whose::Launcher,
        which: Which::Nth(100_000),
        errno: Errno::EIO,
    };
    let ended = run_with_fault(&[], none);
    assert_eq!((ended.code, ended.failed), (Some(0), None), "{ended:?}");
    drop(host);
}
