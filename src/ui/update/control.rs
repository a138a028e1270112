//! What came of orders.

use crate::control::worker::Outcome;
use crate::model::Model;
use crate::ui::state::State;
use crate::ui::update::Effect;

pub(super) fn outcome(state: &mut State, outcome: &Outcome, model: &Model) -> Option<Effect> {
    let _ = (state, outcome, model);
    None
}
