//! What would happen.

use super::{Change, Gravity, Setting};
use crate::kernel::cgroup::knob::{Knob, KnobValue};
use crate::kernel::cgroup::standing::Standing;
use crate::kernel::cpuset::CpuList;
use crate::kernel::io::IoMax;
use crate::kernel::unit::{Bytes, Limit};
use crate::model::io;
use crate::text;

/// Adds every remark that a change deserves.
pub(super) fn judge(change: &mut Change, levels: &[Standing], setting: &Setting) {
    match change.new.clone() {
        KnobValue::Size(size) => sizes(change, size, levels, setting),
        KnobValue::Count(count) => processes(change, count),
        KnobValue::CpuMax(max) => {
            let host = setting.host_cpus.count();
            if host > 0 && max.cpus().value().is_some_and(|cpus| cpus > host as f64) {
                let text =
                    format!("more than this host has ({host} cpus): it will never be reached");
                change.remark(Gravity::Note, text);
            }
            if let KnobValue::CpuMax(old) = change.old
                && old.period != max.period
            {
                let text = format!(
                    "its period changes from {} µs to {} µs",
                    old.period.0, max.period.0
                );
                change.remark(Gravity::Note, text);
            }
        }
        KnobValue::Weight(_) if change.address.knob == Knob::CpuWeight && setting.idle => {
            change.remark(
                Gravity::Impossible,
                "an idle cgroup has no weight; set cpu.idle=0 too",
            );
        }
        KnobValue::Switch(true) if change.address.knob == Knob::CpuIdle => {
            change.remark(
                Gravity::Note,
                "it runs only where nobody else wants the CPU, and its cpu.weight is forgotten",
            );
        }
        KnobValue::Cpus(cpus) => cpu_list(change, &cpus, setting),
        KnobValue::IoMax(max) => rates(change, max, levels),
        KnobValue::Weight(_) | KnobValue::Switch(_) => {}
    }
}

fn size(amount: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    text::bytes(Bytes(amount as u64))
}

fn sizes(change: &mut Change, limit: Limit<Bytes>, levels: &[Standing], setting: &Setting) {
    let knob = change.address.knob;
    let Limit::At(new) = limit else { return };
    let over = |used: f64| Some(used - new.0 as f64).filter(|below| *below > 0.0);
    let below = change.used.and_then(over).map(size);
    let droppable = change.droppable.unwrap_or(0.0);
    let firm = change.used.and_then(|used| over(used - droppable));
    let host = setting.host_memory.filter(|total| new > *total);
    let max = match setting.memory_max {
        Some(Limit::At(max)) => Some(max),
        _ => None,
    };
    match (knob, below) {
        (Knob::MemoryMax, _) if new.0 == 0 => change.remark(
            Gravity::Danger,
            "no memory at all: the kernel will kill every process in it",
        ),
        (Knob::MemoryMax, Some(below)) => match firm.map(size) {
            Some(firm) => change.remark(
                Gravity::Danger,
                format!("{firm} below usage: the kernel will reclaim, then OOM-kill"),
            ),
            None => change.remark(
                Gravity::Note,
                format!("{below} below usage: as much page cache will be dropped"),
            ),
        },
        (Knob::MemoryHigh, _) if new.0 == 0 => change.remark(
            Gravity::Danger,
            "everything in it will be slowed to a crawl and reclaimed without end",
        ),
        (Knob::MemoryHigh, Some(below)) => change.remark(
            Gravity::Note,
            format!("{below} below usage: its processes will be slowed down and reclaimed from"),
        ),
        (Knob::SwapMax, Some(below)) => change.remark(
            Gravity::Note,
            format!("{below} below usage: no more is swapped out, and what is out stays until it is read"),
        ),
        _ => {}
    }
    match (knob, host, max) {
        (Knob::MemoryMax | Knob::MemoryHigh, Some(total), _) => change.remark(
            Gravity::Note,
            format!(
                "more than this host has ({}): it will never be reached",
                text::bytes(total)
            ),
        ),
        (Knob::MemoryHigh, None, Some(max)) if new >= max => change.remark(
            Gravity::Note,
            format!(
                "not below memory.max ({}): it will never slow anything down",
                text::bytes(max)
            ),
        ),
        (Knob::MemoryLow | Knob::MemoryMin, _, Some(max)) if new > max => change.remark(
            Gravity::Note,
            format!(
                "more than memory.max ({}): only that much can be protected",
                text::bytes(max)
            ),
        ),
        (Knob::MemoryLow | Knob::MemoryMin, Some(total), _) => change.remark(
            Gravity::Danger,
            format!(
                "more than this host has ({}): others would be starved",
                text::bytes(total)
            ),
        ),
        _ => {}
    }
    if matches!(knob, Knob::MemoryLow | Knob::MemoryMin) && new.0 > 0 {
        let least = levels
            .iter()
            .skip(1)
            .filter_map(|level| Some((level.value.value()?.amount()?.value()?, &level.path)))
            .min_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((amount, path)) = least.filter(|(amount, _)| *amount < new.0 as f64) {
            change.remark(
                Gravity::Note,
                format!(
                    "only as much as {knob} of {path} ({}) is protected",
                    size(amount)
                ),
            );
        }
    }
}

fn processes(change: &mut Change, limit: Limit<u64>) {
    match (limit, change.used) {
        (Limit::At(0), _) => change.remark(
            Gravity::Danger,
            "no process or thread can ever be started in it again",
        ),
        (Limit::At(new), Some(used)) if used > new as f64 => change.remark(
            Gravity::Note,
            format!(
                "{} below usage: no new forks until some have ended",
                used - new as f64
            ),
        ),
        _ => {}
    }
}

fn cpu_list(change: &mut Change, cpus: &CpuList, setting: &Setting) {
    let beyond = cpus.beyond(&setting.host_cpus);
    if !setting.host_cpus.is_empty() && !beyond.is_empty() {
        let text = format!("this host has no CPU {beyond}, only {}", setting.host_cpus);
        change.remark(Gravity::Impossible, text);
        return;
    }
    if let Some(parent) = &setting.parent_cpus
        && !cpus.is_empty()
        && !cpus.beyond(parent).is_empty()
    {
        let left = cpus.common(parent);
        let text = if left.is_empty() {
            format!("its parent has none of these, only {parent}: those will be used")
        } else {
            format!("its parent has only {parent}: {left} will be used")
        };
        change.remark(Gravity::Note, text);
    }
}

fn rates(change: &mut Change, new: IoMax, levels: &[Standing]) {
    for kind in io::Kind::ALL {
        let least = levels
            .iter()
            .skip(1)
            .filter_map(|level| match level.value.value()? {
                KnobValue::IoMax(max) => Some((kind.cap(max).value()?, &level.path)),
                _ => None,
            })
            .min();
        if let Some((least, path)) = least
            && Limit::At(least) < kind.cap(&new)
            && let KnobValue::IoMax(old) = &change.old
            && kind.cap(old) != kind.cap(&new)
        {
            let (key, least) = (kind.name(), kind.text(Limit::At(least)));
            change.remark(Gravity::Note, format!("bound by {key}={least} of {path}"));
        }
    }
}
