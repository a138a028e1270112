//! The views, and their names as tabs at the bottom: drawn and clicked at the same places.

use unicode_width::UnicodeWidthStr as _;

use super::keymap::Action;
use super::keys::Keys;

/// What the screen is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Every cgroup.
    #[default]
    Tree,
    /// The selected cgroup in full.
    Detail,
    /// The processes of the selected cgroup and of those below it.
    Processes,
    /// The OOM kills on a time line.
    Incidents,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 4] = [Self::Tree, Self::Detail, Self::Processes, Self::Incidents];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Detail => "detail",
            Self::Processes => "processes",
            Self::Incidents => "oom",
        }
    }

    /// The one after it; after the last the first.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// The one before it; before the first the last.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::ALL[(self as usize + Self::ALL.len() - 1) % Self::ALL.len()]
    }
}

/// A tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// Which view it is for.
    pub view: View,
    /// What stands on it.
    pub label: String,
    /// Where it begins, in columns from the left of the screen.
    pub x: u16,
    /// How wide it is.
    pub width: u16,
}

/// Where the first tab begins: behind the corner of the frame and a space.
const BEGIN: u16 = 2;
/// On terminals narrower than this, only the current one has its name.
const NARROW: u16 = 60;

/// The tabs of a screen so wide.
pub fn tabs(width: u16, current: View, keys: &Keys) -> Vec<Tab> {
    let mut x = BEGIN;
    View::ALL
        .into_iter()
        .map(|view| {
            let named = width >= NARROW || view == current;
            let label = match (keys.label(Action::View(view)), named) {
                (Some(key), true) => format!("{key} {}", view.name()),
                (Some(key), false) => key,
                (None, true) => view.name().to_owned(),
                (None, false) => view.name()[..1].to_owned(),
            };
            let width = u16::try_from(label.width()).unwrap_or(0);
            let tab = Tab {
                view,
                label,
                x,
                width,
            };
            x += width + 2;
            tab
        })
        .collect()
}

/// The view whose tab is at this column.
pub fn at(width: u16, current: View, keys: &Keys, column: u16) -> Option<View> {
    tabs(width, current, keys)
        .into_iter()
        .find(|tab| (tab.x..tab.x + tab.width).contains(&column))
        .map(|tab| tab.view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_meets_what_is_drawn() {
        let mut keys = Keys::default();
        keys.rebind(Action::View(View::Processes), Vec::new());
        for width in [20, 40, 120] {
            for view in View::ALL {
                for tab in tabs(width, view, &keys) {
                    assert_eq!(at(width, view, &keys, tab.x), Some(tab.view));
                    assert_eq!(at(width, view, &keys, tab.x + tab.width), None);
                }
                assert_eq!(view.next().previous(), view);
            }
        }
    }
}
