//! OOM kills as a time line: each with what went before, what was known about it and what came after,
//! kept when its cgroup is gone.

mod after;
mod before;
mod grown;

use std::collections::VecDeque;
use std::mem::Discriminant;
use std::time::Duration;

use super::limit::Of;
use super::oom;
use super::row::Row;
use crate::kernel::unit::{Bytes, Limit, Reading};
use crate::oom::{Fact, Fired, Means, OomKill};

pub(super) use after::follow;
pub use after::{Outcome, Sequel};
pub(super) use before::stall;
pub use before::{BEFORE, Growth, LimitChange, Moment};
pub use grown::Grown;
pub(super) use grown::Sizes;

/// How many incidents are kept; each takes less than 8 KiB once the next one is there.
pub const INCIDENTS: usize = 200;
/// How many victims are kept of all incidents but the newest.
const VICTIMS: usize = 32;

/// So far apart two sources may tell of one kill; later, its pid is another's.
const ONE_KILL: Duration = Duration::from_secs(5);

/// One or more kills in one cgroup, with what came before and after.
#[derive(Debug, Clone)]
pub struct Incident {
    /// The how-manieth it is, counted from 1: its identity.
    pub number: u64,
    /// When, on the clock that counts from boot.
    pub at: Duration,
    /// What the kernel told. Foreign text inside.
    pub kill: OomKill,
    /// What people called the victims' cgroup. Foreign text.
    pub name: String,
    /// Whose limit it was, in words. Foreign text inside.
    pub limit: String,
    /// The limit, or the one that most likely was it.
    pub limit_bytes: Option<Bytes>,
    /// What most likely ran out, where nothing says it.
    likely: Option<Fired>,
    /// The victims' cgroup before it, oldest first.
    pub before: Vec<Moment>,
    /// Which process under the limit grew most in the minute before; `None` where they were not looked at.
    pub grown: Option<Grown>,
    /// What became of it; `None` until that is known.
    pub sequel: Option<Sequel>,
    /// Which kind of sequel was told last.
    told: Option<Discriminant<Outcome>>,
    /// Whether it was over before anybody watched: what came of it is not known.
    over: bool,
}

impl Incident {
    pub(super) fn new(
        number: u64,
        at: Duration,
        kill: &OomKill,
        row: Option<&Row>,
        label: &dyn Fn(&str) -> String,
    ) -> Self {
        let is_of_a_limit = !kill.is_the_hosts() && kill.killer().is_none();
        let likely = || row.filter(|_| is_of_a_limit).and_then(likely_limit);
        Self {
            number,
            at,
            name: label(&kill.path.value),
            limit: oom::limit(kill, row, label),
            limit_bytes: kill.limit().and_then(Limit::value).or_else(likely),
            likely: row.and_then(|row| whose_limit(row, kill)),
            before: Vec::new(),
            grown: None,
            sequel: None,
            told: None,
            over: false,
            kill: kill.clone(),
        }
    }

    /// The same of before anybody watched.
    pub(super) fn of_past(
        number: u64,
        at: Duration,
        kill: &OomKill,
        label: &dyn Fn(&str) -> String,
    ) -> Self {
        Self {
            over: true,
            ..Self::new(number, at, kill, None, label)
        }
    }

    /// What ran out: what is known, or what is most likely.
    pub fn fired(&self) -> Option<Fact<&Fired>> {
        let known = self.kill.fired.as_ref();
        known
            .map(|fired| Fact::new(&fired.value, fired.from))
            .or_else(|| Some(Fact::new(self.likely.as_ref()?, Means::Inferred)))
    }

    /// Whether it is this kill, told from another source: they have a victim in common, and about their time.
    pub(super) fn is_about(&self, kill: &OomKill) -> bool {
        let apart = match self.kill.time.duration_since(kill.time) {
            Ok(apart) => apart,
            Err(error) => error.duration(),
        };
        let mut victims = self.kill.victims.iter();
        apart < ONE_KILL && victims.any(|victim| kill.has_killed(victim.pid))
    }

    /// The same, where nothing but the kernel log of before was known of it.
    pub(super) fn is_past_of(&self, kill: &OomKill) -> bool {
        self.over && self.is_about(kill)
    }

    /// Whether the first process of a pid namespace was among the victims: the kernel then kills
    /// everybody in there, and whoever waits for it is told of `SIGKILL`, which shells and runtimes call
    /// exit 137.
    ///
    /// <https://man7.org/linux/man-pages/man7/pid_namespaces.7.html>
    pub fn killed_init(&self) -> bool {
        let mut victims = self.kill.victims.iter();
        victims.any(|victim| victim.inner_pid == Some(1) && victim.pid != 1)
    }
}

/// Adds the newest; of the older ones, the oldest go and long lists of victims are cut.
pub(super) fn push(incidents: &mut VecDeque<Incident>, incident: Incident) {
    if incidents.len() == INCIDENTS {
        incidents.pop_front();
    }
    if let Some(last) = incidents.back_mut() {
        last.kill.victims.truncate(VICTIMS);
        last.kill.victims.shrink_to_fit();
    }
    incidents.push_back(incident);
}

/// The memory limit that stops a cgroup first.
pub(super) fn likely_limit(row: &Row) -> Option<Bytes> {
    match &row.memory_limit {
        Reading::Value(ceiling) => Some(ceiling.binding.limit),
        Reading::NotAvailable | Reading::Unreadable(_) => None,
    }
}

/// Whose limit stops a cgroup first.
fn whose_limit(row: &Row, kill: &OomKill) -> Option<Fired> {
    let binding = &row.memory_limit.value()?.binding;
    let path = match &binding.of {
        Of::Host => return Some(Fired::Host),
        Of::Own => &kill.path.value,
        Of::Ancestor(path) => path,
    };
    Some(Fired::Cgroup {
        path: path.clone(),
        max: Some(Limit::At(binding.limit)),
    })
}

/// An incident for tests: one kill in `/a`, of which nothing is known, 100 s after the boot.
#[cfg(test)]
fn example(group: Option<bool>) -> Incident {
    use crate::kernel::cgroup::CgroupId;

    let kill = OomKill {
        time: std::time::SystemTime::UNIX_EPOCH,
        logged_at: None,
        cgroup: CgroupId(1),
        path: Fact::new("/a".into(), Means::Counter),
        kills: 1,
        total: None,
        group: group.map(|group| Fact::new(group, Means::Counter)),
        fired: None,
        victims: Vec::new(),
        memory_stat: None,
        choice: None,
    };
    Incident::new(1, Duration::from_secs(100), &kill, None, &|path| {
        path.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Model;
    use super::*;
    use crate::kernel::unit::Bytes;
    use crate::oom::Victim;
    use crate::sample::Event;

    #[test]
    fn a_kill_of_before_is_kept_once_where_it_is_told_again() {
        let kill = |second: u64, from| OomKill {
            time: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            victims: vec![Victim {
                pid: 7,
                inner_pid: None,
                comm: "a".to_owned(),
                anon: Bytes(0),
                file: Bytes(0),
                shmem: Bytes(0),
                uid: None,
                oom_score_adj: None,
                from,
            }],
            ..example(None).kill
        };
        let (logged, live) = (kill(100, Means::KernelLog), kill(101, Means::Tracepoint));
        let sources = |model: &Model| -> Vec<Means> {
            let incidents = model.incidents();
            incidents.map(|of| of.kill.victims[0].from).collect()
        };
        let mut model = Model::default();
        model.past_kills([&kill(50, Means::KernelLog), &logged]);
        model.event(&Event::OomKill(Box::new(live)));
        // Who was there has the better story; what was long before is another process.
        assert_eq!(sources(&model), [Means::Tracepoint, Means::KernelLog]);
        model.past_kills([&logged]);
        assert_eq!(sources(&model), [Means::Tracepoint, Means::KernelLog]);
    }
}
