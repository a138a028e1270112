//! The command palette: every action by its words, from the same table as keys and help.

use super::keymap::{Binding, KEYMAP};

/// The worst rank that still is a match.
const SCATTERED: u8 = 3;

/// The actions that match what was typed, the best first; all of them for nothing.
pub fn matches(typed: &str) -> Vec<&'static Binding> {
    let typed = typed.trim().to_lowercase();
    let mut found: Vec<(u8, usize, &'static Binding)> = KEYMAP
        .iter()
        .enumerate()
        .filter_map(|(at, binding)| Some((rank(&typed, binding.about)?, at, binding)))
        .collect();
    // Scattered letters are a guess, for where nothing better was found.
    if found.iter().any(|(rank, ..)| *rank < SCATTERED) {
        found.retain(|(rank, ..)| *rank < SCATTERED);
    }
    found.sort_by_key(|(rank, at, _)| (*rank, *at));
    found.into_iter().map(|(_, _, binding)| binding).collect()
}

/// How well a text matches: the beginning, the beginning of a word, some part, or its letters in order.
fn rank(typed: &str, about: &str) -> Option<u8> {
    let about = about.to_lowercase();
    if about.starts_with(typed) {
        return Some(0);
    }
    if about.split(' ').any(|word| word.starts_with(typed)) {
        return Some(1);
    }
    if about.contains(typed) {
        return Some(2);
    }
    let mut letters = about.chars();
    typed
        .chars()
        .filter(|char| *char != ' ')
        .all(|char| letters.any(|other| other == char))
        .then_some(SCATTERED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::keymap::Action;

    #[test]
    fn words_and_letters_find_actions() {
        assert_eq!(matches("").len(), KEYMAP.len());
        assert_eq!(matches("quit")[0].action, Action::Quit);
        assert_eq!(matches("fault")[0].action, Action::Faults);
        assert_eq!(
            matches("pauthe").first().map(|found| found.action),
            Some(Action::Pause)
        );
        assert!(matches("日").is_empty());
    }
}
