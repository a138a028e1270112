//! A change on trial, as the dashboard shows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence::control::make::Made;
use ringfence::control::trial::{Ending, Terms};
use ringfence::control::worker::{Lasting, Order, Outcome};
use ringfence::ui::editor::DoneState;

use super::*;

const PATH: &str = "/ringfence.slice/leaker";

impl Dashboard {
    pub(super) fn control(&mut self, char: char) -> Option<Effect> {
        self.send(Event::Key(KeyEvent::new(
            KeyCode::Char(char),
            KeyModifiers::CONTROL,
        )))
    }

    /// The demo with a change of the leaker's memory.max on trial for another four and a half minutes, the editor open.
    fn trying(width: u16, height: u16) -> Self {
        let mut dashboard = Self::editing(width, height).keys("72m");
        let effect = dashboard.control('t');
        let Some(Effect::Order(Order::Make {
            changes, lasting, ..
        })) = effect
        else {
            panic!("{effect:?}");
        };
        assert_eq!(lasting, Lasting::Trial(1, Terms::default()));
        let kept = vec![Some(changes[0].new.clone())];
        let remarks = Vec::new();
        let effect = dashboard.told(Outcome::Made {
            path: PATH.into(),
            changes,
            lasting,
            made: Ok(Made { kept, remarks }),
        });
        assert_eq!(effect, Some(Effect::Order(Order::Read(PATH.into()))));
        let now = dashboard.model.sample().expect("a sample").time;
        dashboard.state.done[0].time = SystemTime::UNIX_EPOCH;
        dashboard.state.done[0].state = DoneState::OnTrial {
            number: 1,
            end: now + Duration::from_secs(272),
        };
        dashboard
    }

    fn ended(&mut self, kept: bool) {
        let text = "taken back after 3s: a process was OOM-killed; memory.max is 64M again";
        let text = text.to_owned();
        let ending = Ending { kept, text };
        self.told(Outcome::Tried { number: 1, ending });
    }
}

fn end(keep: bool) -> Effect {
    let number = 1;
    Effect::Order(Order::EndTrial { number, keep })
}

#[test]
fn what_is_on_trial_and_how_long_on_three_terminals() {
    for (width, height) in SIZES {
        let size = format!("{width}x{height}");
        let dashboard = Dashboard::trying(width, height);
        insta::assert_snapshot!(format!("trial_in_editor_{size}"), dashboard.screen());
        let dashboard = dashboard.keys("\x1b");
        insta::assert_snapshot!(format!("trial_in_tree_{size}"), dashboard.screen());
        let dashboard = dashboard.keys("U");
        insta::assert_snapshot!(format!("trial_in_changes_{size}"), dashboard.screen());
    }
}

#[test]
fn keys_keep_it_and_take_it_back() {
    let mut dashboard = Dashboard::trying(120, 40);
    assert_eq!(dashboard.key(KeyCode::Enter), Some(end(true)));
    assert_eq!(dashboard.control('t'), Some(end(false)));
    // Only where it is chosen, and nothing is typed.
    let mut other = Dashboard::trying(120, 40);
    other.key(KeyCode::Down);
    assert_eq!(other.key(KeyCode::Enter), None);
    let mut typed = Dashboard::trying(120, 40).keys("80m");
    let effect = typed.key(KeyCode::Enter);
    assert!(
        matches!(
            effect,
            Some(Effect::Order(Order::Make {
                lasting: Lasting::Now,
                ..
            }))
        ),
        "{effect:?}"
    );
    let mut tree = Dashboard::trying(120, 40).keys("\x1b");
    assert_eq!(tree.key(KeyCode::Char('Y')), Some(end(true)));
    assert_eq!(tree.key(KeyCode::Char('u')), Some(end(false)));
    let mut changes = tree.keys("U");
    assert_eq!(changes.key(KeyCode::Enter), Some(end(false)));
}

#[test]
fn its_end_is_told_and_what_was_kept_can_be_undone() {
    let mut dashboard = Dashboard::trying(120, 40).keys("\x1b");
    dashboard.ended(false);
    assert!(
        dashboard.state.said.iter().any(|said| said
            == "trial  leaker  taken back after 3s: a process was OOM-killed; memory.max is 64M again"),
        "{:?}",
        dashboard.state.said
    );
    assert!(!dashboard.screen().contains("on trial"));
    assert_eq!(dashboard.key(KeyCode::Char('u')), None);
    assert_eq!(dashboard.key(KeyCode::Char('Y')), None);
    let mut dashboard = Dashboard::trying(120, 40).keys("\x1b");
    dashboard.ended(true);
    assert_eq!(dashboard.state.done[0].state, DoneState::Made);
    let read = Order::Read(Arc::from(PATH));
    assert_eq!(dashboard.key(KeyCode::Char('u')), Some(Effect::Order(read)));
}
