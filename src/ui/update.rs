//! Messages into state. What it cannot do itself it asks for with an [`Effect`].

mod acts;
mod drag;
mod editor;
pub use drag::Drag;
mod lists;
mod mouse;
mod workloads;
pub use workloads::how;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;

use crate::control::worker::{Order, Outcome};

use super::keymap::Action;
use super::layout::Split;
use super::palette;
use super::state::{Detail, Flow, Screen, Span, State};
use super::tabs::View;
use super::view::help;
use crate::kernel::cgroup::knob::Knob;
use crate::model::Model;
use crate::model::filter::Filter;
use crate::model::tree::{Fold, Line, Sort};

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Message {
    /// The terminal told something: a key, the mouse, its size.
    Terminal(Event),
    /// The model has something new.
    Model,
    /// Something that was ordered was carried out, or refused.
    Control(Outcome),
}

impl Message {
    /// Whether nothing can come of it, so that the screen need not be drawn again: terminals report every
    /// move of the mouse.
    pub fn is_idle(&self, state: &State) -> bool {
        let Self::Terminal(Event::Mouse(MouseEvent { kind, .. })) = self else {
            return false;
        };
        match kind {
            MouseEventKind::Moved => true,
            MouseEventKind::Drag(_) | MouseEventKind::Up(_) => {
                state.drag.is_none() && state.screen != Screen::Editor
            }
            _ => false,
        }
    }
}

/// What the loop has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Leave.
    Quit,
    /// Hold the screen still, or let it go on; the state says which.
    Flow(Flow),
    /// Change something outside.
    Order(Order),
    /// Give the terminal back and stop, until somebody continues it.
    Suspend,
    /// Take the mouse, or leave it to the terminal; the state says which.
    Mouse,
    /// Save the screen as a picture.
    Save,
    /// Save the OOM kill of this number as a page.
    SavePage(u64),
}

/// Takes in one message. `model` is the one on the screen.
pub fn update(state: &mut State, message: &Message, model: &Model) -> Option<Effect> {
    let effect = match message {
        Message::Terminal(Event::Key(key)) if key.kind != KeyEventKind::Release => {
            self::key(state, *key, model)
        }
        Message::Terminal(Event::Mouse(mouse)) => mouse::mouse(state, *mouse, model),
        Message::Terminal(Event::Resize(width, height)) => {
            state.area = Rect::new(0, 0, *width, *height);
            None
        }
        Message::Control(outcome @ (Outcome::Looked { .. } | Outcome::Acted { .. })) => {
            let told = acts::outcome(state, outcome, model);
            // What was started or removed is not on that list any more.
            told.or_else(|| workloads::refresh(state))
        }
        Message::Control(
            outcome @ (Outcome::Ran { .. } | Outcome::Ended { .. } | Outcome::Said { .. }),
        ) => workloads::outcome(state, outcome, model),
        Message::Control(outcome) => editor::outcome(state, outcome, model),
        Message::Terminal(Event::Paste(text)) => {
            paste(state, text);
            None
        }
        Message::Model => {
            workloads::await_started(state, model);
            editor::refresh(state).or_else(|| workloads::refresh(state))
        }
        Message::Terminal(_) => None,
    };
    state.settle(model);
    effect
}

fn key(state: &mut State, key: KeyEvent, model: &Model) -> Option<Effect> {
    state.told = None;
    state.awaited = None;
    // Whatever is open, these are heard.
    match key.code {
        KeyCode::Char('c') if !is_text(key) => return Some(Effect::Quit),
        KeyCode::Char('s') if !is_text(key) => return Some(Effect::Save),
        KeyCode::Char('z') if !is_text(key) => return Some(Effect::Suspend),
        _ => {}
    }
    match state.screen {
        Screen::Filter => filter_key(state, key),
        Screen::Palette { at } => palette_key(state, at, key, model),
        Screen::Editor => editor::key(state, key, model),
        Screen::Changes { at } => editor::changes_key(state, at, key),
        Screen::Menu => acts::key(state, key),
        Screen::Prompt => workloads::prompt_key(state, key),
        Screen::Log => workloads::log_key(state, state.keys.action(key), model),
        Screen::Ended => workloads::ended_key(state, key),
        Screen::Question => question_key(state, key),
        Screen::Help { top } => help_key(state, top, state.keys.action(key)),
        Screen::View => act(state, state.keys.action(key)?, model),
    }
}

/// Whether a key is typed text, and not a command.
fn is_text(key: KeyEvent) -> bool {
    !key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Pasted text is text, whatever it says: it goes where text is typed, and nowhere else.
fn paste(state: &mut State, text: &str) {
    let text = text.lines().next().unwrap_or_default();
    match (state.screen, &mut state.editor) {
        (Screen::Editor, Some(editor)) => editor.type_in(text),
        (Screen::Filter, _) => text.chars().for_each(|char| state.shape.filter.push(char)),
        (Screen::Palette { .. }, _) => {
            state.typed.push_str(text);
            state.screen = Screen::Palette { at: 0 };
        }
        (Screen::Prompt, _) => state.prompt.type_in(text),
        _ => {}
    }
}

fn palette_key(state: &mut State, at: usize, key: KeyEvent, model: &Model) -> Option<Effect> {
    let found = palette::matches(&state.typed);
    let last = found.len().saturating_sub(1);
    let mut to = 0;
    match key.code {
        KeyCode::Char(char) if is_text(key) => state.typed.push(char),
        KeyCode::Backspace => {
            state.typed.pop();
        }
        KeyCode::Up => to = at.saturating_sub(1),
        KeyCode::Down | KeyCode::Tab => to = (at + 1).min(last),
        KeyCode::Enter => {
            state.screen = Screen::View;
            let action = found.get(at)?.action;
            return act(state, action, model);
        }
        KeyCode::Esc => {
            state.screen = Screen::View;
            return None;
        }
        _ => to = at,
    }
    state.screen = Screen::Palette { at: to };
    None
}

/// Only `y` goes on; keys that mean nothing here do nothing.
fn question_key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    let mut question = state.question.take()?;
    match key.code {
        KeyCode::Char('y' | 'Y') if is_text(key) => {
            question.asks.remove(0);
            if question.asks.is_empty() {
                state.screen = question.back;
                return Some(Effect::Order(question.order));
            }
        }
        KeyCode::Char('n' | 'N') | KeyCode::Esc => {
            state.screen = question.back;
            return None;
        }
        _ => {}
    }
    state.question = Some(question);
    None
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
        _ => state.screen = Screen::View,
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
        KeyCode::Char(char) if is_text(key) => state.shape.filter.push(char),
        KeyCode::Backspace => state.shape.filter.pop(),
        KeyCode::Enter => state.screen = Screen::View,
        KeyCode::Esc => {
            state.shape.filter = Filter::default();
            state.screen = Screen::View;
        }
        _ => {}
    }
    None
}

fn act(state: &mut State, action: Action, model: &Model) -> Option<Effect> {
    match action {
        Action::View(view) => state.view = view,
        Action::NextView => state.view = state.view.next(),
        Action::PreviousView => state.view = state.view.previous(),
        Action::Back if state.view != View::Tree => state.view = View::Tree,
        // What the tree shows is changed where one sees it.
        Action::Filter => {
            state.view = View::Tree;
            state.screen = Screen::Filter;
        }
        Action::Faults => {
            state.view = View::Tree;
            state.shape.faults ^= true;
        }
        Action::Columns if state.view == View::Tree => state.preset = state.preset.next(),
        Action::Columns => state.view = View::Tree,
        Action::Span => {
            state.span = match state.span {
                Span::Minutes => Span::Hours,
                Span::Hours => Span::Minutes,
            };
            state.view = View::Detail;
        }
        Action::Palette => {
            state.typed.clear();
            state.screen = Screen::Palette { at: 0 };
        }
        Action::Pause => {
            state.flow = match state.flow {
                Flow::Live => Flow::Paused,
                Flow::Paused => Flow::Live,
            };
            return Some(Effect::Flow(state.flow));
        }
        Action::Edit => return editor::open(state, Knob::MemoryMax, model),
        Action::Undo => return editor::undo_last(state),
        Action::Keep => return editor::keep_last(state),
        Action::Changes => state.screen = Screen::Changes { at: 0 },
        Action::Theme => state.next_theme(),
        Action::Mouse => {
            state.no_mouse = !state.no_mouse;
            return Some(Effect::Mouse);
        }
        Action::Save => return Some(Effect::Save),
        // What is saved is shown first.
        Action::SavePage if state.view == View::Incidents => {
            let chosen = model.incidents().nth(state.incidents.at);
            return chosen.map(|incident| Effect::SavePage(incident.number));
        }
        Action::SavePage => state.view = View::Incidents,
        Action::EvenPanels => state.split = Split::default(),
        Action::Freeze | Action::Stop | Action::Acts | Action::Reclaim | Action::MoveUp => {
            return acts::begin(state, action, model);
        }
        Action::Run => workloads::prompt(state),
        Action::Log => return workloads::log(state, model),
        Action::Ended => return workloads::ended(state),
        Action::Help => state.screen = Screen::Help { top: 0 },
        Action::Quit => return Some(Effect::Quit),
        _ => match state.view {
            View::Tree => in_tree(state, action, model),
            View::Detail => lists::detail(state, action, model),
            View::Processes => lists::processes(state, action, model),
            View::Incidents => lists::incidents(state, action, model),
        },
    }
    None
}

fn in_tree(state: &mut State, action: Action, model: &Model) {
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
            let plan = state.plan(model);
            let shown = plan.is_some_and(|plan| plan.selected.is_some());
            state.detail = if shown { Detail::Closed } else { Detail::Open };
        }
        Action::Back if !state.shape.filter.is_empty() => state.shape.filter = Filter::default(),
        Action::Back if state.shape.faults => state.shape.faults = false,
        Action::Back => state.detail = Detail::Closed,
        Action::Sort(by) => {
            state.shape.sort = Sort {
                by,
                reversed: false,
            };
        }
        Action::Reverse => state.shape.sort.reversed ^= true,
        _ => {}
    }
}

fn fold(state: &mut State, at: usize, model: &Model) {
    match state.lines.get(at) {
        Some(Line {
            row,
            fold: Fold::Open,
            ..
        }) => {
            state.shape.fold(&model.rows()[*row]);
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
            state.shape.unfold(&model.rows()[row]);
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
