//! Ties every row to the limits of all cgroups above it.

use std::sync::Arc;

use super::io::{CapLevel, IoFlow};
use super::limit::{self, Ceiling, Level, Of};
use super::row::{Mark, Row, Slowed, Throttled};
use crate::kernel::unit::{Bytes, Limit, Percent, Reading};
use crate::sample::{CgroupSample, Sample};

/// Ties every row to the limits above it.
pub(super) fn bind(sample: &Sample, rows: &mut [Row]) {
    let host_memory = host_memory(sample);
    let flows: Vec<Reading<IoFlow>> = rows
        .iter_mut()
        .map(|row| std::mem::take(&mut row.io))
        .collect();
    for at in 0..rows.len() {
        let chain: Vec<usize> = std::iter::successors(Some(at), |&at| rows[at].parent).collect();
        let cgroups: Vec<&CgroupSample> = chain.iter().map(|&at| &*sample.cgroups[at]).collect();
        let before = at.checked_sub(1).map(|before| &rows[before]);
        let memory_limit = ceiling_over(
            &cgroups,
            before.and_then(|row| row.memory_limit.value()),
            |cgroup| &cgroup.memory_max,
            Limit::value,
            |position| memory_used(&rows[chain[position]]),
            host_memory.clone(),
            slowing(rows, &chain),
        );
        let cpu_limit = ceiling_over(
            &cgroups,
            before.and_then(|row| row.cpu_limit.value()),
            |cgroup| &cgroup.cpu_max,
            |max| max.cpus().value(),
            |position| {
                (
                    rows[chain[position]].cpu.value().map(|cpu| cpu.0 / 100.0),
                    None,
                )
            },
            Some(Level {
                of: Of::Host,
                limit: sample.host.cpus as f64,
                used: None,
                droppable: None,
            }),
            None,
        );
        let pids_limit = ceiling_over(
            &cgroups,
            before.and_then(|row| row.pids_limit.value()),
            |cgroup| &cgroup.pids_max,
            Limit::value,
            |position| (cgroups[position].pids_current.value().copied(), None),
            None,
            None,
        );

        let above = rows[at].parent.map(|above| &rows[above]);
        let throttled = throttled(&rows[at], above);
        let slowed = slowed(&rows[at], above);

        let caps: Vec<CapLevel> = cgroups
            .iter()
            .enumerate()
            .filter_map(|(position, cgroup)| {
                Some(CapLevel {
                    of: whose(position, cgroup),
                    caps: cgroup.io_max.value()?,
                    used: flows[chain[position]].value(),
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
        row.cpu_limit = cpu_limit;
        row.pids_limit = pids_limit;
        row.io = io;
        row.throttled = throttled;
        row.slowed = slowed;
        if row.mark == Mark::Running && row.is_careless() {
            row.mark = Mark::Unlimited;
        }
    }
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

/// What is charged to a cgroup, and what of it the kernel drops before it kills.
fn memory_used(row: &Row) -> (Option<Bytes>, Option<Bytes>) {
    let stat = row.parts.memory_stat.value();
    (
        row.memory.current.value().copied(),
        stat.map(|stat| stat.droppable()),
    )
}

/// The `memory.high` with the least headroom over a chain of rows, nearest first.
fn slowing(rows: &[Row], chain: &[usize]) -> Option<Level<Bytes>> {
    let levels = chain.iter().enumerate().filter_map(|(position, &at)| {
        let row = &rows[at];
        let limit = row.now.memory_high.value()?.value()?;
        let (used, droppable) = memory_used(row);
        Some(Level {
            of: whose(position, &row.now),
            limit,
            used,
            droppable,
        })
    });
    limit::ceiling(levels).map(|ceiling| ceiling.binding)
}

/// The ceiling over a chain of cgroups, nearest first. Where no level has a limit, the answer is the
/// state of the own file: a limit of `max` (the host remains), not available, or unreadable. Siblings
/// without limits of their own have one in common: `before` is that of the row before.
fn ceiling_over<T, F>(
    cgroups: &[&CgroupSample],
    before: Option<&Arc<Ceiling<T>>>,
    file: impl Fn(&CgroupSample) -> &Reading<F>,
    limit: impl Fn(F) -> Option<T>,
    used: impl Fn(usize) -> (Option<T>, Option<T>),
    host: Option<Level<T>>,
    slowing: Option<Level<T>>,
) -> Reading<Arc<Ceiling<T>>>
where
    T: limit::Quantity,
    F: Copy,
{
    let own = cgroups.first().map(|cgroup| file(cgroup));
    if let Some(Reading::Unreadable(errno)) = own {
        return Reading::Unreadable(*errno);
    }
    let levels: Vec<Level<T>> = cgroups
        .iter()
        .enumerate()
        .filter_map(|(position, cgroup)| {
            let limit = limit(*file(cgroup).value()?)?;
            let (used, droppable) = used(position);
            Some(Level {
                of: whose(position, cgroup),
                limit,
                used,
                droppable,
            })
        })
        .collect();
    let readable = matches!(own, Some(Reading::Value(_)));
    if levels.is_empty() && !readable {
        return Reading::NotAvailable;
    }
    let Some(mut ceiling) = limit::ceiling(levels.into_iter().chain(host)) else {
        return Reading::NotAvailable;
    };
    ceiling.slowing = slowing;
    let same = before.filter(|before| ***before == ceiling);
    Reading::Value(same.map_or_else(|| Arc::new(ceiling), Arc::clone))
}

/// Whose limit one of a chain of cgroups, nearest first, has.
fn whose(position: usize, cgroup: &CgroupSample) -> Of {
    match position {
        0 => Of::Own,
        _ => Of::Ancestor(cgroup.path.clone()),
    }
}

/// The host's memory as the last level.
fn host_memory(sample: &Sample) -> Option<Level<Bytes>> {
    let total = *sample.host.memory_total.value()?;
    Some(Level {
        of: Of::Host,
        limit: total,
        used: sample
            .host
            .memory_available
            .value()
            .map(|available| Bytes(total.0.saturating_sub(available.0))),
        droppable: None,
    })
}
