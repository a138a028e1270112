//! The editor of one cgroup's limits: a line for each knob with its bar, and below what the typed value
//! would do. And the list of what was changed in this run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::{dialog, pad, put, wrap};
use crate::kernel::cgroup::knob::{Kind, KnobValue};
use crate::kernel::unit::Bytes;
use crate::model::change::Gravity;
use crate::model::change::step::amount;
use crate::model::{Model, io};
use crate::text;
use crate::ui::cell;
use crate::ui::editor::{DoneState, Draft, Editor, Slot, binds};
use crate::ui::layout;
use crate::ui::state::{State, time_left};
use crate::ui::theme::Theme;

/// The size of the box at most.
const SIZE: (u16, u16) = (104, 40);
/// Lines below the knobs: the value, what changes, two remarks, what is written, who keeps it.
const PREVIEW: u16 = 7;
/// From this width on, the bars are there; from the second, what is used and who binds.
const BAR_FROM: u16 = 52;
const WORDS_FROM: u16 = 84;
/// Columns of a knob's name and of its value.
const NAME: u16 = 19;
const VALUE: u16 = 10;
const WORDS: u16 = 28;

/// Where the parts of the editor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The knobs, a line each.
    pub lines: Rect,
    /// What the typed value would do.
    pub preview: Rect,
    /// Where the bars begin, and how wide they are; 0 for none.
    pub bar: (u16, u16),
}

impl Plan {
    /// How far along the bars a column is; `None` beside them.
    pub fn share(&self, x: u16) -> Option<f64> {
        let (begin, width) = self.bar;
        (begin..begin + width)
            .contains(&x)
            .then(|| self.share_near(x))
    }

    /// How far along the bars a column is, their ends where it is beside them.
    pub fn share_near(&self, x: u16) -> f64 {
        let (begin, width) = self.bar;
        let last = f64::from(width.max(2) - 1);
        (f64::from(x.saturating_sub(begin)) / last).min(1.0)
    }
}

/// The part of the screen that dialogs may have.
pub fn content(area: Rect) -> Rect {
    layout::page(area, false).map_or(area, |page| {
        Rect::new(
            page.area.x,
            page.title.y,
            page.area.width,
            page.footer.y.saturating_sub(page.title.y),
        )
    })
}

/// Where things are in an editor that is drawn into an area.
pub fn plan(area: Rect, editor: &Editor) -> Option<Plan> {
    let wanted = u16::try_from(editor.slots().len().max(1)).unwrap_or(u16::MAX);
    let inner = dialog::inside(
        area,
        (SIZE.0, wanted.saturating_add(PREVIEW + 2).min(SIZE.1)),
    )?;
    let preview = PREVIEW.min(inner.height.saturating_sub(1) * 3 / 5);
    let height = inner.height - preview;
    let after = NAME + VALUE + 2;
    let width = match inner.width {
        WORDS_FROM.. => inner.width - after - WORDS - 1,
        BAR_FROM.. => inner.width - after,
        _ => 0,
    };
    Some(Plan {
        lines: Rect { height, ..inner },
        preview: Rect {
            y: inner.y + height,
            height: preview,
            ..inner
        },
        bar: (inner.x + after, width),
    })
}

pub(super) fn render(buffer: &mut Buffer, area: Rect, model: &Model, state: &State, theme: &Theme) {
    let Some(editor) = &state.editor else { return };
    let Some(plan) = plan(area, editor) else {
        return;
    };
    let title = format!("limits of {}", model.label(&editor.path));
    let size = (SIZE.0, plan.lines.height + plan.preview.height + 2);
    dialog::frame(buffer, area, size, &title, theme);
    match &editor.sheet {
        None => {
            put(buffer, plan.lines, 0, &Line::styled("reading …", theme.dim));
            return;
        }
        Some(Err(why)) => {
            let room = usize::from(plan.lines.width);
            let why = wrap(&text::sanitise(why), room, room);
            for (line, y) in why.into_iter().zip(0..plan.lines.height) {
                put(buffer, plan.lines, y, &Line::styled(line, theme.warning));
            }
            return;
        }
        Some(Ok(_)) => {}
    }
    let draft = editor.draft();
    let slots = editor.slots();
    let top = first(editor, plan.lines.height);
    for ((n, slot), y) in slots.iter().enumerate().skip(top).zip(0..plan.lines.height) {
        let chosen = n == editor.at;
        let draft = if chosen { &draft } else { &Draft::None };
        knob(buffer, plan, y, editor, *slot, draft, theme);
        if chosen {
            let name = Rect::new(plan.lines.x, plan.lines.y + y, NAME + VALUE + 1, 1);
            buffer.set_style(name, theme.selected.add_modifier(Modifier::BOLD));
        }
    }
    let left = state.chosen_trial().map(|(_, end)| time_left(end, model));
    preview(buffer, plan.preview, editor, &draft, left, theme);
}

/// The first line on the screen, so that the chosen one is on it.
fn first(editor: &Editor, height: u16) -> usize {
    let height = usize::from(height.max(1));
    editor
        .top
        .clamp((editor.at + 1).saturating_sub(height), editor.at)
}

/// Brings the scroll position in line with the chosen line.
pub fn settle(area: Rect, editor: &mut Editor) {
    if let Some(plan) = plan(content(area), editor) {
        editor.top = first(editor, plan.lines.height);
    }
}

fn knob(
    buffer: &mut Buffer,
    plan: Plan,
    y: u16,
    editor: &Editor,
    slot: Slot,
    draft: &Draft,
    theme: &Theme,
) {
    let Some(line) = editor.line(slot) else {
        return;
    };
    let offered = line.missing.is_none() && line.forbidden.is_none();
    let style = if offered { theme.plain() } else { theme.dim };
    let name = pad(&slot.label(line.disk.as_deref()), NAME.into(), false);
    let value = pad(&slot.value(line), VALUE.into(), true);
    let text = Line::from(vec![
        Span::styled(name, style),
        Span::styled(format!(" {value}"), style),
    ]);
    put(buffer, plan.lines, y, &text);
    let y = plan.lines.y + y;
    let drafted = match draft {
        Draft::Change(change) => Some(&change.new),
        _ => None,
    };
    bar(buffer, plan, y, editor, slot, drafted, theme);
    if plan.lines.width >= WORDS_FROM {
        let used = editor
            .used(slot)
            .map(|used| format!("{} used", number(slot, used)));
        let above = editor
            .sheet()
            .and_then(|sheet| binds(sheet, slot.address.knob));
        let above = above.map(|above| text::sanitise(&above).into_owned());
        let differs = editor.drift(slot).map(|_| "≠".to_owned());
        let words: Vec<String> = differs.into_iter().chain(used).chain(above).collect();
        let words = match &line.missing {
            Some(_) => "not here".to_owned(),
            None => words.join(" "),
        };
        let x = plan.bar.0 + plan.bar.1 + 1;
        let words = text::fit(&words, WORDS.into()).into_owned();
        buffer.set_string(x, y, words, theme.dim);
    }
}

/// `━━━━━━╾───┃────`: what is used, and where the limit stands; `◆` where the draft would have it.
fn bar(
    buffer: &mut Buffer,
    plan: Plan,
    y: u16,
    editor: &Editor,
    slot: Slot,
    draft: Option<&KnobValue>,
    theme: &Theme,
) {
    let (x, width) = plan.bar;
    let knob = slot.address.knob;
    let (Some(scale), Some(line)) = (editor.scale(slot), editor.line(slot)) else {
        return;
    };
    if width < 4 || matches!(knob.entry().kind, Kind::Switch | Kind::CpuList) {
        return;
    }
    let used = editor
        .used(slot)
        .map_or(0.0, |used| scale.share(knob, used));
    let spans = cell::bar(width.into(), used, used, theme);
    buffer.set_line(x, y, &Line::from(spans), width);
    let mut mark = |value: &KnobValue, symbol: &str, style: Style| {
        let share = amount(value, slot.part).map_or(1.0, |amount| scale.share(knob, amount));
        // A share of a width: small and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let column = (share * f64::from(width - 1)).round() as u16;
        buffer.set_string(x + column, y, symbol, style);
    };
    if let Some(value) = line.value() {
        mark(value, "┃", theme.plain().add_modifier(Modifier::BOLD));
    }
    if let Some(value) = draft {
        mark(value, "◆", theme.accent);
    }
}

fn number(slot: Slot, amount: f64) -> String {
    match (slot.address.knob.entry().kind, slot.part) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (Kind::Size, _) | (_, Some(io::Kind::Rbps | io::Kind::Wbps)) => {
            text::bytes(Bytes(amount as u64))
        }
        (Kind::CpuTime, _) => format!("{} cpu", (amount * 100.0).round() / 100.0),
        _ => amount.round().to_string(),
    }
}

/// What the typed value would do, before it is done.
fn preview(
    buffer: &mut Buffer,
    area: Rect,
    editor: &Editor,
    draft: &Draft,
    on_trial: Option<String>,
    theme: &Theme,
) {
    let (Some(sheet), Some(slot)) = (editor.sheet(), editor.slot()) else {
        return;
    };
    let Some(line) = sheet.line(slot.address) else {
        return;
    };
    let room = usize::from(area.width);
    let label = slot.label(line.disk.as_deref());
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("{label} "), theme.title),
        Span::styled("▸ ", theme.accent),
        Span::styled(text::sanitise(&editor.typed).into_owned(), theme.title),
        Span::styled("▏", theme.accent),
    ])];
    let mut say = |text: &str, style: Style| {
        for part in wrap(&text::sanitise(text), room, room) {
            lines.push(Line::styled(part, style));
        }
    };
    if let Some(why) = editor.not_offered() {
        say(&why.to_string(), theme.warning);
    }
    if let Some(why) = &editor.refused {
        say(why, theme.warning);
    }
    match draft {
        Draft::None if editor.not_offered().is_none() => {
            if let Some(left) = on_trial {
                say(
                    &format!("on trial for {left}: Enter keeps it, C-t takes it back"),
                    theme.warning,
                );
            }
            let entry = slot.address.knob.entry();
            let default = match entry.default {
                "" => String::new(),
                default => format!(" · new cgroups have {default}"),
            };
            say(
                &format!("{}{default} · since {}", entry.range, entry.since),
                theme.dim,
            );
            if let Some(drift) = editor.drift(slot) {
                say(&format!("≠ {drift}"), theme.warning);
            }
            if let Some(effective) = line.effective_text(&sheet.cpus()) {
                say(&effective, theme.plain());
            }
        }
        Draft::None => {}
        Draft::Bad(why) => say(why, theme.warning),
        Draft::Change(change) => {
            say(&change.to_string(), theme.plain());
            for remark in change.at_least(Gravity::Note) {
                let (mark, style) = match remark.gravity {
                    Gravity::Note => ("", theme.plain()),
                    Gravity::Danger => ("▲ ", theme.alarm),
                    Gravity::Impossible => ("✖ ", theme.alarm),
                };
                say(&format!("{mark}{}", remark.text), style);
            }
            let file = sheet.mount.join(&sheet.path).join(slot.address.knob.name());
            let raw = change.write().text();
            say(
                &format!("writes `{}` to {}", raw.trim_end(), file.display()),
                theme.dim,
            );
        }
    }
    if let Some(about) = sheet.about_payload() {
        say(&about, theme.warning);
    }
    if editor.not_offered().is_none() {
        let long = if editor.persist {
            " · for good: over the next boot too"
        } else {
            ""
        };
        say(&format!("{}{long}", sheet.keeper), theme.dim);
        if matches!(draft, Draft::None) {
            say(&slot.address.knob.entry().doc(), theme.dim);
        }
    }
    // What is said first matters most; the last lines are who keeps it, and what the kernel says of it.
    for (line, y) in lines.iter().zip(u16::from(area.height > 5)..area.height) {
        put(buffer, area, y, line);
    }
}

/// The changes of this run, the newest first.
pub(super) fn changes(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    state: &State,
    at: usize,
    theme: &Theme,
) {
    let height = u16::try_from(state.done.len().max(1) + 2).unwrap_or(u16::MAX);
    let Some(inner) = dialog::frame(buffer, area, (SIZE.0, height), "changes of this run", theme)
    else {
        return;
    };
    if state.done.is_empty() {
        put(
            buffer,
            inner,
            0,
            &Line::styled("nothing was changed yet", theme.dim),
        );
        return;
    }
    let page = usize::from(inner.height);
    let top = (at + 1).saturating_sub(page);
    let newest = state.done.iter().rev().enumerate();
    for ((n, done), y) in newest.skip(top).zip(0..inner.height) {
        let label = model.label(&done.path);
        let (mark, style) = match done.state {
            DoneState::Undone => ("undone ".to_owned(), theme.dim),
            DoneState::OnTrial { end, .. } => {
                let left = time_left(end, model);
                (format!("on trial for {left} "), theme.warning)
            }
            DoneState::Made => (String::new(), theme.plain()),
        };
        let text = format!("{}  {mark}{label}  {}", model.clock(done.time), done.change);
        let text = text::fit(&text::sanitise(&text), inner.width.into()).into_owned();
        let padding = " ".repeat(usize::from(inner.width) - text.width());
        put(buffer, inner, y, &Line::styled(text + &padding, style));
        if n == at {
            buffer.set_style(
                Rect::new(inner.x, inner.y + y, inner.width, 1),
                theme.selected,
            );
        }
    }
}
