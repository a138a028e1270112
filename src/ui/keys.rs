//! The keys in force: those of [`KEYMAP`], or what the user put in their place. The dispatcher, the help,
//! the palette and the hints all ask here.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr as _;

use super::keymap::{self, Action, Binding, KEYMAP};

/// A key, with what is held down beside it: Control, Alt or nothing. Shift is part of the key: `K`, `shift-tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    held: KeyModifiers,
}

/// Columns for keys in a list: at least and at most.
const COLUMNS: (usize, usize) = (7, 16);

/// The keys that have a name, as people write it; the first name of a key is the one that is printed.
const NAMED: [(&str, KeyCode); 23] = [
    ("space", KeyCode::Char(' ')),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("page-up", KeyCode::PageUp),
    ("pageup", KeyCode::PageUp),
    ("pgup", KeyCode::PageUp),
    ("page-down", KeyCode::PageDown),
    ("pagedown", KeyCode::PageDown),
    ("pgdn", KeyCode::PageDown),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("enter", KeyCode::Enter),
    ("return", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("escape", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("shift-tab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("del", KeyCode::Delete),
    ("insert", KeyCode::Insert),
];

impl Key {
    /// Always quits, whatever else is bound.
    const QUIT: Self = Self {
        code: KeyCode::Char('c'),
        held: KeyModifiers::CONTROL,
    };

    /// Always saves the screen.
    const SAVE: Self = Self {
        code: KeyCode::Char('s'),
        held: KeyModifiers::CONTROL,
    };

    /// A key by itself.
    pub const fn plain(code: KeyCode) -> Self {
        Self {
            code,
            held: KeyModifiers::NONE,
        }
    }

    /// What the terminal told. Letters with Control have no case.
    pub fn of(event: KeyEvent) -> Self {
        let held = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
        let code = match event.code {
            KeyCode::Char(char) if held.contains(KeyModifiers::CONTROL) => {
                KeyCode::Char(char.to_ascii_lowercase())
            }
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
            code => code,
        };
        Self { code, held }
    }

    /// As the screen shows it: `↑`, `PgUp`, `C-k`.
    pub fn label(self) -> String {
        let mut label = String::new();
        for (held, front) in [(KeyModifiers::CONTROL, "C-"), (KeyModifiers::ALT, "A-")] {
            if self.held.contains(held) {
                label.push_str(front);
            }
        }
        label + &keymap::label(self.code)
    }
}

/// As the configuration has it: `up`, `page-up`, `ctrl-k`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, front) in [
            (KeyModifiers::CONTROL, "ctrl-"),
            (KeyModifiers::ALT, "alt-"),
        ] {
            if self.held.contains(held) {
                f.write_str(front)?;
            }
        }
        match NAMED.iter().find(|(_, code)| *code == self.code) {
            Some((name, _)) => f.write_str(name),
            None => f.write_str(&keymap::label(self.code)),
        }
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is not a key: k, K, ctrl-k, alt-x, F9, space, enter, esc, up, page-up and shift-tab are"
            )
        };
        let mut held = KeyModifiers::NONE;
        let mut shift = false;
        let mut rest = text;
        let code = loop {
            let lower = rest.to_lowercase();
            if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == lower) {
                break *code;
            }
            let number = lower.strip_prefix('f').and_then(|n| n.parse().ok());
            if let Some(number @ 1..=24) = number {
                break KeyCode::F(number);
            }
            let mut chars = rest.chars();
            if let (Some(char), None) = (chars.next(), chars.next()) {
                if char.is_control() || char.is_whitespace() {
                    return Err(bad());
                }
                break KeyCode::Char(char);
            }
            let (front, after) = rest.split_once('-').ok_or_else(bad)?;
            match &*front.to_lowercase() {
                "ctrl" | "control" | "c" => held |= KeyModifiers::CONTROL,
                "alt" | "meta" | "a" => held |= KeyModifiers::ALT,
                "shift" | "s" => shift = true,
                _ => return Err(bad()),
            }
            rest = after;
        };
        let code = match code {
            KeyCode::Char(char) if held.contains(KeyModifiers::CONTROL) => {
                KeyCode::Char(char.to_ascii_lowercase())
            }
            KeyCode::Char(char) if shift && char.is_ascii_alphabetic() => {
                KeyCode::Char(char.to_ascii_uppercase())
            }
            KeyCode::Tab if shift => KeyCode::BackTab,
            KeyCode::BackTab => KeyCode::BackTab,
            _ if shift => {
                return Err(format!(
                    "`{text}`: shift goes with letters and with tab only"
                ));
            }
            code => code,
        };
        let key = Self { code, held };
        // Control makes one byte of a letter, and these bytes are other keys.
        let same_as = match (held.contains(KeyModifiers::CONTROL), code) {
            (true, KeyCode::Char('i')) => Some("tab"),
            (true, KeyCode::Char('m')) => Some("enter"),
            (true, KeyCode::Char('[')) => Some("esc"),
            _ => None,
        };
        match same_as {
            Some(same) => Err(format!(
                "`{text}` cannot be told from `{same}` by a terminal"
            )),
            None if key == Self::QUIT => Err(format!("`{text}` always quits")),
            None if key == Self::SAVE => Err(format!("`{text}` always saves the screen")),
            None => Ok(key),
        }
    }
}

/// Which keys ask for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Beside each entry of [`KEYMAP`].
    bound: Vec<Vec<Key>>,
}

impl Default for Keys {
    fn default() -> Self {
        let keys = |binding: &Binding| binding.keys.iter().copied().map(Key::plain).collect();
        Self {
            bound: KEYMAP.iter().map(keys).collect(),
        }
    }
}

impl Keys {
    /// What a key asks for. Ctrl-C always quits, Ctrl-S always saves the screen.
    pub fn action(&self, event: KeyEvent) -> Option<Action> {
        let key = Key::of(event);
        if key == Key::QUIT {
            return Some(Action::Quit);
        }
        if key == Key::SAVE {
            return Some(Action::Save);
        }
        self.all()
            .find(|(_, keys)| keys.contains(&key))
            .map(|(binding, _)| binding.action)
    }

    /// Every entry of the table, with its keys.
    pub fn all(&self) -> impl Iterator<Item = (&'static Binding, &[Key])> {
        KEYMAP.iter().zip(self.bound.iter().map(Vec::as_slice))
    }

    /// The keys of an action; none where the user took them away.
    pub fn of(&self, action: Action) -> &[Key] {
        self.all()
            .find(|(binding, _)| binding.action == action)
            .map_or(&[], |(_, keys)| keys)
    }

    /// The keys of an action as the screen shows them: `↑ k`; empty where there are none.
    pub fn labels(&self, action: Action) -> String {
        let labels: Vec<String> = self.of(action).iter().map(|key| key.label()).collect();
        labels.join(" ")
    }

    /// The first key of an action as the screen shows it.
    pub fn label(&self, action: Action) -> Option<String> {
        self.of(action).first().map(|key| key.label())
    }

    /// Columns that the keys of an action need at most, within what a list has for them.
    pub fn columns(&self) -> usize {
        let widths = KEYMAP
            .iter()
            .map(|binding| self.labels(binding.action).width());
        widths.max().unwrap_or(0).clamp(COLUMNS.0, COLUMNS.1)
    }

    /// Gives an action other keys, in place of those that it has.
    pub fn rebind(&mut self, action: Action, keys: Vec<Key>) {
        let at = KEYMAP.iter().position(|binding| binding.action == action);
        if let Some(bound) = at.and_then(|at| self.bound.get_mut(at)) {
            *bound = keys;
        }
    }

    /// A key that two actions have, with both: nobody could tell which is meant.
    pub fn clash(&self) -> Option<(Key, Action, Action)> {
        let mut seen: Vec<(Key, Action)> = Vec::new();
        for (binding, keys) in self.all() {
            for key in keys {
                match seen.iter().find(|(other, _)| other == key) {
                    Some((_, other)) if *other != binding.action => {
                        return Some((*key, *other, binding.action));
                    }
                    _ => seen.push((*key, binding.action)),
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::field::FieldId;

    fn key(text: &str) -> Key {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn keys_are_read_as_people_write_them() {
        let plain = Key::plain;
        for (text, expected) in [
            ("k", plain(KeyCode::Char('k'))),
            ("K", plain(KeyCode::Char('K'))),
            ("shift-k", plain(KeyCode::Char('K'))),
            ("-", plain(KeyCode::Char('-'))),
            ("f", plain(KeyCode::Char('f'))),
            ("F9", plain(KeyCode::F(9))),
            ("space", plain(KeyCode::Char(' '))),
            ("Up", plain(KeyCode::Up)),
            ("PgUp", plain(KeyCode::PageUp)),
            ("shift-tab", plain(KeyCode::BackTab)),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
        assert_eq!(key("ctrl-K"), key("Ctrl-k"));
        assert_eq!(key("ctrl--").label(), "C--");
        for text in [
            "k",
            "K",
            "-",
            "F12",
            "space",
            "up",
            "page-down",
            "shift-tab",
            "ctrl-k",
            "alt-x",
            "é",
        ] {
            assert_eq!(key(text).to_string(), text);
        }
        for (text, why) in [
            ("", "is not a key"),
            ("F0", "is not a key"),
            ("kk", "is not a key"),
            ("hyper-k", "is not a key"),
            ("ctrl-", "is not a key"),
            ("ctrl-c", "always quits"),
            ("ctrl-s", "always saves"),
            ("ctrl-i", "cannot be told from `tab`"),
            ("shift-F9", "letters and with tab"),
        ] {
            let error = text.parse::<Key>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn control_c_quits_and_c_sorts() {
        let mut keys = Keys::default();
        let with =
            |keys: &Keys, modifiers| keys.action(KeyEvent::new(KeyCode::Char('c'), modifiers));
        assert_eq!(with(&keys, KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(
            with(&keys, KeyModifiers::NONE),
            Some(Action::Sort(FieldId::Cpu))
        );
        assert_eq!(with(&keys, KeyModifiers::ALT), None);
        keys.rebind(Action::Quit, Vec::new());
        assert_eq!(with(&keys, KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(keys.label(Action::Quit), None);
    }

    #[test]
    fn a_key_that_two_actions_have_is_found() {
        let mut keys = Keys::default();
        assert_eq!(keys.clash(), None);
        keys.rebind(Action::Quit, vec![key("ctrl-q"), key("k")]);
        assert_eq!(keys.clash(), Some((key("k"), Action::Up, Action::Quit)));
        keys.rebind(Action::Up, vec![key("up")]);
        assert_eq!(keys.clash(), None);
        assert_eq!(keys.labels(Action::Quit), "C-q k");
        assert_eq!(
            keys.action(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL)),
            Some(Action::Quit)
        );
    }
}
