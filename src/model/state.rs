//! What holds a cgroup back right now, in words: the same for the tables, the filter and the faults.

use super::limit::Of;
use super::row::Row;
use crate::kernel::cgroup::knob::Knob;
use crate::kernel::unit::{Percent, Reading};

/// Tasks that wait for memory or I/O for this share of ten seconds (`some avg10`) are stalled.
const STALLED: Percent = Percent(10.0);

/// That a cgroup has threads in place of processes: no fault, but limits of memory and I/O are the domain's.
pub const THREADED: &str = "threaded";

/// Every word.
pub const WORDS: [&str; 7] = [
    "forks-refused",
    "throttled",
    "slowed",
    "stalled-memory",
    "stalled-io",
    "read-capped",
    "write-capped",
];

/// One thing that holds a cgroup back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// One of [`WORDS`].
    pub word: &'static str,
    /// Which limit does it, and whose it is, where one does.
    pub limit: Option<(Knob, Of)>,
}

/// All that holds a cgroup back, in the order of [`WORDS`].
pub fn states(row: &Row) -> Vec<State> {
    let mut states = Vec::new();
    let mut add = |word, limit| states.push(State { word, limit });
    if let Reading::Value(refused) = &row.forks_refused
        && refused.count > 0
    {
        add("forks-refused", Some((Knob::PidsMax, refused.of.clone())));
    }
    if let Reading::Value(throttled) = &row.throttled
        && throttled.holds()
    {
        add("throttled", Some((Knob::CpuMax, throttled.of.clone())));
    }
    if let Reading::Value(slowed) = &row.slowed
        && slowed.holds
    {
        add("slowed", Some((Knob::MemoryHigh, slowed.of.clone())));
    }
    for (word, pressure) in [
        ("stalled-memory", &row.now.memory_pressure),
        ("stalled-io", &row.now.io_pressure),
    ] {
        if let Reading::Value(pressure) = pressure
            && pressure.some.avg10 >= STALLED
        {
            add(word, None);
        }
    }
    if let Reading::Value(flow) = &row.io {
        for (word, reading) in [("read-capped", true), ("write-capped", false)] {
            if let Some(cap) = flow.cap_met(reading) {
                add(word, Some((cap.knob, cap.of.clone())));
            }
        }
    }
    states
}

/// Whether something went wrong in it: OOM kills or refused forks at any time, or something holds it back right now.
pub fn has_faults(row: &Row) -> bool {
    let refused = row.now.pids_events.value();
    matches!(row.oom_kills, Reading::Value(1..))
        || refused.is_some_and(|refused| refused.max > 0)
        || !states(row).is_empty()
}
