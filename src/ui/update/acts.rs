//! The keys that act on a cgroup or a process, and the menu that some of them open.

use crossterm::event::{KeyCode, KeyEvent};

use super::{Effect, is_text};
use crate::control::worker::Outcome;
use crate::model::Model;
use crate::ui::keymap::Action;
use crate::ui::menu::{self, Menu, Then, Wish};
use crate::ui::state::{Flow, Screen, State};
use crate::ui::tabs::View;

/// What an action wants, if it is one of these.
fn wish(action: Action) -> Option<Wish> {
    Some(match action {
        Action::Acts => Wish::Menu,
        Action::Stop => Wish::Stop,
        Action::Reclaim => Wish::Reclaim,
        Action::MoveUp => Wish::MoveUp,
        _ => return None,
    })
}

/// Begins with one of the actions. What ends or moves something is looked at first, so that the question
/// says what is so now.
pub(super) fn begin(state: &mut State, action: Action, model: &Model) -> Option<Effect> {
    let order = match wish(action) {
        None => menu::freeze_or_thaw(state, model),
        Some(wish) => Menu::begin(state, wish, model).map(|(menu, order)| {
            state.menu = Some(menu);
            state.screen = Screen::Menu;
            order
        }),
    };
    match order {
        Ok(order) => Some(Effect::Order(order)),
        Err(why) => {
            tell(state, why.to_owned(), model);
            None
        }
    }
}

/// What came of an order.
pub(super) fn outcome(state: &mut State, outcome: &Outcome, model: &Model) -> Option<Effect> {
    match outcome {
        Outcome::Looked { target, survey } => {
            // Whoever closed it meanwhile wants no answer any more.
            let wish = match (&state.menu, state.screen) {
                (
                    Some(Menu::Looking {
                        target: asked,
                        wish,
                    }),
                    Screen::Menu,
                ) if asked == target => *wish,
                _ => return None,
            };
            go(state, Menu::looked(target, wish, survey))
        }
        Outcome::Acted { act, said } => {
            match said {
                Ok(said) => tell(state, said.clone(), model),
                Err(why) => tell(state, format!("{act}: {why}"), model),
            }
            None
        }
        _ => None,
    }
}

/// Goes on with what was chosen.
fn go(state: &mut State, then: Then) -> Option<Effect> {
    state.menu = None;
    state.screen = Screen::View;
    match then {
        Then::Ask(question) => {
            state.question = Some(question);
            state.screen = Screen::Question;
            None
        }
        Then::Do(order) => Some(Effect::Order(order)),
        Then::Show(menu) => {
            state.menu = Some(menu);
            state.screen = Screen::Menu;
            None
        }
    }
}

/// Says something in the event log, and at the top where the log is not seen.
pub(super) fn tell(state: &mut State, text: String, model: &Model) {
    let has_log = state.plan(model).is_some_and(|plan| plan.events.is_some());
    let covered = state.screen != Screen::View || state.view != View::Tree;
    if covered || state.flow == Flow::Paused || !has_log {
        state.told = Some(text.clone());
    }
    state.said.push(text);
}

fn close(state: &mut State) {
    state.menu = None;
    state.screen = Screen::View;
}

/// A key while the menu is open.
pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    let then = match &mut state.menu {
        None | Some(Menu::Told { .. }) => {
            close(state);
            return None;
        }
        Some(_) if key.code == KeyCode::Esc => {
            close(state);
            return None;
        }
        Some(Menu::Looking { .. }) => return None,
        Some(Menu::Choice { items, at, .. }) => {
            let last = items.len().saturating_sub(1);
            match key.code {
                KeyCode::Up | KeyCode::BackTab | KeyCode::Char('k') => *at = at.saturating_sub(1),
                KeyCode::Down | KeyCode::Tab | KeyCode::Char('j') => *at = (*at + 1).min(last),
                KeyCode::Home | KeyCode::Char('g') => *at = 0,
                KeyCode::End | KeyCode::Char('G') => *at = last,
                KeyCode::Char('q') => close(state),
                KeyCode::Enter => {
                    // What cannot be done stays, with the reason below it.
                    let then = items.get(*at).map(|item| item.then.clone());
                    return go(state, then?.ok()?);
                }
                _ => {}
            }
            return None;
        }
        Some(Menu::Amount(amount)) => match key.code {
            KeyCode::Enter => amount.order().ok().map(Then::Do),
            KeyCode::Up | KeyCode::Char('+') => {
                amount.step(true);
                None
            }
            KeyCode::Down | KeyCode::Char('-') => {
                amount.step(false);
                None
            }
            KeyCode::Backspace => {
                amount.pop();
                None
            }
            KeyCode::Char(char) if is_text(key) && !char.is_control() => {
                amount.push(char);
                None
            }
            _ => None,
        },
    };
    go(state, then?)
}
