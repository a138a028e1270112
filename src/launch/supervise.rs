//! One workload from start to nothing left: a single-threaded loop over its pidfd, the signals of the
//! launcher, the leaf's notifications and the kernel log.

mod listen;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use listen::{Signals, Watch, poll_patiently, until};

use super::error::{Error, Result};
use super::oom::{Cause, Evidence, OomReport, Victim};
use super::place::Place;
use super::plan::Plan;
use super::report::Report;
use super::spec::Restart;
use super::start::{Arrival, Starting, exit_code, start};
use crate::kernel::error::Error as KernelError;
use crate::kernel::process;
use crate::kernel::syscall::default_action;
use crate::kernel::unit::Bytes;
use crate::text;

/// The first pause before a restart; each further one is twice as long.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Who ran for so long starts with the first pause again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// Interrupts within this time count as insisting.
const INSIST_WITHIN: Duration = Duration::from_secs(2);

/// How long a workload may outlive an OOM kill before that is told of by itself: as one kill takes the
/// whole workload, its death comes at once, and both are told of together.
const OOM_PATIENCE: Duration = Duration::from_millis(500);

/// A PID 1 that was OOM-killed below this size did not come further than its own start.
const STILLBORN: Bytes = Bytes(1 << 20);

/// Runs a workload to its end, restarts included, and leaves nothing behind. Gives its exit code: the
/// program's, 128 and the signal, 126 or 127. Must be called in a process with one thread.
///
/// 1. leaf with limits, scratch directory
/// 2. signals are blocked and read from a descriptor
/// 3. start, watch, stop; report; perhaps again
/// 4. what is left in the leaf is killed, leaf and scratch are removed
pub fn supervise(plan: &Plan, observe: &mut dyn FnMut(&Report)) -> Result<u8> {
    for text in &plan.notices {
        observe(&Report::Notice { text: text.clone() });
    }
    // Where it is ignored, children cannot be waited for; whoever started this may have left it so.
    default_action(Signal::SIGCHLD)
        .map_err(|errno| KernelError::new("take back", "SIGCHLD", errno))?;
    let signals = Signals::take()?;
    let place = Place::make(plan)?;
    let mut supervisor = Supervisor {
        plan,
        watch: Watch::new(place.leaf())?,
        evidence: Evidence::new(plan, place.leaf(), place.leaf_path(plan)),
        place,
        observe,
        stop: Stop::No,
        interrupts: Interrupts::default(),
        signals,
    };
    let ended = supervisor.lives();
    // An earlier failure is the one worth telling; that of the removal tells itself.
    match ended {
        Ok(code) => supervisor.place.remove().map(|()| code),
        failed => failed,
    }
}

/// The last interrupts, to tell a user who insists.
#[derive(Debug, Default)]
struct Interrupts(Vec<Instant>);

impl Interrupts {
    /// So many within [`INSIST_WITHIN`] are meant.
    const INSIST: usize = 3;

    /// Counts one more, and says whether it is meant.
    fn again(&mut self) -> bool {
        let now = Instant::now();
        self.0.retain(|at| now.duration_since(*at) < INSIST_WITHIN);
        self.0.push(now);
        self.0.len() >= Self::INSIST
    }
}

/// Whether the workload is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// Asked to; killed at that time.
    Until(Instant),
    /// Killed; only its death is waited for.
    Killed,
}

struct Supervisor<'a> {
    plan: &'a Plan,
    watch: Watch,
    evidence: Evidence,
    place: Place,
    observe: &'a mut dyn FnMut(&Report),
    stop: Stop,
    interrupts: Interrupts,
    /// Last, so that no signal ends the launcher before the place is cleaned up.
    signals: Signals,
}

impl Supervisor<'_> {
    /// One life after the other, in the same leaf, so that counters and edited limits persist.
    fn lives(&mut self) -> Result<u8> {
        let mut delay = FIRST_DELAY;
        loop {
            let since = Instant::now();
            let (code, executed) = self.life()?;
            let again = executed
                && code != 0
                && self.stop == Stop::No
                && self.plan.restart == Restart::OnFailure;
            if !again {
                return Ok(code);
            }
            if since.elapsed() >= GOOD_RUN {
                delay = FIRST_DELAY;
            }
            (self.observe)(&Report::Restarting { delay });
            if self.pause(delay)? {
                return Ok(code);
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// From clone to death. Gives the exit code, and whether the program was executed.
    fn life(&mut self) -> Result<(u8, bool)> {
        let observe = &mut *self.observe;
        let mut starting = start(
            self.plan,
            &mut self.place,
            &self.signals.before,
            &mut |text| {
                observe(&Report::Notice { text });
            },
        )?;
        let pid = starting.child.pid.as_raw().cast_unsigned();
        self.evidence.remember(pid);
        let mut arrival = None;
        let mut oom_due = None;
        loop {
            let ready = self.wait(&starting, arrival.is_none(), oom_due)?;
            if (ready.status || ready.ended) && arrival.is_none() {
                let arrived = starting.arrival(self.plan);
                if matches!(arrived, Ok(Arrival::Silent)) && self.is_executed(pid) {
                    (self.observe)(&Report::Started { pid });
                }
                arrival = Some(arrived);
            }
            if self.watch.moved() {
                self.evidence.look(self.place.leaf());
                if self.evidence.is_oom(self.place.leaf()) {
                    oom_due = oom_due.or(Some(Instant::now() + OOM_PATIENCE));
                }
            }
            if oom_due.is_some_and(|due| Instant::now() >= due) && !ready.ended {
                self.report_oom();
                oom_due = None;
            }
            while let Some(signal) = self.signals.next() {
                self.forward(signal, &starting, pid)?;
            }
            if let Stop::Until(deadline) = self.stop
                && Instant::now() >= deadline
            {
                self.kill()?;
            }
            if ready.ended {
                let arrived = arrival.unwrap_or(Ok(Arrival::Silent));
                return self.death(&starting, pid, arrived);
            }
        }
    }

    /// Waits for anything to happen.
    fn wait(&self, starting: &Starting, arriving: bool, oom_due: Option<Instant>) -> Result<Ready> {
        let mut fds = vec![
            PollFd::new(starting.child.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
        ];
        if arriving {
            fds.push(PollFd::new(starting.status(), PollFlags::POLLIN));
        }
        let deadline = match self.stop {
            Stop::Until(deadline) => Some(deadline),
            Stop::No | Stop::Killed => None,
        };
        let timeout = deadline
            .into_iter()
            .chain(oom_due)
            .min()
            .map_or(PollTimeout::NONE, until);
        poll_patiently(&mut fds, timeout)?;
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any() == Some(true));
        Ok(Ready {
            ended: is_ready(0),
            status: is_ready(3),
        })
    }

    /// Passes a signal on to PID 1. TERM starts the grace; INT is the program's own business (at the
    /// prompt of a shell it means nothing much), but three in a row are the user's. Where PID 1 has no
    /// handler for one of the two, it does what it would to any other process: ends it.
    fn forward(&mut self, signal: Signal, starting: &Starting, pid: u32) -> Result<()> {
        let stops = matches!(signal, Signal::SIGTERM | Signal::SIGINT);
        match self.stop {
            Stop::Killed => return Ok(()),
            _ if signal == Signal::SIGINT && self.interrupts.again() => return self.kill(),
            Stop::No if stops => {
                // The reaper forwards what it has no handler for.
                let deaf = !self.plan.init
                    && process::catches(Path::new("/proc"), pid, signal) == Some(false);
                if deaf {
                    let text = format!(
                        "{} is PID 1 and has no handler for {signal}, so it cannot notice it: killed at \
                         once (--init would let it end by the signal)",
                        self.plan.command
                    );
                    (self.observe)(&Report::Notice { text });
                    return self.kill();
                }
                if signal == Signal::SIGTERM {
                    self.stop = Stop::Until(Instant::now() + self.plan.stop_timeout);
                }
            }
            Stop::No | Stop::Until(_) => {}
        }
        if let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) {
            // It may have just died, which the loop will see.
            let _ = pidfd_send_signal(&starting.child.pidfd, number);
        }
        Ok(())
    }

    /// Whether PID 1 came to its exec; the reaper never does, and needs not.
    fn is_executed(&self, pid: u32) -> bool {
        self.plan.init || !process::is_forked_without_exec(Path::new("/proc"), pid)
    }

    fn kill(&mut self) -> Result<()> {
        self.stop = Stop::Killed;
        Ok(self.place.leaf().kill()?)
    }

    fn report_oom(&mut self) -> Option<OomReport> {
        let report = self.evidence.report(self.place.leaf())?;
        (self.observe)(&Report::Oom(report.clone()));
        Some(report)
    }

    /// PID 1 is dead, and by it its whole pid namespace: looks at how, reports, and reaps it.
    fn death(
        &mut self,
        starting: &Starting,
        pid: u32,
        arrived: Result<Arrival>,
    ) -> Result<(u8, bool)> {
        let executed = self.is_executed(pid);
        // While it is a zombie, its pids can still be read.
        self.evidence.look(self.place.leaf());
        let oom = self.report_oom();
        // Past the point of no return in exec, but hardly further.
        let victim = oom.as_ref().and_then(|oom| oom.victim.as_ref());
        let stillborn = |victim: &Victim| victim.pid == pid && victim.rss() < STILLBORN;
        let executed = executed && !victim.is_some_and(stillborn);
        let code = reap(starting)?;
        match arrived? {
            Arrival::NotExecuted(errno) => {
                let (code, text) = not_executed(&self.plan.command, errno)?;
                (self.observe)(&Report::Failed { code, text });
                Ok((code, false))
            }
            Arrival::Silent if !executed => {
                let command = &self.plan.command;
                let text = match oom {
                    Some(oom) => too_small(command, &oom),
                    None if self.stop == Stop::Killed => None,
                    None => Some(format!("{command} was killed before it started")),
                };
                if let Some(text) = text {
                    (self.observe)(&Report::Failed { code, text });
                }
                Ok((code, false))
            }
            Arrival::Silent => {
                (self.observe)(&Report::Exited { code });
                Ok((code, true))
            }
        }
    }

    /// Waits before a restart; whether a signal ended that.
    fn pause(&mut self, delay: Duration) -> Result<bool> {
        let deadline = Instant::now() + delay;
        while Instant::now() < deadline {
            let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            poll_patiently(&mut fds, until(deadline))?;
            while let Some(signal) = self.signals.next() {
                if matches!(signal, Signal::SIGTERM | Signal::SIGINT) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The sentence for a limit that does not even let the program start.
fn too_small(command: &str, oom: &OomReport) -> Option<String> {
    let Cause::Limit { max, .. } = oom.cause else {
        return None;
    };
    let max = max.map_or_else(String::new, |max| format!(" {}", text::limit(max)));
    Some(format!(
        "memory.max{max} is too small to start {command}; give it more memory (-m)"
    ))
}

/// What a wait brought.
struct Ready {
    ended: bool,
    status: bool,
}

fn reap(starting: &Starting) -> Result<u8> {
    let id = WaitId::PidFd(starting.child.pidfd.as_fd());
    let status = waitid(id, WaitIdOptions::EXITED)
        .map_err(|errno| KernelError::new("wait for", "the workload", errno))?;
    Ok(status.map_or(u8::MAX, |status| {
        exit_code(status.exit_status(), status.terminating_signal())
    }))
}

/// docker's codes: 127 where there is no such program, 126 where it may not or cannot be executed.
fn not_executed(command: &str, errno: Errno) -> Result<(u8, String)> {
    let why = match errno {
        Errno::ENOENT if command.contains('/') => {
            let why = hidden_by(command)
                .unwrap_or_else(|| "or the interpreter that it names is not".to_owned());
            return Ok((127, format!("{command}: not found ({why})")));
        }
        Errno::ENOENT => {
            let why = hidden_by("/usr/bin/").map_or_else(String::new, |why| format!(" ({why})"));
            return Ok((127, format!("{command}: not found in PATH{why}")));
        }
        Errno::ENOMEM => {
            return Err(Error::Step {
                step: format!("execute {command}"),
                errno,
            });
        }
        Errno::EACCES => "permission denied: not an executable file",
        errno => errno.desc(),
    };
    Ok((126, format!("{command}: cannot be executed: {why}")))
}

/// Why a path of the host may not be there inside: an overlay shows one file system, the root's.
fn hidden_by(path: &str) -> Option<String> {
    let mounts = process::mounts_beneath_root();
    let mount = mounts
        .iter()
        .find(|mount| Path::new(path).starts_with(mount))?;
    Some(format!(
        "{} is a file system of its own on this host, and only the root file system shows inside",
        mount.display()
    ))
}
