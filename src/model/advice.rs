//! Limits that would suit, from what was seen: the memory that cannot be dropped, the CPU time, the processes, and what
//! the limits of now have done.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Model;
use super::forecast::demand;
use super::limit::{Ceiling, Of, Quantity};
use super::peaks::Peaks;
use super::row::{Kind, Mark, Row};
use super::tree;
use crate::kernel::cgroup::knob::Knob;
use crate::kernel::unit::{Bytes, Percent, Reading};
use crate::text;

const MIB: u64 = 1 << 20;
/// Room above the most that was seen is this part of it: what was not seen may be more…
const ROOM_OF: u64 = 4;
/// …and at least so much.
const LEAST_ROOM: u64 = 4 * MIB;
/// Who uses this share of a limit has too little room.
const TIGHT: f64 = 0.9;
/// A limit of so many times what was used is no limit…
const LOOSE: f64 = 4.0;
/// …where it is more than so much above.
const LOOSE_BY: u64 = 64 * MIB;
/// Who was throttled in this share of all periods wants more CPU.
const THROTTLED: Percent = Percent(5.0);
/// Room for bursts of CPU.
const CPU_ROOM: f64 = 1.5;
/// The fewest CPUs and processes that are worth suggesting.
const LEAST_CPUS: f64 = 0.1;
const LEAST_PIDS: u64 = 32;

/// What was seen of each cgroup while somebody watched.
#[derive(Debug, Default)]
pub struct Observation {
    seen: HashMap<Arc<str>, Seen>,
    first: Option<Duration>,
    last: Duration,
}

/// One cgroup, sample by sample.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// What cannot be dropped, in memory and in swap.
    demand: Vec<Bytes>,
    /// The largest working set.
    working: Option<Bytes>,
    cpus: Vec<f64>,
}

/// A limit on one resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// `memory.max`.
    Memory(Bytes),
    /// `cpu.max`, in CPUs.
    Cpus(f64),
    /// `pids.max`.
    Pids(u64),
}

impl Amount {
    /// The file that it goes to.
    pub fn knob(self) -> Knob {
        match self {
            Self::Memory(_) => Knob::MemoryMax,
            Self::Cpus(_) => Knob::CpuMax,
            Self::Pids(_) => Knob::PidsMax,
        }
    }
}

/// As `ringfence set` takes it.
impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory(size) if size.0.is_multiple_of(MIB) => write!(out, "{}m", size.0 / MIB),
            Self::Memory(size) => write!(out, "{}", size.0),
            Self::Cpus(cpus) => write!(out, "{:.0}%", cpus * 100.0),
            Self::Pids(count) => write!(out, "{count}"),
        }
    }
}

/// What is suggested for one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// What it stands at; `None` where nothing limits.
    pub now: Option<Amount>,
    /// What to set it to.
    pub to: Amount,
    /// Why.
    pub reason: String,
}

/// What is suggested for one cgroup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// Its path from the v2 root. Foreign text.
    pub cgroup: String,
    /// What people call it. Foreign text.
    pub name: String,
    /// Whether no cgroup up the tree limits its memory; `None` where that cannot be read.
    pub unlimited: Option<bool>,
    /// The most memory that the kernel could not drop, with what is in swap, in bytes, and what 99 of 100 samples do not
    /// exceed.
    pub unreclaimable: Option<u64>,
    /// See above.
    pub unreclaimable_p99: Option<u64>,
    /// The largest working set (`memory.current` less `inactive_file`), in bytes.
    pub working_set: Option<u64>,
    /// `memory.peak`: the most since it was made, page cache included; in bytes.
    pub memory_peak: Option<u64>,
    /// Bytes per second by which it grows, where a forecast can be made.
    pub growth: Option<u64>,
    /// In how many seconds it meets a memory limit, as it grows.
    pub limit_in: Option<u64>,
    /// The most CPUs between two samples.
    pub cpus: Option<f64>,
    /// Share of periods in which `cpu.max` held it back, 0 to 100.
    pub throttled: Option<f64>,
    /// The most processes and threads.
    pub pids: Option<u64>,
    /// OOM kills since it was made.
    pub oom_kills: u64,
    /// What to change; empty where everything fits.
    #[serde(skip)]
    pub suggestions: Vec<Suggestion>,
}

impl Observation {
    /// Takes in the newest sample of a model.
    pub fn fold(&mut self, model: &Model) {
        let Some(sample) = model.sample() else { return };
        self.first.get_or_insert(sample.since_boot);
        self.last = sample.since_boot;
        for row in model.rows().iter().filter(|row| row.leaf) {
            let seen = self.seen.entry(Arc::clone(&row.path)).or_default();
            seen.demand.extend(demand(row));
            seen.working = seen.working.max(row.memory.working.value().copied());
            seen.cpus.extend(row.cpu.value().map(|cpu| cpu.0 / 100.0));
        }
    }

    /// How long somebody watched.
    pub fn lasted(&self) -> Duration {
        self.first
            .map_or(Duration::ZERO, |first| self.last.saturating_sub(first))
    }

    /// Advice for everything that runs below `root`, or for all workloads and containers of the host.
    pub fn advise(&self, model: &Model, root: Option<&str>) -> Vec<Advice> {
        let wanted = |row: &&Row| {
            let asked = match root {
                Some(root) => tree::is_in(&row.path, root),
                None => row.kind != Kind::Other,
            };
            row.leaf && asked && !matches!(row.mark, Mark::Vanished | Mark::Empty)
        };
        let rows = model.rows().iter().filter(wanted);
        rows.map(|row| self.of(model, row)).collect()
    }

    fn of(&self, model: &Model, row: &Row) -> Advice {
        let default = Peaks::default();
        let peaks = model.peaks(&row.path).unwrap_or(&default);
        let seen = self.seen.get(&row.path).cloned();
        let Seen {
            mut demand,
            working,
            mut cpus,
        } = seen.unwrap_or_default();
        demand.sort_unstable();
        cpus.sort_unstable_by(f64::total_cmp);
        let host_cpus = model.sample().map_or(1, |sample| sample.host.cpus) as f64;
        let found = Found {
            row,
            peaks,
            demand: demand.last().copied(),
            demand_p99: p99(&demand).copied(),
            working,
            cpus: cpus.last().copied(),
            host_cpus,
            host_memory: model
                .sample()
                .and_then(|sample| sample.host.memory_total.value().copied()),
            lasted: self.lasted(),
        };
        let suggestions = [found.memory(), found.cpu(), found.pids()];
        Advice {
            cgroup: row.path.to_string(),
            name: row.label.clone(),
            unlimited: row.memory_limit.value().map(|ceiling| !ceiling.limited),
            unreclaimable: found.demand.map(|size| size.0),
            unreclaimable_p99: found.demand_p99.map(|size| size.0),
            working_set: found.working.map(|size| size.0),
            memory_peak: row.now.memory_peak.value().map(|peak| peak.0),
            growth: row.forecast.value().map(|forecast| forecast.per_second().0),
            limit_in: row
                .forecast
                .value()
                .map(|forecast| forecast.likely.as_secs()),
            cpus: found.cpus,
            throttled: peaks.throttled().map(|share| share.0),
            pids: peaks.pids,
            oom_kills: peaks.oom_kills,
            suggestions: suggestions.into_iter().flatten().collect(),
        }
    }
}

/// What is known of one cgroup.
struct Found<'a> {
    row: &'a Row,
    peaks: &'a Peaks,
    demand: Option<Bytes>,
    demand_p99: Option<Bytes>,
    working: Option<Bytes>,
    cpus: Option<f64>,
    host_cpus: f64,
    host_memory: Option<Bytes>,
    lasted: Duration,
}

impl Found<'_> {
    fn memory(&self) -> Option<Suggestion> {
        let most = self.demand.or(self.working)?;
        let ceiling = self.row.memory_limit.value()?;
        let limit = own_limit(ceiling, Knob::MemoryMax);
        let (to, why) = match limit {
            Some(limit) => self.other_memory(most, limit)?,
            // The limit of an ancestor is for all below it.
            None if ceiling.limited => return None,
            None => {
                let host = self.host_memory.map_or_else(String::new, |size| {
                    format!(" of the host's {}", text::bytes(size))
                });
                let why = format!("no memory limit: it can take all{host}");
                (with_room(most), why)
            }
        };
        Some(Suggestion {
            now: limit.map(Amount::Memory),
            to: Amount::Memory(to),
            reason: format!("{why}; {}", self.memory_seen(to)),
        })
    }

    /// A better limit in place of one, and why; `None` where it suits.
    fn other_memory(&self, most: Bytes, limit: Bytes) -> Option<(Bytes, String)> {
        let wanted = with_room(most);
        let size = text::bytes(limit);
        let used = most.0 as f64 / limit.0.max(1) as f64;
        if self.peaks.oom_kills > 0 {
            let more = round_up(Bytes(limit.0.saturating_add(limit.0 / 2)));
            let times = times(self.peaks.oom_kills);
            return Some((
                more.max(wanted),
                format!("OOM-killed {times}; its limit is {size}"),
            ));
        }
        if used >= TIGHT {
            let why = format!("{:.0}% of its limit {size} is in use", used * 100.0);
            return Some((wanted.max(round_up(limit)), why));
        }
        // What it once had, it may want again.
        let peak = self.row.now.memory_peak.value().copied();
        let less = wanted.max(round_up(peak.unwrap_or_default()));
        let loose = used * LOOSE < 1.0 && limit.0.saturating_sub(most.0) > LOOSE_BY;
        (loose && less.0 <= limit.0 / 2).then(|| {
            let why = format!("its limit {size} is {:.0} times what it uses", 1.0 / used);
            (less, why)
        })
    }

    /// What was seen of its memory, for whom `limit` is suggested.
    fn memory_seen(&self, limit: Bytes) -> String {
        let seconds = self.lasted.as_secs();
        let mut seen = String::new();
        if let Some(most) = self.demand {
            let most = text::bytes(most);
            let _ = write!(seen, "at most {most} could not be dropped in {seconds} s");
            if let Some(p99) = self.demand_p99.map(text::bytes).filter(|p99| *p99 != most) {
                let _ = write!(seen, ", {p99} in 99 of 100 samples");
            }
        }
        if let Some(working) = self
            .working
            .filter(|&working| self.demand.is_none() || working > limit)
        {
            let working = text::bytes(working);
            let _ = match self.demand {
                Some(_) => write!(
                    seen,
                    "; of its working set of {working} the rest is page cache"
                ),
                None => write!(seen, "working set at most {working} in {seconds} s"),
            };
        }
        if let Some(forecast) = self.row.forecast.value() {
            let rate = text::bytes(forecast.per_second());
            let _ = write!(
                seen,
                "; it grows by {rate} a second, so any limit will be met: look for the leak"
            );
        }
        seen
    }

    fn cpu(&self) -> Option<Suggestion> {
        let most = self.cpus?;
        let ceiling = self.row.cpu_limit.value()?;
        let limit = own_limit(ceiling, Knob::CpuMax);
        let (to, reason) = match (limit, self.peaks.throttled()) {
            (Some(limit), Some(share)) if share >= THROTTLED => (
                limit * (1.0 + share.0 / 100.0),
                format!(
                    "its quota of {limit} CPUs ran out in {:.0}% of all periods",
                    share.0
                ),
            ),
            (None, _) if !ceiling.limited => (
                most * CPU_ROOM,
                format!(
                    "no CPU limit: it can take all {} CPUs; it used {most:.2} at most",
                    self.host_cpus
                ),
            ),
            _ => return None,
        };
        // In twentieths of a CPU.
        let to = ((to * 20.0).ceil() / 20.0).clamp(LEAST_CPUS, self.host_cpus);
        if limit.is_some_and(|limit| to <= limit) {
            return None;
        }
        Some(Suggestion {
            now: limit.map(Amount::Cpus),
            to: Amount::Cpus(to),
            reason,
        })
    }

    fn pids(&self) -> Option<Suggestion> {
        let most = self.peaks.pids?;
        let ceiling = match &self.row.pids_limit {
            Reading::Value(ceiling) => Some(&**ceiling),
            // The host is no ceiling for processes.
            Reading::NotAvailable => None,
            Reading::Unreadable(_) => return None,
        };
        let limit = ceiling.and_then(|ceiling| own_limit(ceiling, Knob::PidsMax));
        let refused = self.peaks.forks_refused;
        let (to, reason) = match limit {
            Some(limit) if refused > 0 => {
                let forks = if refused == 1 {
                    "1 fork was".to_owned()
                } else {
                    format!("{refused} forks were")
                };
                (
                    limit * 2,
                    format!("{forks} refused at its limit of {limit}"),
                )
            }
            None if ceiling.is_none_or(|ceiling| !ceiling.limited) => (
                (most * 2).next_multiple_of(16).max(LEAST_PIDS),
                format!(
                    "no limit on processes: a fork bomb in it is the host's; it had {most} at most"
                ),
            ),
            _ => return None,
        };
        Some(Suggestion {
            now: limit.map(Amount::Pids),
            to: Amount::Pids(to),
            reason,
        })
    }
}

/// Its own limit, where that is the smallest one up the tree.
fn own_limit<T: Quantity>(ceiling: &Ceiling<T>, knob: Knob) -> Option<T> {
    let effective = &ceiling.effective;
    (effective.of == Of::Own && effective.knob == knob).then_some(effective.limit)
}

/// The size with some room above it.
fn with_room(most: Bytes) -> Bytes {
    round_up(Bytes(
        most.0.saturating_add((most.0 / ROOM_OF).max(LEAST_ROOM)),
    ))
}

/// `once`, `3 times`
fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Whole MiB, in steps that grow with the size.
fn round_up(size: Bytes) -> Bytes {
    let step = match size.0 / MIB {
        0..128 => MIB,
        128..1024 => 8 * MIB,
        _ => 64 * MIB,
    };
    Bytes(size.0.next_multiple_of(step))
}

/// The value that 99 of 100 do not exceed, by nearest rank.
fn p99<T>(sorted: &[T]) -> Option<&T> {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_can_be_pasted() {
        for (size, text) in [
            (30 * MIB + 1, "31m"),
            (127 * MIB, "127m"),
            (129 * MIB, "136m"),
            (1025 * MIB, "1088m"),
        ] {
            assert_eq!(Amount::Memory(round_up(Bytes(size))).to_string(), text);
        }
        assert_eq!(Amount::Memory(Bytes(4096)).to_string(), "4096");
    }

    #[test]
    fn p99_is_a_value_that_was_seen() {
        let many: Vec<u32> = (1..=200).collect();
        assert_eq!(p99(&many), Some(&198));
        assert_eq!(p99(&[7]), Some(&7));
        assert_eq!(p99::<u32>(&[]), None);
    }
}
