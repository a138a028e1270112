//! Freeze and thaw, stop, kill.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::survey::{self, Member};
use super::{Ground, Target, processes, rules};
use crate::control::make::Keeper;
use crate::control::{again, workload};
use crate::kernel::cgroup::subtree;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::process::held::Held;
use crate::kernel::process::is_deaf;
use crate::kernel::systemd::Unit;
use crate::kernel::task::namespace;
use crate::launch::state::{Record, Status};
use crate::launch::supervise::AT_ONCE;

/// How long a cgroup may take to come to rest, or to go on.
const REST: Duration = Duration::from_secs(2);
/// How long killed processes may take to be gone.
const DEATH: Duration = Duration::from_secs(5);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// Holds it still. <https://docs.kernel.org/admin-guide/cgroup-v2.html#core-interface-files>
pub fn freeze(ground: &Ground, target: &Target) -> anyhow::Result<String> {
    let cgroup = ground.open_unless_spared(target)?;
    let path = &target.path;
    objection(rules::file(&cgroup, path, "cgroup.freeze", "5.2"))?;
    cgroup.write("cgroup.freeze", "1")?;
    let (members, unseen) = survey::members(ground, path)?;
    let count = processes(members.len() + unseen);
    if wait(REST, || cgroup.events().is_ok_and(|events| events.frozen)) {
        return Ok(format!("froze {path}: {count}"));
    }
    Ok(format!(
        "{path} is told to freeze, but not all of its {count} came to rest within {} s: one may wait for \
         a device",
        REST.as_secs()
    ))
}

/// Lets it go on.
pub fn thaw(ground: &Ground, target: &Target) -> anyhow::Result<String> {
    let cgroup = ground.open(target)?;
    let path = &target.path;
    objection(rules::file(&cgroup, path, "cgroup.freeze", "5.2"))?;
    let above = || rules::frozen_above(ground, path);
    if !subtree::is_frozen(cgroup.path()) {
        match above() {
            Some(above) => bail!("{path} is kept frozen by {above}; thaw that one"),
            None => bail!("{path} is not frozen"),
        }
    }
    cgroup.write("cgroup.freeze", "0")?;
    if let Some(above) = above() {
        return Ok(format!(
            "thawed {path}, but {above} keeps it frozen; thaw that one too"
        ));
    }
    wait(REST, || cgroup.events().is_ok_and(|events| !events.frozen));
    let below = subtree::frozen(cgroup.path());
    Ok(match below.first() {
        Some(below) => format!("thawed {path}; {} is still frozen", ground.path(below)),
        None => format!("thawed {path}"),
    })
}

/// Ends all at once.
pub fn kill(ground: &Ground, target: &Target) -> anyhow::Result<String> {
    let cgroup = ground.open_unless_spared(target)?;
    let path = &target.path;
    if let Some(record) = workload::of_cgroup(path) {
        return kill_workload(ground, &cgroup, path, &record);
    }
    objection(rules::file(&cgroup, path, "cgroup.kill", "5.14"))?;
    let (members, unseen) = survey::members(ground, path)?;
    if members.is_empty() && unseen == 0 {
        bail!("nothing runs in {path} any more");
    }
    cgroup.kill()?;
    let killed = processes(members.len() + unseen);
    Ok(format!("killed {killed} of {path}{}", afterwards(&cgroup)))
}

/// TERM, the grace, and then the kill.
///
/// 1. a service of systemd's: `systemctl stop`, which does all of this as the unit says, and keeps it down; a workload of
///    ringfence's: its supervisor is told to
/// 2. TERM to every process, to the processes of a pid namespace only through its PID 1, as `ringfence run`
///    and docker do: that one stops the others
/// 3. what is frozen is thawed, so that TERM can be handled
/// 4. where all that were told are a PID 1 without a handler, the grace is skipped: it cannot help
/// 5. what still runs after the grace is killed
pub fn stop(
    ground: &Ground,
    target: &Target,
    grace: Duration,
    tell: &dyn Fn(String),
) -> anyhow::Result<String> {
    let cgroup = ground.open_unless_spared(target)?;
    let path = &target.path;
    if let Keeper::Systemd(unit) = Keeper::of(Path::new(path.trim_start_matches('/')))
        && survey::stopped_by_systemd(&unit)
    {
        return stop_unit(&unit, tell);
    }
    objection(rules::term(ground, target))?;
    if let Some(record) = workload::of_cgroup(path) {
        return stop_workload(ground, &cgroup, path, &record, tell);
    }
    let (members, unseen) = survey::members(ground, path)?;
    if members.is_empty() {
        match unseen {
            0 => bail!("nothing runs in {path} any more"),
            _ => bail!("what runs in {path} is outside our pid namespace; only a kill reaches it"),
        }
    }
    let (told, deaf) = term(ground, path, &members)?;
    thaw_for_term(ground, &cgroup, tell)?;
    let count = processes(told);
    let until = if let Some(name) = deaf.first().filter(|_| deaf.len() == told) {
        tell(format!(
            "pid {name} is PID 1 and has no handler for TERM, so it cannot notice it: killed at once"
        ));
        Duration::ZERO
    } else {
        tell(format!(
            "TERM sent to {count} of {path}; what still runs after {} is killed",
            seconds(grace)
        ));
        grace
    };
    let begin = Instant::now();
    if wait(until, || is_empty(&cgroup)) {
        return Ok(format!(
            "{path} has ended, {} after TERM",
            seconds(begin.elapsed())
        ));
    }
    // As at first: all may have changed meanwhile.
    let cgroup = match ground.open_unless_spared(target) {
        Err(_) if is_empty(&cgroup) => return Ok(format!("{path} has ended")),
        opened => opened?,
    };
    let (left, unseen) = survey::members(ground, path)?;
    let left = left.len() + unseen;
    cgroup.kill()?;
    let runs = if left == 1 { "runs" } else { "run" };
    let rest = afterwards(&cgroup);
    Ok(if until.is_zero() {
        format!("killed {} of {path}{rest}", processes(left))
    } else {
        format!(
            "{left} of {path} still {runs} after {}: killed{rest}",
            seconds(grace)
        )
    })
}

/// Sends TERM to those that it is for. Gives how many that are, and the names of those that it passes by.
fn term(ground: &Ground, path: &str, members: &[Member]) -> anyhow::Result<(usize, Vec<String>)> {
    let space = |member: &Member| namespace::pid_namespace(&ground.proc, member.brief.pid);
    let inits: Vec<(u32, u64)> = members
        .iter()
        .filter(|member| member.brief.inside == Some(1))
        .filter_map(|member| Some((member.brief.pid, space(member)?)))
        .collect();
    let by_init = |member: &Member| {
        let own = member.brief.inside.and_then(|_| space(member));
        let mut inits = inits.iter();
        inits.any(|(pid, space)| *pid != member.brief.pid && own == Some(*space))
    };
    let (mut told, mut deaf) = (0, Vec::new());
    let mut refused = None;
    for member in members.iter().filter(|member| !by_init(member)) {
        let Some(held) = Held::open(&ground.proc, member.brief.pid)? else {
            continue;
        };
        // It may have moved away, or be another one by now.
        let is_same = held.brief.start_time == member.brief.start_time;
        if !is_same || !is_in(ground, held.brief.pid, path) {
            continue;
        }
        // Before it is told: who wakes from a wait does not look like one that waits.
        let passes_by =
            held.brief.inside == Some(1) && is_deaf(&ground.proc, held.brief.pid, Signal::SIGTERM);
        match held.signal(Signal::SIGTERM) {
            Ok(true) => {
                told += 1;
                deaf.extend(passes_by.then(|| held.brief.name()));
            }
            Ok(false) => {}
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if told == 0 => {
            Err(error).context(format!("{path} was not stopped; type sudo in front"))
        }
        _ => Ok((told, deaf)),
    }
}

fn is_in(ground: &Ground, pid: u32, path: &str) -> bool {
    let cgroup = crate::kernel::task::cgroup(&ground.proc, pid);
    cgroup.is_some_and(|cgroup| crate::model::tree::is_in(&cgroup, path))
}

fn stop_unit(unit: &Unit, tell: &dyn Fn(String)) -> anyhow::Result<String> {
    let stopping = unit.stop(nix::unistd::geteuid().is_root());
    tell(format!(
        "{} is a unit of systemd's, which stops it: {stopping}",
        unit.name
    ));
    match stopping.run() {
        Ok(()) => Ok(format!("{} is stopped, and stays so", unit.name)),
        Err(why) => bail!("{} was not stopped ({why}): {stopping}", unit.name),
    }
}

/// Who is frozen cannot handle it.
fn thaw_for_term(ground: &Ground, cgroup: &Cgroup, tell: &dyn Fn(String)) -> anyhow::Result<()> {
    for frozen in subtree::frozen(cgroup.path()) {
        Cgroup::open(&frozen)?.write("cgroup.freeze", "0")?;
        tell(format!(
            "thawed {}, so that TERM can be handled",
            ground.path(&frozen)
        ));
    }
    Ok(())
}

/// Has its supervisor stop it, which then does not start it again.
fn stop_workload(
    ground: &Ground,
    cgroup: &Cgroup,
    path: &str,
    record: &Record,
    tell: &dyn Fn(String),
) -> anyhow::Result<String> {
    let grace = record.spec.stop_timeout.duration();
    let init = record.process().and_then(|process| process.hold());
    // Before it is told, as with any other. The reaper lets the program end by the signal.
    let deaf =
        |init: &Held| !record.spec.init && is_deaf(&ground.proc, init.brief.pid, Signal::SIGTERM);
    let deaf = init.as_ref().is_some_and(deaf);
    let (members, unseen) = survey::members(ground, path)?;
    let count = processes(members.len() + unseen);
    thaw_for_term(ground, cgroup, tell)?;
    let begin = Instant::now();
    let supervisor = told(path, record, None)?;
    let name = init.map_or_else(String::new, |init| init.brief.name());
    let pausing = matches!(record.status, Status::Restarting { .. });
    tell(if pausing {
        format!("{path} does not run just now; its supervisor is told not to start it again")
    } else if deaf {
        format!(
            "pid {name} is PID 1 and has no handler for TERM, so it cannot notice it: killed at once"
        )
    } else {
        format!(
            "TERM sent to 1 process of {path}; what still runs after {} is killed",
            seconds(grace)
        )
    });
    // Its supervisor began to count a little later.
    let in_time = wait(grace, || is_empty(cgroup)) && begin.elapsed() < grace;
    let took = seconds(begin.elapsed());
    let rest = afterwards(cgroup);
    // Its record says that it is over once its supervisor is.
    wait(DEATH, || supervisor.is_over());
    Ok(match (in_time, deaf) {
        (true, true) => format!("killed {count} of {path}{rest}"),
        (true, false) => format!("{path} has ended, {took} after TERM{rest}"),
        (false, _) => format!("{path} still ran after {}: killed{rest}", seconds(grace)),
    })
}

/// Has its supervisor end it at once; what does not heed it is killed all the same.
fn kill_workload(
    ground: &Ground,
    cgroup: &Cgroup,
    path: &str,
    record: &Record,
) -> anyhow::Result<String> {
    let (members, unseen) = survey::members(ground, path)?;
    let count = processes(members.len() + unseen);
    let supervisor = told(path, record, Some(AT_ONCE))?;
    if !wait(DEATH, || supervisor.is_over()) {
        cgroup.kill()?;
    }
    let rest = afterwards(cgroup);
    Ok(format!("killed {count} of {path}{rest}"))
}

/// Tells the supervisor of a workload to stop it.
fn told(path: &str, record: &Record, grace: Option<i32>) -> anyhow::Result<Held> {
    workload::tell(record, grace)?.with_context(|| format!("{path} has ended meanwhile"))
}

/// Stops a workload, and starts it again.
pub fn restart(ground: &Ground, target: &Target, tell: &dyn Fn(String)) -> anyhow::Result<String> {
    ground.open_unless_spared(target)?;
    let record = workload::of_cgroup(&target.path)
        .with_context(|| format!("{} is no workload of ringfence's", target.path))?;
    let name = &record.name;
    let grace = seconds(record.spec.stop_timeout.duration());
    tell(format!(
        "TERM sent to {name}, which is started again as soon as it has ended; what still runs after {grace} is killed"
    ));
    again::restart(name)
}

/// What is to be said when not all that were killed are gone.
fn afterwards(cgroup: &Cgroup) -> String {
    if wait(DEATH, || is_empty(cgroup)) {
        return String::new();
    }
    let seconds = DEATH.as_secs();
    format!("; not all have ended after {seconds} s: one may wait for a device")
}

/// Whether no living process is in it or below it; one that is gone is empty too.
fn is_empty(cgroup: &Cgroup) -> bool {
    match cgroup.events() {
        Ok(events) => !events.populated,
        Err(error) => error.is_gone(),
    }
}

/// Waits until something is so, and says whether it came to be.
fn wait(patience: Duration, so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(PAUSE);
    }
}

/// `10 s`, `0.4 s`
fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

fn objection(why: Option<String>) -> anyhow::Result<()> {
    why.map_or(Ok(()), |why| bail!("{why}"))
}
