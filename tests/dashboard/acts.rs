//! Acting on cgroups and processes: what is offered, asked and refused, and that nothing is ever done
//! without a yes.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use nix::sys::signal::Signal;
use proptest::prelude::*;
use ratatui::layout::Rect;
use ringfence::control::act::survey::{ChosenOne, Member, Objections, Survey};
use ringfence::control::act::{Act, Chosen, GRACE, Target};
use ringfence::control::make::Keeper;
use ringfence::control::worker::{Order, Outcome};
use ringfence::kernel::process::held::Brief;
use ringfence::kernel::unit::Bytes;
use ringfence::ui::menu::Menu;
use ringfence::ui::state::{Screen, State};
use ringfence::ui::update::{Effect, Message, update};

use super::{Dashboard, SIZES};

const REFUSED: &str = "/ringfence.slice/forker holds ringfence itself (pid 9 ringfence) and is left \
                       alone; choose one that does not hold it";

fn brief(pid: u32, inside: u32, comm: &str) -> Brief {
    Brief {
        pid,
        start_time: 7,
        ppid: 1,
        session: 1,
        inside: Some(inside),
        comm: comm.to_owned(),
        of_kernel: false,
        zombie: false,
    }
}

/// What a look at a cgroup would find: so many processes, a foreign name among them, the last one below.
pub(super) fn survey(target: &Target, chosen: Option<&Chosen>, count: u32) -> Survey {
    let member = |n: u32| Member {
        brief: match n {
            1 => brief(48104, 2, "evil\x1b[2J\u{202e}"),
            n => brief(48103 + n, n + 1, "ringfence"),
        },
        cgroup: match n {
            2 => format!("{}/below", target.path).into(),
            _ => Arc::clone(&target.path),
        },
    };
    let one = |chosen: &Chosen| {
        ChosenOne {
        chosen: chosen.clone(),
        brief: brief(chosen.pid, 1, "ringfence"),
        home: target.clone(),
        with_it: vec![brief(48110, 2, "ringfence"), brief(48111, 3, "sleep")],
        no_signal: None,
        no_move: Some("/ringfence.slice hands memory pids on to its children, so the kernel lets no process live in it itself (EBUSY)".to_owned()),
    }
    };
    Survey {
        target: target.clone(),
        members: (0..count).map(member).collect(),
        unseen: 0,
        frozen: false,
        keeper: Keeper::Ringfence,
        workload: None,
        memory: Some((Bytes(48 << 20), Bytes(30 << 20))),
        objections: Objections {
            move_up: one(&Chosen {
                pid: 1,
                start_time: 1,
            })
            .no_move,
            ..Objections::default()
        },
        chosen: chosen.map(|chosen| Ok(one(chosen))),
    }
}

impl Dashboard {
    /// Presses a key, and answers the look that it asks for.
    pub(super) fn look(mut self, key: char, change: impl FnOnce(&mut Survey), count: u32) -> Self {
        let effect = self.key(KeyCode::Char(key));
        let Some(Effect::Order(Order::Look(target, chosen))) = effect else {
            panic!("{key:?} asks for {effect:?}");
        };
        assert_eq!(self.state.screen, Screen::Menu);
        let mut survey = survey(&target, chosen.as_ref(), count);
        change(&mut survey);
        let survey = Ok(Arc::new(survey));
        self.tell(Outcome::Looked { target, survey });
        self
    }

    pub(super) fn tell(&mut self, outcome: Outcome) -> Option<Effect> {
        update(&mut self.state, &Message::Control(outcome), &self.model)
    }

    pub(super) fn enter(&mut self) -> Option<Effect> {
        self.key(KeyCode::Enter)
    }
}

/// Beside those of the other screens.
pub(super) fn snapshot(name: &str, dashboard: &Dashboard) {
    let Rect { width, height, .. } = dashboard.state.area;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        let name = format!("dashboard__{name}_{width}x{height}");
        insta::assert_snapshot!(name, dashboard.screen());
    });
}

#[test]
fn what_can_be_done_on_three_terminals() {
    for (width, height) in SIZES {
        let forker = || Dashboard::new("demo", width, height).keys("j");
        let menu = forker().look('x', |_| (), 16);
        snapshot("act_menu", &menu);
        let last = menu.keys("G");
        snapshot("act_refused_item", &last);
        let process = forker().keys("3").look('x', |_| (), 16);
        snapshot("act_process", &process);
        let kill = forker().look('x', |_| (), 40).keys("j\n");
        snapshot("act_kill", &kill);
        let stop = forker().look('s', |_| (), 3);
        snapshot("act_stop", &stop);
        let signal = forker().keys("3").look('x', |_| (), 3).keys("j\n");
        snapshot("act_signal", &signal);
        let amount = forker().look('R', |_| (), 3);
        snapshot("act_reclaim", &amount);
        let told = forker().look(
            's',
            |survey| survey.objections.stop = Some(REFUSED.to_owned()),
            3,
        );
        snapshot("act_refused", &told);
    }
}

#[test]
fn yes_does_what_was_asked_and_no_does_not() {
    for answer in ["n", "\x1b", "Nj", "xq1\x1b"] {
        let mut dashboard = Dashboard::new("demo", 120, 40)
            .keys("j")
            .look('s', |_| (), 3);
        assert_eq!(dashboard.state.screen, Screen::Question);
        let screen = dashboard.screen();
        for part in [
            "stop /ringfence.slice/forker",
            "48103 (1 inside) ringfence",
            "48104 (2 inside) evil\\u{1b}[2J\\u{202e}",
            "48105 (3 inside) ringfence  in below",
            "Stop 3 processes? (y / n)",
        ] {
            assert!(screen.contains(part), "{part}:\n{screen}");
        }
        for key in answer.chars() {
            let code = match key {
                '\x1b' => KeyCode::Esc,
                key => KeyCode::Char(key),
            };
            assert_eq!(dashboard.key(code), None, "{answer:?}");
        }
        assert_eq!(dashboard.state.screen, Screen::View, "{answer:?}");
    }
    let mut dashboard = Dashboard::new("demo", 120, 40)
        .keys("j")
        .look('s', |_| (), 3);
    let done = dashboard.key(KeyCode::Char('y'));
    let Some(Effect::Order(Order::Act(Act::Stop(target, GRACE)))) = done else {
        panic!("{done:?}");
    };
    assert_eq!(&*target.path, "/ringfence.slice/forker");
    let said = Ok("TERM sent to 3 processes".to_owned());
    let act = Act::Stop(target, GRACE);
    dashboard.tell(Outcome::Acted { act, said });
    assert_eq!(dashboard.state.said, ["TERM sent to 3 processes"]);
    // The event log is on the screen.
    assert_eq!(dashboard.state.told, None);
}

#[test]
fn a_signal_is_for_the_chosen_process() {
    let mut dashboard = Dashboard::new("demo", 120, 40)
        .keys("j3j")
        .look('x', |_| (), 3)
        .keys("jj");
    assert_eq!(dashboard.enter(), None);
    let done = dashboard.key(KeyCode::Char('y'));
    let Some(Effect::Order(Order::Act(act))) = done else {
        panic!("{done:?}");
    };
    let Act::Signal(chosen, Signal::SIGHUP) = &act else {
        panic!("{act:?}");
    };
    assert_eq!(chosen.pid, 48110);
    // Where there is no event log, it is said at the top until the next key.
    let said = Err("pid 48110 has ended meanwhile; nothing was done".to_owned());
    dashboard.tell(Outcome::Acted { act, said });
    assert!(
        dashboard
            .screen()
            .contains("HUP to pid 48110: pid 48110 has ended meanwhile")
    );
    dashboard.key(KeyCode::Down);
    assert!(!dashboard.screen().contains("has ended meanwhile"));
}

#[test]
fn freezing_asks_nothing_and_is_undone_by_the_same_key() {
    let act = |scenario: &str, path: &str| {
        let mut dashboard = Dashboard::new(scenario, 120, 40);
        dashboard.state.selection = ringfence::ui::state::Selection::Chosen(path.into());
        let Some(Effect::Order(Order::Act(act))) = dashboard.key(KeyCode::Char('f')) else {
            panic!("no order");
        };
        act
    };
    let path = "/ringfence.slice/forker";
    assert!(matches!(act("demo", path), Act::Freeze(target) if &*target.path == path));
    let model = super::model("marks");
    let frozen = model
        .rows()
        .iter()
        .find(|row| row.mark == ringfence::model::row::Mark::Frozen);
    let path = &frozen.unwrap().path;
    assert!(matches!(act("marks", path), Act::Thaw(target) if target.path == *path));
}

#[test]
fn a_refusal_is_told_and_never_offered() {
    let mut dashboard = Dashboard::new("demo", 80, 24).keys("j").look(
        'x',
        |survey| {
            let why = Some(REFUSED.to_owned());
            let all = &mut survey.objections;
            (all.stop, all.kill, all.freeze) = (why.clone(), why.clone(), why);
        },
        3,
    );
    for _ in 0..3 {
        assert!(dashboard.screen().contains("holds ringfence itself"));
        assert_eq!(dashboard.enter(), None);
        assert_eq!(dashboard.state.screen, Screen::Menu);
        dashboard.key(KeyCode::Down);
    }
    let mut told = Dashboard::new("demo", 80, 24).keys("j").look(
        's',
        |survey| survey.objections.stop = Some(REFUSED.to_owned()),
        3,
    );
    assert!(told.screen().contains("left alone"));
    assert_eq!(told.key(KeyCode::Char('y')), None);
    assert_eq!(told.state.screen, Screen::View);
}

#[test]
fn reclaiming_takes_an_amount() {
    let mut dashboard = Dashboard::new("demo", 80, 24)
        .keys("j")
        .look('R', |_| (), 3)
        .keys("12k");
    let done = dashboard.enter();
    assert!(
        matches!(
            &done,
            Some(Effect::Order(Order::Act(Act::Reclaim(_, Bytes(12_288)))))
        ),
        "{done:?}"
    );
    let mut wrong = Dashboard::new("demo", 80, 24)
        .keys("j")
        .look('R', |_| (), 3)
        .keys("lots");
    assert_eq!(wrong.enter(), None);
    assert_eq!(wrong.state.screen, Screen::Menu);
}

#[test]
fn a_late_answer_opens_nothing() {
    let mut dashboard = Dashboard::new("demo", 80, 24).keys("j");
    let Some(Effect::Order(Order::Look(target, None))) = dashboard.key(KeyCode::Char('s')) else {
        panic!("no look");
    };
    assert!(dashboard.screen().contains("looking …"));
    // Impatient keys do nothing.
    assert_eq!(dashboard.key(KeyCode::Char('y')), None);
    dashboard.key(KeyCode::Esc);
    let survey = Ok(Arc::new(survey(&target, None, 3)));
    assert_eq!(dashboard.tell(Outcome::Looked { target, survey }), None);
    assert_eq!(dashboard.state.screen, Screen::View);
    assert!(dashboard.state.question.is_none());
}

/// A key, or a late answer to the oldest look.
fn any_step() -> impl Strategy<Value = Option<KeyCode>> {
    let char = prop::sample::select(
        "xxxsssfRMMyynjk1234 :?/qGgUeu+-7mNELd"
            .chars()
            .collect::<Vec<_>>(),
    );
    let other = prop::sample::select(vec![
        KeyCode::Enter,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Tab,
        KeyCode::Backspace,
        KeyCode::F(9),
    ]);
    prop_oneof![
        5 => char.prop_map(|char| Some(KeyCode::Char(char))),
        4 => other.prop_map(Some),
        4 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_ended_or_moved_without_a_yes(
        steps in prop::collection::vec(any_step(), 1..80),
        objects in any::<bool>(),
    ) {
        let model = super::model("demo");
        let mut state = State::new(Rect::new(0, 0, 80, 24), Duration::from_secs(1));
        update(&mut state, &Message::Model, &model);
        let mut looks = std::collections::VecDeque::new();
        for step in steps {
            let asked = state.question.clone().filter(|_| state.screen == Screen::Question);
            let message = match step {
                Some(code) => Message::Terminal(Event::Key(KeyEvent::new(code, KeyModifiers::NONE))),
                None => match looks.pop_front() {
                    None => continue,
                    Some((target, chosen)) => {
                        let mut survey = survey(&target, Option::as_ref(&chosen), 3);
                        if objects {
                            survey.objections.kill = Some(REFUSED.to_owned());
                        } else {
                            survey.objections.move_up = None;
                        }
                        let survey = Ok(Arc::new(survey));
                        Message::Control(Outcome::Looked { target, survey })
                    }
                },
            };
            match update(&mut state, &message, &model) {
                Some(Effect::Order(Order::Look(target, chosen))) => looks.push_back((target, chosen)),
                Some(Effect::Order(Order::Act(act))) if act.is_destructive() => {
                    prop_assert_eq!(step, Some(KeyCode::Char('y')));
                    let asked = asked.expect("a question was on the screen");
                    prop_assert_eq!(&asked.title, &act.to_string());
                    prop_assert_eq!(asked.order, Order::Act(act.clone()));
                    prop_assert!(!asked.about.is_empty() && asked.asks.len() == 1);
                    prop_assert!(!objects || !matches!(act, Act::Kill(_)));
                }
                _ => {}
            }
            prop_assert_eq!(state.screen == Screen::Menu, state.menu.is_some());
            if let Some(Menu::Choice { items, at, .. }) = &state.menu {
                prop_assert!(*at < items.len());
            }
        }
    }
}
