//! How it looks: themes, ASCII, the picture of a screen, and the table for those who hear it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use ringfence::ui::theme::{Depth, Name, Theme};
use ringfence::ui::{plain, save, view};

use super::{Dashboard, SIZES, model};

/// Every scenario there is.
fn scenarios() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 11);
    names
}

/// How one gets to each view and dialog.
const VIEWS: [(&str, &str); 12] = [
    ("tree", ""),
    ("detail", "2"),
    ("processes", "3"),
    ("incidents", "4"),
    ("help", "?"),
    ("palette", ":sort"),
    ("filter", "/CRON"),
    ("memory", "CC"),
    ("paused", "Z"),
    ("editor", "32m"),
    ("question", "32m\n"),
    ("changes", "U"),
];

/// A view or dialog of a scenario; in the demo, with the leaker selected.
fn shown(scenario: &str, (width, height): (u16, u16), (name, keys): (&str, &str)) -> Dashboard {
    let dashboard = match name {
        // Its sheet is the demo's.
        "editor" | "question" => Dashboard::editing(width, height),
        _ => Dashboard::new(scenario, width, height).keys("jj"),
    };
    dashboard.keys(keys)
}

fn drawn(dashboard: &Dashboard, theme: &Theme) -> Buffer {
    let area = dashboard.state.area;
    let mut terminal = Terminal::new(TestBackend::new(area.width, area.height)).unwrap();
    terminal
        .draw(|frame| view::render(frame, &dashboard.model, &dashboard.state, theme))
        .unwrap();
    terminal.backend().buffer().clone()
}

#[test]
fn in_ascii_every_cell_is_ascii_and_stays_where_it_was() {
    for scenario in scenarios() {
        for (width, height) in SIZES.into_iter().chain([(10, 5)]) {
            for (name, keys) in VIEWS {
                let mut dashboard = shown(&scenario, (width, height), (name, keys));
                let before = dashboard.buffer();
                dashboard.state.ascii = true;
                let after = dashboard.buffer();
                for (was, is) in before.content.iter().zip(&after.content) {
                    let place = format!("{scenario} {name} {width}x{height}: {was:?}");
                    assert!(is.symbol().len() == 1, "{place}");
                    let char = is.symbol().chars().next().unwrap();
                    assert!(char == ' ' || char.is_ascii_graphic(), "{place}");
                    assert!(!was.symbol().is_ascii() || was == is, "{place}");
                    assert_eq!((was.fg, was.bg, was.modifier), (is.fg, is.bg, is.modifier));
                }
            }
        }
    }
    for (width, height) in SIZES {
        let mut dashboard = Dashboard::new("demo", width, height).keys("jj");
        dashboard.state.ascii = true;
        insta::assert_snapshot!(format!("ascii_{width}x{height}"), dashboard.screen());
    }
}

/// The styles of some screens, shortly: a letter for each, and how many cells have it.
fn styles(screens: &[(&str, Buffer)]) -> String {
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    let mut maps = String::new();
    let colour = |colour: Color| match colour {
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        other => other.to_string().to_lowercase(),
    };
    let look = |cell: &Cell| {
        let mut look = format!("{} on {}", colour(cell.fg), colour(cell.bg));
        for (name, _) in cell.modifier.iter_names() {
            let _ = write!(look, " {}", name.to_lowercase());
        }
        look
    };
    for (name, buffer) in screens {
        let _ = writeln!(maps, "\n{name}");
        for line in buffer.content.chunks(buffer.area.width.into()) {
            let mut runs: Vec<(usize, char)> = Vec::new();
            for cell in line {
                let next = char::from(b'a' + u8::try_from(letters.len()).unwrap());
                let letter = *letters.entry(look(cell)).or_insert(next);
                match runs.last_mut() {
                    Some((count, last)) if *last == letter => *count += 1,
                    _ => runs.push((1, letter)),
                }
            }
            let runs = runs
                .iter()
                .map(|(count, letter)| format!("{count}{letter}"));
            let _ = writeln!(maps, "{}", runs.collect::<String>());
        }
    }
    let mut legend: Vec<(&String, &char)> = letters.iter().collect();
    legend.sort_by_key(|(_, letter)| **letter);
    let legend = legend
        .iter()
        .map(|(look, letter)| format!("{letter} {look}\n"));
    legend.collect::<String>() + &maps
}

#[test]
fn every_theme_on_every_view() {
    for name in Name::ALL {
        let theme = Theme::of(name, Depth::Millions);
        let screens: Vec<(&str, Buffer)> = VIEWS
            .into_iter()
            .filter(|(view, _)| !matches!(*view, "memory" | "paused"))
            .map(|view| (view.0, drawn(&shown("demo", (80, 24), view), &theme)))
            .collect();
        insta::assert_snapshot!(format!("theme_{name}"), styles(&screens));
        for (view, buffer) in &screens {
            for cell in &buffer.content {
                let blinks = Modifier::SLOW_BLINK | Modifier::RAPID_BLINK | Modifier::HIDDEN;
                assert!(!cell.modifier.intersects(blinks), "{name} {view}: {cell:?}");
                let painted = theme.base.bg.is_none() || cell.bg != Color::Reset;
                assert!(painted && (cell.fg != Color::Reset || theme.base.fg.is_none()));
            }
        }
    }
}

/// Beside each other on the screen as the table of a theme says, not only in the table.
#[test]
fn what_is_drawn_is_legible() {
    let light = |colour: Color| {
        let Color::Rgb(red, green, blue) = colour else {
            panic!("{colour:?} depends on the terminal")
        };
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) + 0.05
    };
    for (name, least) in [
        (Name::Dark, 4.5),
        (Name::Light, 4.5),
        (Name::ColourBlind, 4.5),
        (Name::HighContrast, 7.0),
    ] {
        let theme = Theme::of(name, Depth::Millions);
        for (view, keys) in VIEWS {
            let dashboard = shown("demo", (120, 40), (view, keys));
            for cell in drawn(&dashboard, &theme).content {
                let (mut text, mut ground) = (light(cell.fg), light(cell.bg));
                if text < ground {
                    (text, ground) = (ground, text);
                }
                let contrast = text / ground;
                assert!(
                    cell.symbol() == " " || contrast >= least,
                    "{name} {view} {contrast:.1}: {cell:?}"
                );
            }
        }
    }
}

#[test]
fn themes_are_switched_by_key_and_by_palette() {
    let mut dashboard = Dashboard::new("demo", 120, 40);
    dashboard.state.depth = Depth::Millions;
    dashboard.state.theme = Name::Dark;
    dashboard = dashboard.keys("T");
    assert_eq!(dashboard.state.theme, Name::Light);
    assert!(dashboard.screen().contains("theme: light"));
    dashboard = dashboard.keys(":theme: next\n");
    assert_eq!(dashboard.state.theme, Name::HighContrast);
    dashboard.state.depth = Depth::Sixteen;
    assert_eq!(dashboard.keys("T").state.theme, Name::Sixteen);
}

#[test]
fn a_saved_picture_is_what_is_on_the_screen() {
    let dashboard = Dashboard::new("demo", 80, 24).keys("jj2");
    for (name, ground) in [
        (Name::Light, "rx=\"8\" fill=\"#fafbfc\""),
        (Name::HighContrast, "rx=\"8\" fill=\"#000000\""),
        (Name::Sixteen, "rx=\"8\" fill=\"#11151c\""),
    ] {
        let theme = Theme::of(name, Depth::Millions);
        let svg = save::draw(&dashboard.model, &dashboard.state, &theme).unwrap();
        assert!(svg.contains(ground), "{svg}");
        // Every word of the screen, in order.
        let texts: String = svg
            .split("<text ")
            .skip(1)
            .filter_map(|text| text.split_once('>')?.1.split_once("</text>"))
            .map(|(text, _)| text)
            .collect();
        let texts = texts
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(squeezed(&texts), squeezed(&dashboard.screen()), "{name}");
    }
}

#[test]
fn a_picture_never_overwrites_another_file() {
    let folder = tempfile::tempdir().unwrap();
    for (picture, file) in [
        ("a", "ringfence-x.svg"),
        ("b", "ringfence-x-2.svg"),
        ("c", "ringfence-x-3.svg"),
    ] {
        let path = save::write(folder.path(), "ringfence-x", "svg", picture).unwrap();
        assert_eq!(path, folder.path().join(file));
        assert_eq!(fs::read_to_string(path).unwrap(), picture);
    }
    let nowhere = save::write(Path::new("/no/such/folder"), "x", "svg", "").unwrap_err();
    assert!(
        nowhere.to_string().starts_with("/no/such/folder/x.svg: "),
        "{nowhere}"
    );
}

#[test]
fn the_key_asks_for_a_picture() {
    let mut dashboard = Dashboard::new("demo", 80, 24);
    let effect = dashboard.key(KeyCode::Char('S'));
    assert_eq!(effect, Some(ringfence::ui::update::Effect::Save));
}

#[test]
fn the_plain_table_can_be_heard() {
    for scenario in scenarios().into_iter().filter(|name| name != "hostile") {
        let model = model(&scenario);
        let mut out = Vec::new();
        plain::notes(&mut out, &model, model.notes()).unwrap();
        plain::table(&mut out, &model, None).unwrap();
        let text = String::from_utf8(out).unwrap();
        let glyph = text
            .chars()
            .find(|char| matches!(char, '\u{2190}'..='\u{2bff}' | '\u{b7}' | '\u{2026}'));
        assert_eq!(glyph, None, "{scenario}:\n{text}");
        for line in text.lines().skip_while(|line| !line.starts_with("NAME")) {
            // What a mark says is said in words at the end of the line.
            let (words, marked) = (line.rsplit(' ').next().unwrap(), line.contains('!'));
            let said = ["no-limit", "forks-refused", "capped"];
            let said = said.iter().any(|word| words.contains(word));
            assert!(!marked || said, "{scenario}: {line}");
        }
    }
    let mut out = Vec::new();
    plain::table(&mut out, &model("demo"), None).unwrap();
    let text = String::from_utf8(out).unwrap();
    for (name, state) in [
        ("forker", "running,forks-refused"),
        ("spinner", "running,throttled"),
        ("writer", "running,stalled-io,write-capped"),
        ("careless", "no-limit!"),
    ] {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.ends_with(state), "{line}");
    }
}

#[test]
fn the_chosen_kill_is_saved_where_it_is_shown() {
    let mut dashboard = Dashboard::new("incidents", 80, 24);
    assert_eq!(dashboard.key(KeyCode::Char('P')), None);
    assert!(dashboard.screen().contains("┄✖") || dashboard.screen().contains("◆"));
    let effect = dashboard.key(KeyCode::Char('P'));
    let newest = dashboard.model.incidents().next().unwrap().number;
    assert_eq!(
        effect,
        Some(ringfence::ui::update::Effect::SavePage(newest))
    );
}
