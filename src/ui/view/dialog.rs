//! A box in the middle of the screen, and the question that may stand in it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use super::{put, rule, wrap};
use crate::text;
use crate::ui::question::Question;
use crate::ui::theme::Theme;

/// How wide a question is at most.
const WIDTH: u16 = 76;

/// Where the content of a box in the middle of an area is.
pub fn inside(area: Rect, size: (u16, u16)) -> Option<Rect> {
    let width = area.width.min(size.0);
    let height = area.height.min(size.1);
    (width >= 10 && height >= 3).then(|| {
        Rect::new(
            area.x + (area.width - width) / 2 + 2,
            area.y + (area.height - height) / 2 + 1,
            width - 4,
            height - 2,
        )
    })
}

/// Clears a box in the middle of an area and draws its frame; what is left is for its content. `None`
/// where there is no room for one line.
pub(super) fn frame(
    buffer: &mut Buffer,
    area: Rect,
    size: (u16, u16),
    title: &str,
    theme: &Theme,
) -> Option<Rect> {
    let inner = inside(area, size)?;
    let (width, height) = (inner.width + 4, inner.height + 2);
    let outer = Rect::new(inner.x - 2, inner.y - 1, width, height);
    Clear.render(outer, buffer);
    for y in outer.top()..outer.bottom() {
        buffer.set_string(outer.left(), y, "│", theme.accent);
        buffer.set_string(outer.right() - 1, y, "│", theme.accent);
    }
    let title = text::sanitise(title);
    let title = text::fit(&title, usize::from(width).saturating_sub(6)).into_owned();
    let line = |y| Rect::new(outer.x, y, width, 1);
    let none = Line::default();
    let title = Line::from(vec![Span::styled(title, theme.title)]);
    rule(
        buffer,
        line(outer.y),
        ["┌", "┐"],
        &title,
        &none,
        theme.accent,
    );
    rule(
        buffer,
        line(outer.bottom() - 1),
        ["└", "┘"],
        &none,
        &none,
        theme.accent,
    );
    Some(inner)
}

/// Draws a question. What it asks is always seen; of what is about to happen, as much as there is room
/// for.
pub(super) fn question(buffer: &mut Buffer, area: Rect, question: &Question, theme: &Theme) {
    let room = usize::from(area.width.min(WIDTH)).saturating_sub(4);
    let about: Vec<String> = question
        .about
        .iter()
        .flat_map(|line| wrap(&text::sanitise(line), room, room))
        .collect();
    let ask = question.asks.first().map_or("", String::as_str);
    let ask = wrap(&format!("{} (y / n)", text::sanitise(ask)), room, room);
    let height = u16::try_from(about.len() + ask.len() + 3).unwrap_or(u16::MAX);
    let Some(inner) = frame(buffer, area, (WIDTH, height), &question.title, theme) else {
        return;
    };
    let asked = u16::try_from(ask.len()).unwrap_or(1).min(inner.height);
    let above = inner.height - asked;
    for (line, y) in about.iter().zip(0..above) {
        put(buffer, inner, y, &Line::raw(line.clone()));
    }
    let hidden = about.len().saturating_sub(above.into());
    if hidden > 0 && above > 0 {
        let more = format!("… and {} more", hidden + 1);
        let blank = " ".repeat(inner.width.into());
        put(buffer, inner, above - 1, &Line::raw(blank));
        put(buffer, inner, above - 1, &Line::styled(more, theme.dim));
    }
    for (line, y) in ask.iter().zip(above..inner.height) {
        put(buffer, inner, y, &Line::styled(line.clone(), theme.warning));
    }
}
