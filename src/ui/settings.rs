//! What the user has chosen before the dashboard opens: in the configuration and on the command line.

use std::sync::Arc;

use super::ascii::Ascii;
use super::keys::Keys;
use super::theme;
use crate::model::Thresholds;
use crate::model::field::Preset;
use crate::model::tree::Sort;

/// The choices, as far as there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The theme; `None` for what suits the terminal.
    pub theme: Option<theme::Name>,
    /// Whether only ASCII is drawn.
    pub ascii: Ascii,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// The columns of the tree at the start.
    pub columns: Preset,
    /// The order at the start.
    pub sort: Sort,
    /// What is closed at the start.
    pub fold: Fold,
    /// From where on it warns.
    pub warnings: Thresholds,
    /// The keys.
    pub keys: Arc<Keys>,
}

/// Which cgroups are closed at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fold {
    /// Where there are workloads or containers, what holds none of them.
    #[default]
    Auto,
    /// None.
    Open,
    /// All at the top.
    Closed,
}

impl Fold {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Open, Self::Closed];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}
