//! Keys and the mouse in the editor of limits and in the list of changes, and what came of their orders.

use std::sync::Arc;
use std::time::SystemTime;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, is_text};
use crate::control::make::Made;
use crate::control::sheet::Sheet;
use crate::control::trial::{Ending, Terms};
use crate::control::worker::{Lasting, Order, Outcome};
use crate::kernel::cgroup::knob::Knob;
use crate::model::Model;
use crate::model::change::{Change, Gravity};
use crate::text;
use crate::ui::editor::{Done, DoneState, Draft, Editor};
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
    if key.code == KeyCode::Char('t') && !is_text(key) {
        return try_or_take_back(state, model);
    }
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
        KeyCode::Enter => {
            let lasting = if editor.persist {
                Lasting::Boots
            } else {
                Lasting::Now
            };
            if editor.typed.is_empty()
                && let Some((number, _)) = state.chosen_trial()
            {
                return Some(end_trial(number, true));
            }
            return write(state, lasting, model);
        }
        KeyCode::Esc if editor.typed.is_empty() => {
            state.editor = None;
            state.screen = Screen::View;
        }
        KeyCode::Esc | KeyCode::Delete => editor.typed.clear(),
        _ => {}
    }
    None
}

/// Puts what is typed on trial; takes back what is.
fn try_or_take_back(state: &mut State, model: &Model) -> Option<Effect> {
    if let Some((number, _)) = state.chosen_trial() {
        return Some(end_trial(number, false));
    }
    state.trials += 1;
    let lasting = Lasting::Trial(state.trials, Terms::default());
    write(state, lasting, model)
}

fn end_trial(number: u64, keep: bool) -> Effect {
    Effect::Order(Order::EndTrial { number, keep })
}

/// Keeps the newest change that is on trial.
pub(super) fn keep_last(state: &mut State) -> Option<Effect> {
    if let Some((_, number, _)) = state.on_trial().next() {
        return Some(end_trial(number, true));
    }
    state.say("nothing is on trial here that could be kept");
    None
}

/// Writes what is typed: at once, after two questions, or not at all.
fn write(state: &mut State, lasting: Lasting, model: &Model) -> Option<Effect> {
    let editor = state.editor.as_mut()?;
    if let Some(why) = editor.not_offered() {
        editor.refused = Some(why.to_string());
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
    let path = Arc::clone(&editor.path);
    let order = Order::Make {
        sheet,
        changes: vec![*change.clone()],
        lasting,
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
    let last = state
        .done
        .iter()
        .rposition(|done| done.state != DoneState::Undone);
    if let Some(at) = last {
        return undo(state, at);
    }
    state.say("nothing was changed here that could be undone");
    None
}

/// Undoes a change: how things are now is read first.
fn undo(state: &mut State, at: usize) -> Option<Effect> {
    let done = state.done.get(at)?;
    match done.state {
        DoneState::Undone => {
            state.say(format!("{} was undone already", done.change.address));
            return None;
        }
        DoneState::OnTrial { number, .. } => return Some(end_trial(number, false)),
        DoneState::Made => {}
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
            let sheet = editor.sheet().filter(|_| editor.drifts.is_none())?;
            let sheet = Arc::clone(sheet);
            editor.drifts = Some(Vec::new());
            Some(Effect::Order(Order::Ask(sheet)))
        }
        Outcome::Drifts { path, drifts } => {
            let editor = state.editor.as_mut();
            let editor = editor.filter(|editor| editor.path == *path)?;
            editor.drifts = Some(drifts.clone());
            None
        }
        Outcome::Made {
            path,
            changes,
            lasting,
            made,
        } => {
            match made {
                Ok(made) => {
                    self::made(state, path, changes, *lasting, made, model);
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
            read_again(state)
        }
        Outcome::Told(text) => {
            state.say(text.clone());
            None
        }
        Outcome::Tried { number, ending } => {
            tried(state, *number, ending, model);
            read_again(state)
        }
        _ => None,
    }
}

fn read_again(state: &mut State) -> Option<Effect> {
    let editor = state.editor.as_mut()?;
    editor.busy = true;
    editor.drifts = None;
    Some(Effect::Order(Order::Read(Arc::clone(&editor.path))))
}

/// Notes how a trial ended.
fn tried(state: &mut State, ended: u64, ending: &Ending, model: &Model) {
    let mut path = None;
    for done in &mut state.done {
        if matches!(done.state, DoneState::OnTrial { number, .. } if number == ended) {
            path = Some(Arc::clone(&done.path));
            done.state = if ending.kept {
                DoneState::Made
            } else {
                DoneState::Undone
            };
        }
    }
    let label = path.map_or_else(String::new, |path| format!("  {}", model.label(&path)));
    state.say(format!("trial{label}  {}", ending.text));
}

fn made(
    state: &mut State,
    path: &Arc<str>,
    changes: &[Change],
    lasting: Lasting,
    made: &Made,
    model: &Model,
) {
    let label = model.label(path).into_owned();
    let now = SystemTime::now();
    let (what, done) = match lasting {
        Lasting::Now | Lasting::Boots => ("limit set", Some(DoneState::Made)),
        Lasting::Undo(_) => ("limit undone", None),
        Lasting::Trial(number, terms) => {
            let end = now + terms.time;
            ("limit on trial", Some(DoneState::OnTrial { number, end }))
        }
    };
    for (change, kept) in changes.iter().zip(&made.kept) {
        state.say(format!("{what}  {label}  {change}"));
        if let (Some(kept), Some(done)) = (kept, done) {
            let mut change = change.clone();
            change.new.clone_from(kept);
            state.done.push(Done {
                time: now,
                path: Arc::clone(path),
                change,
                state: done,
            });
        }
    }
    if let Lasting::Undo(at) = lasting
        && let Some(done) = state.done.get_mut(at)
    {
        done.state = DoneState::Undone;
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
                lasting: Lasting::Undo(at),
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
