//! The keys, the filter and the columns, from the same tables that the dispatcher and the table use.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{pad, put, wrap};
use crate::model::field::FIELDS;
use crate::model::filter::FORMS;
use crate::text;
use crate::ui::keys::Keys;
use crate::ui::theme::Theme;

/// Columns of the keys, with what they do.
const KEYS: u16 = 48;
/// From this width on, the columns stand beside the keys.
const BESIDE: u16 = 100;

/// Draws the page from this line on.
pub(super) fn render(buffer: &mut Buffer, area: Rect, top: usize, keys: &Keys, theme: &Theme) {
    let lines = page(area.width, keys, theme);
    let last = lines.len().saturating_sub(area.height.into());
    let shown = lines.iter().skip(top.min(last));
    for (line, y) in shown.zip(0..area.height) {
        put(buffer, area, y, line);
    }
}

/// How many lines the page has on a terminal of this width.
pub fn lines(width: u16) -> usize {
    page(width.saturating_sub(4), &Keys::default(), &Theme::PLAIN).len()
}

fn page(width: u16, bound: &Keys, theme: &Theme) -> Vec<Line<'static>> {
    if width < BESIDE {
        let keys = keys(width, bound, theme).into_iter();
        return keys.chain(columns(width, theme)).collect();
    }
    let mut left = keys(KEYS, bound, theme);
    let right = columns(width - KEYS, theme);
    left.resize(left.len().max(right.len()), Line::default());
    for (line, beside) in left.iter_mut().zip(right) {
        let padding = usize::from(KEYS).saturating_sub(line.width());
        line.spans.push(Span::raw(" ".repeat(padding)));
        line.spans.extend(beside.spans);
    }
    left
}

fn keys(width: u16, bound: &Keys, theme: &Theme) -> Vec<Line<'static>> {
    let columns = bound.columns();
    let entries = bound.all().map(|(binding, _)| {
        let keys = bound.labels(binding.action);
        entry(&keys, columns, binding.about, width, theme)
    });
    titled("KEYS", entries, theme)
}

/// The forms of a filter, the columns, and how to read them.
fn columns(width: u16, theme: &Theme) -> Vec<Line<'static>> {
    const LEGEND: [&str; 2] = [
        "· not available here, ? could not be read: neither is 0.",
        "A bar is of the limit with the least room left, be it its own or an ancestor's (↑).",
    ];
    let room = usize::from(width);
    let fields = FIELDS.iter().flat_map(|field| {
        let about = wrap(
            field.about,
            room.saturating_sub(16),
            room.saturating_sub(16),
        );
        about.into_iter().enumerate().map(|(at, about)| {
            let title = if at == 0 { field.title } else { "" };
            entry(title, 14, &about, width, theme)
        })
    });
    let legend = LEGEND.iter().flat_map(|text| wrap(text, room, room));
    let legend = legend.map(|text| Line::from(vec![Span::styled(text, theme.dim)]));
    let forms = FORMS.iter().flat_map(|(form, about)| {
        let about = wrap(about, room.saturating_sub(16), room.saturating_sub(16));
        about.into_iter().enumerate().map(move |(at, about)| {
            let form = if at == 0 { *form } else { "" };
            entry(form, 14, &about, width, theme)
        })
    });
    let mut lines = titled("FILTER, all words must hold", forms, theme);
    lines.extend(titled("COLUMNS", legend.chain(fields), theme));
    lines
}

fn titled(
    title: &'static str,
    lines: impl Iterator<Item = Line<'static>>,
    theme: &Theme,
) -> Vec<Line<'static>> {
    // As spans, so that a line beside it does not take on the style.
    let title = Line::from(vec![Span::styled(title, theme.title)]);
    [Line::default(), title].into_iter().chain(lines).collect()
}

fn entry(key: &str, columns: usize, about: &str, width: u16, theme: &Theme) -> Line<'static> {
    let room = usize::from(width).saturating_sub(columns + 2);
    Line::from(vec![
        Span::styled(pad(key, columns, false), theme.accent),
        Span::raw("  "),
        Span::raw(text::fit(about, room).into_owned()),
    ])
}
