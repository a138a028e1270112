//! What `ringfence events` prints about the scenarios: words, and JSON with its fields.

mod common;

use std::sync::Arc;

use ringfence::export::events;
use ringfence::model::{Happening, Model};
use ringfence::sample::Event;
use serde_json::Value;

/// Every line about a scenario, in order, and the same in JSON; events may be changed before.
fn lines(name: &str, change: impl Fn(&mut Event)) -> (Vec<String>, Vec<String>) {
    let (mut text, mut json) = (Vec::new(), Vec::new());
    let mut model = Model::new(0);
    let mut tell = |model: &Model, happening: &Happening| {
        text.extend(events::text(model, happening));
        json.extend(events::json(model, happening));
    };
    for (sample, happened) in common::scenario(name).play() {
        for happening in model.fold(Arc::new(sample)) {
            tell(&model, &happening);
        }
        for mut event in happened.into_iter().flatten() {
            change(&mut event);
            if let Some(happening) = model.event(&event) {
                tell(&model, &happening);
            }
        }
    }
    (text, json)
}

#[test]
fn kills_and_what_became_of_them_are_told_in_words() {
    let (text, _) = lines("incidents", |_| {});
    insta::assert_snapshot!("events_text", text.join("\n"));
}

#[test]
fn the_fields_of_json_stay() {
    let (_, json) = lines("incidents", |_| {});
    insta::assert_snapshot!("events_json", json.join("\n"));
}

#[test]
fn what_programs_kill_is_told_apart_and_not_counted() {
    let (text, json) = lines("killers", |_| {});
    insta::assert_snapshot!("killers_text", text.join("\n"));
    insta::assert_snapshot!("killers_json", json.join("\n"));
    let model = common::scenario("killers").model();
    let row = model.row("/system.slice/web.service").unwrap();
    assert_eq!(row.oom_kills.value(), Some(&0));
}

#[test]
fn warnings_are_said_once_and_when_they_are_over() {
    let (text, _) = lines("warnings", |_| {});
    insta::assert_snapshot!("warnings_text", text.join("\n"));
}

#[test]
fn the_fields_of_warnings_stay() {
    let (_, json) = lines("warnings", |_| {});
    insta::assert_snapshot!("warnings_json", json.join("\n"));
}

#[test]
fn a_kill_that_is_foretold_is_a_warning() {
    let (text, json) = lines("forecast", |_| {});
    insta::assert_snapshot!("forecast_text", text.join("\n"));
    insta::assert_snapshot!("forecast_json", json.join("\n"));
}

#[test]
fn limits_that_are_met_and_changed_are_told() {
    let (text, json) = lines("limits_met", |_| {});
    insta::assert_snapshot!("limits_text", text.join("\n"));
    insta::assert_snapshot!("limits_json", json.join("\n"));
}

#[test]
fn the_readme_has_every_field() {
    let readme = include_str!("../README.md");
    let (_, mut json) = lines("incidents", |_| {});
    json.extend(lines("killers", |_| {}).1);
    json.extend(lines("warnings", |_| {}).1);
    json.extend(lines("limits_met", |_| {}).1);
    json.extend(lines("forecast", |_| {}).1);
    for line in json {
        let mut values = vec![serde_json::from_str::<Value>(&line).unwrap()];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        assert!(readme.contains(&format!("`{name}`")), "{name}");
                        // Those in there have the kernel's names.
                        if name != "memory_stat" {
                            values.push(value);
                        }
                    }
                }
                Value::Array(inside) => values.extend(inside),
                _ => {}
            }
        }
    }
}

#[test]
fn foreign_text_means_nothing_to_a_terminal() {
    let hostile = "a\x1b[2J\n\u{202e}\u{9b}m\u{200b}";
    let (text, json) = lines("incidents", |event| {
        if let Event::OomKill(kill) = event {
            kill.path.value = format!("/{hostile}").into();
            for victim in &mut kill.victims {
                victim.comm = hostile.to_owned();
            }
        }
    });
    assert!(!text.is_empty() && !json.is_empty());
    let harmful = |char: char| !ringfence::text::is_harmless(char);
    for line in text.iter().chain(&json) {
        assert!(!line.contains(harmful), "{line:?}");
    }
    // And to a program it means what it is.
    let comm = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        Some(line["victims"][0]["comm"].as_str()?.to_owned())
    };
    let names: Vec<String> = json.iter().filter_map(comm).collect();
    assert_eq!(names, [hostile, hostile]);
}
