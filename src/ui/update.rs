//! Messages into state. What it cannot do itself it asks for with an [`Effect`].

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use super::keymap::{self, Action};
use super::state::{Detail, Flow, Screen, Selection, State};
use super::view::help;
use crate::model::Model;
use crate::model::tree::{Fold, Line, Sort};

/// Lines that one turn of the wheel scrolls.
const WHEEL: usize = 3;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Message {
    /// The terminal told something: a key, the mouse, its size.
    Terminal(Event),
    /// The model has something new.
    Model,
}

/// What the loop has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Leave.
    Quit,
    /// Hold the screen still, or let it go on; the state says which.
    Flow(Flow),
}

/// Takes in one message. `model` is the one on the screen.
pub fn update(state: &mut State, message: &Message, model: &Model) -> Option<Effect> {
    let effect = match message {
        Message::Terminal(Event::Key(key)) if key.kind != KeyEventKind::Release => {
            self::key(state, *key, model)
        }
        Message::Terminal(Event::Mouse(mouse)) => {
            self::mouse(state, *mouse, model);
            None
        }
        Message::Terminal(Event::Resize(width, height)) => {
            state.area = Rect::new(0, 0, *width, *height);
            None
        }
        Message::Terminal(_) | Message::Model => None,
    };
    state.settle(model);
    effect
}

fn key(state: &mut State, key: KeyEvent, model: &Model) -> Option<Effect> {
    match state.screen {
        Screen::Filter => filter_key(state, key),
        Screen::Help { top } => help_key(state, top, keymap::action(key)),
        Screen::Tree => act(state, keymap::action(key)?, model),
    }
}

fn help_key(state: &mut State, top: usize, action: Option<Action>) -> Option<Effect> {
    let page = usize::from(state.area.height).saturating_sub(3);
    match action {
        Some(Action::Up) => scroll_help(state, top.saturating_sub(1)),
        Some(Action::Down) => scroll_help(state, top + 1),
        Some(Action::PageUp) => scroll_help(state, top.saturating_sub(page)),
        Some(Action::PageDown) => scroll_help(state, top + page),
        Some(Action::First) => scroll_help(state, 0),
        Some(Action::Last) => scroll_help(state, usize::MAX),
        Some(Action::Quit) => return Some(Effect::Quit),
        _ => state.screen = Screen::Tree,
    }
    None
}

fn scroll_help(state: &mut State, top: usize) {
    let page = usize::from(state.area.height).saturating_sub(2);
    let last = help::lines(state.area.width).saturating_sub(page);
    state.screen = Screen::Help { top: top.min(last) };
}

fn filter_key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            return Some(Effect::Quit);
        }
        KeyCode::Char(char) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            state.shape.filter.push(char);
        }
        KeyCode::Backspace => {
            state.shape.filter.pop();
        }
        KeyCode::Enter => state.screen = Screen::Tree,
        KeyCode::Esc => {
            state.shape.filter.clear();
            state.screen = Screen::Tree;
        }
        _ => {}
    }
    None
}

fn act(state: &mut State, action: Action, model: &Model) -> Option<Effect> {
    let at = state.cursor(model);
    let page = state.page(model);
    match action {
        Action::Up => state.select(at.saturating_sub(1), model),
        // While it is away, the next line has its place.
        Action::Down if state.is_away(model) => state.select(at, model),
        Action::Down => state.select(at + 1, model),
        Action::PageUp => state.select(at.saturating_sub(page), model),
        Action::PageDown => state.select(at + page, model),
        Action::First => state.select(0, model),
        Action::Last => state.select(usize::MAX, model),
        Action::Fold => fold(state, at, model),
        Action::Unfold => unfold(state, at, model),
        Action::ToggleFold => toggle(state, at, model),
        Action::Detail => {
            let shown = state
                .plan(model)
                .is_some_and(|plan| plan.selected.is_some());
            state.detail = if shown { Detail::Closed } else { Detail::Open };
        }
        Action::Back if !state.shape.filter.is_empty() => state.shape.filter.clear(),
        Action::Back => state.detail = Detail::Closed,
        Action::Filter => state.screen = Screen::Filter,
        Action::Sort(by) => {
            state.shape.sort = Sort {
                by,
                reversed: false,
            };
        }
        Action::Reverse => state.shape.sort.reversed ^= true,
        Action::Pause => {
            state.flow = match state.flow {
                Flow::Live => Flow::Paused,
                Flow::Paused => Flow::Live,
            };
            return Some(Effect::Flow(state.flow));
        }
        Action::Help => state.screen = Screen::Help { top: 0 },
        Action::Quit => return Some(Effect::Quit),
    }
    None
}

fn fold(state: &mut State, at: usize, model: &Model) {
    match state.lines.get(at) {
        Some(Line {
            row,
            fold: Fold::Open,
            ..
        }) => {
            state.shape.folded.insert(model.rows()[*row].path.clone());
        }
        Some(line) => {
            // To the parent: the nearest line above that is less indented.
            let above = state.lines[..at].iter();
            if let Some(parent) = above.clone().rposition(|other| other.depth < line.depth) {
                state.select(parent, model);
            }
        }
        None => {}
    }
}

fn unfold(state: &mut State, at: usize, model: &Model) {
    match state.lines.get(at).map(|line| (line.fold, line.row)) {
        Some((Fold::Closed, row)) => {
            state.shape.folded.remove(&model.rows()[row].path);
        }
        Some((Fold::Open, _)) => state.select(at + 1, model),
        Some((Fold::Leaf, _)) | None => {}
    }
}

fn toggle(state: &mut State, at: usize, model: &Model) {
    match state.lines.get(at).map(|line| line.fold) {
        Some(Fold::Open) => fold(state, at, model),
        Some(Fold::Closed) => unfold(state, at, model),
        Some(Fold::Leaf) | None => {}
    }
}

fn mouse(state: &mut State, mouse: MouseEvent, model: &Model) {
    if let Screen::Help { top } = state.screen {
        match mouse.kind {
            MouseEventKind::ScrollUp => scroll_help(state, top.saturating_sub(WHEEL)),
            MouseEventKind::ScrollDown => scroll_help(state, top + WHEEL),
            _ => {}
        }
        return;
    }
    let at = state.cursor(model);
    match mouse.kind {
        MouseEventKind::ScrollUp => state.select(at.saturating_sub(WHEEL), model),
        MouseEventKind::ScrollDown => state.select(at + WHEEL, model),
        MouseEventKind::Down(MouseButton::Left) => {
            let Some(plan) = state.plan(model) else {
                return;
            };
            if !plan.tree.contains(Position::new(mouse.column, mouse.row)) {
                return;
            }
            let clicked = state.top + usize::from(mouse.row - plan.tree.y);
            let chosen = matches!(state.selection, Selection::Chosen(_));
            if clicked == at && chosen {
                toggle(state, at, model);
            } else if clicked < state.lines.len() {
                state.select(clicked, model);
            }
        }
        _ => {}
    }
}
