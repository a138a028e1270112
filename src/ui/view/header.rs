//! The top and the bottom of the frame: the host, and what the most useful keys are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::{pad, rule};
use crate::kernel::unit::{Bytes, Reading};
use crate::model::Model;
use crate::model::field::{FieldId, Preset};
use crate::text;
use crate::ui::cell;
use crate::ui::keymap::Action;
use crate::ui::menu::Menu;
use crate::ui::state::{Flow, Screen, State};
use crate::ui::tabs::{self, View};
use crate::ui::theme::Theme;

/// Values of the host's CPU in the sparkline.
const SPARK: usize = 8;

/// One part of the header, and how early it goes where there is no room: the highest first, 0 stays.
struct Segment {
    drop: u8,
    spans: Vec<Span<'static>>,
}

pub fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let flow = match state.flow {
        Flow::Live => Span::styled("● live", theme.accent),
        Flow::Paused => Span::styled("‖ paused", theme.warning),
    };
    let mut right = vec![
        Segment {
            drop: 6,
            spans: vec![Span::raw(interval(state))],
        },
        Segment {
            drop: 0,
            spans: vec![flow],
        },
    ];
    let mut left = segments(model, theme);
    let room = usize::from(area.width.saturating_sub(2));
    while width(&left, " ── ") + width(&right, " ") + 5 > room {
        let all = left.iter().chain(&right).map(|segment| segment.drop);
        let Some(highest) = all.max().filter(|drop| *drop > 0) else {
            break;
        };
        left.retain(|segment| segment.drop != highest);
        right.retain(|segment| segment.drop != highest);
    }
    rule(
        buffer,
        area,
        ["┌", "┐"],
        &join(left, " ── ", theme),
        &join(right, " ", theme),
        theme.dim,
    );
}

fn width(segments: &[Segment], between: &str) -> usize {
    let spans = segments.iter().flat_map(|segment| &segment.spans);
    let gaps = segments.len().saturating_sub(1) * Span::raw(between).width();
    spans.map(Span::width).sum::<usize>() + gaps
}

fn join(segments: Vec<Segment>, between: &'static str, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for segment in segments {
        if !spans.is_empty() {
            spans.push(Span::styled(between, theme.dim));
        }
        spans.extend(segment.spans);
    }
    Line::from(spans)
}

fn segments(model: &Model, theme: &Theme) -> Vec<Segment> {
    let mut segments = vec![Segment {
        drop: 0,
        spans: vec![Span::styled("ringfence", theme.accent)],
    }];
    let Some(sample) = model.sample() else {
        return segments;
    };
    let (host, raw) = (model.host(), &sample.host);
    let name = text::sanitise(&raw.name);
    let kernel = text::sanitise(&raw.kernel);
    let kernel = kernel.split(['-', '+']).next().unwrap_or_default();
    let memory = |reading: &Reading<Bytes>| match reading {
        Reading::Value(bytes) => text::bytes(*bytes),
        Reading::NotAvailable => cell::NOT_AVAILABLE.to_owned(),
        Reading::Unreadable(_) => cell::UNREADABLE.to_owned(),
    };
    let past = host.cpu_past.iter().rev().take(SPARK);
    let past: Vec<f64> = past.rev().copied().collect();
    let cpu = match &host.cpu {
        Reading::Value(cpu) => format!("{:.0}%", cpu.0),
        Reading::NotAvailable => cell::NOT_AVAILABLE.to_owned(),
        Reading::Unreadable(_) => cell::UNREADABLE.to_owned(),
    };
    let pressures = [
        ('c', &raw.cpu_pressure),
        ('m', &raw.memory_pressure),
        ('i', &raw.io_pressure),
    ]
    .map(|(letter, pressure)| {
        cell::pressure(letter, pressure.value().map(|pressure| pressure.some.avg10))
    });
    let label = |text: &'static str| Span::styled(text, theme.dim);
    segments.extend([
        Segment {
            drop: 5,
            spans: vec![Span::raw(text::fit(&name, 24).into_owned())],
        },
        Segment {
            drop: 7,
            spans: vec![Span::raw(format!(
                "{} · {} cpu · {}",
                text::fit(kernel, 12),
                raw.cpus,
                memory(&raw.memory_total)
            ))],
        },
        Segment {
            drop: 2,
            spans: vec![
                label("cpu "),
                Span::raw(pad(&cpu, 4, true)),
                Span::styled(
                    format!(" {}", pad(&cell::spark(past.into_iter()), SPARK, true)),
                    theme.fill,
                ),
            ],
        },
        Segment {
            drop: 3,
            spans: vec![
                label("mem "),
                Span::raw(format!(
                    "{}/{}",
                    memory(&host.memory_used),
                    memory(&raw.memory_total)
                )),
            ],
        },
        Segment {
            drop: 4,
            spans: vec![label("psi "), Span::raw(pressures.join(" "))],
        },
    ]);
    segments
}

fn interval(state: &State) -> String {
    format!("{}s", state.interval.as_secs_f64())
}

pub fn footer(buffer: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let room = usize::from(area.width.saturating_sub(4));
    let left = match state.screen {
        Screen::Filter => {
            let filter = text::sanitise(state.shape.filter.text());
            Line::from(vec![
                Span::styled("filter: ", theme.accent),
                Span::styled(
                    text::fit(&filter, room.saturating_sub(10)).into_owned(),
                    theme.title,
                ),
                Span::styled("▏", theme.accent),
            ])
        }
        Screen::Help { .. } => {
            let scroll = hint(state, &[Action::Up, Action::Down], "scroll");
            let parts = scroll
                .into_iter()
                .chain(["any other key closes".to_owned()]);
            Line::styled(parts.collect::<Vec<_>>().join(" · "), theme.dim)
        }
        Screen::Palette { .. } => Line::styled("↑ ↓ choose · Enter runs · Esc closes", theme.dim),
        Screen::Editor => Line::styled(editor_hints(state), theme.dim),
        Screen::Changes { .. } => {
            Line::styled("↑ ↓ choose · u undoes it · any other key closes", theme.dim)
        }
        Screen::Menu => Line::styled(menu_hints(state), theme.dim),
        Screen::Question => Line::styled("y yes · n or Esc no", theme.dim),
        Screen::Prompt => Line::styled("Enter starts · ↑ ↓ before · Esc", theme.dim),
        Screen::Log => Line::styled(log_hints(state, room), theme.dim),
        Screen::Ended => Line::styled("Enter start · d remove · L log · Esc", theme.dim),
        Screen::View => {
            let mut line = tab_strip(area.width, state, theme);
            let hints = hints(state, room.saturating_sub(line.width() + 3));
            if !hints.is_empty() {
                line.push_span(Span::styled(format!(" · {hints}"), theme.dim));
            }
            line
        }
    };
    let right = match state.screen {
        Screen::Filter if room >= 60 => Line::styled("Enter keeps · Esc clears", theme.dim),
        _ => Line::default(),
    };
    rule(buffer, area, ["└", "┘"], &left, &right, theme.dim);
}

/// What the keys do in the editor.
fn editor_hints(state: &State) -> &'static str {
    match &state.editor {
        Some(editor) if editor.can_persist() => {
            "type · + − step · Enter writes · C-t tries · Tab for good · Esc closes"
        }
        _ => "type a value · + − step · Enter writes · C-t tries · Esc closes",
    }
}

/// What the keys do in a log.
fn log_hints(state: &State, room: usize) -> String {
    let hints = [
        hint(state, &[Action::Back], "closes"),
        hint(state, &[Action::Up, Action::Down], "scroll"),
        hint(state, &[Action::Last], "follows"),
        hint(state, &[Action::Fold, Action::Unfold], "sideways"),
    ];
    fitting(hints.into_iter().flatten().collect(), room)
}

/// As many as fit, the first ones.
fn fitting(mut parts: Vec<String>, room: usize) -> String {
    while !parts.is_empty() && parts.join(" · ").width() > room {
        parts.pop();
    }
    parts.join(" · ")
}

/// What the keys do in the menu.
fn menu_hints(state: &State) -> &'static str {
    match &state.menu {
        None | Some(Menu::Looking { .. }) => "Esc closes",
        Some(Menu::Choice { .. }) => "↑ ↓ choose · Enter · Esc closes",
        Some(Menu::Amount(_)) => "type a size · ↑ ↓ step · Enter · Esc",
        Some(Menu::Told { .. }) => "any key closes",
    }
}

/// The names of the views, the current one reversed.
fn tab_strip(width: u16, state: &State, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for tab in tabs::tabs(width, state.view, &state.keys) {
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        let style = if tab.view == state.view {
            theme.selected
        } else {
            theme.dim
        };
        spans.push(Span::styled(tab.label, style));
    }
    Line::from(spans)
}

/// What is most useful here, as much as fits.
fn hints(state: &State, room: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    if state.view == View::Tree {
        if !state.shape.filter.is_empty() {
            let filter = text::sanitise(state.shape.filter.text());
            parts.push(format!("filter: {}", text::fit(&filter, 20)));
            parts.extend(hint(state, &[Action::Back], "clears"));
        }
        if state.shape.faults {
            parts.push("faults only".to_owned());
        }
        if state.preset != Preset::All {
            parts.push(format!("columns: {}", state.preset.name()));
        }
    }
    if state.other_theme {
        parts.push(format!("theme: {}", state.theme));
    }
    let hints: &[(&[Action], &str)] = match state.view {
        View::Tree => &[
            (&[Action::Help], "help"),
            (&[Action::Quit], "quit"),
            (&[Action::Filter], "filter"),
            (&[Action::Faults], "faults"),
            (&[Action::Columns], "columns"),
            (&[Action::Palette], "commands"),
        ],
        View::Detail => &[
            (&[Action::Help], "help"),
            (&[Action::Back], "tree"),
            (&[Action::Up, Action::Down], "scroll"),
            (&[Action::Span], "hours"),
            (&[Action::Palette], "commands"),
        ],
        View::Processes => &[
            (&[Action::Help], "help"),
            (&[Action::Back], "tree"),
            (
                &[
                    Action::Sort(FieldId::Cpu),
                    Action::Sort(FieldId::Memory),
                    Action::Sort(FieldId::Name),
                    Action::Sort(FieldId::Pids),
                ],
                "sort",
            ),
            (&[Action::Reverse], "reverse"),
            (&[Action::Palette], "commands"),
        ],
        View::Incidents => &[
            (&[Action::Help], "help"),
            (&[Action::Back], "tree"),
            (&[Action::Up, Action::Down], "choose"),
            (&[Action::Detail], "its cgroup"),
            (&[Action::SavePage], "save as HTML"),
        ],
    };
    let hints = hints.iter();
    parts.extend(hints.filter_map(|(actions, what)| hint(state, actions, what)));
    fitting(parts, room)
}

/// `↑ ↓ scroll`: the first key of each action; nothing where none of them has one.
fn hint(state: &State, actions: &[Action], what: &str) -> Option<String> {
    let keys = actions
        .iter()
        .filter_map(|action| state.keys.label(*action));
    let keys: Vec<String> = keys.collect();
    (!keys.is_empty()).then(|| format!("{} {what}", keys.join(" ")))
}
