//! What is known about the selected cgroup: its limits in words, its memory against the ceiling over the
//! last minutes, its processes with both pids.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::chart::{self, Chart};
use super::words::facts;
use super::{pad, put};
use crate::kernel::unit::Bytes;
use crate::model::field;
use crate::model::history::Point;
use crate::model::{Model, Row};
use crate::sample::ProcessSample;
use crate::text;
use crate::ui::cell;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// From this width on, the processes stand beside the chart.
const BESIDE: u16 = 70;
/// From this width on, the processes' memory is shown too.
const RSS: u16 = 40;
/// How much of the past it shows.
const SPAN: Duration = Duration::from_mins(5);

pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let Some(path) = state.selected() else {
        return;
    };
    let row = state.selected_row(model);
    let left = if area.width >= BESIDE {
        let width = area.width * 3 / 5;
        let right = Rect::new(
            area.x + width + 3,
            area.y,
            area.width - width - 3,
            area.height,
        );
        for y in area.top()..area.bottom() {
            buffer.set_string(area.x + width + 1, y, "│", theme.dim);
        }
        processes(buffer, right, model, row, theme);
        Rect { width, ..area }
    } else {
        area
    };
    let facts = row.map_or_else(
        || vec![("gone", "it may come back".to_owned())],
        |row| facts(model, row),
    );
    let lines = u16::try_from(facts.len()).unwrap_or(u16::MAX);
    // The chart needs a few lines to say anything; the first facts are the most telling ones.
    let shown = if left.height >= lines + chart::LEAST {
        lines
    } else {
        left.height.saturating_sub(chart::LEAST).max(2).min(lines)
    };
    for ((what, about), y) in facts.iter().zip(0..shown) {
        let room = usize::from(left.width).saturating_sub(7);
        let line = Line::from(vec![
            Span::styled(pad(what, 7, false), theme.dim),
            Span::raw(text::fit(about, room).into_owned()),
        ]);
        put(buffer, left, y, &line);
    }
    let chart_area = Rect {
        y: left.y + shown,
        height: left.height.saturating_sub(shown),
        ..left
    };
    if chart_area.height >= chart::LEAST {
        chart(
            buffer,
            chart_area,
            model,
            path,
            limit(model, path, row),
            theme,
        );
    }
}

/// The ceiling of the chart: the effective limit, or the last one known.
pub(super) fn limit(model: &Model, path: &str, row: Option<&Row>) -> Option<Bytes> {
    let Some(row) = row else {
        return model.peaks(path)?.memory_limit;
    };
    let ceiling = row.memory_limit.value().filter(|ceiling| ceiling.limited)?;
    Some(ceiling.effective.limit)
}

/// Memory over the last minutes, below its limit.
fn chart(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    path: &str,
    limit: Option<Bytes>,
    theme: &Theme,
) {
    let (Some(history), Some(sample)) = (model.history(path), model.sample()) else {
        return;
    };
    let width = usize::from(chart::columns(area.width));
    let memory = |point: &Point| point.memory.map(|memory| memory.0 as f64);
    let (values, kills) = history.columns(width, sample.since_boot, SPAN, memory);
    if limit.is_none() && values.iter().flatten().all(|value| *value == 0.0) {
        put(
            buffer,
            area,
            0,
            &Line::styled("no memory to chart", theme.dim),
        );
        return;
    }
    Chart {
        values: &values,
        kills: &kills,
        limit: limit.map(|limit| limit.0 as f64),
        scale: field::rate,
        caption: format!("memory, {} min", SPAN.as_secs() / 60),
    }
    .render(buffer, area, theme);
}

fn processes(buffer: &mut Buffer, area: Rect, model: &Model, row: Option<&Row>, theme: &Theme) {
    let processes = model
        .sample()
        .and_then(|sample| sample.cgroup(row?.id))
        .and_then(|cgroup| cgroup.tasks().value())
        .map_or(&[][..], Vec::as_slice);
    let wide = area.width >= RSS;
    let threads = row.is_some_and(|row| row.now.is_threaded);
    let id = if threads { "tid" } else { "pid" };
    let rss = if wide { "    rss" } else { "" };
    let title = format!(" host {id}  inside{rss}  command");
    put(buffer, area, 0, &Line::styled(title, theme.dim));
    if processes.is_empty() {
        let text = if row.is_none_or(|row| row.leaf) {
            "no processes seen"
        } else {
            "none directly in it"
        };
        put(
            buffer,
            area,
            1,
            &Line::styled(format!("{:>9}{text}", ""), theme.dim),
        );
    }
    let room = area.height.saturating_sub(1);
    let hidden = processes.len().saturating_sub(usize::from(room));
    let (shown, more) = match hidden {
        0 => (room, 0),
        hidden => (room.saturating_sub(1), hidden + 1),
    };
    for (process, y) in processes.iter().zip(1..=shown) {
        put(buffer, area, y, &about(process, wide, area.width, theme));
    }
    if more > 0 {
        let text = format!("{:>9}… and {more} more", "");
        put(buffer, area, shown + 1, &Line::styled(text, theme.dim));
    }
}

fn about(process: &ProcessSample, wide: bool, width: u16, theme: &Theme) -> Line<'static> {
    let inside = match process.inner_pids.last() {
        Some(pid) => Span::raw(format!("{pid:>7} ")),
        None => Span::styled(format!("{:>7} ", cell::NOT_AVAILABLE), theme.dim),
    };
    let mut spans = vec![Span::raw(format!("{:>9} ", process.pid)), inside];
    if wide {
        spans.push(Span::raw(format!("{:>6} ", text::bytes(process.rss))));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let command = text::sanitise(&process.command);
    let room = usize::from(width).saturating_sub(used + 1);
    spans.push(Span::raw(format!(" {}", text::fit(&command, room))));
    Line::from(spans)
}
