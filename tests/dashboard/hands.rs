//! What is done with keys and mouse: keys of one's own, edges that are dragged, names that are clicked,
//! and what stays selected and folded while cgroups come and go.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;
use ringfence::model::Thresholds;
use ringfence::model::field::{FieldId, Preset};
use ringfence::model::tree::Sort;
use ringfence::sample::Sample;
use ringfence::ui::Options;
use ringfence::ui::ascii::Ascii;
use ringfence::ui::keymap::{Action, KEYMAP};
use ringfence::ui::keys::Keys;
use ringfence::ui::layout::Split;
use ringfence::ui::settings::{Fold, Settings};
use ringfence::ui::state::State;
use ringfence::ui::tabs::View;
use ringfence::ui::theme;
use ringfence::ui::update::{Effect, Message, update};

use super::{Dashboard, common};

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Event {
    Event::Mouse(MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    })
}

const DOWN: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
const DRAG: MouseEventKind = MouseEventKind::Drag(MouseButton::Left);
const UP: MouseEventKind = MouseEventKind::Up(MouseButton::Left);

#[test]
fn keys_of_ones_own_are_in_force_and_shown_everywhere() {
    let mut keys = Keys::default();
    let key = |text: &str| text.parse().unwrap();
    keys.rebind(Action::Quit, vec![key("ctrl-q"), key("F10")]);
    keys.rebind(Action::Help, vec![key("f1")]);
    keys.rebind(Action::View(View::Processes), vec![key("P")]);
    keys.rebind(Action::Faults, Vec::new());
    let cycle = ["F9", "ctrl-up", "alt-z"].map(key).to_vec();
    keys.rebind(Action::Span, cycle);
    let mut dashboard = Dashboard::new("demo", 120, 60);
    dashboard.state.keys = Arc::new(keys);

    let footer = dashboard.screen().lines().last().unwrap().to_owned();
    assert!(
        footer.contains("F1 help · C-q quit · / filter · C columns"),
        "{footer}"
    );
    assert!(
        footer.contains("1 tree  2 detail  P processes  4 oom"),
        "{footer}"
    );
    assert_eq!(dashboard.key(KeyCode::Char('q')), None);
    dashboard.key(KeyCode::Char('P'));
    assert_eq!(dashboard.state.view, View::Processes);
    dashboard.key(KeyCode::F(1));
    let help = dashboard.screen();
    assert!(help.contains("│ C-q F10     quit"), "{help}");
    assert!(help.contains("│             faults only, or all"), "{help}");
    assert!(help.contains("│ F9 C-↑ A-z  charts over"), "{help}");
    // The help is left by the keys that are in force, too.
    dashboard.key(KeyCode::Esc);
    let palette = dashboard.keys(":quit");
    assert!(
        palette.screen().contains("C-q F10  quit"),
        "{}",
        palette.screen()
    );
    let mut dashboard = palette.keys("\x1b");
    let control = |char| Event::Key(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
    assert_eq!(dashboard.send(control('q')), Some(Effect::Quit));
    assert_eq!(dashboard.send(control('c')), Some(Effect::Quit));
}

#[test]
fn what_was_chosen_before_the_start_is_so_at_the_start() {
    let settings = Settings {
        theme: Some(theme::Name::Light),
        no_mouse: false,
        ascii: Ascii::Always,
        columns: Preset::Memory,
        sort: Sort {
            by: FieldId::Memory,
            reversed: true,
        },
        fold: Fold::Closed,
        warnings: Thresholds::NONE,
        keys: Arc::default(),
    };
    let options = Options {
        settings,
        ..Options::default()
    };
    let model = super::model("demo");
    let mut state = State::new(Rect::new(0, 0, 120, 40), Duration::from_secs(1));
    state.begin(&options, theme::Depth::Indexed, |_| None);
    update(&mut state, &Message::Model, &model);
    assert_eq!(state.theme, theme::Name::Light);
    assert!(state.ascii);
    let dashboard = Dashboard { model, state };
    let screen = dashboard.screen();
    assert!(
        screen.contains("MEMORY^") && screen.contains("ANON"),
        "{screen}"
    );
    // The slices are closed; opened by hand, they stay open.
    assert_eq!(dashboard.state.lines.len(), 2, "{screen}");
    let dashboard = dashboard.keys("gl");
    assert!(dashboard.state.lines.len() > 2, "{}", dashboard.screen());
}

/// The table of keys, as the README has it.
fn table() -> String {
    let keys = Keys::default();
    let mut table = String::from("| keys | action | what it does |\n|---|---|---|\n");
    for binding in &KEYMAP {
        let labels = keys
            .of(binding.action)
            .iter()
            .map(|key| format!("`{}`", key.label()));
        let labels = labels.collect::<Vec<_>>().join(" ");
        let about = binding.about.replace('|', "\\|");
        let name = binding.action.name();
        let _ = writeln!(table, "| {labels} | `{name}` | {about} |");
    }
    table
}

#[test]
fn the_readme_has_the_keys_that_there_are() {
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table()),
        "the table of keys in README.md has to be:\n\n{}",
        table()
    );
}

#[test]
fn edges_are_dragged_within_their_bounds_and_go_back() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let first = dashboard.state.plan(&dashboard.model).unwrap();
    let title = |dashboard: &Dashboard| {
        let plan = dashboard.state.plan(&dashboard.model).unwrap();
        (plan.selected.unwrap().title.y, plan.events.unwrap().title.y)
    };
    let (selected, events) = title(&dashboard);
    // The upper edge, three lines up: the tree gives, the events stay.
    dashboard.send(mouse(DOWN, 100, selected));
    dashboard.send(mouse(DRAG, 101, selected - 3));
    assert_eq!(title(&dashboard), (selected - 3, events));
    // As far as the tree keeps three lines, and the panel its three.
    dashboard.send(mouse(DRAG, 101, 0));
    let plan = dashboard.state.plan(&dashboard.model).unwrap();
    assert_eq!((plan.tree.height, title(&dashboard).1), (3, events));
    dashboard.send(mouse(DRAG, 101, 39));
    let plan = dashboard.state.plan(&dashboard.model).unwrap();
    assert_eq!(
        (plan.selected.unwrap().area.height, title(&dashboard).1),
        (3, events)
    );
    dashboard.send(mouse(UP, 101, 39));
    assert_eq!(dashboard.state.drag, None);
    dashboard.key(KeyCode::Char('='));
    assert_eq!(dashboard.state.plan(&dashboard.model), Some(first));

    // The lower edge: the panel above it gives.
    dashboard.send(mouse(DOWN, 100, events));
    dashboard.send(mouse(DRAG, 100, events - 2));
    dashboard.send(mouse(UP, 100, events - 2));
    assert_eq!(title(&dashboard), (selected, events - 2));
    // It fits on other sizes, too, and comes back with this one.
    dashboard.send(Event::Resize(80, 12));
    dashboard.buffer();
    dashboard.send(Event::Resize(120, 40));
    assert_eq!(title(&dashboard), (selected, events - 2));
    // A double click lets them go back; a single one, and one that moved, do not.
    for (kind, row) in [
        (DOWN, 2),
        (UP, 2),
        (DOWN, 2),
        (DRAG, 1),
        (UP, 1),
        (DOWN, 1),
        (UP, 1),
    ] {
        dashboard.send(mouse(kind, 100, events - row));
        assert_eq!(title(&dashboard), (selected, events - row));
    }
    dashboard.send(mouse(DOWN, 100, events - 1));
    dashboard.send(mouse(UP, 100, events - 1));
    assert_eq!(dashboard.state.split, Split::default());
    // Without the panel between them, the tree gives.
    dashboard.key(KeyCode::Enter);
    let plan = dashboard.state.plan(&dashboard.model).unwrap();
    let events = plan.events.unwrap().title.y;
    dashboard.send(mouse(DOWN, 100, events));
    dashboard.send(mouse(DRAG, 100, 0));
    let plan = dashboard.state.plan(&dashboard.model).unwrap();
    assert_eq!((plan.selected, plan.tree.height), (None, 3));
}

#[test]
fn an_idle_mouse_draws_nothing() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let idle = |dashboard: &Dashboard, kind| {
        Message::Terminal(mouse(kind, 50, 5)).is_idle(&dashboard.state)
    };
    for kind in [MouseEventKind::Moved, DRAG, UP] {
        assert!(idle(&dashboard, kind), "{kind:?}");
    }
    let edge = dashboard
        .state
        .plan(&dashboard.model)
        .unwrap()
        .events
        .unwrap();
    dashboard.send(mouse(DOWN, 100, edge.title.y));
    assert!(idle(&dashboard, MouseEventKind::Moved));
    assert!(!idle(&dashboard, DRAG) && !idle(&dashboard, UP));
    dashboard.send(mouse(UP, 100, edge.title.y));
    assert!(idle(&dashboard, DRAG));
}

#[test]
fn a_kill_leads_to_its_cgroup_also_where_that_is_folded_away() {
    let mut dashboard = Dashboard::new("demo", 120, 40).keys("g");
    dashboard.key(KeyCode::Left);
    assert_eq!(dashboard.state.lines.len(), 2);
    let dashboard = dashboard.keys("4\n");
    assert_eq!(dashboard.selected(), "/ringfence.slice/leaker");
    assert_eq!(dashboard.state.lines.len(), 7);
}

/// Where a text stands on the screen.
fn place(screen: &str, text: &str) -> (u16, u16) {
    let found = screen.lines().enumerate().find_map(|(y, line)| {
        let at = line.find(text)?;
        Some((line[..at].chars().count(), y))
    });
    let (x, y) = found.unwrap_or_else(|| panic!("{text} in\n{screen}"));
    (u16::try_from(x).unwrap(), u16::try_from(y).unwrap())
}

#[test]
fn names_in_a_title_lead_to_what_is_above() {
    let mut dashboard = Dashboard::new("names", 120, 40).keys("/nginx\n");
    dashboard.key(KeyCode::End);
    let screen = dashboard.screen();
    let trail = "├ kubepods.slice › burstable.slice › shop/web-7d4b9c › nginx";
    assert!(screen.contains(trail), "{screen}");
    let (x, y) = place(&screen, "shop/web-7d4b9c › nginx");
    dashboard.send(mouse(DOWN, x + 3, y));
    let pod = dashboard.selected().to_owned();
    assert!(pod.contains("/kubepods-burstable-pod"), "{pod}");
    // The same in a view about it; there it stays.
    dashboard.key(KeyCode::Char('2'));
    let screen = dashboard.screen();
    assert!(
        screen.contains("├ detail · kubepods.slice › burstable.slice › shop"),
        "{screen}"
    );
    let (x, y) = place(&screen, "burstable.slice ›");
    dashboard.send(mouse(DOWN, x, y));
    assert!(
        dashboard.selected().ends_with("kubepods-burstable.slice"),
        "{}",
        dashboard.selected()
    );
    assert_eq!(dashboard.state.view, View::Detail);
    // Between the names there is nothing to click.
    let before = dashboard.selected().to_owned();
    let (x, y) = place(&dashboard.screen(), " › burstable");
    dashboard.send(mouse(DOWN, x + 1, y));
    assert_eq!(dashboard.selected(), before);
}

/// The last instant of `names`, with the docker container `web` under another id.
fn with_another_id(second: u64) -> Sample {
    let (mut sample, _) = common::scenario("names").play().pop().unwrap();
    sample.since_boot += Duration::from_secs(second);
    for (at, cgroup) in sample.cgroups.iter_mut().enumerate() {
        let cgroup = Arc::make_mut(cgroup);
        let fresh = cgroup.path.replace("fedcba987654", "00001111aaaa");
        if *fresh != *cgroup.path {
            cgroup.path = fresh.into();
            cgroup.id = ringfence::kernel::cgroup::CgroupId(10_000 + at as u64);
        }
    }
    sample
}

#[test]
fn a_container_that_comes_back_under_another_id_is_still_selected() {
    let mut dashboard = Dashboard::new("names", 120, 40).keys("/fedcba\n\x1b");
    dashboard = dashboard.keys("/web\n");
    let at = dashboard.state.lines.iter().position(|line| {
        let row = &dashboard.model.rows()[line.row];
        row.label == "web" && row.path.contains("fedcba987654")
    });
    let position = at.unwrap();
    let model = dashboard.model.clone();
    dashboard.state.select(position, &model);
    update(&mut dashboard.state, &Message::Model, &model);
    assert!(dashboard.selected().contains("fedcba987654"));
    dashboard.model.fold(with_another_id(1).into());
    update(&mut dashboard.state, &Message::Model, &dashboard.model);
    assert!(
        dashboard.selected().contains("00001111aaaa"),
        "{}",
        dashboard.selected()
    );
    let row = dashboard.state.selected_row(&dashboard.model).unwrap();
    assert_eq!(row.label, "web");
    assert_eq!(&*row.identity, "docker web");
}

#[test]
fn folds_are_kept_by_path_and_by_name() {
    let mut dashboard = Dashboard::new("names", 120, 40);
    let model = dashboard.model.clone();
    let row = |dashboard: &Dashboard, label: &str| {
        let mut rows = dashboard.model.rows().iter();
        let row = rows.rfind(|row| row.label == label);
        row.unwrap().clone()
    };
    let (web, slice) = (row(&dashboard, "web"), row(&dashboard, "ringfence.slice"));
    dashboard.state.shape.fold(&web);
    dashboard.state.shape.fold(&slice);
    update(&mut dashboard.state, &Message::Model, &model);
    dashboard.model.fold(with_another_id(1).into());
    update(&mut dashboard.state, &Message::Model, &dashboard.model);
    let again = row(&dashboard, "web");
    assert_ne!(again.path, web.path);
    assert!(dashboard.state.shape.is_folded(&again));
    assert!(
        dashboard
            .state
            .shape
            .is_folded(&row(&dashboard, "ringfence.slice"))
    );
    // Opened again, it stays open when it comes back once more.
    dashboard.state.shape.unfold(&again);
    let mut sample = with_another_id(2);
    for cgroup in &mut sample.cgroups {
        let path = cgroup.path.replace("00001111aaaa", "22223333bbbb");
        Arc::make_mut(cgroup).path = path.into();
    }
    dashboard.model.fold(sample.into());
    update(&mut dashboard.state, &Message::Model, &dashboard.model);
    assert!(!dashboard.state.shape.is_folded(&row(&dashboard, "web")));
}

#[test]
fn the_selection_stays_on_its_cgroup_when_the_order_changes() {
    let mut dashboard = Dashboard::new("demo", 120, 40).keys("jj");
    let chosen = dashboard.selected().to_owned();
    let mut places = Vec::new();
    for key in "nrcrmrprorn".chars() {
        dashboard.key(KeyCode::Char(key));
        assert_eq!(dashboard.selected(), chosen, "{key}");
        places.push(dashboard.state.position(&dashboard.model).unwrap());
    }
    places.dedup();
    assert!(places.len() > 2, "{places:?}");
}

#[test]
fn kinds_of_cgroups_can_be_asked_for() {
    let shown = |filter: &str| {
        let dashboard = Dashboard::new("names", 120, 40).keys(&format!("/{filter}"));
        let rows = dashboard.state.lines.iter();
        let mut labels: Vec<String> = rows
            .map(|line| &dashboard.model.rows()[line.row])
            .filter(|row| row.leaf)
            .map(|row| row.label.clone())
            .collect();
        labels.sort();
        labels
    };
    assert_eq!(shown("kind:docker web"), ["web"]);
    assert!(shown("kind:podman").contains(&"db".to_owned()));
    assert!(!shown("kind:podman").contains(&"web".to_owned()));
    assert_eq!(shown("kind:docker kind:podman"), Vec::<String>::new());
    assert!(
        shown("kind:k8s")
            .iter()
            .any(|label| label.starts_with("nginx"))
    );
    let bad = Dashboard::new("names", 120, 40)
        .keys("/kind:dokcer")
        .screen();
    assert!(
        bad.contains("`kind:dokcer`: there are ringfence docker buildkit podman"),
        "{bad}"
    );
}
