//! What speaks against a change while it is on trial: OOM kills, by the kernel's notification; stalls, by a trigger of the
//! kernel's; the throttled share, which the kernel counts without saying so.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::cpu::{Bandwidth, CpuMax, CpuStat};
use crate::kernel::memory::MemoryEvents;
use crate::kernel::pressure::Pressure;
use crate::kernel::pressure::trigger::Trigger;
use crate::kernel::unit::{Limit, Percent};

/// Over how long the throttled share is measured, and of at least how many periods.
const WINDOW: Duration = Duration::from_secs(1);
const PERIODS: u64 = 10;
/// How far back counts are kept, for periods that are long or seldom, and the least time between two.
const KEPT: usize = 64;
const APART: Duration = Duration::from_millis(100);

/// What tasks may wait for, and the file that says for how long they do.
const STALLS: [(&str, &str); 2] = [("memory", "memory.pressure"), ("I/O", "io.pressure")];

/// How the cgroup was before the change.
#[derive(Debug)]
pub(super) struct Before {
    kills: u64,
    /// For each of [`STALLS`], where it can be read.
    stalled: [Option<Percent>; STALLS.len()],
    throttled: Percent,
}

impl Before {
    /// Looks; where the cgroup has a quota, for a second.
    pub(super) fn measure(cgroup: &Cgroup) -> Self {
        let stalled = |(_, file): (&str, &str)| {
            let pressure = Pressure::parse(&cgroup.read(file).ok()?);
            Some(pressure.ok()?.some.avg10)
        };
        Self {
            kills: kills(cgroup).unwrap_or_default(),
            stalled: STALLS.map(stalled),
            throttled: throttled_before(cgroup).unwrap_or_default(),
        }
    }
}

fn kills(cgroup: &Cgroup) -> Option<u64> {
    let events = MemoryEvents::parse(&cgroup.read("memory.events").ok()?);
    Some(events.ok()?.kills())
}

fn bandwidth(cgroup: &Cgroup) -> Option<Bandwidth> {
    let stat = CpuStat::parse(&cgroup.read("cpu.stat").ok()?);
    stat.ok()?.bandwidth
}

fn throttled_before(cgroup: &Cgroup) -> Option<Percent> {
    let max = CpuMax::parse(&cgroup.read("cpu.max").ok()?).ok()?;
    if max.cpus() == Limit::Max {
        return None;
    }
    let before = bandwidth(cgroup)?;
    sleep(WINDOW);
    share(before, bandwidth(cgroup)?, 1)
}

/// Of the periods between two counts, so many were throttled; `None` where there were too few.
fn share(before: Bandwidth, now: Bandwidth, least: u64) -> Option<Percent> {
    let periods = now.nr_periods.saturating_sub(before.nr_periods);
    let throttled = now.nr_throttled.saturating_sub(before.nr_throttled);
    (periods >= least).then(|| Percent(throttled as f64 * 100.0 / periods as f64))
}

/// A trigger.
#[derive(Debug)]
struct Armed {
    what: &'static str,
    before: Percent,
    trigger: Trigger,
}

/// Watches a cgroup for what is worse than before.
#[derive(Debug)]
pub(super) struct Watch {
    before: Before,
    margin: u32,
    events: Option<File>,
    triggers: Vec<Armed>,
    counts: VecDeque<(Instant, Bandwidth)>,
    /// What cannot be watched, a sentence each.
    pub(super) unwatched: Vec<String>,
}

impl Watch {
    pub(super) fn start(cgroup: &Cgroup, before: Before, margin: u32) -> Self {
        let mut watch = Self {
            events: cgroup.open_file("memory.events").ok(),
            triggers: Vec::new(),
            counts: VecDeque::new(),
            unwatched: Vec::new(),
            margin,
            before,
        };
        let mut cannot = |what: &str, why: &str| {
            watch
                .unwatched
                .push(format!("{what} is not watched: {why}"));
        };
        if watch.events.is_none() {
            cannot("OOM killing", "there is no memory.events here");
        }
        for ((what, file), before) in STALLS.into_iter().zip(watch.before.stalled) {
            let waiting = format!("waiting for {what}");
            let Some(before) = before else {
                cannot(&waiting, &format!("{file} cannot be read"));
                continue;
            };
            // Of a share near the whole nothing can be worse by so much.
            let most = Self::most(before, margin);
            if most > 100 {
                continue;
            }
            match Trigger::new(cgroup.path(), file, most.max(1)) {
                Ok(trigger) => watch.triggers.push(Armed {
                    what,
                    before,
                    trigger,
                }),
                Err(errno) => cannot(&waiting, errno.desc()),
            }
        }
        watch
    }

    /// The files that have something urgent to say (`POLLPRI`) when it is worth a look.
    pub(super) fn urgent(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let triggers = self.triggers.iter().map(|armed| armed.trigger.as_fd());
        triggers.chain(self.events.iter().map(|file| file.as_fd()))
    }

    /// Looks. `said` are the places of those of [`urgent`](Self::urgent) that have said something. Gives what is worse than
    /// before, in one sentence.
    pub(super) fn look(&mut self, cgroup: &Cgroup, said: &[usize]) -> Option<String> {
        if let Some(kills) = self.kills()
            && kills > self.before.kills
        {
            let count = kills - self.before.kills;
            return Some(match count {
                1 => "a process was OOM-killed".to_owned(),
                count => format!("{count} processes were OOM-killed"),
            });
        }
        if cgroup.is_gone() {
            // Its triggers say so, too.
            return None;
        }
        if let Some(armed) = said.iter().find_map(|place| self.triggers.get(*place)) {
            return Some(format!(
                "tasks waited for {} for more than {}% of {} s ({:.0}% before)",
                armed.what,
                Self::most(armed.before, self.margin),
                armed.trigger.seconds,
                armed.before.0
            ));
        }
        let now = self.throttled(bandwidth(cgroup)?, Instant::now())?;
        let before = self.before.throttled;
        (now.0 > before.0 + f64::from(self.margin)).then(|| {
            format!(
                "throttled in {:.0}% of its periods ({:.0}% before)",
                now.0, before.0
            )
        })
    }

    /// The share from which on it is worse, in percent.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 100"
    )]
    fn most(before: Percent, margin: u32) -> u32 {
        before.0.round() as u32 + margin
    }

    /// Reads the file again, without which it would not notify again.
    fn kills(&mut self) -> Option<u64> {
        let file = self.events.as_mut()?;
        let mut text = Vec::new();
        file.rewind().ok()?;
        file.read_to_end(&mut text).ok()?;
        Some(MemoryEvents::parse(&text).ok()?.kills())
    }

    /// The throttled share of the last second or the last ten periods, whichever is longer.
    fn throttled(&mut self, count: Bandwidth, now: Instant) -> Option<Percent> {
        let last = self.counts.front();
        if last.is_some_and(|(then, _)| now.duration_since(*then) < APART) {
            return None;
        }
        self.counts.truncate(KEPT - 1);
        self.counts.push_front((now, count));
        let old = |(then, _): &&(Instant, Bandwidth)| now.duration_since(*then) >= WINDOW;
        let mut old = self.counts.iter().filter(old);
        old.find_map(|(_, before)| share(*before, count, PERIODS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            before: Before {
                kills: 0,
                stalled: [None; 2],
                throttled: Percent(0.0),
            },
            margin: 20,
            events: None,
            triggers: Vec::new(),
            counts: VecDeque::new(),
            unwatched: Vec::new(),
        }
    }

    fn count(nr_periods: u64, nr_throttled: u64) -> Bandwidth {
        Bandwidth {
            nr_periods,
            nr_throttled,
            ..Bandwidth::default()
        }
    }

    #[test]
    fn the_throttled_share_is_that_of_a_second_or_of_ten_periods() {
        let mut watch = watch();
        let begin = Instant::now();
        let after =
            |quarters: u64| begin + Duration::from_millis(250) * u32::try_from(quarters).unwrap();
        // Ten periods a second, half of them throttled.
        for at in 0..4 {
            assert_eq!(
                watch.throttled(count(at * 5 / 2, at * 5 / 4), after(at)),
                None,
                "{at}"
            );
        }
        assert_eq!(watch.throttled(count(10, 5), after(4)), Some(Percent(50.0)));
        // One a second: it takes ten, and what was before counts no more.
        let shares: Vec<_> = (2..=12)
            .map(|second| watch.throttled(count(9 + second, 5), after(second * 4)))
            .collect();
        assert_eq!(shares.last(), Some(&Some(Percent(0.0))), "{shares:?}");
        // Nothing runs.
        assert_eq!(watch.throttled(count(21, 5), after(60)), Some(Percent(0.0)));
        assert!(watch.counts.len() <= KEPT);
    }
}
