//! What came after a kill: who lives on, what was started again.

use std::collections::{HashMap, VecDeque};
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use super::Incident;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::unit::Reading;
use crate::sample::{CgroupSample, Presence, Sample};

/// So long an incident is watched while somebody lives on: a program may end because of a dead child.
const SURVIVED: Duration = Duration::from_secs(10);
/// Who lives on for so long has survived: before, the dying may only not be gone yet.
const SETTLED: Duration = Duration::from_secs(1);
/// So long for a workload to be started again.
const RESTARTED: Duration = Duration::from_mins(10);

/// What became of a cgroup after a kill, and how long after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequel {
    /// What.
    pub outcome: Outcome,
    /// How long after the kill it was seen, at most one sample later than it was so.
    pub after: Duration,
}

/// What became of a cgroup after a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Others in the cgroup live on.
    Survived {
        /// How many processes and threads there are, with those in cgroups below; `None` without the
        /// pids controller.
        left: Option<u64>,
    },
    /// Nobody is left in the cgroup.
    Ended,
    /// The cgroup is gone.
    Removed,
    /// After nobody was left, somebody is in the cgroup again, or in a new one of its name.
    Restarted,
}

impl Incident {
    /// Whether something may still become of it.
    fn is_open(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.at);
        match self.sequel.as_ref().map(|sequel| &sequel.outcome) {
            None | Some(Outcome::Survived { .. }) => age <= SURVIVED,
            Some(Outcome::Ended | Outcome::Removed) => age <= RESTARTED,
            Some(Outcome::Restarted) => false,
        }
    }

    /// What came after it, in words: `PID 1 inside was killed (exit 137); started again within 1.1 s`
    pub fn after(&self) -> String {
        let exit = if self.killed_init() {
            "PID 1 inside was killed (exit 137); "
        } else {
            ""
        };
        let Some(sequel) = &self.sequel else {
            if self.over {
                return format!("{exit}what came then was not watched");
            }
            return format!("{exit}what came then is not seen yet");
        };
        let after = sequel.after.as_secs_f64();
        let what = match sequel.outcome {
            Outcome::Survived { left } => {
                let who = match left {
                    Some(1) => "1 process lives on".to_owned(),
                    Some(left) => format!("{left} processes live on"),
                    None => "others live on".to_owned(),
                };
                match exit {
                    "" => format!("survived: {who}"),
                    _ => who,
                }
            }
            Outcome::Ended => "nobody is left in the cgroup".to_owned(),
            Outcome::Removed => "the cgroup is gone".to_owned(),
            Outcome::Restarted => format!("started again within {after:.1} s"),
        };
        format!("{exit}{what}")
    }

    /// Whether there is a sequel to tell: of another kind than the one told before, and no longer in
    /// doubt. It counts as told.
    fn take_news(&mut self, age: Duration) -> bool {
        let Some(sequel) = &self.sequel else {
            return false;
        };
        let kind = discriminant(&sequel.outcome);
        let in_doubt = matches!(sequel.outcome, Outcome::Survived { .. }) && age < SETTLED;
        !in_doubt && self.told.replace(kind) != Some(kind)
    }

    fn outcome(&self, own: Option<&CgroupSample>, heir: Option<&CgroupSample>) -> Option<Outcome> {
        let last = self.sequel.as_ref().map(|sequel| &sequel.outcome);
        let was_empty = matches!(last, Some(Outcome::Ended | Outcome::Removed));
        let group = self.kill.group.is_some_and(|group| group.value);
        match (own.map(is_populated), heir.map(is_populated)) {
            (Some(Some(true)), _) if was_empty || group => Some(Outcome::Restarted),
            (Some(Some(true)), _) => Some(Outcome::Survived {
                left: own.and_then(|own| own.pids_current.value().copied()),
            }),
            (Some(Some(false)), _) => Some(Outcome::Ended),
            // Whether anybody lives there cannot be read.
            (Some(None), _) => None,
            (None, Some(Some(true))) => Some(Outcome::Restarted),
            (None, _) => Some(Outcome::Removed),
        }
    }
}

fn is_populated(cgroup: &CgroupSample) -> Option<bool> {
    match (&cgroup.events, &cgroup.pids_current) {
        (Reading::Value(events), _) => Some(events.populated),
        (_, Reading::Value(pids)) => Some(*pids > 0),
        _ => None,
    }
}

/// Looks in a new sample at what became of the incidents that are still open. Gives the numbers of those
/// that something is to be told of.
pub(in crate::model) fn follow(
    incidents: &mut VecDeque<Incident>,
    sample: &Sample,
    index: &HashMap<CgroupId, usize>,
) -> Vec<u64> {
    let now = sample.since_boot;
    let mut news = Vec::new();
    let mut paths: HashMap<&str, &CgroupSample> = HashMap::new();
    for incident in incidents {
        // What was read before the kill knows nothing of it.
        if incident.over || now <= incident.at || !incident.is_open(now) {
            continue;
        }
        let alive = |cgroup: &&Arc<CgroupSample>| cgroup.presence == Presence::Alive;
        let own = index.get(&incident.kill.cgroup);
        let own = own.and_then(|&at| sample.cgroups.get(at));
        let own = own.filter(alive).map(Arc::as_ref);
        // What was killed in a cgroup that was never seen is told of the one above it.
        let own = own.filter(|own| own.path == incident.kill.path.value);
        if own.is_none() && paths.is_empty() {
            let living = sample.cgroups.iter().filter(alive);
            paths = living.map(|cgroup| (&*cgroup.path, &**cgroup)).collect();
        }
        let heir = paths.get(&*incident.kill.path.value).copied();
        let Some(outcome) = incident.outcome(own, heir) else {
            continue;
        };
        if incident.sequel.as_ref().map(|sequel| &sequel.outcome) != Some(&outcome) {
            let after = now.saturating_sub(incident.at);
            incident.sequel = Some(Sequel { outcome, after });
        }
        if incident.take_news(now.saturating_sub(incident.at)) {
            news.push(incident.number);
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cgroup::CgroupEvents;
    use crate::model::incident::example;

    fn cgroup(id: u64, pids: u64) -> CgroupSample {
        let mut cgroup = CgroupSample::unread(CgroupId(id), None, "/a".into());
        cgroup.pids_current = Reading::Value(pids);
        cgroup.events = Reading::Value(CgroupEvents {
            populated: pids > 0,
            frozen: false,
        });
        cgroup
    }

    /// What becomes of an incident whose own cgroup and whose heir are seen so, second by second.
    fn outcomes(
        mut incident: Incident,
        seen: &[(Option<u64>, Option<u64>)],
    ) -> Vec<Option<Outcome>> {
        let outcome = |(own, heir): &(Option<u64>, Option<u64>)| {
            let own = own.map(|pids| cgroup(1, pids));
            let heir = heir.map(|pids| cgroup(2, pids));
            let outcome = incident.outcome(own.as_ref(), heir.as_ref());
            if let Some(outcome) = &outcome {
                incident.sequel = Some(Sequel {
                    outcome: outcome.clone(),
                    after: Duration::ZERO,
                });
            }
            outcome
        };
        seen.iter().map(outcome).collect()
    }

    #[test]
    fn who_lives_on_has_survived_and_who_comes_later_was_started_again() {
        let survived = |left| Some(Outcome::Survived { left: Some(left) });
        let seen = [(Some(3), None), (Some(2), None), (Some(0), None)];
        assert_eq!(
            outcomes(example(None), &seen),
            [survived(3), survived(2), Some(Outcome::Ended)]
        );
        let seen = [(Some(0), None), (Some(1), None)];
        let restarted = [Some(Outcome::Ended), Some(Outcome::Restarted)];
        assert_eq!(outcomes(example(None), &seen), restarted);
        let seen = [(None, None), (None, Some(0)), (None, Some(2))];
        let removed = Some(Outcome::Removed);
        assert_eq!(
            outcomes(example(None), &seen),
            [removed.clone(), removed, Some(Outcome::Restarted)]
        );
        // After a group kill nobody can have lived on.
        let seen = [(Some(1), None)];
        assert_eq!(
            outcomes(example(Some(true)), &seen),
            [Some(Outcome::Restarted)]
        );
        assert_eq!(outcomes(example(Some(false)), &seen), [survived(1)]);
    }

    #[test]
    fn each_kind_of_sequel_is_told_once_and_survival_when_it_lasts() {
        let mut incident = example(None);
        assert!(!incident.take_news(Duration::from_secs(5)));
        let mut told = |outcome, seconds| {
            let after = Duration::from_secs_f64(seconds);
            incident.sequel = Some(Sequel { outcome, after });
            incident.take_news(after)
        };
        let survived = |left| Outcome::Survived { left: Some(left) };
        assert!(!told(survived(3), 0.1));
        assert!(told(survived(3), 1.1));
        assert!(!told(survived(2), 2.0));
        assert!(told(Outcome::Ended, 3.0));
        assert!(!told(Outcome::Ended, 4.0));
        assert!(told(Outcome::Restarted, 5.0));
    }

    #[test]
    fn it_is_watched_for_a_while_only() {
        let mut incident = example(None);
        let at = |seconds: u64| Duration::from_secs(100 + seconds);
        assert!(incident.is_open(at(9)) && !incident.is_open(at(11)));
        let mut became = |outcome| {
            incident.sequel = Some(Sequel {
                outcome,
                after: Duration::ZERO,
            });
            [1, 500, 700].map(|seconds| incident.is_open(at(seconds)))
        };
        assert_eq!(became(Outcome::Removed), [true, true, false]);
        assert_eq!(became(Outcome::Restarted), [false; 3]);
    }
}
