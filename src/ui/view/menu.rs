//! The menu of what can be done, over what is on the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::dialog::frame;
use super::{put, wrap};
use crate::text;
use crate::ui::menu::{Amount, Item, Menu};
use crate::ui::theme::Theme;

/// How wide it is at most.
const WIDTH: u16 = 76;

/// Draws it in the middle of an area.
pub(super) fn render(buffer: &mut Buffer, area: Rect, menu: &Menu, theme: &Theme) {
    let room = usize::from(area.width.min(WIDTH)).saturating_sub(4);
    match menu {
        Menu::Looking { target, .. } => {
            let lines = [Line::styled("looking …", theme.dim)];
            text_box(buffer, area, &target.path, &lines, theme);
        }
        Menu::Told { title, text } => {
            let lines = wrap(&text::sanitise(text), room, room);
            let lines: Vec<Line<'_>> = lines
                .into_iter()
                .map(|line| Line::styled(line, theme.warning))
                .collect();
            text_box(buffer, area, title, &lines, theme);
        }
        Menu::Amount(amount) => {
            let title = format!("reclaim memory of {}", amount.target.path);
            text_box(
                buffer,
                area,
                &title,
                &amount_lines(amount, room, theme),
                theme,
            );
        }
        Menu::Choice { title, items, at } => choice(buffer, area, (title, items, *at), room, theme),
    }
}

fn text_box(buffer: &mut Buffer, area: Rect, title: &str, lines: &[Line<'_>], theme: &Theme) {
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let Some(inner) = frame(buffer, area, (WIDTH, height), title, theme) else {
        return;
    };
    for (line, y) in lines.iter().zip(0..inner.height) {
        put(buffer, inner, y, line);
    }
}

fn amount_lines(amount: &Amount, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let held = format!(
        "It holds {}; {} of that can go right away: page cache not used of late, and slabs.",
        text::bytes(amount.current),
        text::bytes(amount.easy)
    );
    let mut lines: Vec<Line<'static>> =
        wrap(&held, room, room).into_iter().map(Line::raw).collect();
    let style = if amount.fresh {
        theme.selected
    } else {
        theme.title
    };
    let typed = text::sanitise(&amount.typed);
    let typed = text::fit(&typed, room.saturating_sub(10)).into_owned();
    lines.push(Line::from(vec![
        Span::raw("reclaim "),
        Span::styled(typed, style),
        Span::styled("▏", theme.accent),
    ]));
    if let Err(why) = amount.value() {
        let why = wrap(&text::sanitise(&why), room, room);
        lines.extend(
            why.into_iter()
                .map(|line| Line::styled(line, theme.warning)),
        );
    }
    lines
}

/// What comes of an item, or why it cannot be chosen.
fn consequence(item: &Item, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let (text, style) = match &item.then {
        Ok(_) => (&item.about, theme.plain()),
        Err(why) => (why, theme.warning),
    };
    let lines = wrap(&text::sanitise(text), room, room).into_iter();
    lines.map(|line| Line::styled(line, style)).collect()
}

fn choice(
    buffer: &mut Buffer,
    area: Rect,
    (title, items, at): (&str, &[Item], usize),
    room: usize,
    theme: &Theme,
) {
    // As many lines as the longest needs, so that the box keeps its size.
    let longest = items
        .iter()
        .map(|item| consequence(item, room, theme).len());
    let below = longest.max().unwrap_or(0);
    let height = u16::try_from(items.len() + 1 + below + 2).unwrap_or(u16::MAX);
    let Some(inner) = frame(buffer, area, (WIDTH, height), title, theme) else {
        return;
    };
    let at = at.min(items.len().saturating_sub(1));
    let about = items
        .get(at)
        .map_or_else(Vec::new, |item| consequence(item, room, theme));
    // Where not all fits, what the chosen one does is worth more than the others.
    let short = usize::from(inner.height) < items.len() + 1 + below;
    let needed = if short { about.len() } else { below };
    let below = u16::try_from(needed).unwrap_or(0);
    let below = below.min(inner.height.saturating_sub(1));
    let gap = u16::from(below > 0 && below + 1 < inner.height);
    let list = inner.height - below - gap;
    let top = (at + 1).saturating_sub(usize::from(list));
    for ((n, item), y) in items.iter().enumerate().skip(top).zip(0..list) {
        let (mark, style) = match item.then {
            Ok(_) => ("  ", theme.plain()),
            // Not by colour alone.
            Err(_) => ("· ", theme.dim),
        };
        let label = text::sanitise(&item.label);
        let label = text::fit(&label, room.saturating_sub(2)).into_owned();
        let line = Line::from(vec![Span::styled(mark, style), Span::styled(label, style)]);
        put(buffer, inner, y, &line);
        if n == at {
            let line = Rect::new(inner.x, inner.y + y, inner.width, 1);
            buffer.set_style(line, theme.selected);
        }
    }
    for (line, y) in about.iter().zip(list + gap..inner.height) {
        put(buffer, inner, y, line);
    }
}
