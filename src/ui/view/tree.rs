//! The table of cgroups.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::put;
use crate::model::field::{Align, Value};
use crate::model::row::Mark;
use crate::model::tree::{Fold, Line as TreeLine};
use crate::model::{Model, Row};
use crate::text;
use crate::ui::cell;
use crate::ui::columns::{self, Column};
use crate::ui::keymap::Action;
use crate::ui::layout::Plan;
use crate::ui::state::State;
use crate::ui::theme::Theme;

pub fn render(buffer: &mut Buffer, plan: &Plan, model: &Model, state: &State, theme: &Theme) {
    let columns = columns::fit(state.preset, plan.tree.width);
    titles(buffer, plan.titles, &columns, state, theme);
    if state.lines.is_empty() {
        let text = match (model.sample(), state.shape.filter.is_empty()) {
            (None, _) => "waiting for the first sample …".to_owned(),
            (Some(_), false) => "nothing matches the filter".to_owned(),
            (Some(_), true) if state.shape.faults => match state.keys.label(Action::Faults) {
                Some(key) => format!("no faults: {key} shows all"),
                None => "no faults".to_owned(),
            },
            (Some(_), true) => "nothing there yet".to_owned(),
        };
        put(buffer, plan.tree, 0, &Line::styled(text, theme.dim));
        return;
    }
    let shown = state.lines.iter().skip(state.top);
    for (line, y) in shown.zip(plan.tree.top()..plan.tree.bottom()) {
        let Some(row) = model.rows().get(line.row) else {
            continue;
        };
        let area = Rect::new(plan.tree.x, y, plan.tree.width, 1);
        let selected = state.selected() == Some(&row.path);
        for column in &columns {
            cell(buffer, area, column, *line, row, selected, theme);
        }
        if row.mark == Mark::Vanished {
            buffer.set_style(area, theme.dim);
        }
    }
}

fn titles(buffer: &mut Buffer, area: Rect, columns: &[Column], state: &State, theme: &Theme) {
    let sort = state.shape.sort;
    for column in columns {
        let width = usize::from(column.width);
        let mut title = column.field.title.to_owned();
        let mut style = theme.dim.add_modifier(Modifier::BOLD);
        if column.field.id == sort.by {
            style = theme.title.add_modifier(Modifier::UNDERLINED);
            let ascending = sort.reversed != (column.field.align == Align::Left);
            title.push(if ascending { '▴' } else { '▾' });
        }
        let right = column.field.align == Align::Right;
        let text = text::fit(&title, width).into_owned();
        let span = Span::raw(&text);
        let offset = if right { width - span.width() } else { 0 };
        let x = area.x + column.x + u16::try_from(offset).unwrap_or(0);
        buffer.set_string(x, area.y, &text, style);
    }
}

fn cell(
    buffer: &mut Buffer,
    area: Rect,
    column: &Column,
    line: TreeLine,
    row: &Row,
    selected: bool,
    theme: &Theme,
) {
    let width = usize::from(column.width);
    let value = (column.field.value)(row);
    let drawn = match value {
        Value::Name(row) => name(line, row, width, selected, theme),
        value => cell::draw(&value, width, theme),
    };
    let offset = match column.field.align {
        Align::Left => 0,
        Align::Right => width.saturating_sub(drawn.width()),
    };
    let offset = u16::try_from(offset).unwrap_or(0);
    let x = area.x + column.x + offset;
    buffer.set_line(x, area.y, &drawn, column.width - offset);
}

/// `  ● web 0123456789ab`: indented, marked, with its id where there is room, and reversed where it is
/// selected.
fn name(line: TreeLine, row: &Row, width: usize, selected: bool, theme: &Theme) -> Line<'static> {
    let (mark, mark_style) = mark(line, row, theme);
    // Deep trees and narrow terminals: some indentation, but most of it for the name.
    let indent = (2 * line.depth).min(width / 3);
    let room = width.saturating_sub(indent + 2);
    let style = match (selected, row.mark) {
        (true, _) => theme.selected.add_modifier(Modifier::BOLD),
        (false, Mark::Empty | Mark::Vanished) => theme.dim,
        (false, _) => Style::new(),
    };
    let name = text::fit(&row.label, room).into_owned();
    // Whole, or not at all: half an id helps nobody.
    let id = row
        .short_id
        .iter()
        .map(|id| format!(" {id}"))
        .find(|id| name.width() + id.width() <= room)
        .unwrap_or_default();
    // The selected line is reversed over its whole width.
    let rest = if selected {
        room.saturating_sub(name.width() + id.width())
    } else {
        0
    };
    let quiet = if selected { theme.selected } else { theme.dim };
    Line::from(vec![
        Span::raw(" ".repeat(indent)),
        Span::styled(mark, mark_style),
        Span::raw(" "),
        Span::styled(name, style),
        Span::styled(id, quiet),
        Span::styled(" ".repeat(rest), style),
    ])
}

fn mark(line: TreeLine, row: &Row, theme: &Theme) -> (&'static str, Style) {
    match (row.mark, line.fold) {
        (Mark::Vanished, _) => ("✝", theme.dim),
        (Mark::Frozen, _) => ("❄", theme.light),
        (_, Fold::Open) => ("▾", theme.dim),
        (_, Fold::Closed) => ("▸", theme.dim),
        (Mark::Unlimited, _) => ("○", theme.warning),
        (Mark::Running, _) => ("●", theme.fill),
        (Mark::Empty, _) => (" ", theme.dim),
    }
}
