//! From a plan to a running PID 1: overlay, clone3, handshake; and the child's side of it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, close, pipe2, read, write};
use rustix::process::{WaitOptions, wait};

use super::error::{Error, Result};
use super::place::Place;
use super::plan::Plan;
use super::step::Context;
use crate::kernel::error::Error as KernelError;
use crate::kernel::process;
use crate::kernel::syscall::clone::{Child, Forked, fork, spawn};
use crate::kernel::syscall::{close_above_stderr, default_action};

/// Numbers of what is no listed step.
const EXEC: u32 = u32::MAX;
const PREPARE: u32 = u32::MAX - 1;
const FORK: u32 = u32::MAX - 2;

/// A child on its way to exec.
#[derive(Debug)]
pub struct Starting {
    /// PID 1.
    pub child: Child,
    /// Tells of a failed step, or ends at exec.
    status: File,
}

/// How the way to exec ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// At exec, or in death before it: the status of the process tells.
    Silent,
    /// The program could not be executed.
    NotExecuted(Errno),
}

/// Starts the child and lets it walk its steps. `mask` is the signal mask that the program gets.
pub fn start(
    plan: &Plan,
    place: &mut Place,
    mask: &SigSet,
    notice: &mut dyn FnMut(String),
) -> Result<Starting> {
    let (overlay, root) = place.fresh_root(notice)?;
    let (go_read, go_write) = pipe()?;
    let (status_read, status_write) = pipe()?;
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    let parents_end = go_write.as_raw_fd();
    let child = {
        let overlay = overlay.as_fd();
        let root = root.as_c_str();
        // Owned by the closure, the child's ends are closed in the parent when this returns.
        spawn(namespaces, place.leaf().as_fd(), move |forked| {
            // Never dropped in the child: its descriptors are closed by exec or all at once.
            let child = ManuallyDrop::new(ChildSide {
                plan,
                mask,
                go: go_read,
                parents_end,
                status: status_write,
                overlay,
                root,
            });
            child.main(forked)
        })?
    };
    let pid = child.pid.as_raw().cast_unsigned();
    let proc = Path::new("/proc");
    let handshake = process::write_identity_maps(proc, pid)
        .and_then(|()| process::drop_oom_protection(proc, pid))
        .and_then(|()| {
            File::from(go_write)
                .write_all(b"g")
                .map_err(|error| KernelError::new("release", "the child", error))
        });
    match handshake {
        // Already dead: within a tiny memory limit, for one. The supervisor sees to it, as to any death.
        Err(error) if error.is_gone() || error.errno() == Errno::EPIPE => {}
        Err(error) => {
            // Without the word to go it ends by itself; killed all the same, to be sure.
            let _ = place.leaf().kill();
            let _ = waitpid(child.pid, None);
            return Err(error.into());
        }
        Ok(()) => {}
    }
    Ok(Starting {
        child,
        status: status_read.into(),
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| KernelError::new("make", "a pipe", errno).into())
}

impl Starting {
    /// Readable when [`arrival`](Self::arrival) will not wait.
    pub fn status(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    /// How the way to exec ended; a step that failed is an error.
    pub fn arrival(&mut self, plan: &Plan) -> Result<Arrival> {
        let mut word = Vec::with_capacity(8);
        let _ = self.status.read_to_end(&mut word);
        let Some((step, errno)) = word.split_first_chunk::<4>() else {
            return Ok(Arrival::Silent);
        };
        let errno = <[u8; 4]>::try_from(errno).map_or(0, i32::from_ne_bytes);
        let errno = Errno::from_raw(errno);
        let step = match u32::from_ne_bytes(*step) {
            EXEC => return Ok(Arrival::NotExecuted(errno)),
            PREPARE => "prepare".to_owned(),
            FORK => "fork the program".to_owned(),
            step => usize::try_from(step)
                .ok()
                .and_then(|step| plan.steps.get(step))
                .map_or_else(|| "unknown step".to_owned(), ToString::to_string),
        };
        Err(Error::Step { step, errno })
    }
}

/// The child's side: everything here was made before the clone.
struct ChildSide<'a> {
    plan: &'a Plan,
    mask: &'a SigSet,
    go: OwnedFd,
    parents_end: RawFd,
    status: OwnedFd,
    overlay: BorrowedFd<'a>,
    root: &'a CStr,
}

impl ChildSide<'_> {
    /// Reads top to bottom: wait for the word, walk the steps, become the program.
    fn main(&self, forked: &Forked) -> u8 {
        // If the launcher dies, so does this process, and with it its whole pid namespace.
        let prepared = prctl::set_pdeathsig(Signal::SIGKILL)
            // Until exec this is a copy of the launcher, which nobody inside may look into.
            .and_then(|()| prctl::set_dumpable(false))
            .and_then(|()| close(self.parents_end));
        if let Err(errno) = prepared {
            return self.fail(PREPARE, errno);
        }
        // The end of the pipe: the launcher died before the death signal was set.
        if read(&self.go, &mut [0]) != Ok(1) {
            return 125;
        }
        let context = Context {
            overlay: self.overlay,
            root: self.root,
        };
        for (number, step) in (0..).zip(&self.plan.steps) {
            if let Err(errno) = step.run(context) {
                return self.fail(number, errno);
            }
        }
        if !self.plan.init {
            return self.exec();
        }
        match fork(forked, |_| self.exec()) {
            Ok(program) => {
                let _ = prctl::set_name(c"ringfence-init");
                // The end of the status pipe must come with the program's exec.
                let _ = close_above_stderr(forked);
                reap(program)
            }
            Err(errno) => self.fail(FORK, errno),
        }
    }

    /// Becomes the program, with the signals that the launcher was started with.
    fn exec(&self) -> u8 {
        // Rust's runtime ignores it, which exec would hand on; programs expect to be ended by it.
        let _ = default_action(Signal::SIGPIPE);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(self.mask), None);
        let errno = self.plan.program.exec();
        self.fail(EXEC, errno)
    }

    fn fail(&self, step: u32, errno: Errno) -> u8 {
        let mut word = [0; 8];
        let (first, second) = word.split_at_mut(4);
        first.copy_from_slice(&step.to_ne_bytes());
        second.copy_from_slice(&(errno as i32).to_ne_bytes());
        let _ = write(&self.status, &word);
        125
    }
}

/// PID 1 with `--init`: forwards signals to the program, reaps whatever ends, and ends with the program.
/// The signals are blocked, not handled: even PID 1 is told of a blocked one.
fn reap(program: Pid) -> u8 {
    let mut wanted = SigSet::all();
    for fatal in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
    ] {
        wanted.remove(fatal);
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&wanted), None);
    loop {
        // First look, then wait: the program may have ended before the signals were blocked.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid.as_raw_pid() == program.as_raw() {
                return exit_code(status.exit_status(), status.terminating_signal());
            }
        }
        match wanted.wait() {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(signal) => {
                let _ = kill(program, signal);
            }
        }
    }
}

/// The exit code of a process, as shells count: 128 and the signal where one ended it.
pub fn exit_code(exit: Option<i32>, signal: Option<i32>) -> u8 {
    let code = exit.unwrap_or(0) | signal.map_or(0, |signal| 128 + signal);
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
