//! The keys of the views that are a list or a long page.

use crate::model::Model;
use crate::model::field::FieldId;
use crate::model::process::{By, Order};
use crate::ui::keymap::Action;
use crate::ui::listing::Listing;
use crate::ui::state::State;
use crate::ui::tabs::View;
use crate::ui::view::{detail, incidents, processes};

/// Where a key moves to in something so long, of which so much fits.
fn moved(at: usize, action: Action, length: usize, page: usize) -> Option<usize> {
    Some(match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at + 1,
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => at + page,
        Action::First => 0,
        Action::Last => length,
        _ => return None,
    })
}

fn choose(list: &mut Listing, action: Action, keys: &[u64], page: usize) {
    if let Some(to) = moved(list.at, action, keys.len(), page) {
        list.choose(to, keys);
    }
}

pub(super) fn detail(state: &mut State, action: Action, model: &Model) {
    let last = detail::last_top(state, model);
    let page = state
        .page_plan(model)
        .map_or(1, |plan| usize::from(plan.area.height));
    if let Some(to) = moved(state.detail_top, action, last, page) {
        state.detail_top = to.min(last);
    }
}

pub(super) fn processes(state: &mut State, action: Action, model: &Model) {
    match action {
        Action::Sort(by) => {
            if let Some(by) = order(by) {
                sort(state, by);
            }
        }
        Action::Reverse => state.order.reversed ^= true,
        _ => {
            let keys = state.process_keys(model);
            let page = processes::room(state, model);
            choose(&mut state.processes, action, &keys, page);
        }
    }
}

pub(super) fn sort(state: &mut State, by: By) {
    state.order = Order {
        by,
        reversed: false,
    };
}

/// What the keys that sort cgroups sort processes by.
fn order(by: FieldId) -> Option<By> {
    match by {
        FieldId::Pids => Some(By::Tree),
        FieldId::Cpu => Some(By::Cpu),
        FieldId::Memory => Some(By::Rss),
        FieldId::OomIn | FieldId::OomNext => Some(By::Oom),
        FieldId::Name => Some(By::Command),
        _ => None,
    }
}

pub(super) fn incidents(state: &mut State, action: Action, model: &Model) {
    let keys = state.incident_keys(model);
    if action == Action::Detail {
        // To what is left of it.
        let chosen = model.incidents().nth(state.incidents.at);
        if let Some(incident) =
            chosen.filter(|incident| model.row(&incident.kill.path.value).is_some())
        {
            state.go_to(&incident.kill.path.value, model);
            state.view = View::Detail;
        }
        return;
    }
    // Pages are those of the chosen one, where it does not fit.
    let last = incidents::last_top(state, model);
    if last > 0 && matches!(action, Action::PageUp | Action::PageDown) {
        let page = incidents::chosen_room(state, model)
            .saturating_sub(1)
            .max(1);
        let to = moved(state.excerpt.top, action, last, page);
        state.excerpt.top = to.map_or(0, |to| to.min(last));
        return;
    }
    let page = incidents::room(state, model);
    choose(&mut state.incidents, action, &keys, page);
}
