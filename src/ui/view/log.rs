//! The log of a workload, in place of the view: the last lines, or those that were scrolled to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar as _;

use super::{put, separator, wrap};
use crate::control::follow::Said;
use crate::launch::log::Stream;
use crate::model::Model;
use crate::text;
use crate::ui::log::Log;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// From this width on, each line has its time.
const TIMED: u16 = 60;

/// How many lines fit.
pub fn room(state: &State, model: &Model) -> usize {
    let plan = state.page_plan(model);
    plan.map_or(1, |plan| usize::from(plan.area.height)).max(1)
}

/// Draws it.
pub(super) fn render(buffer: &mut Buffer, model: &Model, state: &State, log: &Log, theme: &Theme) {
    let Some(plan) = state.page_plan(model) else {
        return;
    };
    let page = usize::from(plan.area.height).max(1);
    let first = log.first(page);
    separator(buffer, plan.title, &title(model, log, first, page), theme);
    let lines = match &log.lines {
        None => {
            put(buffer, plan.area, 0, &Line::styled("reading …", theme.dim));
            return;
        }
        Some(Err(why)) => {
            let room = usize::from(plan.area.width);
            let lines = wrap(&text::sanitise(why), room, room);
            for (line, y) in lines.into_iter().zip(0..plan.area.height) {
                put(buffer, plan.area, y, &Line::styled(line, theme.warning));
            }
            return;
        }
        Some(Ok(lines)) if lines.is_empty() => {
            let none = Line::styled("it has said nothing yet", theme.dim);
            put(buffer, plan.area, 0, &none);
            return;
        }
        Some(Ok(lines)) => lines,
    };
    for (said, y) in lines.from(first).zip(0..plan.area.height) {
        put(
            buffer,
            plan.area,
            y,
            &line(said, plan.area, model, log.shift, theme),
        );
    }
}

/// `log of web · ! is stderr · lines 81 to 100 of 130`
fn title(model: &Model, log: &Log, first: u64, page: usize) -> String {
    let name = text::sanitise(&model.label(&log.path)).into_owned();
    let Some(lines) = log.lines().filter(|lines| !lines.is_empty()) else {
        return format!("log of {name}");
    };
    let (_, end) = lines.range();
    let last = (first + page as u64).min(end);
    let flow = match log.top {
        None => "following".to_owned(),
        Some(_) => format!("line {} to {last} of {end}", first + 1),
    };
    let gone = model.row(&log.path).is_none();
    let gone = if gone { " · it has ended" } else { "" };
    format!("log of {name} · {flow}{gone} · ! is stderr")
}

fn line(said: &Said, area: Rect, model: &Model, shift: usize, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    if area.width >= TIMED {
        spans.push(Span::styled(model.clock(said.at), theme.dim));
        spans.push(Span::raw(" "));
    }
    // Not by colour alone.
    let (mark, style) = match said.stream {
        Stream::Stdout => ("  ", theme.plain()),
        Stream::Stderr => ("! ", theme.warning),
    };
    spans.push(Span::styled(mark, style));
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(area.width).saturating_sub(used);
    let text = text::sanitise(&said.text);
    let text = text::fit(from(&text, shift), room).into_owned();
    spans.push(Span::styled(text, style));
    Line::from(spans)
}

/// A text from this column on.
fn from(text: &str, column: usize) -> &str {
    let mut passed = 0;
    let mut chars = text.char_indices();
    let begin = chars.find(|(_, char)| {
        let here = passed;
        passed += char.width().unwrap_or(0);
        here >= column
    });
    begin.map_or("", |(at, _)| &text[at..])
}
