//! What is known about the selected cgroup: its limits in words, its memory against the ceiling over the
//! last minutes, its processes with both pids.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{pad, put};
use crate::kernel::unit::{Bytes, Reading};
use crate::model::field;
use crate::model::history::SPAN;
use crate::model::io::Kind;
use crate::model::limit::{Level, Of, Quantity};
use crate::model::row::last_part;
use crate::model::{Model, Row};
use crate::names::{self, Role, owner};
use crate::sample::ProcessSample;
use crate::text;
use crate::ui::cell;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// From this width on, the processes stand beside the chart.
const BESIDE: u16 = 70;
/// A chart with fewer lines says nothing.
const CHART: u16 = 3;
/// From this width on, the processes' memory is shown too.
const RSS: u16 = 40;
/// Columns of the scale at the left of the chart.
const SCALE: u16 = 6;

pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let Some(path) = state.selected() else {
        return;
    };
    let row = state.selected_row(model);
    let left = if area.width >= BESIDE {
        let width = area.width * 3 / 5;
        let right = Rect::new(
            area.x + width + 3,
            area.y,
            area.width - width - 3,
            area.height,
        );
        for y in area.top()..area.bottom() {
            buffer.set_string(area.x + width + 1, y, "│", theme.dim);
        }
        processes(buffer, right, model, row, theme);
        Rect { width, ..area }
    } else {
        area
    };
    let facts = row.map_or_else(
        || vec![("gone", "it may come back".to_owned())],
        |row| facts(model, row),
    );
    let lines = u16::try_from(facts.len()).unwrap_or(u16::MAX);
    // The chart needs a few lines to say anything; the first facts are the most telling ones.
    let shown = if left.height >= lines + CHART {
        lines
    } else {
        left.height.saturating_sub(CHART).max(2).min(lines)
    };
    for ((what, about), y) in facts.iter().zip(0..shown) {
        let room = usize::from(left.width).saturating_sub(7);
        let line = Line::from(vec![
            Span::styled(pad(what, 7, false), theme.dim),
            Span::raw(text::fit(about, room).into_owned()),
        ]);
        put(buffer, left, y, &line);
    }
    let chart_area = Rect {
        y: left.y + shown,
        height: left.height.saturating_sub(shown),
        ..left
    };
    if chart_area.height >= CHART {
        chart(
            buffer,
            chart_area,
            model,
            path,
            limit(model, path, row),
            theme,
        );
    }
}

/// Its path; before that, what it is, where its name there does not say so:
/// `web · docker container 0123456789ab · /docker/0123456789abcdef…`.
pub fn title(model: &Model, state: &State) -> String {
    let Some(path) = state.selected() else {
        return String::new();
    };
    let label = model.label(path);
    let shown = if label == last_part(path) {
        path.to_string()
    } else {
        let identity = names::identify(path);
        let what = identity.what();
        match identity.id.as_deref() {
            Some(id) if matches!(identity.role, Role::Container | Role::Pod) => {
                format!("{label} · {what} {} · {path}", owner::short(id))
            }
            _ => format!("{label} · {what} · {path}"),
        }
    };
    text::sanitise(&shown).into_owned()
}

/// One sentence per resource; the limits with their owner.
fn facts(model: &Model, row: &Row) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("memory", memory(model, row)),
        ("cpu", cpu(model, row)),
        ("pids", pids(model, row)),
    ];
    if let Reading::Value(flow) = &row.io {
        for device in &flow.devices {
            let about = Kind::ALL
                .into_iter()
                .enumerate()
                .filter(|(at, kind)| {
                    matches!(kind, Kind::Rbps | Kind::Wbps) || device.caps[*at].is_some()
                })
                .map(|(at, kind)| {
                    let rate = field::rate(device.rates[at]);
                    match &device.caps[at] {
                        Some(cap) => format!(
                            "{} {rate} of {} ({})",
                            kind.name(),
                            field::rate(cap.limit),
                            whose(model, cap, "io.max")
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

/// `own memory.max`, `memory.max of ringfence.slice`, `the host has no more`
fn whose<T: Quantity>(model: &Model, level: &Level<T>, file: &str) -> String {
    match &level.of {
        Of::Own => format!("own {file}"),
        Of::Ancestor(path) => format!("{file} of {}", text::sanitise(&model.label(path))),
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
        Reading::Value(ceiling) if ceiling.limited => {
            let binding = &ceiling.binding;
            parts.push(format!(
                "limit {} ({})",
                text::bytes(binding.limit),
                whose(model, binding, "memory.max")
            ));
            if let (false, Some(used)) = (binding.of == Of::Own, binding.used) {
                parts.push(format!("all in it use {}", text::bytes(used)));
            }
            parts.push(format!("{} left", left(binding)));
        }
        Reading::Value(_) if row.is_careless() => parts.push("no limit!".to_owned()),
        Reading::Value(_) => parts.push("no limit".to_owned()),
        Reading::NotAvailable => {}
        other @ Reading::Unreadable(_) => parts.push(format!("limit {}", missing(other))),
    }
    parts.join(" · ")
}

fn left(level: &Level<Bytes>) -> String {
    let used = level.used.unwrap_or_default();
    text::bytes(Bytes(level.limit.0.saturating_sub(used.0)))
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
                whose(model, binding, "cpu.max")
            ));
        }
        Reading::Value(_) => parts.push("no limit".to_owned()),
        Reading::NotAvailable => {}
        other @ Reading::Unreadable(_) => parts.push(format!("limit {}", missing(other))),
    }
    if let Reading::Value(throttled) = &row.throttled {
        let share = field::percent(throttled.share);
        parts.push(format!("held back {share}"));
    }
    parts.join(" · ")
}

fn pids(model: &Model, row: &Row) -> String {
    let mut parts = vec![match (&row.pids, &row.pids_limit) {
        (Reading::Value(pids), Reading::Value(ceiling)) => {
            let limit = &ceiling.effective;
            format!(
                "{pids} of {} ({})",
                limit.limit,
                whose(model, limit, "pids.max")
            )
        }
        (Reading::Value(pids), _) => format!("{pids} · no limit"),
        (other, _) => missing(other).to_owned(),
    }];
    if let Reading::Value(refused @ 1..) = row.forks_refused {
        parts.push(format!("{refused} forks refused just now"));
    }
    parts.join(" · ")
}

fn missing<T>(reading: &Reading<T>) -> &'static str {
    match reading {
        Reading::Value(_) => "",
        Reading::NotAvailable => "not available",
        Reading::Unreadable(_) => "could not be read",
    }
}

/// The ceiling of the chart: the effective limit, or the last one known.
fn limit(model: &Model, path: &str, row: Option<&Row>) -> Option<Bytes> {
    let Some(row) = row else {
        return model.peaks(path)?.memory_limit;
    };
    let ceiling = row.memory_limit.value().filter(|ceiling| ceiling.limited)?;
    Some(ceiling.effective.limit)
}

/// Memory over the last minutes. The first line is the ceiling, with a ✖ for each OOM kill; without a
/// limit the scale ends at the highest value seen.
fn chart(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    path: &str,
    limit: Option<Bytes>,
    theme: &Theme,
) {
    let (Some(history), Some(sample)) = (model.history(path), model.sample()) else {
        return;
    };
    let width = area.width.saturating_sub(SCALE + 1);
    let (values, kills) = history.columns(usize::from(width), sample.since_boot, |point| {
        point.memory.map(|memory| memory.0 as f64)
    });
    let peak = values.iter().flatten().copied().fold(0.0, f64::max);
    let top = limit.map_or(peak, |limit| limit.0 as f64).max(1.0);
    if peak == 0.0 && limit.is_none() {
        put(
            buffer,
            area,
            0,
            &Line::styled("no memory to chart", theme.dim),
        );
        return;
    }
    let x = area.x + SCALE + 1;
    let label = |buffer: &mut Buffer, y: u16, text: &str| {
        let text = pad(text, usize::from(SCALE), true);
        buffer.set_string(area.x, y, text, theme.dim);
    };
    match limit {
        Some(limit) => label(buffer, area.y, &text::bytes(limit)),
        None => label(buffer, area.y, &field::rate(peak)),
    }
    label(buffer, area.bottom() - 1, "0");
    for (at, killed) in (0..width).zip(&kills) {
        let (symbol, style) = match (killed, limit) {
            (true, _) => ("✖", theme.alarm),
            (false, Some(_)) => ("┄", theme.warning),
            (false, None) => ("┈", theme.dim),
        };
        buffer.set_string(x + at, area.y, symbol, style);
    }
    let lines = area.height - 1;
    for (at, value) in (0..width).zip(&values) {
        let Some(value) = value else { continue };
        let eighths = (value / top).min(1.0) * f64::from(lines) * 8.0;
        // Something, however little, is not nothing.
        let eighths = if *value > 0.0 { eighths.max(0.5) } else { 0.0 };
        for line in 0..lines {
            let symbol = cell::block(eighths - f64::from(line) * 8.0);
            let y = area.bottom() - 1 - line;
            buffer.set_string(x + at, y, symbol.to_string(), theme.fill);
        }
    }
    let caption = format!("memory, {} min", SPAN.as_secs() / 60);
    // Where the curve has not come yet: its left end.
    let first = values
        .iter()
        .position(Option::is_some)
        .unwrap_or(values.len());
    if first > caption.len() + 2 && lines > 1 {
        buffer.set_string(x + 1, area.bottom() - 1, caption, theme.dim);
    }
}

fn processes(buffer: &mut Buffer, area: Rect, model: &Model, row: Option<&Row>, theme: &Theme) {
    let processes = model
        .sample()
        .and_then(|sample| sample.cgroup(row?.id))
        .map_or(&[][..], |cgroup| &cgroup.processes);
    let wide = area.width >= RSS;
    let title = if wide {
        " host pid  inside    rss  command"
    } else {
        " host pid  inside  command"
    };
    put(buffer, area, 0, &Line::styled(title, theme.dim));
    if processes.is_empty() {
        let text = if row.is_none_or(|row| row.leaf) {
            "no processes seen"
        } else {
            "none directly in it"
        };
        put(
            buffer,
            area,
            1,
            &Line::styled(format!("{:>9}{text}", ""), theme.dim),
        );
    }
    let room = area.height.saturating_sub(1);
    let hidden = processes.len().saturating_sub(usize::from(room));
    let (shown, more) = match hidden {
        0 => (room, 0),
        hidden => (room.saturating_sub(1), hidden + 1),
    };
    for (process, y) in processes.iter().zip(1..=shown) {
        put(buffer, area, y, &about(process, wide, area.width, theme));
    }
    if more > 0 {
        let text = format!("{:>9}… and {more} more", "");
        put(buffer, area, shown + 1, &Line::styled(text, theme.dim));
    }
}

fn about(process: &ProcessSample, wide: bool, width: u16, theme: &Theme) -> Line<'static> {
    let inside = match process.inner_pids.last() {
        Some(pid) => Span::raw(format!("{pid:>7} ")),
        None => Span::styled(format!("{:>7} ", cell::NOT_AVAILABLE), theme.dim),
    };
    let mut spans = vec![Span::raw(format!("{:>9} ", process.pid)), inside];
    if wide {
        spans.push(Span::raw(format!("{:>6} ", text::bytes(process.rss))));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let command = text::sanitise(&process.command);
    let room = usize::from(width).saturating_sub(used + 1);
    spans.push(Span::raw(format!(" {}", text::fit(&command, room))));
    Line::from(spans)
}
