//! The OOM kills on a time line, newest first, and the chosen one with all that is known about it.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::chart::{self, Chart};
use super::{pad, put, wrap};
use crate::model::incident::BEFORE;
use crate::model::{Incident, Model, field};
use crate::text;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// Lines of the time axis: the kills, and the times.
const AXIS: u16 = 2;
/// The axis shows at least so much.
const LEAST: Duration = Duration::from_mins(2);
/// From this width on, the chart stands beside the words.
const BESIDE: u16 = 100;

/// The part of the view that the list has, with so many entries.
pub fn list(area: Rect, entries: usize) -> Rect {
    let room = area.height.saturating_sub(AXIS);
    let most = (room * 2 / 5).clamp(1, 12);
    let wanted = u16::try_from(entries).unwrap_or(u16::MAX).max(1);
    Rect {
        y: area.y + AXIS.min(area.height),
        height: wanted.min(most).min(room),
        ..area
    }
}

/// How many entries fit.
pub fn room(state: &State, model: &Model) -> usize {
    state.page_plan(model).map_or(1, |plan| {
        usize::from(list(plan.area, model.incidents().len()).height)
    })
}

pub(super) fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let incidents: Vec<&Incident> = model.incidents().collect();
    if incidents.is_empty() {
        let text = "no OOM kill since the dashboard was opened";
        put(buffer, area, 0, &Line::styled(text, theme.dim));
        return;
    }
    let at = state.incidents.at.min(incidents.len() - 1);
    axis(buffer, area, model, &incidents, at, theme);
    let list = list(area, incidents.len());
    let page = usize::from(list.height).max(1);
    let top = state.incidents.top.clamp((at + 1).saturating_sub(page), at);
    for ((n, incident), y) in incidents.iter().enumerate().skip(top).zip(0..list.height) {
        let line = entry(incident, model, list.width, theme);
        put(buffer, list, y, &line);
        if n == at {
            let line = Rect::new(list.x, list.y + y, list.width, 1);
            buffer.set_style(line, theme.selected.add_modifier(Modifier::BOLD));
        }
    }
    let below = Rect {
        y: list.bottom() + 1,
        height: area.bottom().saturating_sub(list.bottom() + 1),
        ..area
    };
    chosen(buffer, below, model, incidents[at], theme);
}

/// `┄┄✖┄┄┄✖┄┄┄┄┄`, with the times at its ends; the chosen one is ◆.
fn axis(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    incidents: &[&Incident],
    at: usize,
    theme: &Theme,
) {
    let Some(sample) = model.sample() else { return };
    let now = sample.since_boot;
    let oldest = incidents.iter().map(|incident| incident.at).min();
    let span = now
        .saturating_sub(oldest.unwrap_or(now))
        .mul_f64(1.05)
        .max(LEAST);
    let width = area.width;
    let column = |incident: &Incident| -> u16 {
        let age = now.saturating_sub(incident.at).as_secs_f64() / span.as_secs_f64();
        // A share of a width: small and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let back = (age * f64::from(width)) as u16;
        width.saturating_sub(back + 1)
    };
    buffer.set_string(area.x, area.y, "┄".repeat(usize::from(width)), theme.dim);
    for incident in incidents {
        buffer.set_string(area.x + column(incident), area.y, "✖", theme.alarm);
    }
    let here = area.x + column(incidents[at]);
    buffer.set_string(
        here,
        area.y,
        "◆",
        theme.alarm.add_modifier(Modifier::REVERSED),
    );
    let begin = model.clock(sample.time.checked_sub(span).unwrap_or(sample.time));
    let end = format!("now {}", model.clock(sample.time));
    let line = Rect {
        y: area.y + 1,
        ..area
    };
    if area.height > 1 {
        put(
            buffer,
            Rect { height: 1, ..line },
            0,
            &Line::styled(begin, theme.dim),
        );
        let text = pad(&end, usize::from(width).saturating_sub(9), true);
        buffer.set_string(line.x + 9.min(width), line.y, text, theme.dim);
    }
}

fn entry(incident: &Incident, model: &Model, width: u16, theme: &Theme) -> Line<'static> {
    let name = text::sanitise(&model.label(&incident.kill.path.value)).into_owned();
    let name_width = if width >= 60 { 16 } else { 10 };
    let mut about = match incident.kill.victims.first() {
        Some(victim) => {
            let inside = match victim.inner_pid {
                Some(pid) if pid != victim.pid => format!(" ({pid} inside)"),
                _ => String::new(),
            };
            let comm = text::sanitise(&victim.comm);
            format!(
                "pid {}{inside} {comm} · rss {}",
                victim.pid,
                text::bytes(victim.rss())
            )
        }
        None => "not named by the kernel log".to_owned(),
    };
    if incident.kill.kills > 1 {
        about = format!("{} killed: {about}", incident.kill.kills);
    }
    let room = usize::from(width).saturating_sub(11 + name_width + 1);
    Line::from(vec![
        Span::styled(model.clock(incident.kill.time), theme.dim),
        Span::styled(" ✖ ", theme.alarm),
        Span::raw(pad(&name, name_width, false)),
        Span::raw(" "),
        Span::raw(text::fit(&about, room).into_owned()),
    ])
}

/// Everything that is known about one.
fn chosen(buffer: &mut Buffer, area: Rect, model: &Model, incident: &Incident, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let wide = area.width >= BESIDE;
    let words = if wide {
        Rect {
            width: area.width / 2 - 2,
            ..area
        }
    } else {
        area
    };
    let lines = told(incident, model, words.width, theme);
    for (line, y) in lines.iter().zip(0..words.height) {
        put(buffer, words, y, line);
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let beside = if wide {
        let half = area.width / 2;
        Rect {
            x: area.x + half,
            width: area.width - half,
            height: area.height.min(14),
            ..area
        }
    } else {
        Rect {
            y: area.y + used.min(area.height),
            height: area.height.saturating_sub(used).min(12),
            ..area
        }
    };
    if beside.height > chart::LEAST {
        before(buffer, beside, incident, theme);
    }
}

fn told(incident: &Incident, model: &Model, width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let path = text::sanitise(&incident.kill.path.value).into_owned();
    let limit = text::sanitise(&incident.limit).into_owned();
    let killed = match incident.kill.kills {
        1 => "1 process".to_owned(),
        kills => format!("{kills} processes"),
    };
    let mut facts = vec![
        (
            "killed",
            format!("{killed} at {}", model.clock(incident.kill.time)),
        ),
        ("cgroup", path),
        ("why", limit),
    ];
    if let Some(owner) = incident.kill.limit_path() {
        let own = **owner == *incident.kill.path.value;
        let whose = if own { "its own" } else { "an ancestor's" };
        facts.push(("limit of", format!("{} ({whose})", text::sanitise(owner))));
    }
    for victim in &incident.kill.victims {
        let inside = victim.inner_pid.map_or_else(
            || "not known inside".to_owned(),
            |pid| format!("{pid} inside"),
        );
        facts.push((
            "victim",
            format!(
                "pid {} on the host, {inside} · {} · rss {}",
                victim.pid,
                text::sanitise(&victim.comm),
                text::bytes(victim.rss())
            ),
        ));
    }
    let named = u64::try_from(incident.kill.victims.len()).unwrap_or(u64::MAX);
    let nameless = incident.kill.kills.saturating_sub(named);
    if nameless > 0 {
        facts.push(("", format!("{nameless} not named by the kernel log")));
    }
    if let Some(growth) = incident.growth().filter(|growth| *growth >= 1.0) {
        let seconds = incident.before.first().map_or(0.0, |first| first.age);
        facts.push((
            "before",
            format!(
                "grew {}/s on average over {seconds:.0} s",
                field::rate(growth)
            ),
        ));
    }
    let room = usize::from(width).saturating_sub(9);
    facts
        .into_iter()
        .flat_map(|(what, about)| {
            let lines = wrap(&about, room, room);
            lines.into_iter().enumerate().map(move |(at, text)| {
                let what = if at == 0 { what } else { "" };
                Line::from(vec![
                    Span::styled(pad(what, 9, false), theme.dim),
                    Span::raw(text),
                ])
            })
        })
        .collect()
}

/// The victims' cgroup's memory up to the kill, at the right end.
fn before(buffer: &mut Buffer, area: Rect, incident: &Incident, theme: &Theme) {
    let title = format!("memory in the {} min before", BEFORE.as_secs() / 60);
    put(buffer, area, 0, &Line::styled(title, theme.title));
    let width = usize::from(chart::columns(area.width));
    let values = incident.columns(width);
    if values.iter().all(Option::is_none) {
        let text = Line::styled("not seen before it was killed", theme.dim);
        put(buffer, area, 1, &text);
        return;
    }
    let mut kills = vec![false; width];
    if let Some(last) = kills.last_mut() {
        *last = true;
    }
    Chart {
        values: &values,
        kills: &kills,
        limit: incident.limit_bytes.map(|limit| limit.0 as f64),
        scale: field::rate,
        caption: String::new(),
    }
    .render(
        buffer,
        Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        },
        theme,
    );
}
