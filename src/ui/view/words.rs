//! A cgroup's resources and limits in words.

use crate::kernel::cgroup::knob::Knob;
use crate::kernel::unit::{Bytes, Reading};
use crate::model::field;
use crate::model::forecast::Forecast;
use crate::model::io::Kind;
use crate::model::limit::{Level, Of};
use crate::model::state::{State, states};
use crate::model::{Model, Row};
use crate::text;

/// One sentence per resource; the limits with their owner.
pub(super) fn facts(model: &Model, row: &Row) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(state(model, row).map(|state| ("state", state)));
    facts.push(("memory", memory(model, row)));
    let forecast = row.forecast.value();
    facts.extend(forecast.map(|forecast| ("oom", foretold(model, forecast))));
    facts.push(("cpu", cpu(model, row)));
    facts.push(("pids", pids(model, row)));
    if let Reading::Value(flow) = &row.io {
        for device in &flow.devices {
            let about = Kind::ALL
                .into_iter()
                .enumerate()
                .filter(|(at, kind)| kind.is_bytes() || device.caps[*at].is_some())
                .map(|(at, kind)| {
                    let rate = field::rate(device.rates[at]);
                    match &device.caps[at] {
                        Some(cap) => format!(
                            "{} {rate} of {} ({})",
                            kind.name(),
                            field::rate(cap.limit),
                            owner(model, &cap.of, cap.knob)
                        ),
                        None => format!("{} {rate}", kind.name()),
                    }
                });
            let about = about.collect::<Vec<_>>().join(" · ");
            facts.push(("io", format!("{} {about}", device.device)));
        }
    }
    facts
}

/// What holds it back, and by whose limit; `None` where nothing does.
fn state(model: &Model, row: &Row) -> Option<String> {
    let frozen = row.frozen.as_ref().map(|of| match of {
        Of::Ancestor(path) => format!("frozen with {}", text::sanitise(&model.label(path))),
        Of::Own | Of::Host => "frozen".to_owned(),
    });
    let threaded = row
        .now
        .is_threaded
        .then(|| "threaded: its memory and I/O are charged to the domain above".to_owned());
    let held = states(row)
        .into_iter()
        .map(|State { word, limit }| match limit {
            Some((knob, of)) => format!("{word} by {}", owner(model, &of, knob)),
            None => word.to_owned(),
        });
    let all: Vec<String> = frozen.into_iter().chain(threaded).chain(held).collect();
    (!all.is_empty()).then(|| all.join(" · "))
}

/// `own memory.max`, `memory.max of ringfence.slice`, `the host has no more`
pub(super) fn owner(model: &Model, of: &Of, knob: Knob) -> String {
    match of {
        Of::Own => format!("own {knob}"),
        Of::Ancestor(path) => format!("{knob} of {}", text::sanitise(&model.label(path))),
        Of::Host => "the host has no more".to_owned(),
    }
}

fn memory(model: &Model, row: &Row) -> String {
    let mut parts = Vec::new();
    match (&row.memory.working, &row.memory.reclaimable) {
        (Reading::Value(working), Reading::Value(reclaimable @ Bytes(1..))) => parts.push(format!(
            "{} in use + {} reclaimable",
            text::bytes(*working),
            text::bytes(*reclaimable)
        )),
        (Reading::Value(working), _) => parts.push(format!("{} in use", text::bytes(*working))),
        (other, _) => parts.push(missing(other).to_owned()),
    }
    match &row.memory_limit {
        Reading::Value(ceiling) => match ceiling.first() {
            Some(first) => {
                parts.push(format!(
                    "limit {} ({})",
                    text::bytes(first.limit),
                    owner(model, &first.of, first.knob)
                ));
                if let (false, Some(used)) = (first.of == Of::Own, first.used) {
                    parts.push(format!("all in it use {}", text::bytes(used)));
                }
                parts.push(format!("{} left", text::bytes(left(first))));
            }
            None if row.is_careless() => parts.push("no limit!".to_owned()),
            None => parts.push("no limit".to_owned()),
        },
        Reading::NotAvailable => {}
        other @ Reading::Unreadable(_) => parts.push(format!("limit {}", missing(other))),
    }
    parts.join(" · ")
}

/// `in 14 s (12 s to 16 s) at 1M/s, own memory.max 64M`
fn foretold(model: &Model, forecast: &Forecast) -> String {
    let range = match forecast.latest {
        Some(latest) => format!(
            "in {} ({} to {})",
            text::time_left(forecast.likely),
            text::time_left(forecast.soonest),
            text::time_left(latest)
        ),
        None => format!(
            "not before {}, as memory.high slows it",
            text::time_left(forecast.soonest)
        ),
    };
    let of = match &forecast.of {
        Of::Ancestor(path) => format!("memory.max of {}", text::sanitise(&model.label(path))),
        Of::Own | Of::Host => "own memory.max".to_owned(),
    };
    format!(
        "{range} · grows by {}/s to {} ({of})",
        field::rate(forecast.rate),
        text::bytes(forecast.limit)
    )
}

// The cast saturates.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn left(level: &Level<Bytes>) -> Bytes {
    Bytes(level.headroom() as u64)
}

fn cpu(model: &Model, row: &Row) -> String {
    let mut parts = vec![match &row.cpu {
        Reading::Value(cpu) => format!("{} of a core", field::percent(*cpu)),
        other => missing(other).to_owned(),
    }];
    match &row.cpu_limit {
        Reading::Value(ceiling) if ceiling.limited => {
            let binding = &ceiling.binding;
            parts.push(format!(
                "limit {} cpu ({})",
                field::cpus(binding.limit),
                owner(model, &binding.of, binding.knob)
            ));
        }
        Reading::Value(_) => parts.push("no limit".to_owned()),
        Reading::NotAvailable => {}
        other @ Reading::Unreadable(_) => parts.push(format!("limit {}", missing(other))),
    }
    if let Reading::Value(throttled) = &row.throttled {
        let share = field::percent(throttled.share);
        let limit = row.cpu_limit.value().map(|ceiling| &ceiling.binding);
        let named = limit.filter(|limit| limit.knob == Knob::CpuMax);
        let by = match &throttled.of {
            Of::Own => String::new(),
            of if named.is_some_and(|limit| limit.of == *of) => String::new(),
            of => format!(" by {}", owner(model, of, Knob::CpuMax)),
        };
        parts.push(format!("held back {share}{by}"));
    }
    parts.join(" · ")
}

fn pids(model: &Model, row: &Row) -> String {
    let mut parts = vec![match (&row.pids, &row.pids_limit) {
        (Reading::Value(pids), Reading::Value(ceiling)) => {
            let limit = &ceiling.binding;
            let owner = owner(model, &limit.of, limit.knob);
            match (&limit.of, limit.used) {
                (Of::Ancestor(_), Some(used)) => {
                    format!("{pids} · all in it {used} of {} ({owner})", limit.limit)
                }
                _ => format!("{pids} of {} ({owner})", limit.limit),
            }
        }
        (Reading::Value(pids), _) => format!("{pids} · no limit"),
        (other, _) => missing(other).to_owned(),
    }];
    if let Reading::Value(refused) = &row.forks_refused
        && refused.count > 0
    {
        parts.push(format!("{} forks refused just now", refused.count));
    }
    parts.join(" · ")
}

pub(super) fn missing<T>(reading: &Reading<T>) -> &'static str {
    match reading {
        Reading::Value(_) => "",
        Reading::NotAvailable => "not available",
        Reading::Unreadable(_) => "could not be read",
    }
}
