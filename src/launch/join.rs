//! A further program within the fences and the budget of a workload that runs.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use rustix::process::pidfd_send_signal;

use super::account::Account;
use super::error::{Error, Result};
use super::fence::Ready;
use super::not_executed::not_executed;
use super::plan::{set_variables, terminal_variable};
use super::spec::{EnvVar, Stdio, User, Workdir};
use super::start::{Arrival, Starting, join};
use super::state::Record;
use super::stdio::{Pipes, READER_PATIENCE};
use super::step::{self, Walk};
use super::supervise::listen::{Signals, poll_patiently};
use super::supervise::reap;
use super::terminal::Relay;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::kernel::syscall::default_action;
use crate::kernel::syscall::exec::Program;
use crate::kernel::task::namespace::{Kind, Reference};

/// What to run within.
#[derive(Debug, Clone)]
pub struct Request {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables besides the workload's own.
    pub env: Vec<EnvVar>,
    /// Another working directory than the workload's.
    pub workdir: Option<Workdir>,
    /// Another user than the workload's.
    pub user: Option<User>,
    /// Give it a terminal of its own.
    pub tty: bool,
    /// Hand on what is typed on a terminal also where the output is none.
    pub interactive: bool,
    /// What its streams are, where it has none.
    pub stdio: Stdio,
}

/// Runs a program in the namespaces, the cgroup, and behind the fences of a workload. Gives its exit code, as
/// [`supervise`](super::supervise::supervise) does. What cannot be executed is said on stderr by the caller. Must be
/// called in a process with one thread. Since 5.8 (`setns` with a pidfd).
pub fn exec(record: &Record, request: &Request, say: &mut dyn FnMut(&str)) -> Result<u8> {
    let name = &record.name;
    let init = record.process().and_then(|process| process.hold());
    let init = init.ok_or_else(|| Error::refused(format!("{name} does not run")))?;
    let mount = Hierarchy::discover(Path::new("/proc"))?.mount;
    let mount = mount.ok_or_else(|| Error::refused("no cgroup v2 file system is mounted here"))?;
    let leaf = Cgroup::open(record.leaf(&mount))?;
    if leaf.events()?.frozen {
        return Err(Error::refused(format!(
            "{name} is frozen, and what runs within would be too; `ringfence thaw {name}` first"
        )));
    }
    let Some(command) = request.command.first() else {
        return Err(Error::refused("no command to run"));
    };
    let user = request.user.as_ref().or(record.user.as_ref());
    let account = user.map(|user| account(user, init.brief.pid)).transpose()?;
    let walk = walk(record, request, account.as_ref(), init.brief.pid)?;
    default_action(Signal::SIGCHLD)
        .map_err(|errno| KernelError::new("take back", "SIGCHLD", errno))?;
    let signals = Signals::take()?;
    // Concerns children only.
    setns(&init, CloneFlags::CLONE_NEWPID)
        .map_err(|errno| KernelError::new("enter the pid namespace of", name, errno))?;
    let (tty, mask) = (request.tty, &signals.before);
    let place = (&leaf, init.as_fd());
    let mut pipes = match request.stdio {
        Stdio::Pipe => Pipes::new(tty, request.interactive)?,
        Stdio::Inherit => Pipes::default(),
    };
    let account = account.as_ref();
    let mut starting = join(&walk, account, &record.ids, place, tty, pipes.ends(), mask)?;
    let (arrived, asked) = follow(&mut starting, &mut pipes, &walk, &signals)?;
    let code = reap(&starting)?;
    pipes.drain(&signals, asked.then_some(READER_PATIENCE))?;
    pipes.check()?;
    match arrived {
        Arrival::NotExecuted(errno) => {
            let (code, text) =
                not_executed(&record.spec, &[root_of(init.brief.pid)], command, errno)?;
            say(&text);
            Ok(code)
        }
        Arrival::Silent => Ok(code),
    }
}

/// The root directory of a process.
fn root_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/root").into()
}

/// Looked up in the workload's root.
fn account(user: &User, init: u32) -> Result<Account> {
    let root = root_of(init);
    let opened = File::open(&root).map_err(|error| KernelError::new("open", root, error))?;
    Account::look_up(user, opened.as_fd())
}

fn walk(record: &Record, request: &Request, account: Option<&Account>, init: u32) -> Result<Walk> {
    let mut env = record.environment.clone();
    if let Some(home) = account.and_then(|account| account.home.as_ref())
        && !record
            .spec
            .env
            .iter()
            .any(|variable| variable.key == "HOME")
    {
        env.retain(|variable| !variable.starts_with("HOME="));
        env.push(format!("HOME={home}"));
    }
    if request.tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
        env.push(terminal_variable());
    }
    set_variables(&mut env, &request.env);
    let program = Program::new(&request.command, &env)
        .map_err(|_| Error::refused("the command holds a NUL byte"))?;
    let workdir = request.workdir.as_ref().or(record.workdir.as_ref());
    let workdir = workdir.map(ToString::to_string);
    let steps = step::joining(joined(init), workdir.as_deref(), request.tty)
        .map_err(|_| Error::refused("a path holds a NUL byte"))?;
    Ok(Walk {
        steps,
        fences: step::fences(Ready::new(&record.spec)?, account.is_some()),
        program,
        init: false,
        ulimits: record.spec.ulimit.clone(),
    })
}

/// The namespaces of a workload that are not this process's own too: who is in a user namespace cannot join it again.
fn joined(init: u32) -> CloneFlags {
    let proc = Path::new("/proc");
    let theirs = Reference::own(proc).of(proc, init);
    theirs
        .into_iter()
        // As a child, it is in the pid namespace already.
        .filter(|namespace| !namespace.shared && namespace.kind != Kind::Pid)
        .map(|namespace| namespace.kind.flag())
        .collect()
}

/// Until it has ended. Says whether somebody asked it to, too.
fn follow(
    starting: &mut Starting,
    pipes: &mut Pipes,
    walk: &Walk,
    signals: &Signals,
) -> Result<(Arrival, bool)> {
    let mut arrival = None;
    let mut asked = false;
    loop {
        let stdin = io::stdin();
        let mut fds = vec![
            PollFd::new(starting.child.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        if arrival.is_none() {
            fds.push(PollFd::new(starting.status(), PollFlags::POLLIN));
        }
        let relayed = starting.relay.as_ref().map(|relay| relay.fds(&stdin));
        let waits_for_status = arrival.is_none();
        fds.extend(relayed.into_iter().flatten());
        fds.extend(pipes.fds(&stdin));
        poll_patiently(&mut fds, PollTimeout::NONE)?;
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any() == Some(true));
        let (ended, status) = (is_ready(0), waits_for_status && is_ready(2));
        if let Some(relay) = &mut starting.relay {
            relay.pump(&mut io::stdout());
        }
        pipes.pump();
        if (status || ended) && arrival.is_none() {
            arrival = Some(starting.arrival(walk)?);
        }
        // What comes at the end is for those who wait for the last words.
        while !ended && let Some(told) = signals.next() {
            asked |= told.asks_to_end();
            match (told.signal, &starting.relay) {
                (Signal::SIGWINCH, Some(relay)) => relay.resize(),
                (Signal::SIGCONT, relay) => relay.iter().for_each(Relay::resume),
                _ => {
                    if let Some(number) =
                        rustix::process::Signal::from_named_raw(told.signal as i32)
                    {
                        // It may have just died, which the loop will see.
                        let _ = pidfd_send_signal(&starting.child.pidfd, number);
                    }
                }
            }
        }
        if ended {
            if let Some(relay) = starting.relay.take() {
                relay.finish(&mut io::stdout());
            }
            return Ok((arrival.unwrap_or(Arrival::Silent), asked));
        }
    }
}
