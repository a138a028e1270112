//! The OOM kills on a time line, newest first, and below it the chosen one in full.

mod chosen;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::{pad, put, wrap};
use crate::model::{Incident, Model};
use crate::oom::words;
use crate::text;
use crate::ui::state::{LogReach, State};
use crate::ui::theme::Theme;

/// Lines of the time axis: the kills, and the times.
const AXIS: u16 = 2;
/// The axis shows at least so much.
const LEAST: Duration = Duration::from_mins(2);

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

/// The part that the chosen one has.
fn below(area: Rect, entries: usize) -> Rect {
    let list = list(area, entries);
    Rect {
        y: list.bottom() + 1,
        height: area.bottom().saturating_sub(list.bottom() + 1),
        ..area
    }
}

/// How many lines of the chosen one fit.
pub fn chosen_room(state: &State, model: &Model) -> usize {
    state.page_plan(model).map_or(0, |plan| {
        usize::from(below(plan.area, model.incidents().len()).height)
    })
}

/// The last line of the chosen one that can be the first on the screen.
pub fn last_top(state: &State, model: &Model) -> usize {
    let (Some(plan), Some(incident)) = (
        state.page_plan(model),
        model.incidents().nth(state.incidents.at),
    ) else {
        return 0;
    };
    chosen::last_top(below(plan.area, model.incidents().len()), model, incident)
}

pub(super) fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let incidents: Vec<&Incident> = model.incidents().collect();
    if incidents.is_empty() {
        let width = area.width.into();
        let lines = wrap(&none(model, state), width, width);
        for (line, y) in lines.into_iter().zip(0..area.height) {
            put(buffer, area, y, &Line::styled(line, theme.dim));
        }
        return;
    }
    let at = state.incidents.at.min(incidents.len() - 1);
    axis(buffer, area, model, &incidents, at, theme);
    let list = list(area, incidents.len());
    let page = usize::from(list.height).max(1);
    let top = state.incidents.top.clamp((at + 1).saturating_sub(page), at);
    let times = incidents
        .iter()
        .map(|incident| when(incident, model).width());
    let times = times.max().unwrap_or_default();
    for ((n, incident), y) in incidents.iter().enumerate().skip(top).zip(0..list.height) {
        let line = entry(incident, model, list.width, times, theme);
        put(buffer, list, y, &line);
        if n == at {
            let line = Rect::new(list.x, list.y + y, list.width, 1);
            buffer.set_style(line, theme.selected.add_modifier(Modifier::BOLD));
        }
    }
    let below = below(area, incidents.len());
    chosen::render(buffer, below, model, incidents[at], state, theme);
}

/// What is said where there is no kill.
fn none(model: &Model, state: &State) -> String {
    let opened = "no OOM kill since the dashboard was opened";
    match state.log_reach {
        LogReach::Unread => format!(
            "{opened}; the kernel log cannot be read: `ringfence why` may know of older ones"
        ),
        LogReach::Boot => format!("{opened}, and none in the kernel log"),
        LogReach::Since(begins) => format!(
            "{opened}, and none in the kernel log, which begins at {}",
            model.date_and_clock(begins)
        ),
    }
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
    let begin = model.date_and_clock(sample.time.checked_sub(span).unwrap_or(sample.time));
    let end = format!("now {}", model.clock(sample.time));
    let line = Rect {
        y: area.y + 1,
        ..area
    };
    if area.height > 1 {
        let room = usize::from(width).saturating_sub(begin.width());
        let text = begin + &pad(&end, room, true);
        put(
            buffer,
            Rect { height: 1, ..line },
            0,
            &Line::styled(text, theme.dim),
        );
    }
}

/// `12:03:41`, or `2026-07-31` where that is another day.
fn when(incident: &Incident, model: &Model) -> String {
    let time = incident.kill.time;
    model.other_day(time).unwrap_or_else(|| model.clock(time))
}

/// A line of the list, in which times have so many columns.
fn entry(
    incident: &Incident,
    model: &Model,
    width: u16,
    times: usize,
    theme: &Theme,
) -> Line<'static> {
    let name = text::sanitise(&model.full_label(&incident.kill.path.value)).into_owned();
    let name_width = if width >= 60 { 16 } else { 10 };
    let mut about = match incident.kill.victims.first() {
        Some(victim) => text::sanitise(&words::about(victim, "")).into_owned(),
        None => match incident.kill.killer() {
            Some(_) => text::sanitise(&incident.limit).into_owned(),
            None => "victim unknown".to_owned(),
        },
    };
    if let Some(killer) = incident.kill.killer() {
        about = format!("by {}: {about}", killer.name);
    }
    if incident.kill.kills > 1 {
        about = format!("{} killed: {about}", incident.kill.kills);
    }
    let room = usize::from(width).saturating_sub(times + 3 + name_width + 1);
    Line::from(vec![
        Span::styled(pad(&when(incident, model), times, false), theme.dim),
        Span::styled(" ✖ ", theme.alarm),
        Span::raw(pad(&name, name_width, false)),
        Span::raw(" "),
        Span::raw(text::fit(&about, room).into_owned()),
    ])
}
