//! What happens, in order, for those who tell it on: a stream of events, a hook.

use std::time::SystemTime;

use super::Model;
use super::changed::Changed;
use super::incident::{self, Incident};
use super::warning::{Cleared, Warning};
use crate::oom::OomKill;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When it was noticed.
    pub time: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// OOM kills: the incident of this number is new.
    Kill(u64),
    /// It is seen what became of the cgroup of this incident.
    Sequel(u64),
    /// A warning begins, or is critical now.
    Warning(Box<Warning>),
    /// A warning is over.
    Cleared(Box<Cleared>),
    /// Somebody changed a limit, froze it, or thawed it.
    Changed(Box<Changed>),
    /// Something about the observing itself. May hold foreign text.
    Notice(String),
}

impl Model {
    /// Takes in a kill of before anybody watched. It counts nowhere: counters have it already.
    pub fn past(&mut self, kill: &OomKill) -> Happening {
        let number = self.next_incident();
        let at = self.since_boot(kill.time).unwrap_or_default();
        let label = |path: &str| self.full_label(path);
        let incident = Incident::of_past(number, at, kill, &label);
        incident::push(&mut self.incidents, incident);
        Happening {
            time: kill.time,
            what: What::Kill(number),
        }
    }

    /// Takes in the kills that the kernel log has from before anybody watched, oldest first; none of them twice, should it
    /// have been told since.
    pub fn past_kills<'a>(&mut self, kills: impl IntoIterator<Item = &'a OomKill>) {
        for kill in kills {
            if !self.incidents.iter().any(|known| known.is_about(kill)) {
                self.past(kill);
            }
        }
    }

    /// The incident of a number, while it is kept.
    pub fn incident(&self, number: u64) -> Option<&Incident> {
        let at = self
            .incidents
            .binary_search_by_key(&number, |incident| incident.number);
        self.incidents.get(at.ok()?)
    }
}
