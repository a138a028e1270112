//! The editor of limits, without a kernel: its sheet is read from files like the kernel's.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use ringfence::control::make::Made;
use ringfence::control::sheet::Sheet;
use ringfence::control::worker::{Lasting, Order, Outcome};
use ringfence::kernel::cgroup::knob::{Address, Knob};
use ringfence::kernel::io::Device;
use ringfence::kernel::obstacle::Obstacle;
use ringfence::kernel::unit::{Bytes, Reading};
use ringfence::model::change::{Gravity, Setting};
use ringfence::ui::editor::Draft;

use super::*;

const VDA: Device = Device {
    major: 254,
    minor: 0,
};

/// The leaker of the demo, as files.
fn sheet() -> Sheet {
    let mount = tempfile::tempdir().unwrap();
    let own = mount.path().join("ringfence.slice/leaker");
    fs::create_dir_all(&own).unwrap();
    for above in own.ancestors().skip(1).take(2) {
        fs::write(above.join("cgroup.procs"), "").unwrap();
    }
    for (file, text) in [
        ("cgroup.procs", ""),
        ("memory.current", "65011712\n"),
        ("memory.max", "67108864\n"),
        ("memory.high", "max\n"),
        ("memory.low", "0\n"),
        ("memory.min", "0\n"),
        ("memory.oom.group", "1\n"),
        ("cpu.max", "50000 100000\n"),
        ("cpu.weight", "100\n"),
        ("cpu.idle", "0\n"),
        ("cpuset.cpus", "\n"),
        (
            "io.max",
            "254:0 rbps=max wbps=2097152 riops=max wiops=max\n",
        ),
        ("pids.max", "16\n"),
        ("pids.current", "1\n"),
    ] {
        fs::write(own.join(file), text).unwrap();
    }
    let addresses = Knob::ALL
        .into_iter()
        .filter(|knob| *knob != Knob::IoWeight)
        .map(|knob| Address {
            knob,
            device: (knob == Knob::IoMax).then_some(VDA),
        });
    let addresses = addresses.map(|address| (address, None));
    let path = Path::new("ringfence.slice/leaker");
    let mut sheet = Sheet::read(mount.path(), path, addresses).unwrap();
    sheet.mount = "/sys/fs/cgroup".into();
    sheet.setting = Setting {
        host_memory: Some(Bytes(2 << 30)),
        host_cpus: "0-1".parse().unwrap(),
        page: 4096,
        ..sheet.setting
    };
    let host = &mut sheet.chain.now.host;
    host.memory_total = Reading::Value(Bytes(2 << 30));
    host.memory_available = Reading::Value(Bytes(3 << 29));
    host.cpus = 2;
    for line in &mut sheet.lines {
        // The kernel says why memory.swap.max is not there.
        if line.address.knob == Knob::SwapMax {
            line.missing = Some(Obstacle::new(
                "this kernel does not account swap, so there is no memory.swap.max",
                "it takes one with CONFIG_SWAP that was not booted with swapaccount=0",
            ));
        }
        if line.address.knob == Knob::IoMax {
            line.disk = Some("vda".to_owned());
        }
    }
    sheet
}

impl Dashboard {
    pub(super) fn told(&mut self, outcome: Outcome) -> Option<Effect> {
        update(&mut self.state, &Message::Control(outcome), &self.model)
    }

    /// The demo with the editor of the leaker open.
    pub(super) fn editing(width: u16, height: u16) -> Self {
        let mut dashboard = Self::new("demo", width, height);
        let path: Arc<str> = "/ringfence.slice/leaker".into();
        dashboard.state.selection = ringfence::ui::state::Selection::Chosen(Arc::clone(&path));
        let effect = dashboard.key(KeyCode::Char('e'));
        assert_eq!(effect, Some(Effect::Order(Order::Read(Arc::clone(&path)))));
        dashboard.told(Outcome::Sheet {
            path,
            sheet: Ok(Arc::new(sheet())),
        });
        dashboard
    }

    fn typed(&self) -> &str {
        &self.state.editor.as_ref().unwrap().typed
    }

    fn order(&mut self, key: KeyCode) -> Option<Order> {
        match self.key(key) {
            Some(Effect::Order(order)) => Some(order),
            _ => None,
        }
    }
}

#[test]
fn the_editor_on_three_terminals() {
    for (width, height) in SIZES {
        let size = format!("{width}x{height}");
        let editing = || Dashboard::editing(width, height);
        insta::assert_snapshot!(format!("editor_{size}"), editing().screen());
        let typed = editing().keys("48m");
        insta::assert_snapshot!(format!("editor_typed_{size}"), typed.screen());
        let asked = typed.keys("\n");
        insta::assert_snapshot!(format!("editor_asked_{size}"), asked.screen());
        let mut missing = editing();
        (0..4).for_each(|_| {
            missing.key(KeyCode::Down);
        });
        insta::assert_snapshot!(format!("editor_missing_{size}"), missing.screen());
    }
}

#[test]
fn the_list_of_changes_on_three_terminals() {
    for (width, height) in SIZES {
        let size = format!("{width}x{height}");
        let mut dashboard = Dashboard::editing(width, height).keys("72m");
        let Some(Order::Make { changes, .. }) = dashboard.order(KeyCode::Enter) else {
            panic!("no order");
        };
        let kept = vec![Some(changes[0].new.clone())];
        dashboard.told(Outcome::Made {
            path: "/ringfence.slice/leaker".into(),
            changes,
            lasting: Lasting::Now,
            made: Ok(Made {
                kept,
                remarks: Vec::new(),
            }),
        });
        dashboard.state.done[0].time = std::time::UNIX_EPOCH;
        let dashboard = dashboard.keys("\x1bU");
        insta::assert_snapshot!(format!("changes_{size}"), dashboard.screen());
    }
}

#[test]
fn what_is_dangerous_is_asked_twice_and_no_is_no() {
    let mut dashboard = Dashboard::editing(120, 40).keys("48m");
    assert_eq!(dashboard.key(KeyCode::Enter), None);
    assert_eq!(dashboard.state.screen, Screen::Question);
    assert_eq!(dashboard.key(KeyCode::Enter), None);
    assert_eq!(dashboard.key(KeyCode::Char('n')), None);
    assert_eq!(dashboard.state.screen, Screen::Editor);
    assert_eq!(dashboard.typed(), "48m");
    assert_eq!(dashboard.key(KeyCode::Enter), None);
    assert_eq!(dashboard.key(KeyCode::Char('y')), None);
    let order = dashboard.order(KeyCode::Char('y'));
    let Some(Order::Make { changes, .. }) = order else {
        panic!("{order:?}");
    };
    assert_eq!(changes[0].write().text(), (48 << 20).to_string());
}

#[test]
fn what_is_harmless_is_written_at_once_and_what_is_the_same_is_not() {
    let mut dashboard = Dashboard::editing(120, 40).keys("72m");
    assert!(matches!(
        dashboard.order(KeyCode::Enter),
        Some(Order::Make {
            lasting: Lasting::Now,
            ..
        })
    ));
    let mut dashboard = Dashboard::editing(120, 40).keys("64m");
    assert_eq!(dashboard.key(KeyCode::Enter), None);
    assert!(dashboard.screen().contains("that is what it is already"));
}

#[test]
fn steps_and_the_mouse_move_the_value() {
    let mut dashboard = Dashboard::editing(120, 40).keys("++");
    assert_eq!(dashboard.typed(), "80m");
    dashboard.key(KeyCode::Left);
    assert_eq!(dashboard.typed(), "72m");
    let screen = dashboard.screen();
    let row = screen
        .lines()
        .position(|line| line.contains("│ memory.max"))
        .unwrap();
    let begin = screen.lines().nth(row).unwrap();
    let begin = begin.chars().position(|char| char == '━').unwrap();
    let mut mouse = |kind, column: usize| {
        dashboard.send(Event::Mouse(MouseEvent {
            kind,
            column: u16::try_from(column).unwrap(),
            row: u16::try_from(row).unwrap(),
            modifiers: KeyModifiers::NONE,
        }));
        dashboard.typed().to_owned()
    };
    assert_eq!(mouse(MouseEventKind::Down(MouseButton::Left), begin), "1m");
    let further = mouse(MouseEventKind::Drag(MouseButton::Left), begin + 20);
    assert!(
        further.parse::<Bytes>().unwrap() > Bytes(64 << 20),
        "{further}"
    );
    // The end of a bar that does not reach what the host has is not `max`.
    assert_eq!(mouse(MouseEventKind::Drag(MouseButton::Left), 200), "256m");
    mouse(MouseEventKind::Up(MouseButton::Left), begin);
    assert_eq!(
        mouse(MouseEventKind::Drag(MouseButton::Left), begin),
        "256m"
    );
}

#[test]
fn a_click_on_a_limit_of_the_selected_cgroup_edits_it() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let screen = dashboard.screen();
    let row = screen.lines().position(|line| line.contains("● leaker"));
    let row = u16::try_from(row.unwrap()).unwrap();
    let mut click = |column| {
        dashboard.send(Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }))
    };
    // The first one selects it.
    assert_eq!(click(70), None);
    let order = Order::Read("/ringfence.slice/leaker".into());
    assert_eq!(click(70), Some(Effect::Order(order)));
    dashboard.told(Outcome::Sheet {
        path: "/ringfence.slice/leaker".into(),
        sheet: Ok(Arc::new(sheet())),
    });
    let slot = dashboard.state.editor.as_ref().unwrap().slot().unwrap();
    assert_eq!(slot.address.knob, Knob::MemoryMax);
}

#[test]
fn a_cgroup_made_anew_does_not_get_what_was_typed_for_the_old_one() {
    let mut dashboard = Dashboard::editing(120, 40).keys("80m");
    let mut anew = sheet();
    anew.inode += 1;
    dashboard.told(Outcome::Sheet {
        path: "/ringfence.slice/leaker".into(),
        sheet: Ok(Arc::new(anew)),
    });
    assert_eq!(dashboard.typed(), "");
    assert!(dashboard.screen().contains("the cgroup was made anew"));
    dashboard.told(Outcome::Sheet {
        path: "/ringfence.slice/leaker".into(),
        sheet: Err("open /sys/fs/cgroup/ringfence.slice/leaker: No such file or directory".into()),
    });
    assert_eq!(dashboard.keys("8m").key(KeyCode::Enter), None);
}

#[test]
fn what_others_take_a_limit_to_be_is_asked_once_and_shown() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    let path: Arc<str> = "/ringfence.slice/leaker".into();
    dashboard.state.selection = ringfence::ui::state::Selection::Chosen(Arc::clone(&path));
    dashboard.key(KeyCode::Char('e'));
    let sheet = Arc::new(sheet());
    let read = || Outcome::Sheet {
        path: Arc::clone(&path),
        sheet: Ok(Arc::clone(&sheet)),
    };
    let ask = Some(Effect::Order(Order::Ask(Arc::clone(&sheet))));
    assert_eq!(dashboard.told(read()), ask);
    assert_eq!(dashboard.told(read()), None);
    let drift =
        "podman takes it to be 32M, and brings that back when it starts the container again";
    dashboard.told(Outcome::Drifts {
        path: Arc::clone(&path),
        drifts: vec![(Knob::MemoryMax.into(), drift.to_owned())],
    });
    let screen = dashboard.screen();
    assert!(screen.contains(&format!("≠ {drift}")), "{screen}");
    assert!(screen.contains("≠ 62M used"), "{screen}");
}

#[test]
fn pasted_text_is_text_and_nothing_else() {
    let mut dashboard = Dashboard::editing(120, 40);
    dashboard.send(Event::Paste("1\u{1b}[2Jm\u{7}日\ny".into()));
    assert_eq!(dashboard.typed(), "1[2Jm");
    assert_eq!(dashboard.state.screen, Screen::Editor);
    let mut tree = Dashboard::new("demo", 120, 40);
    assert_eq!(tree.send(Event::Paste("qx".into())), None);
    assert_eq!(tree.state.screen, Screen::View);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is typed: what is dangerous is never ordered without two times yes since it was typed.
    #[test]
    fn nothing_dangerous_happens_without_two_yes(
        keys in prop::collection::vec(prop::sample::select("0123456789kmg+-maxyynq\n\n\x14\x1b\t".chars().collect::<Vec<_>>()), 1..80),
        downs in 0usize..14,
    ) {
        let mut dashboard = Dashboard::editing(100, 30);
        for _ in 0..downs {
            dashboard.key(KeyCode::Down);
        }
        let mut yes = 0;
        for key in keys {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                key => KeyCode::Char(key),
            };
            let asked = dashboard.state.screen == Screen::Question;
            let draft = dashboard.state.editor.as_ref().map(ringfence::ui::editor::Editor::draft);
            let effect = match key {
                '\x14' => dashboard.control('t'),
                _ => dashboard.key(code),
            };
            yes = match (asked, key) {
                (true, 'y') => yes + 1,
                (true, 'n' | '\x1b') | (false, _) => 0,
                (true, _) => yes,
            };
            if let Some(Effect::Order(Order::Make { changes, .. })) = effect {
                let worst = changes[0].at_least(Gravity::Note).map(|remark| remark.gravity).max();
                prop_assert!(worst < Some(Gravity::Impossible));
                prop_assert!(worst < Some(Gravity::Danger) || yes == 2, "{:?} after {} yes", changes[0], yes);
                // What is ordered is what was seen.
                if let Some(Draft::Change(draft)) = draft {
                    prop_assert_eq!(&draft.new, &changes[0].new);
                }
            }
            dashboard.buffer();
        }
    }
}
