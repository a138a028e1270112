//! The views besides the tree: how one gets there, and what one does in them.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ringfence::sample::live::Interest;
use ringfence::ui::state::Screen;
use ringfence::ui::tabs::View;
use ringfence::ui::update::Effect;

use super::Dashboard;

#[test]
fn keys_walk_through_the_views_and_back() {
    let mut dashboard = Dashboard::new("demo", 120, 40).keys("jj");
    for (key, view) in [
        ('2', View::Detail),
        ('3', View::Processes),
        ('4', View::Incidents),
        ('1', View::Tree),
        ('\t', View::Detail),
        ('\t', View::Processes),
        ('\x1b', View::Tree),
    ] {
        dashboard = dashboard.keys(&key.to_string());
        assert_eq!(dashboard.state.view, view, "{key:?}");
    }
    dashboard.key(KeyCode::BackTab);
    assert_eq!(dashboard.state.view, View::Incidents);
    // From a kill to its cgroup.
    dashboard.key(KeyCode::Enter);
    assert_eq!(dashboard.state.view, View::Detail);
    let screen = dashboard.screen();
    assert!(
        screen.contains("├ detail · ringfence.slice › leaker ─"),
        "{screen}"
    );
}

#[test]
fn processes_are_a_tree_and_can_be_sorted() {
    let mut dashboard = Dashboard::new("demo", 120, 40).keys("j3");
    assert_eq!(dashboard.selected(), "/ringfence.slice/forker");
    let screen = dashboard.screen();
    for part in [
        "48103",
        "└ ringfence load sleep",
        "  └ ringfence load sleep",
        "Z",
        "pid:[4026532330]",
    ] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    dashboard.key(KeyCode::Down);
    assert_eq!(dashboard.state.processes.chosen, Some(48110));
    dashboard = dashboard.keys("mr");
    assert!(dashboard.screen().contains("RSS▴"));
    assert_eq!(dashboard.state.processes.chosen, Some(48110));
    dashboard.key(KeyCode::Home);
    assert_eq!(dashboard.state.processes.chosen, Some(48112));
    // Of the slice: with the cgroup of each, and the CPU of who was seen twice.
    let slice = Dashboard::new("demo", 120, 40).keys("g3c");
    let screen = slice.screen();
    assert!(
        screen.contains("spinner") && screen.contains(" 50% "),
        "{screen}"
    );
    assert!(
        matches!(slice.state.interest(&slice.model), Interest::Some { processes, .. } if processes.len() == 6)
    );
}

#[test]
fn processes_that_were_not_read_are_counted() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let mut sample = dashboard.model.sample().unwrap().clone();
    sample.since_boot += Duration::from_secs(1);
    for cgroup in &mut sample.cgroups {
        Arc::make_mut(cgroup).more_processes = 200;
    }
    dashboard.model.fold(Arc::new(sample));
    let screen = dashboard.keys("j3").screen();
    assert!(
        screen.contains("COMMAND  and 200 more, not read"),
        "{screen}"
    );
}

#[test]
fn filters_are_words_patterns_and_conditions() {
    let shown = |keys: &str| -> Vec<String> {
        let dashboard = Dashboard::new("demo", 120, 40).keys(keys);
        let lines = dashboard.state.lines.iter();
        lines
            .map(|line| dashboard.model.rows()[line.row].name.clone())
            .collect()
    };
    assert_eq!(
        shown("//^(spin|leak)/"),
        ["ringfence.slice", "leaker", "spinner"]
    );
    assert_eq!(shown("/mem>90%"), ["ringfence.slice", "leaker"]);
    assert_eq!(shown("/mem>50m mem<100m"), ["ringfence.slice", "leaker"]);
    assert_eq!(shown("/cpu>40% spin"), ["ringfence.slice", "spinner"]);
    let faulty = ["ringfence.slice", "forker", "leaker", "spinner", "writer"];
    assert_eq!(shown("/faults"), faulty);
    assert_eq!(shown("F"), faulty);
    assert_eq!(shown("F/leak"), ["ringfence.slice", "leaker"]);
    assert_eq!(shown("FF").len(), 7);
    // Esc takes back one after the other.
    assert_eq!(shown("F/leak\n\x1b"), faulty);
    assert_eq!(shown("F/leak\n\x1b\x1b").len(), 7);
    let bad = Dashboard::new("demo", 80, 24).keys("//le(ak/");
    assert_eq!(bad.state.lines.len(), 7);
    let why = "/le(ak/ is not a regular expression: unclosed group";
    assert!(bad.screen().contains(why), "{}", bad.screen());
}

#[test]
fn the_palette_runs_what_the_keys_do() {
    let mut dashboard = Dashboard::new("demo", 80, 24).keys(":faul\n");
    assert!(dashboard.state.shape.faults && dashboard.state.screen == Screen::View);
    dashboard = dashboard.keys(":oom");
    dashboard.key(KeyCode::Down);
    dashboard.key(KeyCode::Up);
    dashboard.key(KeyCode::Enter);
    assert_eq!(dashboard.state.view, View::Incidents);
    dashboard = dashboard.keys(":nonsense\n");
    assert_eq!(dashboard.state.screen, Screen::View);
    dashboard = dashboard.keys(":quit");
    assert_eq!(dashboard.key(KeyCode::Enter), Some(Effect::Quit));
}

#[test]
fn the_mouse_sorts_by_titles_and_switches_by_tabs() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let mut click = |column, row| {
        dashboard.send(Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }));
        dashboard.screen()
    };
    let column = |screen: &str, line: usize, word: &str| {
        let line = screen.lines().nth(line).unwrap();
        let at = line
            .find(word)
            .unwrap_or_else(|| panic!("{word} in {line}"));
        u16::try_from(line[..at].chars().count()).unwrap()
    };
    let screen = click(0, 0);
    let memory = column(&screen, 1, "MEMORY");
    assert!(click(memory, 1).contains("MEMORY▾"));
    assert!(click(memory, 1).contains("MEMORY▴"));
    let processes = column(&screen, 39, "processes");
    let screen = click(processes, 39);
    assert!(screen.contains("├ processes · "), "{screen}");
    let cpu = column(&screen, 2, "CPU");
    assert!(click(cpu, 2).contains("CPU▾"));
    let oom = column(&screen, 39, "oom");
    assert!(click(oom, 39).contains("├ OOM kills · 1 of 2"));
    let screen = click(8, 5);
    assert!(screen.contains("├ OOM kills · 2 of 2"), "{screen}");
}

#[test]
fn the_mouse_selects_and_scrolls() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let mouse = |kind, row| {
        Event::Mouse(MouseEvent {
            kind,
            column: 8,
            row,
            modifiers: KeyModifiers::NONE,
        })
    };
    dashboard.send(mouse(MouseEventKind::Down(MouseButton::Left), 4));
    assert_eq!(dashboard.selected(), "/ringfence.slice/forker");
    dashboard.send(mouse(MouseEventKind::ScrollDown, 4));
    assert_eq!(dashboard.selected(), "/ringfence.slice/writer");
    // The frame, and below the last line: nothing.
    dashboard.send(mouse(MouseEventKind::Down(MouseButton::Left), 0));
    dashboard.send(mouse(MouseEventKind::Down(MouseButton::Left), 15));
    assert_eq!(dashboard.selected(), "/ringfence.slice/writer");
}
