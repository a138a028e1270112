//! One workload from start to nothing left: a single-threaded loop over its pidfd, the signals of the
//! launcher, the leaf's notifications and the kernel log.

pub(super) mod listen;
mod output;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use listen::{Signals, Told, Watch, poll_patiently, until};
use output::Recorder;

use super::blocked::with_obstacle;
use super::error::{Error, Result};
use super::image;
use super::log;
use super::not_executed::not_executed;
use super::place::Place;
use super::plan::Plan;
use super::report::{Report, oom_line};
use super::spec::{LogRules, Stdio};
use super::start::{Arrival, Starting, exit_code, start};
use super::state::{Keeper, Record};
use super::stdio::{Pipes, READER_PATIENCE, Streams};
use super::terminal::Relay;
use crate::kernel::error::Error as KernelError;
use crate::kernel::process;
use crate::kernel::syscall::default_action;
use crate::kernel::unit::Bytes;
use crate::oom::leaf::Evidence;
use crate::oom::{OomKill, Victim};
use crate::text;

/// The first pause before a restart; each further one is twice as long.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Who ran for so long starts with the first pause again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// The exit code where ringfence itself failed.
pub const OWN_FAILURE: u8 = 125;

/// Interrupts within this time count as insisting.
const INSIST_WITHIN: Duration = Duration::from_secs(2);

/// How long a workload may outlive an OOM kill before that is told of by itself: as one kill takes the
/// whole workload, its death comes at once, and both are told of together.
const OOM_PATIENCE: Duration = Duration::from_millis(500);

/// A PID 1 that was OOM-killed below this size did not come further than its own start.
const STILLBORN: Bytes = Bytes(1 << 20);

/// What a stop may say beside its signal: so many seconds of grace, or this for none and no signal either.
pub const AT_ONCE: i32 = -1;

/// Runs a workload to its end, restarts included, and leaves nothing behind but, where it is to be kept, its record and
/// its log. Gives its exit code: the program's, 128 and the signal, 126 or 127. Must be called in a process with one
/// thread.
///
/// 1. signals are blocked and read from a descriptor, and only then `keep` makes the record, by which others find this
///    process to tell it to stop; layers of an image are unpacked
/// 2. leaf with limits, scratch directory
/// 3. start, watch, stop; report; perhaps again
/// 4. what is left in the leaf is killed, its counters are looked at for the last time, leaf and scratch are removed
pub fn supervise(
    plan: &Plan,
    keep: impl FnOnce(GoOn<'_>) -> Result<Keeper>,
    observe: &mut dyn FnMut(&Report),
) -> Result<u8> {
    for text in &plan.notices {
        observe(&Report::Notice { text: text.clone() });
    }
    // Where it is ignored, children cannot be waited for; whoever started this may have left it so.
    default_action(Signal::SIGCHLD)
        .map_err(|errno| KernelError::new("take back", "SIGCHLD", errno))?;
    let signals = Signals::take()?;
    let mut ended_by = None;
    let mut go_on = || {
        let next = || signals.next().filter(Told::asks_to_end);
        ended_by = ended_by.or_else(|| Some(next()?.signal));
        ended_by.is_none()
    };
    let prepared = prepare(plan, keep, &mut go_on, observe);
    if let Some(signal) = ended_by {
        return Ok(exit_code(None, Some(signal as i32)));
    }
    let (mut keeper, place) = prepared?;
    let cgroup = place.leaf_path(plan);
    let record = keeper.record();
    let log = record.terms.detached.then(|| log_dir(record)).transpose()?;
    let recorder = log.clone().map(|dir| recorder(record, dir)).transpose()?;
    let pipes = match (&recorder, plan.stdio) {
        (None, Stdio::Pipe) => Pipes::new(plan.tty, plan.interactive)?,
        _ => Pipes::default(),
    };
    keeper.note(|record| {
        record.cgroup.clone_from(&cgroup);
        record.log = log.or(record.log.take());
        true
    });
    let mut supervisor = Supervisor {
        plan,
        watch: Watch::new(place.leaf())?,
        evidence: Evidence::new(&plan.mount, &cgroup, place.leaf()),
        place,
        keeper,
        recorder,
        pipes,
        observe,
        stop: Stop::No,
        interrupts: Interrupts::default(),
        signals,
    };
    let ended = supervisor.lives();
    supervisor.last_look();
    let Supervisor {
        place,
        keeper,
        mut pipes,
        signals: _signals,
        ..
    } = supervisor;
    let removed = place.remove();
    let (code, why) = match &ended {
        Ok(code) => (*code, None),
        Err(error) => (OWN_FAILURE, Some(error.to_string())),
    };
    let closed = keeper.close(code, why);
    // An earlier failure is the one worth telling; that of the removal tells itself.
    let code = ended?;
    removed?;
    closed?;
    pipes.check().map(|()| code)
}

/// Asked every now and then by what takes long.
type GoOn<'a> = &'a mut dyn FnMut() -> bool;

/// Everything that may have to wait for other launchers.
fn prepare(
    plan: &Plan,
    keep: impl FnOnce(GoOn<'_>) -> Result<Keeper>,
    go_on: GoOn<'_>,
    observe: &mut dyn FnMut(&Report),
) -> Result<(Keeper, Place)> {
    let keeper = keep(go_on)?;
    let detached = keeper.record().terms.detached;
    image::sweep();
    if let Some(image) = &plan.image {
        image.unpack(go_on, &mut |text| observe(&Report::Notice { text }))?;
    }
    Ok((keeper, Place::make(plan, detached, go_on)?))
}

/// Where the output of a detached workload goes: where that of its earlier lives is.
fn log_dir(record: &Record) -> Result<PathBuf> {
    match &record.log {
        Some(dir) => Ok(dir.clone()),
        None => Ok(log::make_dir(&record.name)?),
    }
}

fn recorder(record: &Record, log: PathBuf) -> Result<Recorder> {
    let rules = LogRules::new(&record.spec.log_opt);
    Recorder::new(log::Writer::open(log, rules)?)
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
    keeper: Keeper,
    /// Takes the output of a detached workload.
    recorder: Option<Recorder>,
    /// Relays the streams of one in the foreground.
    pipes: Pipes,
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
        let mut restarts = 0_u32;
        loop {
            let since = Instant::now();
            let (code, executed) = self.life()?;
            let again = self.plan.restart.again(code, restarts);
            if !(again && executed && self.stop == Stop::No) {
                return Ok(code);
            }
            if since.elapsed() >= GOOD_RUN {
                delay = FIRST_DELAY;
            }
            self.tell(&Report::Restarting { delay });
            if self.pause(delay)? {
                return Ok(code);
            }
            delay = (delay * 2).min(LONGEST_DELAY);
            restarts = restarts.saturating_add(1);
        }
    }

    /// From clone to death. Gives the exit code, and whether the program was executed.
    fn life(&mut self) -> Result<(u8, bool)> {
        let observe = &mut *self.observe;
        let streams = match &self.recorder {
            Some(_) if self.plan.tty => Streams::default(),
            Some(recorder) => recorder.ends(),
            None => self.pipes.ends(),
        };
        let mut starting = start(
            self.plan,
            &mut self.place,
            &self.signals.before,
            streams,
            self.recorder.is_none(),
            &mut |text| {
                observe(&Report::Notice { text });
            },
        )
        .map_err(|error| self.with_obstacle(error))?;
        let pid = starting.child.pid.as_raw().cast_unsigned();
        self.evidence.remember(&[pid]);
        let mut arrival = None;
        let mut oom_due = None;
        loop {
            let ready = self.wait(&starting, arrival.is_none(), oom_due)?;
            self.pump(starting.relay.as_mut());
            if let Some(relay) = &mut starting.relay
                && relay.has_interrupted(pid)
                && self.stop == Stop::No
            {
                self.kill_if_deaf(pid, Signal::SIGINT)?;
            }
            if (ready.status || ready.ended) && arrival.is_none() {
                let arrived = starting.arrival(&self.plan.walk);
                let arrived = arrived.map_err(|error| self.with_obstacle(error));
                if matches!(arrived, Ok(Arrival::Silent)) && self.is_executed(pid) {
                    self.tell(&Report::Started { pid });
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
            // What comes at the end is for those who wait for the last words.
            while !ready.ended
                && let Some(told) = self.signals.next()
            {
                self.forward(told, &starting, pid)?;
            }
            if let Stop::Until(deadline) = self.stop
                && Instant::now() >= deadline
            {
                self.kill()?;
            }
            if ready.ended {
                self.last_words(starting.relay.take())?;
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
        ];
        if arriving {
            fds.push(PollFd::new(starting.status(), PollFlags::POLLIN));
        }
        let arriving_at = arriving.then_some(2);
        fds.extend(self.watch.fds());
        let stdin = io::stdin();
        let relayed = starting.relay.as_ref().map(|relay| relay.fds(&stdin));
        fds.extend(relayed.into_iter().flatten());
        fds.extend(self.recorder.iter().flat_map(Recorder::fds));
        fds.extend(self.pipes.fds(&stdin));
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
        let is_ready = |at: usize| fds[at].any() == Some(true);
        Ok(Ready {
            ended: is_ready(0),
            status: arriving_at.is_some_and(is_ready),
        })
    }

    /// Passes a signal on to PID 1. TERM, which becomes what an image wants in its place, starts the grace; INT is the program's own business (at the
    /// prompt of a shell it means nothing much), but three in a row are the user's. Where PID 1 has no
    /// handler for one of the two, it does what it would to any other process: ends it.
    fn forward(&mut self, told: Told, starting: &Starting, pid: u32) -> Result<()> {
        let Told { signal, value } = told;
        let grace = value.and_then(|seconds| u64::try_from(seconds).ok());
        let grace = grace.map(Duration::from_secs);
        match (signal, &starting.relay) {
            // The kernel tells whoever is in the foreground.
            (Signal::SIGWINCH, Some(relay)) => {
                relay.resize();
                return Ok(());
            }
            // It was this process that was stopped.
            (Signal::SIGCONT, relay) => {
                relay.iter().for_each(Relay::resume);
                return Ok(());
            }
            _ => {}
        }
        let ends = signal == Signal::SIGTERM;
        let stops = ends || signal == Signal::SIGINT;
        let signal = if ends { self.plan.stop_signal } else { signal };
        match self.stop {
            Stop::Killed => return Ok(()),
            _ if ends && value == Some(AT_ONCE) => return self.kill(),
            _ if stops && !ends && self.interrupts.again() => return self.kill(),
            Stop::No if stops => {
                if self.kill_if_deaf(pid, signal)? {
                    return Ok(());
                }
                if ends {
                    let grace = grace.unwrap_or(self.plan.stop_timeout);
                    self.stop = Stop::Until(Instant::now() + grace);
                }
            }
            Stop::Until(_) if let Some(grace) = grace => {
                self.stop = Stop::Until(Instant::now() + grace);
            }
            Stop::No | Stop::Until(_) => {}
        }
        if let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) {
            // It may have just died, which the loop will see.
            let _ = pidfd_send_signal(&starting.child.pidfd, number);
        }
        Ok(())
    }

    fn with_obstacle(&self, error: Error) -> Error {
        with_obstacle(error, &self.plan.mount, self.place.leaf().path())
    }

    /// Ends a PID 1 that cannot notice a signal that is to end it, and says whether it did.
    fn kill_if_deaf(&mut self, pid: u32, signal: Signal) -> Result<bool> {
        // The reaper forwards what it has no handler for.
        let deaf = !self.plan.walk.init && process::is_deaf(Path::new("/proc"), pid, signal);
        if deaf {
            let text = format!(
                "{} is PID 1 and has no handler for {signal}, so it cannot notice it: killed at once (--init would let \
                 it end by the signal)",
                self.plan.command
            );
            self.tell(&Report::Notice { text });
            self.kill()?;
        }
        Ok(deaf)
    }

    /// Writes it down, and tells it.
    fn tell(&mut self, report: &Report) {
        self.keeper.take_in(report);
        (self.observe)(report);
        if let Some(error) = self.keeper.trouble() {
            let text = format!("what is known of it cannot be written down: {error}");
            (self.observe)(&Report::Notice { text });
        }
    }

    /// Hands on what the workload says, and what is said to it.
    fn pump(&mut self, relay: Option<&mut Relay>) {
        let lost = match (&mut self.recorder, relay) {
            (Some(recorder), relay) => {
                if let Some(relay) = relay {
                    relay.pump(recorder);
                }
                recorder.pump()
            }
            (None, relay) => {
                if let Some(relay) = relay {
                    relay.pump(&mut io::stdout());
                }
                self.pipes.pump();
                None
            }
        };
        if let Some(error) = lost {
            let text = format!("what it says cannot be kept: {error}");
            self.tell(&Report::Notice { text });
        }
    }

    /// Hands on all that was said. Who reads it may take long, but a signal ends that.
    fn last_words(&mut self, relay: Option<Relay>) -> Result<()> {
        match (&mut self.recorder, relay) {
            (Some(recorder), Some(relay)) => relay.finish(recorder),
            (None, Some(relay)) => relay.finish(&mut io::stdout()),
            (_, None) => {}
        }
        self.pump(None);
        let patience = (self.stop != Stop::No).then_some(READER_PATIENCE);
        if !self.pipes.drain(&self.signals, patience)? {
            self.stop = Stop::Killed;
        }
        Ok(())
    }

    /// Whether PID 1 came to its exec; the reaper never does, and needs not.
    fn is_executed(&self, pid: u32) -> bool {
        self.plan.walk.init || !process::is_forked_without_exec(Path::new("/proc"), pid)
    }

    fn kill(&mut self) -> Result<()> {
        self.stop = Stop::Killed;
        Ok(self.place.leaf().kill()?)
    }

    fn report_oom(&mut self) -> Option<OomKill> {
        let kill = self.evidence.report(self.place.leaf())?;
        let leaf = self.place.leaf_path(self.plan);
        self.tell(&Report::OomKill {
            text: oom_line(&kill, &self.plan.name, &leaf),
            kill: kill.clone().into(),
        });
        Some(kill)
    }

    /// The counters die with the leaf: who was killed after PID 1 is told of before.
    fn last_look(&mut self) {
        // What cannot be emptied cannot be removed either, which tells itself.
        let _ = self.place.leaf().empty();
        self.report_oom();
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
        let victim = oom.as_ref().and_then(|oom| oom.victims.first());
        let stillborn = |victim: &Victim| victim.pid == pid && victim.rss() < STILLBORN;
        let executed = executed && !victim.is_some_and(stillborn);
        let code = reap(starting)?;
        match arrived? {
            Arrival::NotExecuted(errno) => {
                let (code, text) = not_executed(
                    &self.keeper.record().spec,
                    &self.plan.root.layers,
                    &self.plan.command,
                    errno,
                )?;
                self.tell(&Report::Failed { code, text });
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
                    self.tell(&Report::Failed { code, text });
                }
                Ok((code, false))
            }
            Arrival::Silent => {
                self.tell(&Report::Exited { code });
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
            while let Some(told) = self.signals.next() {
                if matches!(told.signal, Signal::SIGTERM | Signal::SIGINT) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The sentence for a limit that does not even let the program start.
fn too_small(command: &str, oom: &OomKill) -> Option<String> {
    oom.limit_path()?;
    let max = oom
        .limit()
        .map_or_else(String::new, |max| format!(" {}", text::limit(max)));
    Some(format!(
        "memory.max{max} is too small to start {command}; give it more memory (-m)"
    ))
}

/// What a wait brought.
struct Ready {
    ended: bool,
    status: bool,
}

pub(super) fn reap(starting: &Starting) -> Result<u8> {
    let id = WaitId::PidFd(starting.child.pidfd.as_fd());
    let status = waitid(id, WaitIdOptions::EXITED)
        .map_err(|errno| KernelError::new("wait for", "the workload", errno))?;
    Ok(status.map_or(u8::MAX, |status| {
        exit_code(status.exit_status(), status.terminating_signal())
    }))
}
