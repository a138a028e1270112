//! One OOM kill with all that is known about it, and how each thing is known.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::export::incident::{KillDetail, details};
use crate::model::incident::BEFORE;
use crate::model::{Incident, Model, field};
use crate::ui::keymap::Action;
use crate::ui::state::State;
use crate::ui::theme::Theme;
use crate::ui::view::chart::{self, Chart};
use crate::ui::view::{pad, put, wrap};

/// From this width on, the chart stands beside the words.
const BESIDE: u16 = 100;
/// The column of what a fact is about.
const ABOUT: usize = 9;

pub(super) fn render(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    incident: &Incident,
    state: &State,
    theme: &Theme,
) {
    if area.height == 0 {
        return;
    }
    let wide = area.width >= BESIDE;
    let words = words(area);
    let lines = lines(
        &details(incident, &|time| model.date_and_clock(time)),
        words.width,
        theme,
    );
    let top = state.excerpt.top.min(overflow(&lines, area));
    for (line, y) in lines.iter().skip(top).zip(0..words.height) {
        put(buffer, words, y, line);
    }
    let cut = (lines.len() - top).saturating_sub(usize::from(words.height));
    if cut > 0 && words.height > 1 {
        let more = more(cut + 1, state);
        let more = pad(&more, usize::from(words.width), false);
        put(
            buffer,
            words,
            words.height - 1,
            &Line::styled(more, theme.dim),
        );
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let beside = if wide {
        let left = area.width * 3 / 5;
        Rect {
            x: area.x + left,
            width: area.width - left,
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

/// Where the words go.
fn words(area: Rect) -> Rect {
    let beside = area.width * 3 / 5;
    Rect {
        width: if area.width >= BESIDE {
            beside - 2
        } else {
            area.width
        },
        ..area
    }
}

fn overflow(lines: &[Line<'_>], area: Rect) -> usize {
    lines.len().saturating_sub(usize::from(area.height))
}

/// The last line that can be the first on the screen.
pub(super) fn last_top(area: Rect, model: &Model, incident: &Incident) -> usize {
    let details = details(incident, &|time| model.date_and_clock(time));
    overflow(&lines(&details, words(area).width, &Theme::PLAIN), area)
}

/// `… 7 more lines (PgDn)`
fn more(lines: usize, state: &State) -> String {
    let key = state.keys.label(Action::PageDown);
    let key = key.map_or_else(String::new, |key| format!(" ({key})"));
    format!("… {lines} more lines{key}")
}

fn lines(details: &[KillDetail], width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(ABOUT);
    let mut lines = Vec::new();
    for detail in details {
        let from = detail.from.map(|from| format!("  ({from})"));
        let from_width = from.as_deref().map_or(0, str::width);
        let wrapped = wrap(&detail.words, room, room);
        let last = wrapped.len().saturating_sub(1);
        for (at, words) in wrapped.into_iter().enumerate() {
            let about = if at == 0 { detail.about } else { "" };
            let fits = at == last && words.width() + from_width <= room;
            let mut spans = vec![
                Span::styled(pad(about, ABOUT, false), theme.dim),
                Span::raw(words),
            ];
            // How it is known gives way to what is known.
            spans.extend(
                from.clone()
                    .filter(|_| fits)
                    .map(|from| Span::styled(from, theme.dim)),
            );
            lines.push(Line::from(spans));
        }
    }
    lines
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
