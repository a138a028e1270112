//! The event log, newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::put;
use crate::model::{Model, Severity};
use crate::text;
use crate::ui::theme::Theme;

pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    if model.notes().len() == 0 {
        put(buffer, area, 0, &Line::styled("nothing yet", theme.dim));
    }
    for (note, line) in model.notes().zip(0..area.height) {
        let (mark, style) = match note.severity {
            Severity::Info => (" ", theme.plain()),
            Severity::Warning => ("▲", theme.warning),
            Severity::Kill => ("✖", theme.alarm),
        };
        let room = usize::from(area.width).saturating_sub(11);
        let clean = text::sanitise(&note.text);
        let text = Line::from(vec![
            Span::styled(model.clock(note.time), theme.dim),
            Span::raw(" "),
            Span::styled(mark, style),
            Span::raw(" "),
            Span::styled(
                text::fit(&clean, room).into_owned(),
                if note.severity == Severity::Kill {
                    theme.warning
                } else {
                    style
                },
            ),
        ]);
        put(buffer, area, line, &text);
    }
}
