//! The dashboard without a terminal: whole screens as people see them, and what must never happen.

#[path = "dashboard/acts.rs"]
mod acts;
mod common;
#[path = "dashboard/editor.rs"]
mod editor;
#[path = "dashboard/hands.rs"]
mod hands;
#[path = "dashboard/look.rs"]
mod look;
#[path = "dashboard/trial.rs"]
mod trial;
#[path = "dashboard/views.rs"]
mod views;
#[path = "dashboard/workloads.rs"]
mod workloads;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ringfence::model::Model;
use ringfence::sample::CgroupSample;
use ringfence::ui::state::{LogReach, Screen, State};
use ringfence::ui::tabs::View;
use ringfence::ui::theme::Theme;
use ringfence::ui::update::{Effect, Message, update};
use ringfence::ui::view;

/// A dashboard of a scenario's last instant.
struct Dashboard {
    model: Model,
    state: State,
}

/// A scenario's model; folded once, because some tests want it thousands of times.
fn model(scenario: &str) -> Model {
    static MODELS: Mutex<BTreeMap<String, Model>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap();
    models
        .entry(scenario.to_owned())
        .or_insert_with(|| common::scenario(scenario).model())
        .clone()
}

impl Dashboard {
    fn new(scenario: &str, width: u16, height: u16) -> Self {
        let model = model(scenario);
        let area = Rect::new(0, 0, width, height);
        let mut state = State::new(area, Duration::from_secs(1));
        update(&mut state, &Message::Model, &model);
        Self { model, state }
    }

    fn send(&mut self, event: Event) -> Option<Effect> {
        update(&mut self.state, &Message::Terminal(event), &self.model)
    }

    fn key(&mut self, code: KeyCode) -> Option<Effect> {
        self.send(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn keys(mut self, keys: &str) -> Self {
        for key in keys.chars() {
            self.key(match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                key => KeyCode::Char(key),
            });
        }
        self
    }

    fn buffer(&self) -> Buffer {
        let area = self.state.area;
        let mut terminal = Terminal::new(TestBackend::new(area.width, area.height)).unwrap();
        terminal
            .draw(|frame| view::render(frame, &self.model, &self.state, &Theme::COLOURS))
            .unwrap();
        terminal.backend().buffer().clone()
    }

    fn screen(&self) -> String {
        let buffer = self.buffer();
        let area = buffer.area;
        let mut text = String::new();
        for y in area.top()..area.bottom() {
            let mut skip = 0;
            let mut line = String::new();
            for x in area.left()..area.right() {
                let symbol = buffer[(x, y)].symbol();
                if skip == 0 {
                    line.push_str(symbol);
                    skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
                } else {
                    skip -= 1;
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn selected(&self) -> &str {
        self.state.selected().map_or("", |path| path)
    }
}

/// A large, an ordinary and a small terminal.
const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 15)];

#[test]
fn the_demo_on_three_terminals() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("demo", width, height).keys("jj");
        insta::assert_snapshot!(format!("demo_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn the_next_kill_is_foretold() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("forecast", width, height).keys("O");
        insta::assert_snapshot!(format!("forecast_{width}x{height}"), dashboard.screen());
    }
    let near = Dashboard::new("forecast", 120, 40).keys("/oom<20\nG2");
    insta::assert_snapshot!("forecast_detail_120x40", near.screen());
}

#[test]
fn whose_limit_binds_stands_beside_its_bar() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("ancestor_limit", width, height);
        insta::assert_snapshot!(format!("ancestor_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn a_limit_is_whole_also_where_its_kind_has_no_room() {
    for (width, height) in SIZES {
        for (scenario, paths, limit) in [
            ("cpuset", ["one", "below"], "1"),
            ("slowed", ["team", "web"], "64M"),
        ] {
            let screen = Dashboard::new(scenario, width, height).screen();
            // On the narrowest, CPUs have no column for it.
            if width < 80 && scenario == "cpuset" {
                continue;
            }
            for path in paths {
                let mut lines = screen.lines();
                let line = lines.find(|line| line.contains(&format!(" {path} ")));
                let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
                assert!(words.contains(&limit), "{width}x{height} {path}:\n{screen}");
            }
        }
    }
}

#[test]
fn everything_goes_by_the_name_that_people_gave_it() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("names", width, height).keys("/web\n");
        insta::assert_snapshot!(format!("names_filter_{width}x{height}"), dashboard.screen());
    }
    let all = Dashboard::new("names", 120, 40).keys("\u{1b}");
    insta::assert_snapshot!("names_120x40", all.screen());
}

#[test]
fn a_filter_finds_names_and_paths() {
    for (filter, shown, hidden) in [
        ("WEB", "● web fedcba987654", "leaker"),
        ("fedcba98765", "● web", "● db"),
        ("libpod", "● db", "● web"),
        ("machine.slice/libpod", "● db", "● web"),
        ("shop/web", "nginx", "leaker"),
        ("alice", "firefox", "leaker"),
    ] {
        let screen = Dashboard::new("names", 120, 40)
            .keys(&format!("/{filter}\n"))
            .screen();
        let tree = screen.split('├').next().unwrap();
        assert!(
            tree.contains(shown) && !tree.contains(hidden),
            "{filter}:\n{screen}"
        );
    }
}

#[test]
fn a_hybrid_host_says_why_columns_are_empty() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("hybrid", width, height);
        insta::assert_snapshot!(format!("hybrid_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn the_help_shows_keys_and_columns() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("demo", width, height).keys("?");
        insta::assert_snapshot!(format!("help_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn every_view_on_three_terminals() {
    for (width, height) in SIZES {
        for (view, keys) in [
            ("detail", "jj2"),
            ("processes", "j3"),
            ("incidents", "4"),
            ("memory", "jjCC"),
            ("palette", ":sort"),
            ("bad_filter", "//le(ak/"),
            ("typing", "/CRON"),
            ("faults", "F"),
            ("paused", "jjZ"),
        ] {
            let dashboard = Dashboard::new("demo", width, height).keys(keys);
            insta::assert_snapshot!(format!("{view}_{width}x{height}"), dashboard.screen());
        }
    }
}

#[test]
fn what_programs_kill_is_told_apart_from_the_kernels_kills() {
    for (width, height) in SIZES {
        let dashboard = Dashboard::new("killers", width, height).keys("4j");
        insta::assert_snapshot!(format!("killers_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn incidents_say_all_that_is_known_and_what_is_not() {
    for (name, keys) in [
        ("group", ""),
        ("unnamed", "j"),
        ("host", "jj"),
        ("vanished", "jjj"),
    ] {
        for (width, height) in SIZES {
            let dashboard = Dashboard::new("incidents", width, height).keys(&format!("4{keys}"));
            insta::assert_snapshot!(
                format!("incident_{name}_{width}x{height}"),
                dashboard.screen()
            );
        }
    }
}

/// A dashboard without kills, three days after the beginning of the scenarios.
fn three_days_later(width: u16, height: u16) -> Dashboard {
    let mut dashboard = Dashboard::new("throttled", width, height);
    let mut sample = dashboard.model.sample().unwrap().clone();
    sample.time += Duration::from_hours(72);
    sample.since_boot += Duration::from_hours(72);
    dashboard.model.fold(Arc::new(sample));
    dashboard
}

#[test]
fn kills_of_another_day_have_their_date() {
    let known = model("incidents");
    let mut logged: Vec<_> = known
        .incidents()
        .map(|of| of.kill.clone())
        .take(2)
        .collect();
    logged.reverse();
    logged[1].time += Duration::from_hours(70);
    for (width, height) in SIZES {
        let mut dashboard = three_days_later(width, height);
        dashboard.model.past_kills(&logged);
        let dashboard = dashboard.keys("4j");
        insta::assert_snapshot!(format!("past_kills_{width}x{height}"), dashboard.screen());
    }
}

#[test]
fn where_there_is_no_kill_it_says_how_far_back_it_knows() {
    for (width, height) in SIZES {
        let mut dashboard = three_days_later(width, height).keys("4");
        let now = dashboard.model.sample().unwrap().time;
        for (name, reach) in [
            ("unread", LogReach::Unread),
            ("boot", LogReach::Boot),
            (
                "overwritten",
                LogReach::Since(now - Duration::from_hours(50)),
            ),
        ] {
            dashboard.state.log_reach = reach;
            insta::assert_snapshot!(
                format!("no_kills_{name}_{width}x{height}"),
                dashboard.screen()
            );
        }
    }
}

#[test]
fn an_incident_that_is_too_long_for_the_screen_is_read_page_by_page() {
    let mut dashboard = Dashboard::new("incidents", 40, 15).keys("4");
    let mut read = dashboard.screen();
    assert!(read.contains(" more lines (PgDn)"), "{read}");
    while dashboard.screen().contains(" more lines (PgDn)") {
        let before = dashboard.screen();
        dashboard.key(KeyCode::PageDown);
        assert_ne!(dashboard.screen(), before);
        read.push_str(&dashboard.screen());
    }
    for words in [
        "pid 4200 (1",
        "after ",
        "memory ",
        "pid 4201 (2",
        "and 1 more",
    ] {
        assert!(read.contains(words), "{words} of {read}");
    }
    assert_eq!(dashboard.state.incidents.at, 0);
    // Another one begins at its beginning.
    let next = dashboard.keys("j");
    assert_eq!(next.state.excerpt.top, 0);
    assert!(next.screen().contains(" killed "), "{}", next.screen());
}

#[test]
fn a_filter_keeps_what_is_above() {
    let typing = Dashboard::new("demo", 80, 24).keys("/CRON");
    assert_eq!(typing.state.screen, Screen::Filter);
    insta::assert_snapshot!("filter_80x24", typing.screen());
    let kept = typing.keys("\n");
    assert!(kept.screen().contains("filter: CRON"));
    let cleared = kept.keys("\x1b");
    assert!(cleared.screen().contains("spinner"));
}

#[test]
fn one_subtree_is_shown_and_the_limits_above_it_still_bind() {
    let mut dashboard = Dashboard::new("ancestor_limit", 120, 40);
    dashboard.state.shape.root = Some("/app/modest".into());
    update(&mut dashboard.state, &Message::Model, &dashboard.model);
    assert_eq!(dashboard.state.lines.len(), 1);
    let screen = dashboard.screen();
    assert!(screen.contains("● modest"), "{screen}");
    assert!(
        screen.contains("limit 100M (memory.max of app)"),
        "{screen}"
    );
}

#[test]
fn tiny_terminals_get_a_sentence() {
    insta::assert_snapshot!("tiny_10x5", Dashboard::new("demo", 10, 5).screen());
    for (width, height) in [(10, 5), (19, 40), (120, 4)] {
        let screen = Dashboard::new("demo", width, height).screen();
        assert!(screen.contains("small"), "{width}x{height}: {screen}");
    }
}

#[test]
fn no_screen_is_without_its_frame() {
    for width in (20..=130).step_by(3) {
        for height in 5..=45 {
            for (scenario, keys) in [
                ("demo", ""),
                ("demo", "?"),
                ("hostile", "\n"),
                ("hybrid", ""),
                ("demo", "jj2"),
                ("demo", "g3"),
                ("demo", "4j"),
                ("demo", ":"),
                ("demo", "N'"),
                ("demo", "N'\n"),
                ("demo", "jL"),
                ("demo", "E"),
            ] {
                // Every height is tried for the tree only.
                if !keys.is_empty() && height % 4 != 1 {
                    continue;
                }
                let dashboard = Dashboard::new(scenario, width, height).keys(keys);
                let buffer = dashboard.buffer();
                for y in 0..height {
                    let ends = [(0, y), (width - 1, y)].map(|at| buffer[at].symbol());
                    assert!(
                        "┌│├└".contains(ends[0]) && "┐│┤┘".contains(ends[1]),
                        "{scenario} {keys} {width}x{height}:\n{}",
                        dashboard.screen()
                    );
                }
            }
        }
    }
}

#[test]
fn foreign_names_never_reach_the_screen_raw() {
    for (width, height) in SIZES {
        for down in 0..8 {
            for view in "1234".chars() {
                let dashboard = Dashboard::new("hostile", width, height)
                    .keys(&"j".repeat(down))
                    .keys(&view.to_string());
                for cell in dashboard.buffer().content() {
                    for char in cell.symbol().chars() {
                        assert!(!char.is_control(), "{char:?}");
                        assert!(!('\u{202a}'..='\u{202e}').contains(&char), "{char:?}");
                        assert_ne!(char, '\u{200b}');
                    }
                }
            }
        }
    }
    insta::assert_snapshot!("hostile_80x24", Dashboard::new("hostile", 80, 24).screen());
}

#[test]
fn nothing_is_said_by_colour_alone() {
    let dashboard = Dashboard::new("demo", 120, 40);
    let screen = dashboard.screen();
    for word in ["no limit!", "○", "▲", "16/16!", "✖", "90%"] {
        assert!(screen.contains(word), "{word}:\n{screen}");
    }
}

#[test]
fn keys_move_fold_sort_and_quit() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    assert_eq!(dashboard.selected(), "/ringfence.slice/careless");
    dashboard.key(KeyCode::Down);
    assert_eq!(dashboard.selected(), "/ringfence.slice/forker");
    dashboard.key(KeyCode::Home);
    assert_eq!(dashboard.selected(), "/ringfence.slice");
    dashboard.key(KeyCode::Left);
    assert_eq!(dashboard.state.lines.len(), 2);
    dashboard.key(KeyCode::Char('l'));
    assert_eq!(dashboard.state.lines.len(), 7);
    dashboard.key(KeyCode::Char('c'));
    dashboard.key(KeyCode::Right);
    assert_eq!(dashboard.selected(), "/ringfence.slice/spinner");
    dashboard.key(KeyCode::Char('r'));
    assert!(dashboard.screen().contains("CPU▴"));
    dashboard.key(KeyCode::Char('h'));
    assert_eq!(dashboard.selected(), "/ringfence.slice");
    dashboard.key(KeyCode::Char('n'));
    dashboard.key(KeyCode::End);
    assert_eq!(dashboard.selected(), "/system.slice");
    assert!(dashboard.screen().contains("├ system.slice ─"));
    dashboard.key(KeyCode::Enter);
    assert!(!dashboard.screen().contains("├ system.slice ─"));
    assert!(matches!(
        dashboard.key(KeyCode::Char('Z')),
        Some(Effect::Flow(_))
    ));
    assert!(dashboard.screen().contains("‖ paused"));
    assert_eq!(dashboard.key(KeyCode::Char('q')), Some(Effect::Quit));
}

#[test]
fn a_selected_workload_that_restarts_stays_selected() {
    let (sample, _) = common::scenario("demo").play().pop().unwrap();
    let mut dashboard = Dashboard::new("demo", 120, 40);
    dashboard.key(KeyCode::Down);
    dashboard.key(KeyCode::Down);
    assert_eq!(dashboard.selected(), "/ringfence.slice/leaker");
    let next = |dashboard: &mut Dashboard, change: &dyn Fn(&mut Vec<Arc<CgroupSample>>)| {
        let mut next = sample.clone();
        next.since_boot = dashboard.model.sample().unwrap().since_boot + Duration::from_secs(1);
        change(&mut next.cgroups);
        dashboard.model.fold(next.into());
        update(&mut dashboard.state, &Message::Model, &dashboard.model);
        dashboard.screen()
    };
    let away = next(&mut dashboard, &|cgroups| {
        cgroups.retain(|cgroup| !cgroup.path.ends_with("leaker"));
    });
    assert!(away.contains("├ ringfence.slice › leaker ─"), "{away}");
    assert!(
        away.contains("it may come back") && away.contains("┄✖"),
        "{away}"
    );
    for (width, height) in [(40, 15), (120, 8), (20, 5), (120, 40)] {
        dashboard.state.area = Rect::new(0, 0, width, height);
        for view in "2341".chars() {
            dashboard.key(KeyCode::Char(view));
            dashboard.screen();
        }
    }
    let back = next(&mut dashboard, &|_| {});
    assert!(
        back.contains("● leaker") && !back.contains("it may come back"),
        "{back}"
    );
    next(&mut dashboard, &|cgroups| {
        cgroups.retain(|cgroup| !cgroup.path.ends_with("leaker"));
    });
    dashboard.key(KeyCode::Down);
    assert_eq!(dashboard.selected(), "/ringfence.slice/spinner");
}

fn any_event() -> impl Strategy<Value = Option<Event>> {
    let code = prop_oneof![
        4 => prop::sample::select("jkgGhl /cmipnorZ?leak1234CFzTS=:>%(euUyNLEd+-\u{65e5}\u{1b}".chars().map(KeyCode::Char).collect::<Vec<_>>()),
        3 => prop::sample::select(vec![
            KeyCode::Up, KeyCode::Down, KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End,
            KeyCode::PageUp, KeyCode::PageDown, KeyCode::Enter, KeyCode::Esc, KeyCode::Backspace,
            KeyCode::Tab, KeyCode::BackTab, KeyCode::F(5),
        ]),
    ];
    let key = code.prop_map(|code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    let mouse = (0u16..130, 0u16..45, 0..6).prop_map(|(column, row, kind)| {
        Event::Mouse(MouseEvent {
            kind: match kind {
                0 => MouseEventKind::ScrollUp,
                1 => MouseEventKind::ScrollDown,
                2 => MouseEventKind::Drag(MouseButton::Left),
                3 => MouseEventKind::Up(MouseButton::Left),
                _ => MouseEventKind::Down(MouseButton::Left),
            },
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })
    });
    let size = prop_oneof![4 => (0u16..140, 0u16..50), 1 => Just((1, 1)), 1 => Just((80, 24))];
    let resize = size.prop_map(|(width, height)| Event::Resize(width, height));
    prop_oneof![6 => key.prop_map(Some), 2 => mouse.prop_map(Some), 1 => resize.prop_map(Some), 2 => Just(None)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_messages_breaks_the_screen(
        events in prop::collection::vec(any_event(), 1..60),
        scenario in prop::sample::select(vec!["demo", "hostile", "hybrid", "new_cgroup", "oom", "names", "marks"]),
    ) {
        let mut steps = common::scenario(scenario).play().into_iter().cycle();
        let mut dashboard = Dashboard { model: Model::new(0), state: State::new(Rect::new(0, 0, 80, 24), Duration::from_secs(1)) };
        for event in events {
            if let Some(event) = event {
                dashboard.send(event);
            } else {
                let (sample, events) = steps.next().unwrap();
                dashboard.model.fold(sample.into());
                events.iter().flatten().for_each(|event| drop(dashboard.model.event(event)));
                update(&mut dashboard.state, &Message::Model, &dashboard.model);
            }
            let lines = dashboard.state.lines.len();
            prop_assert!(
                lines == 0
                    || dashboard.state.is_away(&dashboard.model)
                    || dashboard.state.position(&dashboard.model).is_some()
            );
            prop_assert!(dashboard.state.top <= lines);
            let (state, model) = (&dashboard.state, &dashboard.model);
            let lists = [
                (View::Processes, state.processes, state.process_keys(model)),
                (View::Incidents, state.incidents, state.incident_keys(model)),
            ];
            for (view, list, keys) in lists {
                prop_assert!(view != state.view || keys.is_empty() || list.at < keys.len());
                prop_assert!(view != state.view || list.chosen.is_none_or(|chosen| keys.is_empty() || keys.contains(&chosen)));
                prop_assert!(list.top <= list.at);
            }
            let buffer = dashboard.buffer();
            for line in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
                for (x, cell) in line.iter().enumerate() {
                    let width = unicode_width::UnicodeWidthStr::width(cell.symbol());
                    prop_assert!(width >= 1 && x + width <= line.len(), "{:?}", cell);
                    // What is behind a wide one is empty.
                    prop_assert!(line[x + 1..x + width].iter().all(|cell| cell.symbol() == " "));
                }
            }
        }
    }
}
