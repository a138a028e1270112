//! The sections below the charts, each a title and some lines.

use ratatui::text::{Line, Span};

use super::{composition, name};
use crate::kernel::cgroup::knob::Knob;
use crate::kernel::memory::MemoryEvents;
use crate::kernel::pressure::{Pressure, Stall};
use crate::kernel::unit::{Limit, Reading};
use crate::model::field::{self, FieldId};
use crate::model::io::{DeviceFlow, Kind};
use crate::model::limit::Of;
use crate::model::{Model, Row};
use crate::text;
use crate::ui::cell;
use crate::ui::theme::Theme;
use crate::ui::view::words;

use super::BESIDE;

/// A title and what is below it.
pub(super) struct Section {
    pub title: Line<'static>,
    pub lines: Vec<Line<'static>>,
}

/// All of them; on wide screens the first half stands on the left.
pub(super) fn all(model: &Model, row: &Row, width: u16, theme: &Theme) -> Vec<Section> {
    let width = if width >= BESIDE {
        width / 2 - 2
    } else {
        width
    };
    let section = |title: &'static str, lines| Section {
        title: Line::styled(title, theme.title),
        lines,
    };
    vec![
        section("MADE OF", memory(row, width, theme)),
        section("LIMITS", limits(model, row, width, theme)),
        section("HELD BACK", throttling(model, row, theme)),
        section("I/O", io(model, row, width, theme)),
        section("PRESSURE, share of time lost", pressure(row, width, theme)),
        section("MEMORY EVENTS, with those below", events(row, width, theme)),
    ]
}

fn missing<T>(reading: &Reading<T>, theme: &Theme) -> Line<'static> {
    Line::styled(words::missing(reading), theme.dim)
}

/// A value of the catalogue in words, `·` or `?` without one.
fn value(row: &Row, id: FieldId) -> String {
    match (id.field().value)(row).text().as_str() {
        "-" => cell::NOT_AVAILABLE.to_owned(),
        text => text.to_owned(),
    }
}

fn memory(row: &Row, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let Reading::Value(stat) = &row.parts.memory_stat else {
        return vec![missing(&row.parts.memory_stat, theme)];
    };
    let parts = stat.composition();
    let sum: u64 = parts.iter().map(|(_, bytes)| bytes.0).sum();
    let current = row.memory.current.value().map_or(0, |bytes| bytes.0);
    // Of the limit, where it is its own; otherwise of itself.
    let limit = match row.now.memory_max {
        Reading::Value(Limit::At(limit)) => limit.0,
        _ => 0,
    };
    let whole = sum.max(current).max(limit) as f64;
    composition(&parts, whole, width, theme).into()
}

fn limits(model: &Model, row: &Row, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(8);
    let mut lines: Vec<Line<'static>> = words::facts(model, row)
        .into_iter()
        .filter(|(what, _)| *what != "io")
        .flat_map(|(what, about)| {
            let parts = super::super::wrap(&about, room, room);
            parts.into_iter().enumerate().map(move |(at, text)| {
                let what = if at == 0 { what } else { "" };
                Line::from(vec![name(what, theme), Span::raw(text)])
            })
        })
        .collect();
    let swap_max = match row.now.swap_max {
        Reading::Value(limit) => text::limit(limit),
        _ => cell::NOT_AVAILABLE.to_owned(),
    };
    let about = format!(
        "high {} · max {} · peak {} · swap {} of {swap_max}",
        value(row, FieldId::High),
        value(row, FieldId::Max),
        value(row, FieldId::Peak),
        value(row, FieldId::Swap),
    );
    for (at, text) in super::super::wrap(&about, room, room)
        .into_iter()
        .enumerate()
    {
        let what = if at == 0 { "own" } else { "" };
        lines.push(Line::from(vec![name(what, theme), Span::raw(text)]));
    }
    lines
}

fn throttling(model: &Model, row: &Row, theme: &Theme) -> Vec<Line<'static>> {
    let periods = match &row.throttled {
        Reading::Value(throttled) => {
            let share = field::percent(throttled.share);
            match &throttled.of {
                Of::Own => format!("{share} of periods"),
                of => format!(
                    "{share} of periods, by {}",
                    words::owner(model, of, Knob::CpuMax)
                ),
            }
        }
        Reading::NotAvailable => "no cpu.max".to_owned(),
        unreadable @ Reading::Unreadable(_) => words::missing(unreadable).to_owned(),
    };
    let style = match &row.throttled {
        Reading::Value(throttled) if throttled.holds() => theme.warning,
        _ => theme.plain(),
    };
    let now = row.forks_refused.value();
    let above = now.filter(|refused| refused.count > 0 && refused.of != Of::Own);
    let ever = row.now.pids_events.map(|events| events.max);
    let forks = match (above, ever) {
        (Some(refused), _) => Span::styled(
            format!(
                "{} refused just now, by {}",
                refused.count,
                words::owner(model, &refused.of, Knob::PidsMax)
            ),
            theme.warning,
        ),
        (None, Reading::Value(0)) => Span::raw("none refused"),
        (None, Reading::Value(count)) => Span::styled(format!("{count} refused"), theme.warning),
        (None, other) => Span::styled(words::missing(&other), theme.dim),
    };
    vec![
        Line::from(vec![name("cpu", theme), Span::styled(periods, style)]),
        Line::from(vec![
            name("", theme),
            Span::raw(format!(
                "held back {} · user {} · kernel {} · weight {}",
                value(row, FieldId::HeldBack),
                value(row, FieldId::CpuUser),
                value(row, FieldId::CpuSystem),
                value(row, FieldId::CpuWeight)
            )),
        ]),
        Line::from(vec![name("forks", theme), forks]),
    ]
}

fn io(model: &Model, row: &Row, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let flow = match &row.io {
        Reading::Value(flow) => flow,
        other => return vec![missing(other, theme)],
    };
    if flow.devices.is_empty() {
        return vec![Line::styled("no traffic", theme.dim)];
    }
    let devices = flow.devices.iter();
    devices
        .flat_map(|device| self::device(model, device, width, theme))
        .collect()
}

/// A line per rate: against its cap where there is one.
fn device(model: &Model, flow: &DeviceFlow, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let mut label = flow.device.to_string();
    let mut lines = Vec::new();
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let cap = flow.caps[at].as_ref();
        let bytes = kind.is_bytes();
        if cap.is_none() && !bytes && flow.rates[at] < 0.5 {
            continue;
        }
        let mut spans = vec![
            name(&label, theme),
            Span::raw(format!(
                "{:<6}{:>6}",
                kind.name(),
                field::rate(flow.rates[at])
            )),
        ];
        label.clear();
        if let Some(cap) = cap {
            let share = cap.share().unwrap_or(0.0);
            let room = usize::from(width).saturating_sub(20 + 24).min(20);
            spans.push(Span::raw(" "));
            spans.extend(cell::bar(room, share, share, theme));
            let mark = if share >= 0.95 { "▲" } else { " " };
            spans.push(Span::styled(mark, theme.warning));
            spans.push(Span::raw(format!("{} ", field::rate(cap.limit))));
            spans.push(Span::styled(
                words::owner(model, &cap.of, cap.knob),
                theme.dim,
            ));
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn pressure(row: &Row, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let head = if width >= 50 {
        "some 10s   60s    5m  full 10s   60s    5m"
    } else {
        "     10s   60s    5m"
    };
    let mut lines = vec![Line::from(vec![
        name("", theme),
        Span::styled(head, theme.dim),
    ])];
    let names = ["cpu", "memory", "io"];
    lines.extend(
        names
            .into_iter()
            .zip([
                &row.now.cpu_pressure,
                &row.now.memory_pressure,
                &row.now.io_pressure,
            ])
            .map(|(what, reading)| {
                let mut spans = vec![name(what, theme)];
                match reading {
                    Reading::Value(pressure) => spans.extend(stalls(pressure, width, theme)),
                    other => spans.push(Span::styled(words::missing(other), theme.dim)),
                }
                Line::from(spans)
            }),
    );
    lines
}

fn stalls(pressure: &Pressure, width: u16, theme: &Theme) -> Vec<Span<'static>> {
    let three = |stall: &Stall| [stall.avg10, stall.avg60, stall.avg300];
    let mut shares = three(&pressure.some).map(Some).to_vec();
    if width >= 50 {
        let full = pressure.full.as_ref();
        shares.extend(full.map_or([None; 3], |full| three(full).map(Some)));
    }
    let columns = [8, 6, 6, 10, 6, 6];
    let cells = shares.into_iter().zip(columns);
    cells
        .map(|(share, width)| match share {
            None => Span::styled(format!("{:>width$}", cell::NOT_AVAILABLE), theme.dim),
            Some(share) => {
                let style = match share.0 {
                    50.0.. => theme.warning,
                    ..0.05 => theme.dim,
                    _ => theme.plain(),
                };
                Span::styled(format!("{:>width$}", field::percent(share)), style)
            }
        })
        .collect()
}

fn events(row: &Row, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let events: &MemoryEvents = match &row.now.memory_events {
        Reading::Value(events) => events,
        other => return vec![missing(other, theme)],
    };
    let counters = [
        ("low", events.low, false),
        ("high", events.high, false),
        ("max", events.max, false),
        ("oom", events.oom, true),
        ("oom_kill", events.oom_kill, true),
        ("oom_group_kill", events.oom_group_kill, true),
    ];
    let spans = counters.map(|(name, count, alarming)| {
        let style = match (count, alarming) {
            (0, _) => theme.dim,
            (_, true) => theme.alarm,
            (_, false) => theme.plain(),
        };
        Span::styled(format!("{name} {count}   "), style)
    });
    if width >= 60 {
        return vec![Line::from(spans.to_vec())];
    }
    spans
        .chunks(3)
        .map(|spans| Line::from(spans.to_vec()))
        .collect()
}
