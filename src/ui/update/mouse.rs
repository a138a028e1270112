//! The mouse: what is clicked is where it was drawn.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{Effect, drag, editor, lists, scroll_help, toggle, workloads};
use crate::kernel::cgroup::knob::Knob;
use crate::model::Model;
use crate::model::field::FieldId;
use crate::model::tree::Sort;
use crate::ui::columns;
use crate::ui::crumbs;
use crate::ui::keymap::Action;
use crate::ui::state::{Screen, Selection, State};
use crate::ui::tabs::{self, View};
use crate::ui::view::{incidents, processes};

/// Lines that one turn of the wheel scrolls.
const WHEEL: usize = 3;
const LOG_WHEEL: i64 = 3;

pub(super) fn mouse(state: &mut State, mouse: MouseEvent, model: &Model) -> Option<Effect> {
    if mouse.kind == MouseEventKind::Up(MouseButton::Left) {
        drag::release(state);
    }
    if let Screen::Help { top } = state.screen {
        match mouse.kind {
            MouseEventKind::ScrollUp => scroll_help(state, top.saturating_sub(WHEEL)),
            MouseEventKind::ScrollDown => scroll_help(state, top + WHEEL),
            _ => {}
        }
        return None;
    }
    if state.screen == Screen::Editor {
        editor::mouse(state, mouse);
        return None;
    }
    if state.screen == Screen::Log {
        match mouse.kind {
            MouseEventKind::ScrollUp => workloads::scroll_log(state, -LOG_WHEEL, model),
            MouseEventKind::ScrollDown => workloads::scroll_log(state, LOG_WHEEL, model),
            _ => {}
        }
        return None;
    }
    if !matches!(state.screen, Screen::View | Screen::Filter) {
        return None;
    }
    match mouse.kind {
        MouseEventKind::ScrollUp => wheel(state, Action::Up, model),
        MouseEventKind::ScrollDown => wheel(state, Action::Down, model),
        MouseEventKind::Down(MouseButton::Left) => {
            return click(state, Position::new(mouse.column, mouse.row), model);
        }
        MouseEventKind::Drag(MouseButton::Left) => drag::to(state, mouse.row, model),
        _ => {}
    }
    None
}

fn wheel(state: &mut State, action: Action, model: &Model) {
    if state.view == View::Tree {
        let at = state.cursor(model);
        let to = match action {
            Action::Up => at.saturating_sub(WHEEL),
            _ => at + WHEEL,
        };
        state.select(to, model);
        return;
    }
    for _ in 0..WHEEL {
        match state.view {
            View::Tree => {}
            View::Detail => lists::detail(state, action, model),
            View::Processes => lists::processes(state, action, model),
            View::Incidents => lists::incidents(state, action, model),
        }
    }
}

fn click(state: &mut State, at: Position, model: &Model) -> Option<Effect> {
    if let Some(path) = crumbs::at(state, model, at) {
        state.go_to(&path, model);
        return None;
    }
    if drag::grab(state, at, model) {
        return None;
    }
    let page = state.page_plan(model)?;
    if page.footer.contains(at) {
        // While something is typed, the line is for that.
        if state.screen == Screen::View {
            let found = tabs::at(state.area.width, state.view, &state.keys, at.x);
            state.view = found.unwrap_or(state.view);
        }
        return None;
    }
    match state.view {
        View::Tree => return click_tree(state, at, model),
        View::Detail => {}
        View::Processes => click_processes(state, at, page.area, model),
        View::Incidents => {
            let list = incidents::list(page.area, model.incidents().len());
            let keys = state.incident_keys(model);
            if let Some(line) = line_at(list, at) {
                let line = state.incidents.top + line;
                if line < keys.len() {
                    state.incidents.choose(line, &keys);
                }
            }
        }
    }
    None
}

/// Which line of an area is at this position.
fn line_at(area: Rect, at: Position) -> Option<usize> {
    area.contains(at).then(|| usize::from(at.y - area.y))
}

fn click_tree(state: &mut State, position: Position, model: &Model) -> Option<Effect> {
    let at = state.cursor(model);
    let plan = state.plan(model)?;
    let x = position.x.saturating_sub(plan.titles.x);
    let columns = columns::fit(state.preset, plan.tree.width);
    let hit = columns
        .iter()
        .find(|column| (column.x..column.x + column.width).contains(&x));
    if plan.titles.contains(position) {
        if let Some(column) = hit {
            let sort = state.shape.sort;
            state.shape.sort = Sort {
                by: column.field.id,
                // The same again is the other way round.
                reversed: sort.by == column.field.id && !sort.reversed,
            };
        }
        return None;
    }
    let clicked = state.top + line_at(plan.tree, position)?;
    let chosen = matches!(state.selection, Selection::Chosen(_));
    if clicked == at && chosen {
        // On a limit of the selected one: that limit; elsewhere, its fold.
        if let Some(knob) = hit.and_then(|column| limited_by(column.field.id)) {
            return editor::open(state, knob, model);
        }
        toggle(state, at, model);
    } else if clicked < state.lines.len() {
        state.select(clicked, model);
    }
    None
}

/// The limit that a column is about.
fn limited_by(field: FieldId) -> Option<Knob> {
    Some(match field {
        FieldId::MemoryLimit | FieldId::Max => Knob::MemoryMax,
        FieldId::Swap => Knob::SwapMax,
        FieldId::CpuLimit | FieldId::Throttled => Knob::CpuMax,
        FieldId::CpuWeight => Knob::CpuWeight,
        FieldId::Io => Knob::IoMax,
        FieldId::Pids => Knob::PidsMax,
        _ => return None,
    })
}

fn click_processes(state: &mut State, at: Position, area: Rect, model: &Model) {
    let titles = Rect { height: 1, ..area };
    if titles.contains(at) {
        if let Some(by) = processes::sorts_by(area.width, at.x - area.x) {
            let reversed = state.order.by == by && !state.order.reversed;
            lists::sort(state, by);
            state.order.reversed = reversed;
        }
        return;
    }
    let keys = state.process_keys(model);
    if let Some(line) = line_at(processes::list(area), at) {
        let line = state.processes.top + line;
        if line < keys.len() {
            state.processes.choose(line, &keys);
        }
    }
}
