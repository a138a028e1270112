//! The edges of the panels: the mouse drags them, a double click lets them go back.

use ratatui::layout::Position;

use crate::model::Model;
use crate::ui::layout::{Edge, Plan, SELECTED_LEAST, Split, TREE};
use crate::ui::state::State;
use crate::ui::tabs::View;

/// An edge in the mouse's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drag {
    edge: Edge,
    /// Whether it was moved: then it is no click.
    moved: bool,
}

/// Takes hold of an edge, if there is one.
pub(super) fn grab(state: &mut State, at: Position, model: &Model) -> bool {
    let edge = edge(state, at, model);
    state.drag = edge.map(|edge| Drag { edge, moved: false });
    if edge.is_none() {
        state.clicked = None;
    }
    edge.is_some()
}

fn edge(state: &State, at: Position, model: &Model) -> Option<Edge> {
    let plan = state.plan(model).filter(|_| state.view == View::Tree)?;
    let edges = [(plan.selected, Edge::Selected), (plan.events, Edge::Events)];
    edges
        .into_iter()
        .find(|(panel, _)| panel.is_some_and(|panel| panel.title.contains(at)))
        .map(|(_, edge)| edge)
}

/// Moves the edge to a line of the screen, as far as the panels on both sides keep their least.
pub(super) fn to(state: &mut State, line: u16, model: &Model) {
    let plan = state.plan(model).filter(|_| state.view == View::Tree);
    let (Some(drag), Some(plan)) = (state.drag, plan) else {
        return;
    };
    let now = heights(&plan);
    let Some(wanted) = moved(drag.edge, &plan, line) else {
        return;
    };
    if wanted != now {
        state.split = wanted;
        state.drag = Some(Drag {
            moved: true,
            ..drag
        });
    }
}

fn heights(plan: &Plan) -> Split {
    Split {
        selected: plan.selected.map(|panel| panel.area.height),
        events: plan.events.map(|panel| panel.area.height),
    }
}

fn moved(edge: Edge, plan: &Plan, line: u16) -> Option<Split> {
    let panel = match edge {
        Edge::Selected => plan.selected,
        Edge::Events => plan.events,
    }?;
    let now = heights(plan);
    let wanted = panel.area.bottom().saturating_sub(line + 1);
    let from_tree = plan.tree.height.saturating_sub(TREE);
    Some(match (edge, now.selected) {
        (Edge::Selected, _) => {
            let most = (panel.area.height + from_tree).max(SELECTED_LEAST);
            Split {
                selected: Some(wanted.clamp(SELECTED_LEAST, most)),
                ..now
            }
        }
        // What the events get, the panel above them gives.
        (Edge::Events, Some(above)) => {
            let both = panel.area.height + above;
            let events = wanted.clamp(1, both.saturating_sub(SELECTED_LEAST).max(1));
            Split {
                selected: Some(both.saturating_sub(events)),
                events: Some(events),
            }
        }
        (Edge::Events, None) => Split {
            events: Some(wanted.clamp(1, panel.area.height + from_tree)),
            ..now
        },
    })
}

/// Lets it go.
pub(super) fn release(state: &mut State) {
    let Some(drag) = state.drag.take() else {
        return;
    };
    state.clicked = match state.clicked {
        _ if drag.moved => None,
        Some(edge) if edge == drag.edge => {
            state.split = Split::default();
            None
        }
        _ => Some(drag.edge),
    };
}
