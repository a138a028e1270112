//! Ties every row to the limits of all cgroups above it.

use std::sync::Arc;

use super::io::{CapLevel, IoFlow};
use super::limit::{self, Ceiling, Level, Of};
use super::row::{Mark, Row, Throttled};
use crate::kernel::unit::{Bytes, Limit, Reading};
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
            |position| {
                let memory = rows[chain[position]].memory;
                (
                    memory.current.value().copied(),
                    memory.reclaimable.value().copied(),
                )
            },
            host_memory.clone(),
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
                reclaimable: None,
            }),
        );
        let pids_limit = ceiling_over(
            &cgroups,
            before.and_then(|row| row.pids_limit.value()),
            |cgroup| &cgroup.pids_max,
            Limit::value,
            |position| (cgroups[position].pids_current.value().copied(), None),
            None,
        );

        // A quota above shows in the `cpu.stat` of the cgroup that has it, not in that of those below.
        let quota = cgroups.iter().position(
            |cgroup| matches!(&cgroup.cpu_max, Reading::Value(max) if max.quota != Limit::Max),
        );
        let throttled = match quota {
            Some(position) => rows[chain[position]].throttled.map(|throttled| Throttled {
                by_ancestor: position > 0,
                ..*throttled
            }),
            None => match rows[at].throttled {
                Reading::Unreadable(errno) => Reading::Unreadable(errno),
                _ => Reading::NotAvailable,
            },
        };

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
        // Parents come first, so an ancestor that has a quota has kept its own share.
        row.throttled = throttled;
        if row.mark == Mark::Running && row.is_careless() {
            row.mark = Mark::Unlimited;
        }
    }
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
            let (used, reclaimable) = used(position);
            Some(Level {
                of: whose(position, cgroup),
                limit,
                used,
                reclaimable,
            })
        })
        .collect();
    let readable = matches!(own, Some(Reading::Value(_)));
    if levels.is_empty() && !readable {
        return Reading::NotAvailable;
    }
    let Some(ceiling) = limit::ceiling(levels.into_iter().chain(host)) else {
        return Reading::NotAvailable;
    };
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
        reclaimable: None,
    })
}
