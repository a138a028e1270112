//! Every file of `tests/scenarios` that expects something of the model.

mod common;

use std::path::Path;

use ringfence::model::field::{self, FIELDS};
use ringfence::model::peaks::{self, Entry};

#[test]
fn the_model_answers_as_each_scenario_expects() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = Vec::new();
    for path in paths {
        let scenario = common::load(&path);
        let file = path.file_stem().unwrap().to_string_lossy();
        let model = scenario.model();
        let mut check = |what: String, found: &str, expected: &str| {
            if found != expected {
                wrong.push(format!(
                    "{file}: {what}: expected {expected}, found {found}"
                ));
            }
        };
        for (path, fields) in &scenario.expect {
            let Some(row) = model.row(path) else {
                check(path.clone(), "no row", "a row");
                continue;
            };
            for (key, expected) in fields {
                let field = FIELDS
                    .iter()
                    .find(|field| field.key == key)
                    .unwrap_or_else(|| panic!("{file}: no field {key}"));
                check(
                    format!("{path} {key}"),
                    &(field.value)(row).text(),
                    expected,
                );
            }
        }
        for (path, expected) in &scenario.marks {
            let found = model.row(path).map(field::state_words);
            let found = found.unwrap_or_else(|| "no row".to_owned());
            check(format!("{path} state"), &found, expected);
        }
        for (path, expected) in &scenario.labels {
            let found = model.row(path).map_or("no row", |row| &row.label);
            check(format!("{path} label"), found, expected);
        }
        if let Some(expected) = &scenario.notes {
            let found: Vec<&str> = model.notes().map(|note| &*note.text).collect();
            check("notes".into(), &found.join("\n"), &expected.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_summary_tells_what_was_reached() {
    let model = common::scenario("demo").model();
    let paths = ["careless", "forker", "leaker", "spinner", "writer"]
        .map(|name| (name, format!("/ringfence.slice/{name}")));
    let entries: Vec<Entry> = paths
        .iter()
        .map(|(name, path)| Entry {
            name,
            peaks: model.peaks(path).unwrap(),
            restarts: Some(u64::from(*name == "leaker")),
        })
        .collect();
    insta::assert_snapshot!("summary", peaks::summary(&entries));
}
