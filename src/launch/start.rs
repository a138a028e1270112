//! From a plan to a running PID 1: overlay, clone3, handshake; and the child's side of it.

use std::fs::File;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, close, dup2_stderr, dup2_stdin, dup2_stdout, read, write};
use rustix::fs::{Gid, Uid, fchown, fstatfs};
use rustix::process::{WaitOptions, wait};

use super::account::Account;
use super::error::{Error, Result};
use super::ids::Ids;
use super::place::Place;
use super::plan::Plan;
use super::spec::Net;
use super::stdio::Streams;
use super::step::{Context, Step, Walk};
use super::terminal::Relay;
use super::ulimits;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::kernel::process;
use crate::kernel::syscall::clone::{Child, Forked, fork, spawn};
use crate::kernel::syscall::exec::Program;
use crate::kernel::syscall::{close_all_but, default_action, pass, pipe};

/// Numbers of what is no listed step.
const EXEC: u32 = u32::MAX;
const PREPARE: u32 = u32::MAX - 1;
const FORK: u32 = u32::MAX - 2;

/// The file system of pipes (`PIPEFS_MAGIC`).
const PIPES: i64 = 0x5049_5045;

/// What a terminal sends to every process in its foreground.
const TO_THE_FOREGROUND: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGWINCH,
];

/// A child on its way to exec.
#[derive(Debug)]
pub struct Starting {
    /// PID 1.
    pub child: Child,
    /// Open for as long as the launcher lives, by which the child knows.
    _go: File,
    /// Tells of a failed step, or ends at exec.
    status: File,
    /// What is between its terminal and the launcher's streams, where it has one.
    pub relay: Option<Relay>,
}

/// How the way to exec ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// At exec, or in death before it: the status of the process tells.
    Silent,
    /// The program could not be executed.
    NotExecuted(Errno),
}

/// Starts the child and lets it walk its steps. `mask` is the signal mask that the program gets. What is given of `streams`
/// stays what it is where the program has a terminal; that is none where nobody attends to it.
pub fn start(
    plan: &Plan,
    place: &mut Place,
    mask: &SigSet,
    streams: Streams<'_>,
    is_attended: bool,
    notice: &mut dyn FnMut(String),
) -> Result<Starting> {
    let (overlay, root) = place.fresh_root(plan, notice)?;
    let copies = plan.root.copies(plan.mapping.as_ref().map(AsFd::as_fd))?;
    let maps = plan.ids.maps()?;
    hand_over_pipes(&plan.ids, streams, plan.tty);
    let look_up = |user| Account::look_up(user, overlay.as_fd());
    let account = plan.user.as_ref().map(look_up).transpose()?;
    let home = account.as_ref().and_then(|account| account.home.as_ref());
    let own_home = home
        .filter(|_| plan.home_is_users)
        .and_then(|home| plan.walk.program.with_variable("HOME", home).ok());
    let (go_read, go_write) = pipe()?;
    let (status_read, status_write) = pipe()?;
    let terminal = plan.tty.then(pass::pair).transpose()?;
    let (near, far) = terminal.map_or((None, None), |(near, far)| (Some(near), Some(far)));
    let mut namespaces = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    if plan.net == Net::Host {
        namespaces.remove(CloneFlags::CLONE_NEWNET);
    }
    namespaces.set(CloneFlags::CLONE_NEWUSER, maps.is_some());
    let parents_end = go_write.as_raw_fd();
    let child = {
        let side = ChildSide {
            walk: &plan.walk,
            program: own_home.as_ref().unwrap_or(&plan.walk.program),
            mask,
            go: go_read,
            parents_end,
            status: status_write,
            context: Context {
                overlay: Some((overlay.as_fd(), root.as_c_str())),
                copies: &copies,
                account: account.as_ref(),
                ..Context::default()
            },
            terminal: far,
            streams,
        };
        side.spawn(namespaces, place.leaf())?
    };
    let pid = child.pid.as_raw().cast_unsigned();
    let proc = Path::new("/proc");
    let mut go = File::from(go_write);
    let handshake = maps
        .map_or(Ok(()), |maps| maps.write(proc, pid))
        .and_then(|()| process::drop_oom_protection(proc, pid))
        .map_err(Error::from)
        .and_then(|()| ulimits::set(child.pid, &plan.walk.ulimits))
        .and_then(|()| connect(plan, place, child.pid))
        .and_then(|()| place.check_limits())
        .and_then(|()| release(&mut go))
        // While it walks its steps.
        .and_then(|()| place.start_guard())
        .and_then(|()| release(&mut go));
    match handshake {
        // Already dead: within a tiny memory limit, for one. The supervisor sees to it, as to any death.
        Err(Error::Kernel(error)) if error.is_gone() || error.errno() == Errno::EPIPE => {}
        Err(error) => {
            // Without the word to go it ends by itself; killed all the same, to be sure.
            let _ = place.leaf().kill();
            let _ = waitpid(child.pid, None);
            return Err(error);
        }
        Ok(()) => {}
    }
    Ok(Starting {
        child,
        _go: go,
        status: status_read.into(),
        // Nobody types for who is detached.
        relay: near.map(|near| Relay::new(near, is_attended)),
    })
}

/// Lets the child go on: first to walk its steps, then to become the program.
fn release(go: &mut File) -> Result<()> {
    go.write_all(b"g")
        .map_err(|error| KernelError::new("release", "the child", error).into())
}

/// Gives it its network.
fn connect(plan: &Plan, place: &Place, child: Pid) -> Result<()> {
    match (&plan.pasta, place.beside()?) {
        (Some(pasta), Some(cgroup)) => pasta.connect(child, cgroup),
        _ => Ok(()),
    }
}

/// Starts a program within the fences of a running workload: in its leaf and its namespaces. This process must be in
/// its pid namespace as far as children go.
pub fn join(
    walk: &Walk,
    account: Option<&Account>,
    ids: &Ids,
    (leaf, joined): (&Cgroup, BorrowedFd<'_>),
    tty: bool,
    streams: Streams<'_>,
    mask: &SigSet,
) -> Result<Starting> {
    hand_over_pipes(ids, streams, tty);
    let (go_read, go_write) = pipe()?;
    let (status_read, status_write) = pipe()?;
    let terminal = tty.then(pass::pair).transpose()?;
    let (near, far) = terminal.map_or((None, None), |(near, far)| (Some(near), Some(far)));
    let side = ChildSide {
        walk,
        program: &walk.program,
        mask,
        go: go_read,
        parents_end: go_write.as_raw_fd(),
        status: status_write,
        context: Context {
            joined: Some(joined),
            account,
            ..Context::default()
        },
        terminal: far,
        streams,
    };
    let child = side.spawn(CloneFlags::empty(), leaf)?;
    // It may be dead already, as any process may be.
    let _ = process::drop_oom_protection(Path::new("/proc"), child.pid.as_raw().cast_unsigned());
    let mut go = File::from(go_write);
    match ulimits::set(child.pid, &walk.ulimits) {
        Err(Error::Kernel(error)) if error.is_gone() => {}
        // Without the word to go it ends by itself.
        set => set?,
    }
    let _ = release(&mut go).and_then(|()| release(&mut go));
    Ok(Starting {
        child,
        _go: go,
        status: status_read.into(),
        relay: near.map(|near| Relay::new(near, true)),
    })
}

/// The pipes that the program's streams are become root's inside, so that `/dev/stdout` can be opened there, as runc does.
/// A file or a terminal stays whose it is.
fn hand_over_pipes(ids: &Ids, streams: Streams<'_>, tty: bool) {
    let Some((uid, gid)) = ids.root() else { return };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
    let own = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    for (given, own) in streams.into_iter().zip(own) {
        let own = (!tty).then_some(own);
        // One with a name may be somebody's.
        if let Some(stream) = given.or(own)
            && fstatfs(stream).is_ok_and(|of| of.f_type == PIPES)
        {
            let _ = fchown(stream, Some(uid), Some(gid));
        }
    }
}

impl Starting {
    /// Readable when [`arrival`](Self::arrival) will not wait.
    pub fn status(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    /// How the way to exec ended; a step that failed is an error.
    pub fn arrival(&mut self, walk: &Walk) -> Result<Arrival> {
        let mut word = Vec::with_capacity(8);
        let _ = self.status.read_to_end(&mut word);
        let Some((step, errno)) = word.split_first_chunk::<4>() else {
            return Ok(Arrival::Silent);
        };
        // Where both a reaper and its program failed, the first one tells.
        let errno = errno
            .first_chunk()
            .map_or(0, |word| i32::from_ne_bytes(*word));
        let errno = Errno::from_raw(errno);
        let step = match u32::from_ne_bytes(*step) {
            EXEC => return Ok(Arrival::NotExecuted(errno)),
            PREPARE => "prepare".to_owned(),
            FORK => "fork the program".to_owned(),
            step => usize::try_from(step)
                .ok()
                .and_then(|step| walk.steps.iter().chain(&walk.fences).nth(step))
                .map_or_else(|| "unknown step".to_owned(), ToString::to_string),
        };
        Err(Error::Step { step, errno })
    }
}

/// The child's side: everything here was made before the clone.
struct ChildSide<'a> {
    walk: &'a Walk,
    mask: &'a SigSet,
    go: OwnedFd,
    parents_end: RawFd,
    status: OwnedFd,
    program: &'a Program,
    context: Context<'a>,
    terminal: Option<OwnedFd>,
    streams: Streams<'a>,
}

impl ChildSide<'_> {
    /// Becomes a process. The child's ends of everything are closed in the parent when this returns.
    fn spawn(self, namespaces: CloneFlags, leaf: &Cgroup) -> Result<Child> {
        let started = spawn(namespaces, Some(leaf.as_fd()), move |forked| {
            // Never dropped in the child: its descriptors are closed by exec or all at once.
            ManuallyDrop::new(self).main(forked)
        });
        Ok(started?)
    }

    /// Reads top to bottom: wait for release, walk the steps, wait for release again, become the program.
    fn main(&self, forked: &Forked) -> u8 {
        // If the launcher dies, so does this process, and with it its whole pid namespace.
        let prepared = prctl::set_pdeathsig(Signal::SIGKILL)
            .and_then(|()| close(self.parents_end))
            .and_then(|()| {
                let [stdin, stdout, stderr] = self.streams;
                stdin.map_or(Ok(()), dup2_stdin)?;
                stdout.map_or(Ok(()), dup2_stdout)?;
                stderr.map_or(Ok(()), dup2_stderr)
            });
        if let Err(errno) = prepared {
            return self.fail(PREPARE, errno);
        }
        if let Some(code) = self.wait_for_release() {
            return code;
        }
        // Until exec this is a copy of the launcher, which nobody inside may look into. Up to now there was nobody, but who
        // connects the network has to.
        if let Err(errno) = prctl::set_dumpable(false) {
            return self.fail(PREPARE, errno);
        }
        if let Err((number, errno)) = self.go_through(forked, 0, &self.walk.steps) {
            return self.fail(number, errno);
        }
        // Who became somebody else has no death signal any more.
        if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
            return self.fail(PREPARE, errno);
        }
        // The launcher has started its guard by then, which kills whatever has cleared its death signal.
        if let Some(code) = self.wait_for_release() {
            return code;
        }
        match self.is_launcher_dead() {
            Ok(false) => {}
            Ok(true) => return 125,
            Err(errno) => return self.fail(PREPARE, errno),
        }
        if !self.walk.init {
            return self.exec(forked);
        }
        match fork(forked, |forked| self.exec(forked)) {
            Ok(program) => {
                let _ = prctl::set_name(c"ringfence-init");
                let signals = match ReaperSignals::block() {
                    Ok(signals) => signals,
                    Err(errno) => return self.fail(PREPARE, errno),
                };
                if let Err((number, errno)) = self.put_up_fences(forked) {
                    return self.fail(number, errno);
                }
                // The end of the status pipe must come with the program's exec.
                let _ = close_all_but(forked, [signals.0.as_fd()]);
                signals.reap(program)
            }
            Err(errno) => self.fail(FORK, errno),
        }
    }

    /// Waits until the launcher lets it go on ([`release`]). Gives the exit code where it does not.
    fn wait_for_release(&self) -> Option<u8> {
        match read(&self.go, &mut [0]) {
            Ok(1) => None,
            // The end of the pipe: the launcher died before the death signal was set.
            Ok(_) => Some(125),
            Err(errno) => Some(self.fail(PREPARE, errno)),
        }
    }

    fn is_launcher_dead(&self) -> nix::Result<bool> {
        let mut go = [PollFd::new(self.go.as_fd(), PollFlags::empty())];
        poll(&mut go, PollTimeout::ZERO).map(|ready| ready > 0)
    }

    fn put_up_fences(&self, forked: &Forked) -> std::result::Result<(), (u32, Errno)> {
        // There are some dozens of steps.
        #[expect(clippy::cast_possible_truncation)]
        self.go_through(forked, self.walk.steps.len() as u32, &self.walk.fences)
    }

    /// Walks steps, of which the first has a number; gives the one that failed.
    fn go_through(
        &self,
        forked: &Forked,
        first: u32,
        steps: &[Step],
    ) -> std::result::Result<(), (u32, Errno)> {
        let context = Context {
            forked: Some(forked),
            terminal: self.terminal.as_ref().map(AsFd::as_fd),
            launcher: Some(self.status.as_fd()),
            keeps_stderr: self.streams[2].is_some(),
            ..self.context
        };
        for (number, step) in (first..).zip(steps) {
            step.run(context).map_err(|errno| (number, errno))?;
        }
        Ok(())
    }

    /// Becomes the program, with the signals that the launcher was started with.
    fn exec(&self, forked: &Forked) -> u8 {
        // Rust's runtime ignores it, which exec would hand on; programs expect to be ended by it.
        let _ = default_action(Signal::SIGPIPE);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(self.mask), None);
        if let Err((number, errno)) = self.put_up_fences(forked) {
            return self.fail(number, errno);
        }
        let errno = self.program.exec();
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

/// The signals that PID 1 hears of with `--init`. They are blocked, not handled: even PID 1 is told of a blocked one.
struct ReaperSignals(SignalFd);

impl ReaperSignals {
    fn block() -> nix::Result<Self> {
        let mut wanted = SigSet::all();
        for fatal in [
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
            Signal::SIGFPE,
        ] {
            wanted.remove(fatal);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&wanted), None)?;
        SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Forwards signals to the program, reaps whatever ends, and ends with the program.
    fn reap(&self, program: Pid) -> u8 {
        loop {
            // First look, then wait: the program may have ended before the signals were blocked.
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_pid() == program.as_raw() => {
                    return exit_code(status.exit_status(), status.terminating_signal());
                }
                Ok(None) => {}
                Err(rustix::io::Errno::CHILD) => return u8::MAX,
                // Another one; or it is not known, and there may be no second signal.
                Ok(Some(_)) | Err(_) => continue,
            }
            if let Ok(Some(told)) = self.0.read_signal()
                && let Ok(signal) = Signal::try_from(told.ssi_signo.cast_signed())
                && signal != Signal::SIGCHLD
                && !(told.ssi_code == libc::SI_KERNEL && TO_THE_FOREGROUND.contains(&signal))
            {
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
