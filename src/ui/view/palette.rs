//! The command palette, over what is on the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};
use unicode_width::UnicodeWidthStr as _;

use super::{pad, put};
use crate::text;
use crate::ui::keys::Keys;
use crate::ui::palette;
use crate::ui::theme::Theme;

/// How many commands are shown at most, and how wide the box is.
const SHOWN: u16 = 12;
const WIDTH: u16 = 56;

/// Draws it at the bottom of an area, the chosen command marked.
pub(super) fn render(
    buffer: &mut Buffer,
    area: Rect,
    typed: &str,
    at: usize,
    keys: &Keys,
    theme: &Theme,
) {
    let found = palette::matches(typed);
    let height = u16::try_from(found.len()).unwrap_or(SHOWN);
    let height = height.clamp(1, SHOWN).min(area.height.saturating_sub(1));
    let width = area.width.min(WIDTH);
    let panel = Rect::new(area.x, area.bottom() - height - 1, width, height + 1);
    // Nothing of what is below shines through, its colours included.
    Clear.render(panel, buffer);
    let room = usize::from(width);
    let typed = text::sanitise(typed);
    // The end of what is typed matters most.
    let mut shown = typed.as_ref();
    while shown.width() + 3 > room {
        let mut chars = shown.chars();
        chars.next();
        shown = chars.as_str();
    }
    let prompt = Line::from(vec![
        Span::styled(":", theme.accent),
        Span::styled(shown.to_owned(), theme.title),
        Span::styled("▏", theme.accent),
    ]);
    put(buffer, panel, 0, &prompt);
    if found.is_empty() {
        put(
            buffer,
            panel,
            1,
            &Line::styled("no such command", theme.dim),
        );
    }
    let at = at.min(found.len().saturating_sub(1));
    let top = (at + 1).saturating_sub(usize::from(height));
    let columns = keys.columns();
    for ((n, binding), y) in found.iter().enumerate().skip(top).zip(1..=height) {
        let keys = keys.labels(binding.action);
        let line = Line::from(vec![
            Span::styled(pad(&keys, columns, true), theme.accent),
            Span::raw("  "),
            Span::raw(pad(binding.about, room.saturating_sub(columns + 2), false)),
        ]);
        put(buffer, panel, y, &line);
        if n == at {
            let line = Rect::new(panel.x, panel.y + y, width, 1);
            buffer.set_style(line, theme.selected);
        }
    }
}
