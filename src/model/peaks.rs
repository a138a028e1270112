//! What a cgroup reached while it was watched: the raw material of a summary.

use std::fmt::Write as _;

use super::row::{Kind, Row};
use super::{field, io, rate};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cpu::Bandwidth;
use crate::kernel::unit::{Bytes, Micros, Percent, Reading};
use crate::sample::CgroupSample;
use crate::text;

/// The peaks of one path, over all cgroups that had it.
#[derive(Debug, Clone, Default)]
pub struct Peaks {
    /// The most CPU between two samples.
    pub cpu: Option<Percent>,
    /// CPU time used, and the seconds in which it was.
    cpu_total: (Micros, f64),
    /// The smallest `cpu.max` up the tree, in CPUs.
    pub cpu_limit: Option<f64>,
    /// Enforcement periods, and those in which the quota ran out.
    bandwidth: Bandwidth,
    /// The most memory: of all samples, and for workloads also what `memory.peak` saw in between.
    pub memory: Option<Bytes>,
    /// The smallest `memory.max` up the tree.
    pub memory_limit: Option<Bytes>,
    /// The most processes.
    pub pids: Option<u64>,
    /// The smallest `pids.max` up the tree.
    pub pids_limit: Option<u64>,
    /// Forks refused.
    pub forks_refused: u64,
    /// The most bytes read per second between two samples.
    pub read: Option<f64>,
    /// The most bytes written per second between two samples.
    pub written: Option<f64>,
    /// The tightest caps on bytes read and written per second.
    pub io_limits: [Option<f64>; 2],
    /// OOM kills.
    pub oom_kills: u64,
    forks_seen: Option<(CgroupId, u64)>,
}

impl Peaks {
    /// Mean CPU over the time watched, 100 is one core.
    pub fn mean_cpu(&self) -> Option<Percent> {
        let (Micros(used), seconds) = self.cpu_total;
        (seconds > 0.0).then(|| Percent(used as f64 / seconds / 10_000.0))
    }

    /// The share of enforcement periods in which the quota ran out, over the time watched.
    pub fn throttled(&self) -> Option<Percent> {
        let Bandwidth {
            nr_periods,
            nr_throttled,
            ..
        } = self.bandwidth;
        Percent::of(nr_throttled as f64, nr_periods as f64)
    }

    /// Takes in one more sample of the cgroup.
    pub fn fold(&mut self, row: &Row, now: &CgroupSample, then: Option<(&CgroupSample, f64)>) {
        self.fold_cpu(row, now, then);
        let peak = match row.kind {
            // `memory.peak` counts from the cgroup's creation: for a service that may be weeks ago.
            Kind::Workload => now.memory_peak.value().copied(),
            Kind::Container | Kind::Other => None,
        };
        self.memory = self
            .memory
            .max(row.memory.current.value().copied())
            .max(peak);
        if let Reading::Value(ceiling) = &row.memory_limit {
            self.memory_limit = ceiling.limited.then_some(ceiling.effective.limit);
        }
        self.pids = self.pids.max(row.pids.value().copied());
        if let Reading::Value(ceiling) = &row.pids_limit {
            self.pids_limit = Some(ceiling.effective.limit);
        }
        self.fold_forks(row, now);
        if let Reading::Value(flow) = &row.io {
            self.read = Some(self.read.unwrap_or(0.0).max(flow.read()));
            self.written = Some(self.written.unwrap_or(0.0).max(flow.written()));
            for (limit, kind) in self.io_limits.iter_mut().zip(io::Kind::ALL) {
                *limit = flow
                    .devices
                    .iter()
                    .filter_map(|device| Some(device.caps[kind as usize].as_ref()?.limit))
                    .reduce(f64::min);
            }
        }
        if let Reading::Value(kills) = row.oom_kills {
            self.oom_kills = self.oom_kills.max(kills);
        }
    }

    fn fold_cpu(&mut self, row: &Row, now: &CgroupSample, then: Option<(&CgroupSample, f64)>) {
        if let Reading::Value(cpu) = row.cpu
            && self.cpu.is_none_or(|most| cpu > most)
        {
            self.cpu = Some(cpu);
        }
        if let Reading::Value(ceiling) = &row.cpu_limit {
            self.cpu_limit = ceiling.limited.then_some(ceiling.effective.limit);
        }
        let Some((then, seconds)) = then else { return };
        if let (Reading::Value(then), Reading::Value(now)) = (&then.cpu_stat, &now.cpu_stat)
            && let Some(used) = now.usage_usec.0.checked_sub(then.usage_usec.0)
        {
            self.cpu_total.0.0 += used;
            self.cpu_total.1 += seconds;
            if let (Some(then), Some(now)) = (then.bandwidth, now.bandwidth)
                && let Some(growth) = rate::growth(then, now)
            {
                self.bandwidth.nr_periods += growth.nr_periods;
                self.bandwidth.nr_throttled += growth.nr_throttled;
            }
        }
    }

    /// A workload's refused forks count from its start, those of others from when they were first seen.
    fn fold_forks(&mut self, row: &Row, now: &CgroupSample) {
        let Reading::Value(events) = now.pids_events else {
            return;
        };
        let before = match self.forks_seen {
            Some((id, seen)) if id == row.id => seen,
            _ if row.kind == Kind::Workload => 0,
            _ => events.max,
        };
        self.forks_refused += events.max.saturating_sub(before);
        self.forks_seen = Some((row.id, events.max));
    }
}

/// One line of a summary.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The workload's name. Foreign text.
    pub name: &'a str,
    /// What it reached.
    pub peaks: &'a Peaks,
    /// How often it was restarted, where somebody counted.
    pub restarts: Option<u64>,
}

/// A summary for people: a header line and one line per workload, peaks against limits as
/// `PEAK/LIMIT`, `-` where there is no value and `max` where there is no limit.
pub fn summary(entries: &[Entry<'_>]) -> String {
    const TITLES: [&str; 9] = [
        "WORKLOAD",
        "CPU",
        "MEAN",
        "THROTTLED",
        "MEMORY",
        "WRITTEN/s",
        "PIDS",
        "REFUSED",
        "OOM",
    ];
    let restarts = entries.iter().any(|entry| entry.restarts.is_some());
    let mut table: Vec<Vec<String>> = vec![TITLES.map(str::to_owned).to_vec()];
    table.extend(entries.iter().map(|entry| cells(entry)));
    if restarts {
        table[0].push("RESTARTS".to_owned());
        for (line, entry) in table.iter_mut().skip(1).zip(entries) {
            line.push(or_dash(entry.restarts, |count| count.to_string()));
        }
    }
    text::table(&table)
}

fn cells(entry: &Entry<'_>) -> Vec<String> {
    let peaks = entry.peaks;
    let against = |peak: String, limit: Option<String>| {
        let mut text = peak;
        let _ = write!(text, "/{}", limit.as_deref().unwrap_or("max"));
        text
    };
    let rate = |rate: f64| field::rate(rate);
    vec![
        text::sanitise(entry.name).into_owned(),
        against(
            or_dash(peaks.cpu, field::percent),
            peaks.cpu_limit.map(field::cpus),
        ),
        or_dash(peaks.mean_cpu(), field::percent),
        or_dash(peaks.throttled(), field::percent),
        against(
            or_dash(peaks.memory, text::bytes),
            peaks.memory_limit.map(text::bytes),
        ),
        against(or_dash(peaks.written, rate), peaks.io_limits[1].map(rate)),
        against(
            or_dash(peaks.pids, |pids| pids.to_string()),
            peaks.pids_limit.map(|limit| limit.to_string()),
        ),
        peaks.forks_refused.to_string(),
        peaks.oom_kills.to_string(),
    ]
}

fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}
