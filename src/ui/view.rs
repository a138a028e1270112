//! Pure views: the model and the state in, cells out. One panel a file.

mod chart;
pub mod detail;
mod dialog;
pub mod editor;
mod ended;
mod events;
mod header;
pub mod help;
pub mod incidents;
pub mod log;
mod menu;
mod palette;
pub mod processes;
mod prompt;
mod selected;
mod tree;
mod words;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::layout::Plan;
use super::state::{Screen, State};
use super::tabs::View;
use super::theme::Theme;
use super::{ascii, crumbs};
use crate::model::Model;
use crate::text;

/// Draws the whole screen.
pub fn render(frame: &mut Frame<'_>, model: &Model, state: &State, theme: &Theme) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    draw(buffer, area, model, state, theme);
    // Whatever was drawn: the ground below it, and what the terminal can show.
    theme.ground(buffer);
    if state.ascii {
        ascii::ascii(buffer);
    }
}

fn draw(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let mut seen = state.clone();
    // The terminal may have another size than the last message said; what is drawn must fit in any case.
    seen.area = area;
    let Some(plan) = seen.plan(model) else {
        too_small(buffer, area);
        return;
    };
    let between = Rect {
        y: area.y + 1,
        height: area.height - 2,
        ..area
    };
    frame_sides(buffer, between, theme);
    header::render(buffer, plan.header, model, state, theme);
    if let (Some(notice), Some(text)) = (plan.notice, seen.notice(model)) {
        let text = text::sanitise(&text);
        let text = text::fit(&text, notice.width.into()).into_owned();
        put(buffer, notice, 0, &Line::styled(text, theme.warning));
    }
    let top = plan.titles.y;
    let content = Rect {
        y: top,
        height: plan.footer.y.saturating_sub(top),
        ..plan.titles
    };
    match (state.screen, state.view) {
        (Screen::Help { top: first }, _) => {
            help::render(buffer, content, first, &state.keys, theme);
        }
        (Screen::Log, _) if let Some(open) = &state.log => {
            log::render(buffer, model, &seen, open, theme);
        }
        (_, View::Tree) => panels(buffer, &plan, model, &seen, theme),
        (_, view) => page(buffer, view, model, &seen, theme),
    }
    if let Screen::Palette { at } = state.screen {
        palette::render(buffer, content, &state.typed, at, &state.keys, theme);
    }
    match state.screen {
        Screen::Editor => editor::render(buffer, editor::content(area), model, state, theme),
        Screen::Changes { at } => {
            editor::changes(buffer, content, model, state, at, theme);
        }
        Screen::Prompt => prompt::render(buffer, area, content, &state.prompt, theme),
        Screen::Ended => ended::render(buffer, content, &state.ended, theme),
        _ => {}
    }
    if let (Screen::Menu, Some(open)) = (state.screen, &state.menu) {
        menu::render(buffer, content, open, theme);
    }
    if let (Screen::Question, Some(question)) = (state.screen, &state.question) {
        dialog::question(buffer, content, question, theme);
    }
    header::footer(buffer, plan.footer, state, theme);
}

/// A view that is about one thing.
fn page(buffer: &mut Buffer, view: View, model: &Model, state: &State, theme: &Theme) {
    let Some(plan) = state.page_plan(model) else {
        return;
    };
    let kills = model.incidents().len();
    let title = match view {
        View::Incidents if kills == 0 => "OOM kills".to_owned(),
        View::Incidents => format!(
            "OOM kills · {} of {kills}, newest first",
            state.incidents.at + 1
        ),
        _ => crumbs::title(model, state, plan.title.width).text,
    };
    separator(buffer, plan.title, &title, theme);
    match view {
        View::Tree => {}
        View::Detail => detail::render(buffer, plan.area, model, state, theme),
        View::Processes => processes::render(buffer, plan.area, model, state, theme),
        View::Incidents => incidents::render(buffer, plan.area, model, state, theme),
    }
}

fn panels(buffer: &mut Buffer, plan: &Plan, model: &Model, state: &State, theme: &Theme) {
    tree::render(buffer, plan, model, state, theme);
    if let Some(panel) = plan.selected {
        let title = crumbs::title(model, state, panel.title.width);
        separator(buffer, panel.title, &title.text, theme);
        selected::render(buffer, panel.area, model, state, theme);
    }
    if let Some(panel) = plan.events {
        separator(buffer, panel.title, "events", theme);
        events::render(buffer, panel.area, model, theme);
    }
}

/// One clear sentence, the longest that fits.
fn too_small(buffer: &mut Buffer, area: Rect) {
    let width = usize::from(area.width);
    let sentence = ["terminal too small", "too small"]
        .into_iter()
        .find(|text| text.width() <= width)
        .unwrap_or("small");
    put(buffer, area, 0, &Line::raw(sentence));
}

/// Draws a line of an area: what is too long is cut, never wrapped.
fn put(buffer: &mut Buffer, area: Rect, line: u16, text: &Line<'_>) {
    if line < area.height {
        buffer.set_line(area.x, area.y + line, text, area.width);
    }
}

/// The left and right sides of the frame, beside these lines.
fn frame_sides(buffer: &mut Buffer, area: Rect, theme: &Theme) {
    for y in area.top()..area.bottom() {
        buffer.set_string(area.left(), y, "│", theme.dim);
        buffer.set_string(area.right() - 1, y, "│", theme.dim);
    }
}

/// `├ title ───────┤`
fn separator(buffer: &mut Buffer, area: Rect, title: &str, theme: &Theme) {
    let title = text::fit(title, usize::from(area.width.saturating_sub(5)));
    let segments = [Span::styled(title.into_owned(), theme.title)];
    rule(
        buffer,
        area,
        ["├", "┤"],
        &Line::from(segments.to_vec()),
        &Line::default(),
        theme.dim,
    );
}

/// A line of the frame with text at its left and at its right: `┌ left ───── right ┐`.
fn rule(
    buffer: &mut Buffer,
    area: Rect,
    ends: [&str; 2],
    left: &Line<'_>,
    right: &Line<'_>,
    style: Style,
) {
    let width = usize::from(area.width);
    buffer.set_string(area.x, area.y, ends[0], style);
    buffer.set_string(
        area.x + 1,
        area.y,
        "─".repeat(width.saturating_sub(2)),
        style,
    );
    buffer.set_string(area.right() - 1, area.y, ends[1], style);
    let room = area.width.saturating_sub(2);
    let padded = |line: &Line<'_>| {
        let mut spans = vec![Span::raw(" ")];
        spans.extend(
            line.spans
                .iter()
                .map(|span| Span::styled(span.content.to_string(), span.style)),
        );
        spans.push(Span::raw(" "));
        Line::from(spans)
    };
    if left.width() > 0 {
        buffer.set_line(area.x + 1, area.y, &padded(left), room);
    }
    if right.width() > 0 {
        let right = padded(right);
        let wide = u16::try_from(right.width()).unwrap_or(room).min(room);
        buffer.set_line(area.right() - 1 - wide, area.y, &right, wide);
    }
}

/// A text padded to so many columns, on the left or on the right.
fn pad(text: &str, columns: usize, right: bool) -> String {
    let text = text::fit(text, columns);
    let padding = " ".repeat(columns - text.width());
    if right {
        format!("{padding}{text}")
    } else {
        format!("{text}{padding}")
    }
}

/// Breaks a text at its spaces: into a first line of so many columns, and others of so many. What has no
/// space is cut.
fn wrap(text: &str, first: usize, others: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let room = if lines.len() == 1 { first } else { others };
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last].push_str(&text::fit(word, room));
        } else if lines[last].width() + 1 + word.width() <= room {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(text::fit(word, others).into_owned());
        }
    }
    lines
}
