//! What the `memory.events` of one cgroup have said so far, and how many kills of it are accounted for.

use std::time::Instant;

use crate::kernel::cgroup::file::File;
use crate::kernel::cgroup::handle::{Gone, Handle, Reader};
use crate::kernel::memory::MemoryEvents;
use crate::kernel::unit::Reading;

/// The counters of one cgroup.
#[derive(Debug)]
pub struct Counters {
    hierarchical: Reading<MemoryEvents>,
    local: Reading<MemoryEvents>,
    /// Kills in the hierarchical counter that happened before it was watched.
    before: u64,
    /// Kills in this cgroup or below that a cgroup was found for.
    attributed: u64,
    /// Kills in this very cgroup.
    own: KillCount,
    /// Whether the cgroup appeared while watching: its counters began at 0.
    fresh: bool,
    read: bool,
    /// When its own limit last led to the OOM killer.
    pub ran_out_at: Option<Instant>,
    /// The step of the engine at which a cgroup was last known for each kill that is counted: who had died by then has
    /// nothing to do with the next.
    pub explained_at: u64,
    /// When the pids of its processes were last looked up.
    pub refreshed_at: Option<Instant>,
}

/// What a look at the counters brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Kills in this very cgroup since the last look.
    pub kills: u64,
    /// Its own limit was hit since the last look: a kill may follow.
    pub at_limit: bool,
}

impl Counters {
    /// Counters that nobody has read yet.
    pub fn new(fresh: bool) -> Self {
        Self {
            hierarchical: Reading::NotAvailable,
            local: Reading::NotAvailable,
            before: 0,
            attributed: 0,
            own: KillCount::default(),
            fresh,
            read: false,
            ran_out_at: None,
            explained_at: 0,
            refreshed_at: None,
        }
    }

    /// `memory.events` as last read.
    pub fn hierarchical(&self) -> Reading<MemoryEvents> {
        self.hierarchical
    }

    /// `memory.events.local` as last read.
    pub fn local(&self) -> Reading<MemoryEvents> {
        self.local
    }

    /// Reads both. The hierarchical one comes first: the kernel counts in the local one first, so what
    /// the hierarchical one has, the local ones below have too. The local one is not read where the
    /// hierarchical one, which includes it, stands still.
    pub fn look(
        &mut self,
        handle: &mut Handle,
        reader: &mut Reader,
        now: Instant,
    ) -> Result<Look, Gone> {
        let hierarchical = handle.get(reader, File::MemoryEvents, MemoryEvents::parse)?;
        if self.read && hierarchical == self.hierarchical {
            return Ok(Look::default());
        }
        let local = if hierarchical.value().is_some() {
            handle.get(reader, File::MemoryEventsLocal, MemoryEvents::parse)?
        } else {
            Reading::NotAvailable
        };
        Ok(self.take(hierarchical, local, now))
    }

    fn take(
        &mut self,
        hierarchical: Reading<MemoryEvents>,
        local: Reading<MemoryEvents>,
        now: Instant,
    ) -> Look {
        // Nothing that happened before is news; but a file that comes later belongs to a controller
        // that was just switched on, and begins at 0.
        let first = !self.read && !self.fresh;
        let kills =
            |reading: &Reading<MemoryEvents>| reading.value().map_or(0, MemoryEvents::kills);
        let counted = |reading: &Reading<MemoryEvents>| reading.value().map_or(0, |of| of.oom_kill);
        if first || counted(&hierarchical) < counted(&self.hierarchical) {
            self.before = if first { kills(&hierarchical) } else { 0 };
            self.attributed = 0;
        }
        let look = match (self.local, local) {
            (_, Reading::Value(_)) if first => Look::default(),
            (old, Reading::Value(new)) => {
                let old = old.value().copied().unwrap_or_default();
                // Smaller than before: the controller was off and on again.
                let old = if new.oom_kill < old.oom_kill {
                    MemoryEvents::default()
                } else {
                    old
                };
                if new.oom > old.oom {
                    self.ran_out_at = Some(now);
                }
                Look {
                    kills: self.own.take(&old, &new),
                    at_limit: new.max > old.max || new.oom > old.oom,
                }
            }
            _ => Look::default(),
        };
        self.read = true;
        self.hierarchical = hierarchical;
        if local.value().is_some() || self.local.value().is_none() {
            self.local = local;
        }
        look
    }

    /// Whether `memory.events` can be read here.
    pub fn counts(&self) -> bool {
        self.hierarchical.value().is_some()
    }

    /// A cgroup, this one or one below, was found for so many kills.
    pub fn attribute(&mut self, kills: u64) {
        self.attributed += kills;
    }

    /// Kills that the hierarchical counter has and no cgroup was found for.
    pub fn unexplained(&self) -> u64 {
        self.hierarchical.value().map_or(0, |events| {
            events
                .kills()
                .saturating_sub(self.before)
                .saturating_sub(self.attributed)
        })
    }
}

/// How many processes were killed, where a group kill counts its first victim twice: once for itself,
/// then the group, then once more with the others. A reading may fall in between.
#[derive(Debug, Default)]
pub struct KillCount {
    counted: u64,
    groups: u64,
    told: u64,
    /// What was told when a group was last counted.
    at_group: u64,
}

impl KillCount {
    /// Takes the growth between two readings in. Gives the kills that nobody was told of yet.
    pub fn take(&mut self, old: &MemoryEvents, new: &MemoryEvents) -> u64 {
        let groups = new.oom_group_kill.saturating_sub(old.oom_group_kill);
        self.counted += new.oom_kill.saturating_sub(old.oom_kill);
        self.groups += groups;
        let mut told = self.told.max(self.counted.saturating_sub(self.groups));
        if groups > 0 {
            // A first victim that was gone before the others' turn is counted once only, but a group
            // kill has killed at least one.
            told = told.max(self.at_group + groups);
            self.at_group = told;
        }
        told - std::mem::replace(&mut self.told, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(oom_kill: u64) -> Reading<MemoryEvents> {
        Reading::Value(MemoryEvents {
            oom_kill,
            ..MemoryEvents::default()
        })
    }

    #[test]
    fn what_was_before_is_no_news() {
        let mut old = Counters::new(false);
        assert_eq!(old.take(events(5), events(3), Instant::now()).kills, 0);
        assert_eq!(old.unexplained(), 0);
        assert_eq!(old.take(events(7), events(4), Instant::now()).kills, 1);
        old.attribute(1);
        assert_eq!(old.unexplained(), 1);
    }

    #[test]
    fn a_group_kill_counts_its_first_victim_once() {
        let group = |oom_kill, oom_group_kill| {
            Reading::Value(MemoryEvents {
                oom_kill,
                oom_group_kill,
                ..MemoryEvents::default()
            })
        };
        let mut counters = Counters::new(true);
        assert_eq!(
            counters
                .take(group(3, 1), group(3, 1), Instant::now())
                .kills,
            2
        );
        counters.attribute(2);
        assert_eq!(counters.unexplained(), 0);
        assert_eq!(
            counters
                .take(group(4, 2), group(4, 2), Instant::now())
                .kills,
            1
        );
    }

    #[test]
    fn a_reading_amid_a_group_kill_tells_no_kill_twice_and_loses_none() {
        let told = |readings: &[(u64, u64)]| -> (u64, u64) {
            let mut counters = Counters::new(true);
            let mut told = 0;
            for (oom_kill, oom_group_kill) in readings {
                let events = Reading::Value(MemoryEvents {
                    oom_kill: *oom_kill,
                    oom_group_kill: *oom_group_kill,
                    ..MemoryEvents::default()
                });
                let look = counters.take(events, events, Instant::now());
                counters.attribute(look.kills);
                told += look.kills;
            }
            (told, counters.unexplained())
        };
        // One victim, however the readings fall.
        for readings in [
            &[(2, 1)][..],
            &[(1, 0), (2, 1)],
            &[(1, 1), (2, 1)],
            &[(1, 0), (1, 1), (2, 1)],
        ] {
            assert_eq!(told(readings), (1, 0), "{readings:?}");
        }
        // It was gone before the group's turn.
        assert_eq!(told(&[(1, 1)]), (1, 0));
        // Three processes, then one, then two without a group.
        assert_eq!(told(&[(1, 0), (4, 1), (5, 1), (6, 2), (8, 2)]), (6, 0));
    }

    #[test]
    fn a_new_cgroup_begins_at_zero() {
        let mut fresh = Counters::new(true);
        assert_eq!(fresh.take(events(2), events(2), Instant::now()).kills, 2);
    }

    #[test]
    fn a_controller_switched_off_and_on_begins_at_zero() {
        let mut counters = Counters::new(false);
        counters.take(events(5), events(5), Instant::now());
        counters.take(Reading::NotAvailable, Reading::NotAvailable, Instant::now());
        assert_eq!(counters.take(events(1), events(1), Instant::now()).kills, 1);
        counters.attribute(1);
        assert_eq!(counters.unexplained(), 0);
    }
}
