//! The line in which a new workload is typed, at the bottom of what is on the screen.
//!
//! ```text
//! ├ new workload ─────────────────────────┤
//! │ run -d -n web -m 64m -- httpd -f      │  as much of it as fits, the cursor in it
//! │ what is wrong, or an example          │
//! └ Enter starts ─────────────────────────┘  the footer
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{frame_sides, put, separator, wrap};
use crate::text;
use crate::ui::prompt::Prompt;
use crate::ui::theme::Theme;

/// What stands before the line.
const BEFORE: &str = "run -d ";
/// Lines below it, at most.
const BELOW: usize = 4;
/// Shown where nothing is wrong.
const EXAMPLE: &str = "flags and a command, as in a shell: -n web -m 64m -- httpd -f -p 8080";

/// Draws it above the footer, `area` being the whole screen.
pub(super) fn render(
    buffer: &mut Buffer,
    area: Rect,
    content: Rect,
    prompt: &Prompt,
    theme: &Theme,
) {
    let room = usize::from(content.width);
    let (below, style) = match (&prompt.starting, &prompt.refused) {
        (Some(_), _) => ("starting …".to_owned(), theme.dim),
        (None, Some(why)) => (format!("▲ {}", text::sanitise(why)), theme.warning),
        (None, None) => (EXAMPLE.to_owned(), theme.dim),
    };
    let mut below = wrap(&below, room, room);
    if below.len() > BELOW {
        below.truncate(BELOW);
        if let Some(last) = below.last_mut() {
            let more = format!("{last} …");
            *last = text::fit(&more, room).into_owned();
        }
    }
    let height = u16::try_from(below.len() + 2).unwrap_or(u16::MAX);
    let height = height.min(content.height);
    let top = content.bottom() - height;
    let panel = Rect::new(content.x, top, content.width, height);
    let lines = Rect::new(area.x, top, area.width, height);
    Clear.render(lines, buffer);
    frame_sides(buffer, lines, theme);
    // Where there is room for one line, it is the one that is typed.
    let titled = u16::from(height > 1);
    if titled > 0 {
        separator(
            buffer,
            Rect::new(area.x, top, area.width, 1),
            "new workload",
            theme,
        );
    }
    typed(buffer, panel, titled, prompt, theme);
    for (line, y) in below.into_iter().zip(titled + 1..height) {
        put(buffer, panel, y, &Line::styled(line, style));
    }
}

/// The line, moved so far that the cursor is seen.
fn typed(buffer: &mut Buffer, panel: Rect, line: u16, prompt: &Prompt, theme: &Theme) {
    let before = u16::try_from(BEFORE.width()).unwrap_or(0);
    // One column is the cursor's, behind the last character.
    let room = panel.width.saturating_sub(before + 1);
    let input = &prompt.input;
    let scroll = input.visual_scroll(room.into());
    let mut passed = 0;
    let shown = input.value().chars().skip_while(|char| {
        let here = passed;
        passed += char.width().unwrap_or(0);
        here < scroll
    });
    let shown: String = shown.collect();
    let hidden = input.value().width() - shown.width();
    let text = Line::from(vec![
        Span::styled(BEFORE, theme.accent),
        Span::styled(shown, theme.title),
    ]);
    put(buffer, panel, line, &text);
    let column = input.visual_cursor().saturating_sub(hidden);
    let x = panel.x + before + u16::try_from(column).unwrap_or(room).min(room);
    let cursor = Rect::new(x, panel.y + line, 1, 1);
    buffer.set_style(cursor.intersection(panel), theme.selected);
}
