//! Workloads of ringfence's own: the line that starts one, the log that is followed, the list of those that are over.

use std::sync::Arc;

use crossterm::event::{Event, KeyCode, KeyEvent};

use super::acts::tell;
use super::{Effect, is_text};
use crate::control::act::Act;
use crate::control::worker::{Order, Outcome};
use crate::control::workload::Ended;
use crate::model::Model;
use crate::model::row::last_part;
use crate::model::tree::is_in;
use crate::names::{self, Owner};
use crate::text;
use crate::ui::keymap::Action;
use crate::ui::log::Log;
use crate::ui::question::Question;
use crate::ui::state::{Screen, State};
use crate::ui::tabs::View;
use crate::ui::view::log::room;

/// Opens the line in which a new one is typed.
pub(super) fn prompt(state: &mut State) {
    state.prompt.open();
    state.screen = Screen::Prompt;
}

/// A key in that line.
pub(super) fn prompt_key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    match key.code {
        KeyCode::Enter => return state.prompt.order().map(Effect::Order),
        KeyCode::Esc => state.screen = Screen::View,
        // What is on its way is not typed over.
        _ if state.prompt.starting.is_some() => {}
        KeyCode::Up => state.prompt.walk(true),
        KeyCode::Down => state.prompt.walk(false),
        _ => state.prompt.key(&Event::Key(key)),
    }
    None
}

/// Opens the log of the selected workload, or of that which the chosen OOM kill was in.
pub(super) fn log(state: &mut State, model: &Model) -> Option<Effect> {
    let path = match state.view {
        View::Incidents => {
            let chosen = model.incidents().nth(state.incidents.at);
            chosen.map(|incident| Arc::from(&*incident.kill.path.value))
        }
        _ => state.selected().cloned(),
    };
    let Some(path) = path else {
        tell(state, "choose a workload first".to_owned(), model);
        return None;
    };
    Some(follow(state, path))
}

fn follow(state: &mut State, path: Arc<str>) -> Effect {
    state.logs += 1;
    let (log, order) = Log::open(state.logs, path, state.screen);
    state.log = Some(log);
    state.screen = Screen::Log;
    Effect::Order(order)
}

/// A key while a log is followed.
pub(super) fn log_key(state: &mut State, action: Option<Action>, model: &Model) -> Option<Effect> {
    let page = room(state, model);
    let Some(log) = &mut state.log else {
        state.screen = Screen::View;
        return None;
    };
    let lines = i64::try_from(page).unwrap_or(1);
    match action? {
        Action::Up => log.scroll(-1, page),
        Action::Down => log.scroll(1, page),
        Action::PageUp => log.scroll(-lines, page),
        Action::PageDown => log.scroll(lines, page),
        Action::First => log.scroll(i64::MIN, page),
        Action::Last => log.scroll(i64::MAX, page),
        Action::Fold => log.sideways(false),
        Action::Unfold => log.sideways(true),
        Action::Quit => return Some(Effect::Quit),
        Action::Back | Action::Log => {
            state.screen = log.back;
            state.log = None;
            return Some(Effect::Order(Order::Unfollow));
        }
        _ => {}
    }
    None
}

/// The wheel while a log is followed.
pub(super) fn scroll_log(state: &mut State, by: i64, model: &Model) {
    let page = room(state, model);
    if let Some(log) = &mut state.log {
        log.scroll(by, page);
    }
}

/// Opens the list of those that are over.
pub(super) fn ended(state: &mut State) -> Option<Effect> {
    state.screen = Screen::Ended;
    state.ended.choose(0);
    refresh(state)
}

/// Reads that list again, where it is open and not being read.
pub(super) fn refresh(state: &mut State) -> Option<Effect> {
    let wanted = state.screen == Screen::Ended && !state.ended.busy;
    wanted.then(|| {
        state.ended.busy = true;
        Effect::Order(Order::Ended)
    })
}

/// A key in that list.
pub(super) fn ended_key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    let at = state.ended.at;
    let list = &mut state.ended;
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => list.choose(at.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => list.choose(at + 1),
        KeyCode::Home | KeyCode::Char('g') => list.choose(0),
        KeyCode::End | KeyCode::Char('G') => list.choose(usize::MAX),
        KeyCode::Enter => {
            let name = list.chosen()?.name.clone();
            return Some(Effect::Order(Order::Act(Act::Start(name))));
        }
        KeyCode::Delete | KeyCode::Char('d') if is_text(key) => {
            state.question = Some(removal(list.chosen()?));
            state.screen = Screen::Question;
        }
        KeyCode::Char('L') => {
            let path = Arc::from(&*list.chosen()?.path);
            return Some(follow(state, path));
        }
        KeyCode::Esc | KeyCode::Char('q' | 'E') => state.screen = Screen::View,
        _ => {}
    }
    None
}

fn removal(ended: &Ended) -> Question {
    let act = Act::Remove(ended.name.clone());
    Question {
        title: act.to_string(),
        about: vec![
            "What is known of it and its log are removed.".to_owned(),
            how(ended),
            ended.command.clone(),
        ],
        asks: vec![format!("Remove {}?", ended.name)],
        order: Order::Act(act),
        back: Screen::Ended,
    }
}

/// How one ended, in a few words.
pub fn how(ended: &Ended) -> String {
    let kills = match ended.oom_kills {
        0 => String::new(),
        1 => " · 1 OOM kill".to_owned(),
        kills => format!(" · {kills} OOM kills"),
    };
    let ago = text::age(ended.ago);
    format!("exit {} · {ago} ago{kills}", ended.code)
}

/// What came of an order.
pub(super) fn outcome(state: &mut State, outcome: &Outcome, model: &Model) -> Option<Effect> {
    match outcome {
        Outcome::Ran { arguments, ran } => {
            ran_out(state, arguments, ran, model);
            None
        }
        Outcome::Ended { ended, told } => {
            state.ended.take_in(ended.clone());
            for text in told {
                tell(state, text.clone(), model);
            }
            None
        }
        Outcome::Said { number, said } => {
            let log = state.log.as_mut().filter(|log| log.number == *number)?;
            let goes_on = log.take_in(said);
            goes_on.then_some(Effect::Order(Order::FollowOn))
        }
        _ => None,
    }
}

/// What came of the line.
fn ran_out(
    state: &mut State,
    arguments: &[String],
    ran: &Result<(String, Option<String>), String>,
    model: &Model,
) {
    let asked = state.prompt.starting.as_deref() == Some(arguments);
    if asked {
        state.prompt.starting = None;
    }
    let open = asked && state.screen == Screen::Prompt;
    match ran {
        Ok((name, remarks)) => {
            if open {
                state.screen = Screen::View;
                state.awaited = Some(name.clone());
            }
            let remarks = remarks.as_ref();
            let remarks = remarks.map_or_else(String::new, |remarks| format!("; {remarks}"));
            tell(state, format!("started {name}{remarks}"), model);
        }
        // It stays, so that it can be mended.
        Err(why) if open => state.prompt.refused = Some(why.clone()),
        Err(why) => tell(state, format!("not started: {why}"), model),
    }
}

/// Selects what was just started, as soon as it is there.
pub(super) fn await_started(state: &mut State, model: &Model) {
    let Some(name) = &state.awaited else { return };
    let root = state.shape.root.as_deref();
    let found = model.rows().iter().find(|row| {
        last_part(&row.path) == name
            && names::identify(&row.path).owner == Owner::Ringfence
            && root.is_none_or(|root| is_in(&row.path, root))
    });
    if let Some(row) = found {
        state.go_to(&row.path.clone(), model);
        state.awaited = None;
    }
}
