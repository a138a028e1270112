//! Which key does what: one table for the dispatcher, the help, the palette and the README. The keys in
//! force, which the user may have changed, are in [`keys`](super::keys).

use crossterm::event::KeyCode;

use super::tabs::View;
use crate::model::field::FieldId;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Select the line above.
    Up,
    /// Select the line below.
    Down,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// The first line.
    First,
    /// The last line.
    Last,
    /// Close the selected cgroup, or go to its parent.
    Fold,
    /// Open the selected cgroup, or go to its first child.
    Unfold,
    /// Open or close it.
    ToggleFold,
    /// Show or hide what is known about the selected cgroup.
    Detail,
    /// Step back: to the tree, there clear the filter, then hide the detail.
    Back,
    /// Show another view.
    View(View),
    /// The view after this one.
    NextView,
    /// The view before this one.
    PreviousView,
    /// The next choice of columns.
    Columns,
    /// Only what has faults, or all again.
    Faults,
    /// The charts over minutes or over hours.
    Span,
    /// Find an action by its words.
    Palette,
    /// Type a filter.
    Filter,
    /// Sort siblings.
    Sort(FieldId),
    /// Sort them the other way round.
    Reverse,
    /// Hold the screen still, or let it go on.
    Pause,
    /// Change the limits of the selected cgroup.
    Edit,
    /// Take back the last change of a limit.
    Undo,
    /// Keep the change that is on trial.
    Keep,
    /// What was changed in this run; any of it can be taken back.
    Changes,
    /// The next theme.
    Theme,
    /// Take the mouse, or leave it to the terminal.
    Mouse,
    /// Save the screen as a picture.
    Save,
    /// Save the chosen OOM kill as a page.
    SavePage,
    /// The panels as high as at first.
    EvenPanels,
    /// Freeze the selected cgroup, or thaw it.
    Freeze,
    /// Stop it: TERM, a grace, the kill.
    Stop,
    /// Choose among all that can be done to it, or to the chosen process.
    Acts,
    /// Reclaim memory from it.
    Reclaim,
    /// Move its processes, or the chosen one, to its parent.
    MoveUp,
    /// Type a new workload.
    Run,
    /// Follow the log of the selected workload.
    Log,
    /// The workloads that are over; each can be started again or removed.
    Ended,
    /// Show the keys.
    Help,
    /// Leave.
    Quit,
}

impl Action {
    /// Its name in the configuration: `page-up`, `view-tree`, `sort-cpu`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for char in format!("{self:?}").chars() {
            if (char.is_uppercase() || char == '(') && !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if char.is_alphanumeric() {
                name.extend(char.to_lowercase());
            }
        }
        name
    }

    /// The action of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut actions = KEYMAP.iter().map(|binding| binding.action);
        actions.find(|action| action.name() == name)
    }
}

/// One entry: its keys and what they do.
#[derive(Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [KeyCode],
    /// What they ask for.
    pub action: Action,
    /// In words, for the help.
    pub about: &'static str,
}

use KeyCode::Char;

/// Every binding, in the order of the help. Ctrl-C always quits, Ctrl-S always saves, and Ctrl-Z always stops.
pub static KEYMAP: [Binding; 50] = [
    bind(&[KeyCode::Up, Char('k')], Action::Up, "line up"),
    bind(&[KeyCode::Down, Char('j')], Action::Down, "line down"),
    bind(&[KeyCode::PageUp], Action::PageUp, "page up"),
    bind(&[KeyCode::PageDown], Action::PageDown, "page down"),
    bind(&[KeyCode::Home, Char('g')], Action::First, "first line"),
    bind(&[KeyCode::End, Char('G')], Action::Last, "last line"),
    bind(
        &[KeyCode::Left, Char('h')],
        Action::Fold,
        "close, or to the parent",
    ),
    bind(
        &[KeyCode::Right, Char('l')],
        Action::Unfold,
        "open, or to the first child",
    ),
    bind(&[Char(' ')], Action::ToggleFold, "open or close"),
    bind(
        &[KeyCode::Enter],
        Action::Detail,
        "detail of the selected cgroup",
    ),
    bind(&[KeyCode::Esc], Action::Back, "back"),
    bind(&[Char('1')], Action::View(View::Tree), "tree of cgroups"),
    bind(
        &[Char('2')],
        Action::View(View::Detail),
        "everything about the selected one",
    ),
    bind(
        &[Char('3')],
        Action::View(View::Processes),
        "its processes, with both pids",
    ),
    bind(
        &[Char('4')],
        Action::View(View::Incidents),
        "OOM kills on a time line",
    ),
    bind(&[KeyCode::Tab], Action::NextView, "next view"),
    bind(&[KeyCode::BackTab], Action::PreviousView, "view before"),
    bind(
        &[Char('C')],
        Action::Columns,
        "columns: all cpu memory io psi",
    ),
    bind(
        &[Char('/')],
        Action::Filter,
        "filter; Enter keeps, Esc clears",
    ),
    bind(&[Char('F')], Action::Faults, "faults only, or all"),
    bind(
        &[Char('z')],
        Action::Span,
        "charts over 10 minutes, or 6 hours",
    ),
    bind(&[Char('n')], Action::Sort(FieldId::Name), "sort by name"),
    bind(&[Char('c')], Action::Sort(FieldId::Cpu), "sort by CPU"),
    bind(
        &[Char('m')],
        Action::Sort(FieldId::Memory),
        "sort by memory",
    ),
    bind(&[Char('i')], Action::Sort(FieldId::Io), "sort by I/O"),
    bind(
        &[Char('p')],
        Action::Sort(FieldId::Pids),
        "sort by processes",
    ),
    bind(
        &[Char('o')],
        Action::Sort(FieldId::OomKills),
        "sort by OOM kills",
    ),
    bind(
        &[Char('O')],
        Action::Sort(FieldId::OomIn),
        "sort by time until an OOM kill",
    ),
    bind(&[Char('r')], Action::Reverse, "reverse the order"),
    bind(
        &[Char('e')],
        Action::Edit,
        "edit the limits of the selected cgroup",
    ),
    bind(&[Char('u')], Action::Undo, "undo the last change"),
    bind(&[Char('Y')], Action::Keep, "keep the change on trial"),
    bind(
        &[Char('U')],
        Action::Changes,
        "changes of this run; undo any",
    ),
    bind(&[Char('f')], Action::Freeze, "freeze, or thaw"),
    bind(&[Char('s')], Action::Stop, "stop: TERM, 10 s, kill; asks"),
    bind(
        &[Char('x'), KeyCode::F(9)],
        Action::Acts,
        "act: stop, kill, signal…; asks",
    ),
    bind(&[Char('R')], Action::Reclaim, "reclaim memory"),
    bind(
        &[Char('M')],
        Action::MoveUp,
        "move processes to the parent; asks",
    ),
    bind(&[Char('N')], Action::Run, "new workload: flags, command"),
    bind(&[Char('L')], Action::Log, "follow the log of a workload"),
    bind(
        &[Char('E')],
        Action::Ended,
        "ended workloads: start, remove",
    ),
    bind(&[Char('Z')], Action::Pause, "pause the screen"),
    bind(&[Char('T')], Action::Theme, "theme: next"),
    bind(
        &[Char('v')],
        Action::Mouse,
        "mouse: for this, or to select text",
    ),
    bind(
        &[Char('S')],
        Action::Save,
        "save the screen as SVG; C-s in dialogs",
    ),
    bind(
        &[Char('P')],
        Action::SavePage,
        "save the chosen OOM kill as HTML",
    ),
    bind(
        &[Char('=')],
        Action::EvenPanels,
        "panels as high as at first",
    ),
    bind(&[Char(':')], Action::Palette, "find a command by its words"),
    bind(&[Char('?')], Action::Help, "help: this page"),
    bind(&[Char('q')], Action::Quit, "quit"),
];

const fn bind(keys: &'static [KeyCode], action: Action, about: &'static str) -> Binding {
    Binding {
        keys,
        action,
        about,
    }
}

/// A key as people read it.
pub fn label(key: KeyCode) -> String {
    match key {
        Char(' ') => "Space".to_owned(),
        Char(char) => char.to_string(),
        KeyCode::Up => "↑".to_owned(),
        KeyCode::Down => "↓".to_owned(),
        KeyCode::Left => "←".to_owned(),
        KeyCode::Right => "→".to_owned(),
        KeyCode::PageUp => "PgUp".to_owned(),
        KeyCode::PageDown => "PgDn".to_owned(),
        KeyCode::BackTab => "S-Tab".to_owned(),
        KeyCode::F(number) => format!("F{number}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        let keys: Vec<&KeyCode> = KEYMAP.iter().flat_map(|binding| binding.keys).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key:?}");
        }
    }

    #[test]
    fn every_action_has_a_name_of_its_own() {
        let names: Vec<String> = KEYMAP.iter().map(|entry| entry.action.name()).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
            assert_eq!(Action::named(name), Some(KEYMAP[at].action));
        }
        for name in ["page-up", "view-tree", "sort-oom-kills", "toggle-fold"] {
            assert!(names.iter().any(|other| other == name), "{name}");
        }
    }
}
