//! The processes of the selected cgroup and of those below it, with their pids outside and inside, and
//! the namespaces that fence the chosen one.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::{pad, put, wrap};
use crate::kernel::badness::NEVER;
use crate::kernel::host::page_size;
use crate::kernel::task::namespace::Namespace;
use crate::kernel::unit::Bytes;
use crate::model::process::{By, Process};
use crate::model::row::last_part;
use crate::model::{Model, field};
use crate::sample::ProcessSample;
use crate::text;
use crate::ui::cell;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// Lines for who is killed next and for the namespaces of the chosen process, and how high the view must be to have so
/// many.
const FENCE: [(u16, u16); 2] = [(5, 14), (4, 10)];

/// A column: its title, its width, from which width of the view on it is there, and what it sorts by.
struct Column {
    title: &'static str,
    width: u16,
    from: u16,
    by: Option<By>,
}

const fn column(title: &'static str, width: u16, from: u16, by: Option<By>) -> Column {
    Column {
        title,
        width,
        from,
        by,
    }
}

/// In order; the command has what is left.
static COLUMNS: [Column; 9] = [
    column("HOST PID", 8, 0, Some(By::Tree)),
    column("INSIDE", 8, 0, None),
    column("S", 1, 50, None),
    column("THR", 4, 60, None),
    column("CPU", 5, 0, Some(By::Cpu)),
    column("RSS", 6, 44, Some(By::Rss)),
    column("OOM", 6, 74, Some(By::Oom)),
    column("CGROUP", 16, 90, None),
    column("COMMAND", 0, 0, Some(By::Command)),
];

/// The columns of a view so wide, with where each begins and how wide it is.
fn columns(width: u16) -> impl Iterator<Item = (&'static Column, u16, u16)> {
    let mut x = 0;
    COLUMNS
        .iter()
        .filter(move |column| width >= column.from)
        .filter_map(move |column| {
            let begin = x;
            let left = width.saturating_sub(begin);
            let wide = match column.width {
                0 => left,
                wide => wide,
            };
            x += wide + 2;
            // A column that does not fit is not there.
            (0 < wide && wide <= left).then_some((column, begin, wide))
        })
}

/// What a click on the titles sorts by.
pub fn sorts_by(width: u16, x: u16) -> Option<By> {
    let mut columns = columns(width);
    let hit = columns.find(|(_, begin, wide)| (*begin..begin + wide).contains(&x));
    hit.and_then(|(column, _, _)| column.by)
}

/// The part of the view that the list has.
pub fn list(area: Rect) -> Rect {
    let fence = FENCE.iter().find(|(_, from)| area.height >= *from);
    let fence = fence.map_or(0, |(lines, _)| *lines);
    Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1 + fence),
        ..area
    }
}

/// How many processes fit.
pub fn room(state: &State, model: &Model) -> usize {
    state
        .page_plan(model)
        .map_or(1, |plan| usize::from(list(plan.area).height))
}

pub(super) fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let more = state
        .selected()
        .map_or(0, |path| model.more_processes(path));
    titles(buffer, area, state, more, theme);
    let listed = state.listed(model);
    let list = list(area);
    if listed.is_empty() {
        let text = match state.selected() {
            None => "no cgroup is selected",
            Some(_) => "no processes seen in it or below it",
        };
        put(buffer, list, 0, &Line::styled(text, theme.dim));
        return;
    }
    let root = state.selected().map_or("/", |path| path);
    // A smaller terminal than the last message told of must still show the chosen one.
    let page = usize::from(list.height).max(1);
    let at = state.processes.at.min(listed.len() - 1);
    let top = state.processes.top.clamp((at + 1).saturating_sub(page), at);
    for ((n, process), y) in listed.iter().enumerate().skip(top).zip(0..list.height) {
        let line = Rect::new(list.x, list.y + y, list.width, 1);
        draw(buffer, line, process, root, state, theme);
        if n == at {
            buffer.set_style(line, theme.selected.add_modifier(Modifier::BOLD));
        }
    }
    let chosen = listed[at].sample;
    if list.bottom() < area.bottom() {
        let rest = Rect {
            y: list.bottom(),
            height: area.bottom() - list.bottom(),
            ..area
        };
        next(buffer, rest, model, root, theme);
        let rest = Rect {
            y: rest.y + 1,
            height: rest.height - 1,
            ..rest
        };
        fence(buffer, rest, chosen, theme);
    }
}

fn titles(buffer: &mut Buffer, area: Rect, state: &State, more: usize, theme: &Theme) {
    for (column, x, wide) in columns(area.width) {
        let mut title = column.title.to_owned();
        let mut style = theme.dim.add_modifier(Modifier::BOLD);
        if column.by == Some(state.order.by) {
            style = theme.title.add_modifier(Modifier::UNDERLINED);
            let ascending = matches!(state.order.by, By::Tree | By::Command);
            title.push(if ascending == state.order.reversed {
                '▾'
            } else {
                '▴'
            });
        }
        if column.width == 0 && more > 0 {
            let _ = write!(title, "  and {more} more, not read");
        }
        let right = !matches!(column.title, "COMMAND" | "CGROUP" | "S");
        // The mark may stand in the gap.
        let left = usize::from(area.width - x);
        let room = usize::from(wide)
            .max(title.width())
            .min(usize::from(wide) + 1)
            .min(left);
        let text = if right && title.width() < room {
            pad(&title, room, true)
        } else {
            text::fit(&title, room).into_owned()
        };
        buffer.set_string(area.x + x, area.y, text, style);
    }
}

fn draw(
    buffer: &mut Buffer,
    line: Rect,
    process: &Process<'_>,
    inside_of: &str,
    state: &State,
    theme: &Theme,
) {
    let sample = process.sample;
    for (column, x, wide) in columns(line.width) {
        let room = usize::from(wide);
        let (text, style, right): (String, Style, bool) = match column.title {
            "HOST PID" => (sample.pid.to_string(), theme.plain(), true),
            "INSIDE" => match inside(sample) {
                Some(pids) => (pids, theme.accent, true),
                None => (cell::NOT_AVAILABLE.to_owned(), theme.dim, true),
            },
            "S" => (sample.state.to_string(), doing(sample.state, theme), false),
            "THR" => (sample.threads.to_string(), theme.plain(), true),
            "CPU" => match process.cpu {
                Some(cpu) => (field::percent(cpu), theme.plain(), true),
                None => (cell::NOT_AVAILABLE.to_owned(), theme.dim, true),
            },
            "RSS" => (text::bytes(sample.rss), theme.plain(), true),
            "OOM" => match (process.points, sample.badness) {
                (Some(points), _) => (points_text(points), theme.plain(), true),
                (None, Some(badness)) if badness.oom_score_adj == NEVER => {
                    ("never".to_owned(), theme.dim, true)
                }
                (None, _) => (cell::NOT_AVAILABLE.to_owned(), theme.dim, true),
            },
            "CGROUP" => {
                let own = &**process.cgroup == inside_of;
                let name = if own { "" } else { last_part(process.cgroup) };
                (text::sanitise(name).into_owned(), theme.dim, false)
            }
            _ => {
                let indent = if state.order.by == By::Tree {
                    (2 * process.depth).min(room / 3)
                } else {
                    0
                };
                let branch = match indent {
                    0 => String::new(),
                    indent => format!("{}└ ", " ".repeat(indent.saturating_sub(2))),
                };
                let command = text::sanitise(&sample.command);
                (format!("{branch}{command}"), theme.plain(), false)
            }
        };
        let text = if right {
            pad(&text, room, true)
        } else {
            text::fit(&text, room).into_owned()
        };
        buffer.set_string(line.x + x, line.y, text, style);
    }
}

/// `1`, or `37/1` where one pid namespace is inside another.
fn inside(sample: &ProcessSample) -> Option<String> {
    let pids: Vec<String> = sample.inner_pids.iter().map(u32::to_string).collect();
    (!pids.is_empty()).then(|| pids.join("/"))
}

/// As bytes, so that it can be compared with memory: what is below 0 is the last to be killed.
fn points_text(points: i64) -> String {
    let size = text::bytes(Bytes(points.unsigned_abs().saturating_mul(page_size())));
    if points < 0 { format!("-{size}") } else { size }
}

fn doing(state: char, theme: &Theme) -> Style {
    match state {
        'R' => theme.fill,
        'D' | 'Z' | 'T' => theme.warning,
        _ => theme.dim,
    }
}

/// `OOM next  4711 (7 inside) worker · 58M of 64M of leaker · oom_score_adj 500 · with 3 others: memory.oom.group of /a`
fn next(buffer: &mut Buffer, area: Rect, model: &Model, path: &str, theme: &Theme) {
    let Some(next) = model.row(path).and_then(|row| row.next_victim.value()) else {
        return;
    };
    let mut words = format!(
        "{}{} {} · {} of {} of {}",
        next.pid,
        text::inside(next.inner_pid),
        next.comm,
        text::bytes(next.size),
        text::bytes(next.limit),
        model.label(&next.of),
    );
    if next.oom_score_adj != 0 {
        let _ = write!(words, " · oom_score_adj {}", next.oom_score_adj);
    }
    if let (Some(group), 1..) = (&next.group, next.others) {
        let s = if next.others == 1 { "" } else { "s" };
        let _ = write!(
            words,
            " · with {} other{s}: memory.oom.group of {}",
            next.others,
            model.label(group),
        );
    }
    let line = Line::from(vec![
        Span::styled("OOM next  ", theme.title),
        Span::raw(text::sanitise(&words).into_owned()),
    ]);
    put(buffer, area, 0, &line);
}

/// The namespaces of a process: those of its own with their inodes, and those it shares.
fn fence(buffer: &mut Buffer, area: Rect, process: &ProcessSample, theme: &Theme) {
    let title = format!("namespaces of {}", process.pid);
    put(buffer, area, 0, &Line::styled(title, theme.title));
    if process.namespaces.is_empty() {
        let text = Line::styled("  could not be read", theme.dim);
        put(buffer, area, 1, &text);
        return;
    }
    let (shared, own): (Vec<&Namespace>, Vec<&Namespace>) = process
        .namespaces
        .iter()
        .partition(|namespace| namespace.shared);
    let words = own.iter().map(|namespace| namespace.kind.name());
    let brief = words.collect::<Vec<_>>().join(" ");
    let own: Vec<String> = own
        .iter()
        .map(|namespace| format!("{}:[{}]", namespace.kind.name(), namespace.inode))
        .collect();
    let room = usize::from(area.width).saturating_sub(10);
    let lines = usize::from(area.height).saturating_sub(2);
    let own = wrap(&own.join(" "), room, room);
    // Where the inodes do not fit, the names have to do.
    let own = if own.len() <= lines { own } else { vec![brief] };
    let shared: Vec<&str> = shared
        .iter()
        .map(|namespace| namespace.kind.name())
        .collect();
    let line = |label: &'static str, text: String, style: Style| {
        Line::from(vec![
            Span::styled(label, theme.dim),
            Span::styled(text, style),
        ])
    };
    let or_none = |text: String| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    };
    let mut lines: Vec<Line<'static>> = own
        .into_iter()
        .enumerate()
        .map(|(at, part)| {
            let label = if at == 0 { "  own     " } else { "          " };
            line(label, or_none(part), theme.accent)
        })
        .collect();
    lines.push(line("  host's  ", or_none(shared.join(" ")), theme.plain()));
    for (y, line) in (1..).zip(&lines) {
        put(buffer, area, y, line);
    }
}
