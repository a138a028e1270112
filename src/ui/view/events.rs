//! The event log, newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{put, wrap};
use crate::model::{Model, Severity};
use crate::text;
use crate::ui::theme::Theme;

/// Columns in front of the text: the time and the mark.
const INDENT: usize = 11;
/// Narrow is less than this.
const NARROW: u16 = 60;

pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    if model.notes().len() == 0 {
        put(buffer, area, 0, &Line::styled("nothing yet", theme.dim));
    }
    // Where every column counts, what goes on is only slightly indented.
    let hanging = if area.width < NARROW { 2 } else { INDENT };
    let width = usize::from(area.width);
    let lines = model.notes().flat_map(|note| {
        let (mark, style) = match note.severity {
            Severity::Info => (" ", theme.plain()),
            Severity::Warning => ("▲", theme.warning),
            Severity::Critical => ("▲", theme.alarm),
            Severity::Kill => ("✖", theme.alarm),
        };
        let words = match note.severity {
            Severity::Info => theme.plain(),
            Severity::Warning | Severity::Critical | Severity::Kill => theme.warning,
        };
        let head = [
            Span::styled(model.clock(note.time), theme.dim),
            Span::raw(" "),
            Span::styled(mark, style),
            Span::raw(" "),
        ];
        let wrapped = wrap(&text::sanitise(&note.text), width - INDENT, width - hanging);
        wrapped.into_iter().enumerate().map(move |(at, text)| {
            let mut spans = match at {
                0 => head.to_vec(),
                _ => vec![Span::raw(" ".repeat(hanging))],
            };
            spans.push(Span::styled(text, words));
            Line::from(spans)
        })
    });
    for (line, y) in lines.zip(0..area.height) {
        put(buffer, area, y, &line);
    }
}
