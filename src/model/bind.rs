//! Ties every row to the limits of all cgroups above it.

use std::sync::Arc;

use super::io::{CapLevel, IoFlow};
use super::limit::{self, Ceiling, Level, Of};
use super::row::{ForksRefused, Mark, Row, Slowed, Throttled};
use crate::kernel::cgroup::knob::Knob;
use crate::kernel::unit::{Bytes, Limit, Percent, Reading};
use crate::sample::Sample;

/// Ties every row to the limits above it.
pub(super) fn bind(sample: &Sample, rows: &mut [Row]) {
    let host_memory = host_memory(sample);
    let host_swap = host_swap(sample);
    let host_cpus = host_cpus(sample);
    let cpusets = cpusets(sample, rows);
    let flows: Vec<Reading<IoFlow>> = rows
        .iter_mut()
        .map(|row| std::mem::take(&mut row.io))
        .collect();
    for at in 0..rows.len() {
        let chain: Vec<usize> = std::iter::successors(Some(at), |&at| rows[at].parent).collect();
        // Each level with its place, nearest first.
        let levels = || chain.iter().map(|&at| (at, &rows[at])).enumerate();
        let before = at.checked_sub(1).map(|before| &rows[before]);
        let now = &rows[at].now;

        let slowing = levels().filter_map(|(place, (_, row))| {
            memory_level(place, row, Knob::MemoryHigh, &row.now.memory_high)
        });
        let memory_limit = ceiling_over(
            &now.memory_max,
            levels().filter_map(|(place, (_, row))| {
                memory_level(place, row, Knob::MemoryMax, &row.now.memory_max)
            }),
            host_memory.clone(),
            limit::ceiling(slowing).map(|ceiling| ceiling.binding),
            before.and_then(|row| row.memory_limit.value()),
        );
        let swap_limit = ceiling_over(
            &now.swap_max,
            levels().filter_map(|(place, (_, row))| {
                let limit = row.now.swap_max.value()?.value();
                let used = row.now.swap_current.value().copied();
                level(whose(place, row), Knob::SwapMax, limit, used)
            }),
            host_swap.clone(),
            None,
            before.and_then(|row| row.swap_limit.value()),
        );
        let cpu_limit = ceiling_over(
            &now.cpu_max,
            levels().flat_map(|(place, (at, row))| cpu_levels(place, row, cpusets[at])),
            host_cpus.clone(),
            None,
            before.and_then(|row| row.cpu_limit.value()),
        );
        let pids_limit = ceiling_over(
            &now.pids_max,
            levels().filter_map(|(place, (_, row))| {
                let limit = row.now.pids_max.value()?.value();
                let used = row.pids.value().copied();
                level(whose(place, row), Knob::PidsMax, limit, used)
            }),
            None,
            None,
            before.and_then(|row| row.pids_limit.value()),
        );

        let above = rows[at].parent.map(|above| &rows[above]);
        let frozen = (rows[at].mark == Mark::Frozen).then(|| {
            let of = above.and_then(|above| Some(above.frozen.as_ref()?.seen_below(&above.path)));
            of.unwrap_or(Of::Own)
        });
        let throttled = throttled(&rows[at], above);
        let slowed = slowed(&rows[at], above);

        let caps: Vec<CapLevel> = levels()
            .filter_map(|(place, (at, row))| {
                Some(CapLevel {
                    of: whose(place, row),
                    caps: row.now.io_max.value()?,
                    used: flows[at].value(),
                })
            })
            .collect();
        let io = flows[at].map(|flow| {
            let mut flow = flow.clone();
            flow.cap(&caps);
            flow
        });

        let row = &mut rows[at];
        row.memory_limit = memory_limit;
        row.swap_limit = swap_limit;
        row.cpu_limit = cpu_limit;
        row.pids_limit = pids_limit;
        row.io = io;
        row.frozen = frozen;
        row.throttled = throttled;
        row.slowed = slowed;
        if row.mark == Mark::Running && row.is_careless() {
            row.mark = Mark::Unlimited;
        }
    }
    refuse_forks(rows);
}

/// By whose `pids.max` forks were refused. Since 6.11 that is counted where the limit is, before where the fork was; who
/// runs below the limit is refused the next one, too.
fn refuse_forks(rows: &mut [Row]) {
    let mut by_limit = vec![0; rows.len()];
    for (at, row) in rows.iter().enumerate() {
        let Reading::Value(refused) = &row.forks_refused else {
            continue;
        };
        let limit = match (&row.now.pids_events_local, &row.pids_limit) {
            (Reading::Value(_), _) => Some(at),
            (_, Reading::Value(ceiling)) => with_limit(rows, at, &ceiling.binding.of),
            _ => None,
        };
        by_limit[limit.unwrap_or(at)] += refused.count;
    }
    for at in 0..rows.len() {
        let row = &rows[at];
        let own = row.forks_refused.map(|_| ForksRefused {
            count: by_limit[at],
            of: Of::Own,
        });
        let runs = matches!(row.mark, Mark::Running | Mark::Unlimited);
        let above = row.parent.map(|above| &rows[above]).filter(|_| runs);
        let above = above.and_then(|above| {
            let refused = above.forks_refused.value()?;
            Some(ForksRefused {
                count: refused.count,
                of: refused.of.seen_below(&above.path),
            })
        });
        rows[at].forks_refused = stronger(own, above, |refused| refused.count);
    }
}

/// The row that has a limit, from the one of which it is told.
fn with_limit(rows: &[Row], at: usize, of: &Of) -> Option<usize> {
    match of {
        Of::Own => Some(at),
        Of::Ancestor(path) => std::iter::successors(Some(at), |&at| rows[at].parent)
            .find(|&at| rows[at].path == *path),
        Of::Host => None,
    }
}

/// To how many CPUs each cgroup is confined; `None` where it is handed all that who is above it has.
fn cpusets(sample: &Sample, rows: &[Row]) -> Vec<Option<f64>> {
    let mut all = Vec::with_capacity(rows.len());
    rows.iter()
        .map(|row| {
            let above = row.parent.map_or(sample.host.cpus, |above| all[above]);
            let effective = row.now.cpus_effective.value();
            let own = effective.map_or(above, |cpus| *cpus as usize);
            all.push(own);
            (0 < own && own < above).then_some(own as f64)
        })
        .collect()
}

/// By which quota up the tree a cgroup is held back most. One above shows in the `cpu.stat` of the cgroup that has it, not
/// in that of those below, and holds back who runs. Of `above` it is known already: parents come first.
fn throttled(row: &Row, above: Option<&Row>) -> Reading<Throttled> {
    let own = row.parts.throttled.map(|share| Throttled {
        share: *share,
        of: Of::Own,
    });
    let is_idle = matches!(row.cpu, Reading::Value(cpu) if cpu.0 <= 0.0);
    let above = above.and_then(|above| {
        let throttled = above.throttled.value()?;
        Some(Throttled {
            share: if is_idle {
                Percent::default()
            } else {
                throttled.share
            },
            of: throttled.of.seen_below(&above.path),
        })
    });
    stronger(own, above, |throttled| throttled.share)
}

/// By whose `memory.high` a cgroup is slowed down most. It counts where the limit is; of those below, who waits for memory
/// is slowed down.
fn slowed(row: &Row, above: Option<&Row>) -> Reading<Slowed> {
    let waits = match &row.now.memory_pressure {
        Reading::Value(pressure) => pressure.some.avg10.0 > 0.0,
        _ => true,
    };
    let is_over = match (&row.now.memory_high, &row.now.memory_current) {
        (Reading::Value(Limit::At(high)), Reading::Value(current)) => current > high,
        _ => false,
    };
    let own = row.parts.high.map(|&per_second| Slowed {
        per_second,
        holds: per_second > 0.0 || (is_over && waits),
        of: Of::Own,
    });
    let above = above.filter(|_| waits).and_then(|above| {
        let slowed = above.slowed.value()?;
        Some(Slowed {
            of: slowed.of.seen_below(&above.path),
            ..slowed.clone()
        })
    });
    stronger(own, above, |slowed| (slowed.holds, slowed.per_second))
}

/// What its own limit does, or one above, whichever does more; on a tie, its own.
fn stronger<T, R: PartialOrd>(
    own: Reading<T>,
    above: Option<T>,
    rank: impl Fn(&T) -> R,
) -> Reading<T> {
    match (own, above) {
        (Reading::Value(own), Some(above)) if rank(&above) <= rank(&own) => Reading::Value(own),
        (_, Some(above)) => Reading::Value(above),
        (own, None) => own,
    }
}

/// A limit of memory: what is charged to the cgroup, and what of it the kernel drops before it kills.
fn memory_level(
    place: usize,
    row: &Row,
    knob: Knob,
    limit: &Reading<Limit<Bytes>>,
) -> Option<Level<Bytes>> {
    let used = row.memory.current.value().copied();
    let stat = row.parts.memory_stat.value();
    Some(Level {
        droppable: stat.map(|stat| stat.droppable()),
        ..level(whose(place, row), knob, limit.value()?.value(), used)?
    })
}

/// The quota of a cgroup and the CPUs to which it is confined.
fn cpu_levels(place: usize, row: &Row, cpuset: Option<f64>) -> impl Iterator<Item = Level<f64>> {
    let quota = row.now.cpu_max.value().and_then(|max| max.cpus().value());
    [(Knob::CpuMax, quota), (Knob::CpusetCpus, cpuset)]
        .into_iter()
        .filter_map(move |(knob, limit)| {
            let used = row.cpu.value().map(|cpu| cpu.0 / 100.0);
            level(whose(place, row), knob, limit, used)
        })
}

/// A limit, where there is one, of which nothing is dropped.
fn level<T>(of: Of, knob: Knob, limit: Option<T>, used: Option<T>) -> Option<Level<T>> {
    Some(Level {
        of,
        knob,
        limit: limit?,
        used,
        droppable: None,
    })
}

/// The ceiling over levels, nearest first. Where there is none, the answer is the state of the own file: a limit of `max`
/// (the host remains), not available, or unreadable. Siblings without limits of their own have one in common: `before` is
/// that of the row before.
fn ceiling_over<T: limit::Quantity, F>(
    own: &Reading<F>,
    levels: impl Iterator<Item = Level<T>>,
    host: Option<Level<T>>,
    slowing: Option<Level<T>>,
    before: Option<&Arc<Ceiling<T>>>,
) -> Reading<Arc<Ceiling<T>>> {
    if let Reading::Unreadable(errno) = own {
        return Reading::Unreadable(*errno);
    }
    let mut levels = levels.peekable();
    if levels.peek().is_none() && own.value().is_none() {
        return Reading::NotAvailable;
    }
    let Some(mut ceiling) = limit::ceiling(levels.chain(host)) else {
        return Reading::NotAvailable;
    };
    ceiling.slowing = slowing;
    let same = before.filter(|before| ***before == ceiling);
    Reading::Value(same.map_or_else(|| Arc::new(ceiling), Arc::clone))
}

/// Whose limit a row has that is at this place of a chain, 0 being the nearest.
fn whose(place: usize, row: &Row) -> Of {
    match place {
        0 => Of::Own,
        _ => Of::Ancestor(Arc::clone(&row.path)),
    }
}

/// The host's memory as the last level.
fn host_memory(sample: &Sample) -> Option<Level<Bytes>> {
    let total = sample.host.memory_total.value().copied();
    let used = sample.host.memory_used().value().copied();
    level(Of::Host, Knob::MemoryMax, total, used)
}

/// The host's swap as the last level.
fn host_swap(sample: &Sample) -> Option<Level<Bytes>> {
    let total = *sample.host.swap_total.value()?;
    let free = sample.host.swap_free.value();
    let used = free.map(|free| Bytes(total.0.saturating_sub(free.0)));
    level(Of::Host, Knob::SwapMax, Some(total), used)
}

/// The host's CPUs as the last level.
fn host_cpus(sample: &Sample) -> Option<Level<f64>> {
    level(Of::Host, Knob::CpuMax, Some(sample.host.cpus as f64), None)
}
