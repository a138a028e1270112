//! Everything about the selected cgroup: charts, what memory is made of, limits, I/O, pressure, events.
//!
//! It is drawn as one page, as long as it has to be, of which the screen shows a part.

mod sections;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::chart::{self, Chart};
use super::selected;
use super::{pad, put};
use crate::kernel::unit::{Bytes, Percent};
use crate::model::history::{self, Point};
use crate::model::{Model, Row, field};
use crate::text;
use crate::ui::cell;
use crate::ui::state::{self, State};
use crate::ui::theme::Theme;

/// From this width on, things stand beside each other.
const BESIDE: u16 = 100;
/// Lines of a chart, its title included.
const CHART: (u16, u16) = (5, 14);

/// Draws the part of the page that is on the screen.
pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let Some(path) = state.selected() else {
        put(
            buffer,
            area,
            0,
            &Line::styled("no cgroup is selected", theme.dim),
        );
        return;
    };
    let row = state.selected_row(model);
    let sections = row.map_or_else(Vec::new, |row| sections::all(model, row, area.width, theme));
    let (charts, height) = heights(&sections, area);
    let mut page = Buffer::empty(Rect::new(0, 0, area.width, height.max(area.height)));
    draw_charts(&mut page, charts, model, state, path, row, theme);
    draw_sections(&mut page, charts.height, &sections);
    if row.is_none() {
        let gone = Line::styled("gone; it may come back", theme.dim);
        put(
            &mut page,
            Rect::new(0, charts.height, area.width, 1),
            0,
            &gone,
        );
    }
    let hidden = page.area.height - area.height;
    let top = u16::try_from(state.detail_top)
        .unwrap_or(u16::MAX)
        .min(hidden);
    for y in 0..area.height {
        for x in 0..area.width {
            buffer[(area.x + x, area.y + y)] = page[(x, top + y)].clone();
        }
    }
}

/// The last line that can be the first one on the screen.
pub fn last_top(state: &State, model: &Model) -> usize {
    let (Some(plan), Some(row)) = (state.page_plan(model), state.selected_row(model)) else {
        return 0;
    };
    let sections = sections::all(model, row, plan.area.width, &Theme::PLAIN);
    let (_, height) = heights(&sections, plan.area);
    usize::from(height.saturating_sub(plan.area.height))
}

/// Where the charts are on the page, and how long it is.
fn heights(sections: &[sections::Section], area: Rect) -> (Rect, u16) {
    let wide = area.width >= BESIDE;
    let below = if wide {
        let [left, right] = halves(sections).map(lines);
        left.max(right)
    } else {
        lines(sections)
    };
    // Of what is gone there are no sections, and one line says so.
    let below = below.max(1);
    // What is left over is for the charts.
    let rows = if wide { 1 } else { 2 };
    let each = (area.height.saturating_sub(below) / rows).clamp(CHART.0, CHART.1);
    let charts = Rect::new(0, 0, area.width, each * rows);
    (charts, charts.height + below)
}

fn lines(sections: &[sections::Section]) -> u16 {
    let lines = sections.iter().map(|section| section.lines.len() + 2);
    u16::try_from(lines.sum::<usize>().saturating_sub(1)).unwrap_or(u16::MAX / 2)
}

/// The sections on the left and on the right.
fn halves(sections: &[sections::Section]) -> [&[sections::Section]; 2] {
    let (left, right) = sections.split_at(sections.len().div_ceil(2));
    [left, right]
}

fn draw_sections(page: &mut Buffer, top: u16, sections: &[sections::Section]) {
    let width = page.area.width;
    let draw = |page: &mut Buffer, sections: &[sections::Section], x: u16, width: u16| {
        let area = Rect::new(x, 0, width, page.area.height);
        let mut y = top;
        for section in sections {
            put(page, area, y, &section.title);
            for line in &section.lines {
                y += 1;
                put(page, area, y, line);
            }
            y += 2;
        }
    };
    if width >= BESIDE {
        let half = width / 2;
        let [left, right] = halves(sections);
        draw(page, left, 0, half - 2);
        draw(page, right, half, width - half);
    } else {
        draw(page, sections, 0, width);
    }
}

fn draw_charts(
    page: &mut Buffer,
    area: Rect,
    model: &Model,
    state: &State,
    path: &str,
    row: Option<&Row>,
    theme: &Theme,
) {
    let memory_limit = selected::limit(model, path, row).map(|limit| limit.0 as f64);
    let cpu_limit = row
        .and_then(|row| row.cpu_limit.value())
        .filter(|ceiling| ceiling.limited)
        .map(|ceiling| ceiling.effective.limit * 100.0);
    let (memory, cpu) = if area.width >= BESIDE {
        let half = area.width / 2;
        let left = Rect {
            width: half - 2,
            ..area
        };
        let right = Rect {
            x: half,
            width: area.width - half,
            ..area
        };
        (left, right)
    } else {
        let height = area.height / 2;
        let upper = Rect { height, ..area };
        (upper, Rect { y: height, ..upper })
    };
    let now_memory = row.and_then(|row| row.memory.current.value());
    let now_memory = now_memory.map_or_else(
        || cell::NOT_AVAILABLE.to_owned(),
        |bytes| text::bytes(*bytes),
    );
    let now_cpu = row.and_then(|row| row.cpu.value());
    let now_cpu = now_cpu.map_or_else(
        || cell::NOT_AVAILABLE.to_owned(),
        |cpu| field::percent(*cpu),
    );
    let memory = Curve {
        area: memory,
        title: "MEMORY",
        now: now_memory,
        limit: memory_limit,
        value: |point| point.memory.map(|memory| memory.0 as f64),
        scale: field::rate,
    };
    let cpu = Curve {
        area: cpu,
        title: "CPU",
        now: now_cpu,
        limit: cpu_limit,
        value: |point| point.cpu.map(|cpu| cpu.0),
        scale: |value| field::percent(Percent(value)),
    };
    for curve in [memory, cpu] {
        curve.draw(page, model, path, span(state), theme);
    }
}

/// A chart with its title.
struct Curve {
    area: Rect,
    title: &'static str,
    now: String,
    limit: Option<f64>,
    value: fn(&Point) -> Option<f64>,
    scale: fn(f64) -> String,
}

impl Curve {
    fn draw(&self, page: &mut Buffer, model: &Model, path: &str, span: Duration, theme: &Theme) {
        let now = &self.now;
        let about = match self.limit {
            Some(limit) => format!("{now} of {}, {}", (self.scale)(limit), duration(span)),
            None => format!("{now}, no limit, {}", duration(span)),
        };
        let line = Line::from(vec![
            Span::styled(format!("{} ", self.title), theme.title),
            Span::styled(about, theme.dim),
        ]);
        put(page, self.area, 0, &line);
        let (Some(history), Some(sample)) = (model.history(path), model.sample()) else {
            return;
        };
        let width = usize::from(chart::columns(self.area.width));
        let (values, kills) = history.columns(width, sample.since_boot, span, self.value);
        let area = Rect {
            y: self.area.y + 1,
            height: self.area.height.saturating_sub(2),
            ..self.area
        };
        Chart {
            values: &values,
            kills: &kills,
            limit: self.limit,
            scale: self.scale,
            caption: String::new(),
        }
        .render(page, area, theme);
    }
}

fn span(state: &State) -> Duration {
    match state.span {
        state::Span::Minutes => history::SPAN,
        state::Span::Hours => history::LONG,
    }
}

fn duration(span: Duration) -> String {
    match span.as_secs() / 60 {
        minutes @ ..60 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// `██████▓▓▓░░      ` and what each means: the parts of memory, of a whole.
fn composition(
    parts: &[(&'static str, Bytes)],
    whole: f64,
    width: u16,
    theme: &Theme,
) -> [Line<'static>; 2] {
    const FILLS: [&str; 4] = ["█", "▓", "▒", "░"];
    let styles = [theme.fill, theme.light, theme.accent, theme.warning];
    let mut bar = Vec::new();
    let mut legend = Vec::new();
    let mut used = 0;
    let mut so_far = 0.0;
    for (at, (name, bytes)) in parts.iter().enumerate() {
        so_far += bytes.0 as f64;
        // Up to where all parts so far reach, so that rounding does not add up.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let end = ((so_far / whole.max(1.0)).min(1.0) * f64::from(width)).round() as usize;
        let (fill, style) = (FILLS[at % FILLS.len()], styles[at % styles.len()]);
        bar.push(Span::styled(fill.repeat(end.saturating_sub(used)), style));
        used = used.max(end);
        legend.push(Span::styled(format!("{fill} "), style));
        legend.push(Span::raw(format!("{name} {}  ", text::bytes(*bytes))));
    }
    let left = usize::from(width).saturating_sub(used);
    bar.push(Span::styled("─".repeat(left), theme.dim));
    [Line::from(bar), Line::from(legend)]
}

/// A name in its column.
fn name(text: &str, theme: &Theme) -> Span<'static> {
    Span::styled(pad(text, 8, false), theme.dim)
}
