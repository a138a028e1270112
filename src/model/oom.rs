//! OOM kills: what is said about each, and how many there were.

use std::time::SystemTime;

use super::incident::Incident;
use super::limit::Of;
use super::note::{Note, Severity};
use super::row::Row;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::Reading;
use crate::oom::{OomKill, words};
use crate::text;

/// What is said about the kills of one incident: see [`words::lines`].
pub fn lines(incident: &Incident) -> Vec<String> {
    words::lines(&incident.kill, &incident.name, &incident.limit)
}

/// The same as notes.
pub fn notes(incident: &Incident) -> impl Iterator<Item = Note> {
    let (time, cgroup) = (incident.kill.time, incident.kill.cgroup);
    lines(incident).into_iter().map(move |text| Note {
        time,
        severity: Severity::Kill,
        text,
        cgroup: Some(cgroup),
    })
}

/// Whose limit it was, or most probably was.
pub fn limit(kill: &OomKill, row: Option<&Row>, label: &dyn Fn(&str) -> String) -> String {
    if let Some(known) = words::limit(kill, label) {
        return known;
    }
    let binding = match row.map(|row| &row.memory_limit) {
        Some(Reading::Value(ceiling)) => &ceiling.binding,
        _ => return words::UNKNOWN_LIMIT.to_owned(),
    };
    let size = text::bytes(binding.limit);
    let path = match &binding.of {
        Of::Host => return format!("limit probably the host's {size}"),
        Of::Own => &kill.path.value,
        Of::Ancestor(path) => path,
    };
    format!("limit probably memory.max {size} of {}", label(path))
}

/// How many kills one path has seen. The kernel's counter dies with its cgroup and a restarted workload
/// starts again at 0, so what earlier cgroups of the path counted is carried over. An event comes before
/// the counter that confirms it; the next sample settles the difference.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    id: Option<CgroupId>,
    carried: u64,
    seen: u64,
    settled: Option<SystemTime>,
}

impl Ledger {
    /// An event told of kills, and what the counter stood at, where it is known.
    pub fn tell(&mut self, id: CgroupId, kills: u64, total: Option<u64>, time: SystemTime) {
        self.turn_to(id);
        match total {
            // A sample may have had it already: that of the sweep in which it was counted.
            Some(total) => self.seen = self.seen.max(total),
            None if self.settled.is_none_or(|settled| settled < time) => self.seen += kills,
            None => {}
        }
        self.settled = self.settled.max(Some(time));
    }

    /// A sample has the counter. The answer is what to show.
    pub fn settle(
        &mut self,
        id: CgroupId,
        counter: &Reading<u64>,
        time: SystemTime,
    ) -> Reading<u64> {
        self.turn_to(id);
        if let Reading::Value(counter) = counter {
            if self.settled.is_none_or(|settled| settled <= time) {
                self.seen = *counter;
                self.settled = Some(time);
            } else {
                self.seen = self.seen.max(*counter);
            }
        }
        match (counter, self.total()) {
            (Reading::Value(_), total) | (_, total @ 1..) => Reading::Value(total),
            (other, 0) => *other,
        }
    }

    /// All kills of this path.
    pub fn total(&self) -> u64 {
        self.carried + self.seen
    }

    fn turn_to(&mut self, id: CgroupId) {
        if self.id != Some(id) {
            self.carried += std::mem::take(&mut self.seen);
            self.id = Some(id);
            self.settled = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn an_event_counts_at_once_and_the_counter_settles_it() {
        let mut ledger = Ledger::default();
        let id = CgroupId(1);
        assert_eq!(
            ledger.settle(id, &Reading::Value(2), at(1)),
            Reading::Value(2)
        );
        ledger.tell(id, 1, None, at(2));
        assert_eq!(ledger.total(), 3);
        assert_eq!(
            ledger.settle(id, &Reading::Value(3), at(3)),
            Reading::Value(3)
        );
        // An event that is late was counted already.
        ledger.tell(id, 1, None, at(3));
        assert_eq!(ledger.total(), 3);
        // One that was counted in the sweep of the last sample was, too.
        ledger.tell(id, 1, Some(3), at(4));
        assert_eq!(ledger.total(), 3);
        ledger.tell(id, 2, Some(5), at(5));
        assert_eq!(ledger.total(), 5);
    }

    #[test]
    fn kills_survive_a_restart_of_the_cgroup() {
        let mut ledger = Ledger::default();
        ledger.tell(CgroupId(1), 1, None, at(1));
        assert_eq!(
            ledger.settle(CgroupId(2), &Reading::Value(0), at(2)),
            Reading::Value(1)
        );
        assert_eq!(
            ledger.settle(CgroupId(2), &Reading::NotAvailable, at(3)),
            Reading::Value(1)
        );
    }
}
