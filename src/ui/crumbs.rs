//! Where the selected cgroup is in the tree, as a trail of names: drawn and clicked at the same places.

use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr as _;

use super::state::{Screen, State};
use super::tabs::View;
use crate::model::row::last_part;
use crate::model::{Model, tree};
use crate::names::{self, Role, owner};
use crate::text;

/// What stands between two of them.
const BETWEEN: &str = " › ";
/// Columns of a title line in front of the text: the frame and a space.
const BEGIN: u16 = 2;

/// A title, and where in it which cgroup is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Title {
    /// The whole text, made harmless.
    pub text: String,
    /// The names in it.
    pub crumbs: Vec<Crumb>,
}

/// One name of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crumb {
    /// The cgroup's path. Foreign text.
    pub path: String,
    /// Where the name begins, in columns from the beginning of the text.
    pub x: u16,
    /// How wide it is.
    pub width: u16,
}

/// The title about the selected cgroup, on a line so wide: `detail · ringfence.slice › leaker`, in the
/// tree without the view's name but with what it is, where its name does not say so:
/// `system.slice › web · docker container 0123456789ab · /system.slice/docker-0123…`.
pub fn title(model: &Model, state: &State, width: u16) -> Title {
    let path = state.selected().map_or("", |path| path);
    let mut title = Title::default();
    if state.view != View::Tree {
        title.text = format!("{} · ", state.view.name());
    }
    let room = usize::from(width.saturating_sub(6)).saturating_sub(title.text.width());
    trail(&mut title, model, path, room);
    if state.view == View::Tree {
        title.text.push_str(&text::sanitise(&about(model, path)));
    }
    title
}

/// Adds the names of all that a path goes through; what is too long loses its beginning.
fn trail(title: &mut Title, model: &Model, path: &str, room: usize) {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    let mut parts: Vec<(&str, String)> = ends
        .chain([path.len()])
        .map(|end| &path[..end])
        .filter(|path| !path.is_empty())
        .map(|path| (path, text::sanitise(&model.label(path)).into_owned()))
        .collect();
    let width = |parts: &[(&str, String)]| {
        let names = parts.iter().map(|(_, name)| name.width());
        names.sum::<usize>() + parts.len().saturating_sub(1) * BETWEEN.width()
    };
    let mut front = 0;
    while parts.len() > 1 && front + width(&parts) > room {
        parts.remove(0);
        front = 1 + BETWEEN.width();
    }
    if front > 0 {
        title.text.push('…');
        title.text.push_str(BETWEEN);
    }
    for (at, (path, name)) in parts.iter().enumerate() {
        if at > 0 {
            title.text.push_str(BETWEEN);
        }
        let columns = |text: &str| u16::try_from(text.width()).unwrap_or(u16::MAX);
        title.crumbs.push(Crumb {
            path: (*path).to_owned(),
            x: columns(&title.text),
            width: columns(name),
        });
        title.text.push_str(name);
    }
}

/// What it is and its path, where its name there does not say so.
fn about(model: &Model, path: &str) -> String {
    if model.label(path) == last_part(path) {
        return String::new();
    }
    let identity = names::identify(path);
    let what = identity.what();
    match identity.id.as_deref() {
        Some(id) if matches!(identity.role, Role::Container | Role::Pod) => {
            format!(" · {what} {} · {path}", owner::short(id))
        }
        _ => format!(" · {what} · {path}"),
    }
}

/// The cgroup above the selected one whose name is at this position.
pub fn at(state: &State, model: &Model, at: Position) -> Option<String> {
    if matches!(state.screen, Screen::Help { .. } | Screen::Log) {
        return None;
    }
    let line: Rect = match state.view {
        View::Tree => state.plan(model)?.selected?.title,
        View::Incidents => return None,
        _ => state.page_plan(model)?.title,
    };
    if !line.contains(at) {
        return None;
    }
    let column = at.x.checked_sub(line.x + BEGIN)?;
    let title = title(model, state, line.width);
    let hit = title
        .crumbs
        .into_iter()
        .find(|crumb| (crumb.x..crumb.x.saturating_add(crumb.width)).contains(&column))?;
    let shown = state.shape.root.as_deref();
    let inside = shown.is_none_or(|root| tree::is_in(&hit.path, root));
    (inside && model.row(&hit.path).is_some()).then_some(hit.path)
}
