//! The keys and the columns, from the same tables that the dispatcher and the table use.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::{pad, put};
use crate::model::field::FIELDS;
use crate::text;
use crate::ui::keymap::{self, HELP, KEYMAP};
use crate::ui::theme::Theme;

/// Columns of the keys, with what they do.
const KEYS: u16 = 44;

pub fn render(buffer: &mut Buffer, area: Rect, theme: &Theme) {
    let keys: Vec<Line<'_>> = KEYMAP
        .iter()
        .map(|binding| {
            let keys: Vec<String> = binding.keys.iter().map(|key| keymap::label(*key)).collect();
            (keys.join(" "), binding.about)
        })
        .chain([(keymap::label(HELP), "this page")])
        .map(|(keys, about)| entry(&keys, 7, about, KEYS.min(area.width), theme))
        .collect();
    let beside = area.width >= KEYS + 30;
    let below = if beside {
        0
    } else {
        u16::try_from(keys.len()).unwrap_or(0) + 3
    };
    let left = Rect {
        width: KEYS.min(area.width),
        ..area
    };
    block(buffer, left, "KEYS", &keys, theme);
    if below >= area.height {
        return;
    }
    let right = if beside {
        Rect::new(area.x + KEYS, area.y, area.width - KEYS, area.height)
    } else {
        Rect::new(area.x, area.y + below, area.width, area.height - below)
    };
    block(
        buffer,
        right,
        "COLUMNS",
        &columns(right.width, theme),
        theme,
    );
}

/// The columns, and how to read them.
fn columns(width: u16, theme: &Theme) -> Vec<Line<'static>> {
    const LEGEND: [&str; 2] = [
        "· not available here, ? could not be read: neither is 0.",
        "A bar is of the limit with the least room left, be it its own or an ancestor's (↑).",
    ];
    let room = usize::from(width);
    let fields = FIELDS.iter().flat_map(|field| {
        let about = wrap(field.about, room.saturating_sub(16));
        about.into_iter().enumerate().map(|(at, about)| {
            let title = if at == 0 { field.title } else { "" };
            entry(title, 14, &about, width, theme)
        })
    });
    let legend = LEGEND.iter().flat_map(|text| wrap(text, room));
    fields
        .chain([Line::default()])
        .chain(legend.map(|text| Line::styled(text, theme.dim)))
        .collect()
}

fn block(buffer: &mut Buffer, area: Rect, title: &'static str, lines: &[Line<'_>], theme: &Theme) {
    put(buffer, area, 1, &Line::styled(title, theme.title));
    for (line, y) in lines.iter().zip(2..area.height) {
        put(buffer, area, y, line);
    }
}

fn entry(key: &str, columns: usize, about: &str, width: u16, theme: &Theme) -> Line<'static> {
    let room = usize::from(width).saturating_sub(columns + 2);
    Line::from(vec![
        Span::styled(pad(key, columns, false), theme.accent),
        Span::raw("  "),
        Span::raw(text::fit(about, room).into_owned()),
    ])
}

/// Breaks a sentence at its spaces.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last].push_str(word);
        } else if lines[last].width() + 1 + word.width() <= columns {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
