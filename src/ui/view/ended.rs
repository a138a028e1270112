//! The workloads that are over, over what is on the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr as _;

use super::{dialog, pad, put, wrap};
use crate::control::workload::Ended;
use crate::text;
use crate::ui::ended::List;
use crate::ui::theme::Theme;
use crate::ui::update::how;

/// How wide it is at most.
const WIDTH: u16 = 76;
/// Lines of a command, and of why it ended, at most.
const ABOUT: usize = 2;

/// Draws it in the middle of an area.
pub(super) fn render(buffer: &mut Buffer, area: Rect, list: &List, theme: &Theme) {
    let room = usize::from(area.width.min(WIDTH)).saturating_sub(4);
    let all = list.all();
    let told = match &list.ended {
        None => vec![Line::styled("looking …", theme.dim)],
        Some(Err(why)) => {
            let lines = wrap(&text::sanitise(why), room, room).into_iter();
            lines
                .map(|line| Line::styled(line, theme.warning))
                .collect()
        }
        Some(Ok(_)) if all.is_empty() => {
            let none = "none is kept; they stay here until they are removed";
            vec![Line::styled(text::fit(none, room).into_owned(), theme.dim)]
        }
        Some(Ok(_)) => Vec::new(),
    };
    // What is long to say is said of the chosen one only; all have as much room, so that the box keeps its size.
    let about = |ended: &Ended| -> Vec<Line<'static>> {
        let why = ended.why.as_deref().map(|why| (why, theme.warning));
        let command = Some((ended.command.as_str(), theme.plain()));
        let said = command.into_iter().chain(why);
        said.flat_map(|(text, style)| {
            let lines = wrap(&text::sanitise(text), room, room).into_iter();
            lines.take(ABOUT).map(move |line| Line::styled(line, style))
        })
        .collect()
    };
    let below = all.iter().map(|ended| about(ended).len()).max();
    let below = below.map_or(0, |below| below + 1);
    let height = u16::try_from(all.len() + below + told.len() + 2).unwrap_or(u16::MAX);
    let title = "ended workloads";
    let Some(inner) = dialog::frame(buffer, area, (WIDTH, height), title, theme) else {
        return;
    };
    for (line, y) in told.iter().zip(0..inner.height) {
        put(buffer, inner, y, line);
    }
    let below = u16::try_from(below).unwrap_or(0);
    // Where there is little room, it is the list's.
    let below = if inner.height > below { below } else { 0 };
    let shown = inner.height - below;
    let named = all
        .iter()
        .map(|ended| ended.name.width())
        .max()
        .unwrap_or(0);
    let named = named.min(room / 2);
    let top = (list.at + 1).saturating_sub(shown.into());
    for ((n, ended), y) in all.iter().enumerate().skip(top).zip(0..shown) {
        let name = text::sanitise(&ended.name);
        let text = format!("{}  {}", pad(&name, named, false), how(ended));
        put(
            buffer,
            inner,
            y,
            &Line::raw(pad(&text, inner.width.into(), false)),
        );
        if n == list.at {
            let line = Rect::new(inner.x, inner.y + y, inner.width, 1);
            buffer.set_style(line, theme.selected);
        }
    }
    let about = list.chosen().map_or_else(Vec::new, about);
    for (line, y) in about.iter().zip(shown + 1..inner.height) {
        put(buffer, inner, y, line);
    }
}
