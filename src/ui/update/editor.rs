//! Keys and the mouse in the editor of limits and in the list of changes, and what came of their orders.

use std::sync::Arc;
use std::time::SystemTime;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, is_text};
use crate::control::make::Made;
use crate::control::sheet::Sheet;
use crate::control::worker::{Order, Outcome};
use crate::kernel::cgroup::knob::Knob;
use crate::model::Model;
use crate::model::change::{Change, Gravity};
use crate::text;
use crate::ui::editor::{Done, Draft, Editor};
use crate::ui::question::Question;
use crate::ui::state::{Screen, State};
use crate::ui::view::editor as view;

/// How many processes a question names.
const NAMED: usize = 20;

/// Opens the editor on the selected cgroup.
pub(super) fn open(state: &mut State, knob: Knob, model: &Model) -> Option<Effect> {
    let path = Arc::clone(state.selected()?);
    if &*path == "/" {
        state.say("the root cgroup is the host itself and has no limits");
        return None;
    }
    if model.row(&path).is_none() {
        state.say(format!("{} is gone; it has no limits", model.label(&path)));
        return None;
    }
    state.editor = Some(Editor::new(Arc::clone(&path), knob));
    state.screen = Screen::Editor;
    Some(Effect::Order(Order::Read(path)))
}

/// Reads the knobs again, where the editor is open and not waiting.
pub(super) fn refresh(state: &mut State) -> Option<Effect> {
    let editor = state.editor.as_mut().filter(|editor| !editor.busy)?;
    if !matches!(state.screen, Screen::Editor) {
        return None;
    }
    editor.busy = true;
    Some(Effect::Order(Order::Read(Arc::clone(&editor.path))))
}

pub(super) fn key(state: &mut State, key: KeyEvent, model: &Model) -> Option<Effect> {
    let Some(editor) = &mut state.editor else {
        state.screen = Screen::View;
        return None;
    };
    if !is_text(key) || key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    match key.code {
        KeyCode::Char('-') if editor.takes_minus() => editor.type_in("-"),
        KeyCode::Char('+') | KeyCode::Right => editor.step(true),
        KeyCode::Char('-') | KeyCode::Left => editor.step(false),
        KeyCode::Char(char) => editor.type_in(char.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace => {
            editor.typed.pop();
        }
        KeyCode::Up => editor.choose(editor.at.saturating_sub(1)),
        KeyCode::Down => editor.choose(editor.at + 1),
        KeyCode::Home | KeyCode::PageUp => editor.choose(0),
        KeyCode::End | KeyCode::PageDown => editor.choose(usize::MAX),
        KeyCode::Tab if editor.can_persist() => editor.persist ^= true,
        KeyCode::Enter => return write(state, model),
        KeyCode::Esc if editor.typed.is_empty() => {
            state.editor = None;
            state.screen = Screen::View;
        }
        KeyCode::Esc | KeyCode::Delete => editor.typed.clear(),
        _ => {}
    }
    None
}

/// Writes what is typed: at once, after two questions, or not at all.
fn write(state: &mut State, model: &Model) -> Option<Effect> {
    let editor = state.editor.as_mut()?;
    if let Some(why) = editor.not_offered() {
        editor.refused = Some(why.to_owned());
        return None;
    }
    let Draft::Change(change) = editor.draft() else {
        return None;
    };
    if change.old == change.new {
        editor.refused = Some("that is what it is already".to_owned());
        return None;
    }
    let sheet = Arc::clone(editor.sheet()?);
    let (path, persist) = (Arc::clone(&editor.path), editor.persist);
    let order = Order::Make {
        sheet,
        changes: vec![*change.clone()],
        persist,
        undoes: None,
    };
    give(state, &path, &change, order, Screen::Editor, model)
}

/// Gives the order, or asks twice first where it is likely to break the workload.
fn give(
    state: &mut State,
    path: &Arc<str>,
    change: &Change,
    order: Order,
    back: Screen,
    model: &Model,
) -> Option<Effect> {
    if let Some(remark) = change.at_least(Gravity::Impossible).next() {
        refuse(state, format!("{}: {}", change.address, remark.text));
        return None;
    }
    if change.at_least(Gravity::Danger).next().is_none() {
        if let Some(editor) = &mut state.editor {
            editor.busy = true;
        }
        return Some(Effect::Order(order));
    }
    let remarks = change.at_least(Gravity::Note);
    let mut about = vec![change.to_string()];
    about.extend(remarks.map(|remark| remark.text.clone()));
    let processes = model.processes(path, crate::model::process::Order::default());
    if !processes.is_empty() {
        about.push(String::new());
        about.push("what may be killed:".to_owned());
    }
    about.extend(processes.iter().take(NAMED).map(|process| {
        let inside = text::inside(process.sample.inner_pids.last().copied());
        format!(
            "  {}{inside} {}",
            process.sample.pid, process.sample.command
        )
    }));
    state.question = Some(Question {
        title: format!("{} of {}", change.address, model.label(path)),
        about,
        asks: vec![
            "It is likely to break what runs there. Write it all the same?".to_owned(),
            "Sure?".to_owned(),
        ],
        order,
        back,
    });
    state.screen = Screen::Question;
    None
}

/// Says why not: in the editor, or in the event log where it is not open.
fn refuse(state: &mut State, why: String) {
    match (&mut state.editor, state.screen) {
        (Some(editor), Screen::Editor) => editor.refused = Some(why),
        _ => state.say(why),
    }
}

/// Undoes the newest change of this run that was not undone yet.
pub(super) fn undo_last(state: &mut State) -> Option<Effect> {
    if let Some(at) = state.done.iter().rposition(|done| !done.undone) {
        return undo(state, at);
    }
    state.say("nothing was changed here that could be undone");
    None
}

/// Undoes a change: how things are now is read first.
fn undo(state: &mut State, at: usize) -> Option<Effect> {
    let done = state.done.get(at)?;
    if done.undone {
        state.say(format!("{} was undone already", done.change.address));
        return None;
    }
    state.undoing = Some(at);
    Some(Effect::Order(Order::Read(Arc::clone(&done.path))))
}

pub(super) fn changes_key(state: &mut State, at: usize, key: KeyEvent) -> Option<Effect> {
    let last = state.done.len().saturating_sub(1);
    let to = match key.code {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => (at + 1).min(last),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        // The newest is on top.
        KeyCode::Enter | KeyCode::Char('u') => return undo(state, last.checked_sub(at)?),
        _ => {
            state.screen = Screen::View;
            return None;
        }
    };
    state.screen = Screen::Changes { at: to };
    None
}

pub(super) fn mouse(state: &mut State, mouse: MouseEvent) {
    let area = state.area;
    let Some(editor) = &mut state.editor else {
        return;
    };
    let at = Position::new(mouse.column, mouse.row);
    let Some(plan) = view::plan(view::content(area), editor) else {
        return;
    };
    let line = plan
        .lines
        .contains(at)
        .then(|| editor.top + usize::from(at.y - plan.lines.y))
        .filter(|line| *line < editor.slots().len());
    match mouse.kind {
        MouseEventKind::ScrollUp => editor.step(true),
        MouseEventKind::ScrollDown => editor.step(false),
        MouseEventKind::Down(MouseButton::Left) => {
            if let Some(line) = line {
                editor.choose(line);
                editor.held = plan.share(at.x);
            }
            hold(editor);
        }
        MouseEventKind::Drag(MouseButton::Left) if editor.held.is_some() => {
            editor.held = Some(plan.share_near(at.x));
            hold(editor);
        }
        MouseEventKind::Up(MouseButton::Left) => editor.held = None,
        _ => {}
    }
}

fn hold(editor: &mut Editor) {
    if let Some(share) = editor.held {
        editor.hold(share);
    }
}

/// What came of an order.
pub(super) fn outcome(state: &mut State, outcome: &Outcome, model: &Model) -> Option<Effect> {
    match outcome {
        Outcome::Sheet { path, sheet } => {
            if let Some(at) = state.undoing.take() {
                return match sheet {
                    Ok(sheet) => judge_undo(state, at, sheet, model),
                    Err(why) => {
                        refuse(state, why.clone());
                        None
                    }
                };
            }
            let editor = state
                .editor
                .as_mut()
                .filter(|editor| editor.path == *path)?;
            editor.read(sheet.clone());
            None
        }
        Outcome::Made {
            path,
            changes,
            undoes,
            made,
        } => {
            match made {
                Ok(made) => {
                    self::made(state, path, changes, *undoes, made, model);
                    let editor = state
                        .editor
                        .as_mut()
                        .filter(|editor| editor.path == *path)?;
                    // What is typed for another knob by now stays.
                    let slot = editor.slot().map(|slot| slot.address);
                    if changes.iter().any(|change| Some(change.address) == slot) {
                        editor.typed.clear();
                        editor.refused = None;
                    }
                }
                Err(why) => {
                    state.say(format!("limit not set  {}  {why}", model.label(path)));
                    let editor = state
                        .editor
                        .as_mut()
                        .filter(|editor| editor.path == *path)?;
                    editor.refused = Some(why.clone());
                }
            }
            let editor = state.editor.as_mut()?;
            editor.busy = true;
            Some(Effect::Order(Order::Read(Arc::clone(&editor.path))))
        }
        _ => None,
    }
}

fn made(
    state: &mut State,
    path: &Arc<str>,
    changes: &[Change],
    undoes: Option<usize>,
    made: &Made,
    model: &Model,
) {
    let label = model.label(path).into_owned();
    let what = if undoes.is_some() {
        "limit undone"
    } else {
        "limit set"
    };
    for (change, kept) in changes.iter().zip(&made.kept) {
        state.say(format!("{what}  {label}  {change}"));
        let Some(kept) = kept else { continue };
        if undoes.is_none() {
            let mut change = change.clone();
            change.new.clone_from(kept);
            state.done.push(Done {
                time: SystemTime::now(),
                path: Arc::clone(path),
                change,
                undone: false,
            });
        }
    }
    if let Some(done) = undoes.and_then(|at| state.done.get_mut(at)) {
        done.undone = true;
    }
    for remark in &made.remarks {
        state.say(remark.clone());
    }
}

fn judge_undo(state: &mut State, at: usize, sheet: &Arc<Sheet>, model: &Model) -> Option<Effect> {
    let done = state.done.get(at)?;
    let path = Arc::clone(&done.path);
    match done.undo(sheet) {
        Ok(change) => {
            let order = Order::Make {
                sheet: Arc::clone(sheet),
                changes: vec![change.clone()],
                persist: false,
                undoes: Some(at),
            };
            let back = state.screen;
            give(state, &path, &change, order, back, model)
        }
        Err(why) => {
            refuse(state, why);
            None
        }
    }
}
