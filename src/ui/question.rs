//! A question before something that cannot be taken back: only `y` goes on.

use crate::control::worker::Order;

use super::state::Screen;

/// What is to be answered before an order is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is about to be done: `kill /ringfence.slice/leaker`. Foreign text inside.
    pub title: String,
    /// What exactly will happen, a sentence or a process a line. Foreign text inside.
    pub about: Vec<String>,
    /// The questions that are still to be answered with yes, one after the other.
    pub asks: Vec<String>,
    /// What is done then.
    pub order: Order,
    /// Where keys go afterwards.
    pub back: Screen,
}
