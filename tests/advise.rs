//! What `ringfence advise` says about a scenario.

mod common;

use std::sync::Arc;
use std::time::Duration;

use ringfence::export;
use ringfence::kernel::systemd::Unit;
use ringfence::model::Model;
use ringfence::model::advice::{Advice, Observation};
use yaml_rust2::YamlLoader;

fn advice() -> (Vec<Advice>, Duration) {
    let mut model = Model::new(0);
    let mut seen = Observation::default();
    for (sample, _) in common::scenario("advice").play() {
        model.fold(Arc::new(sample));
        seen.fold(&model);
    }
    (seen.advise(&model, None), seen.lasted())
}

#[test]
fn each_is_advised_by_what_it_did() {
    let (advice, lasted) = advice();
    let text = export::advice::text(&advice, lasted);
    insta::assert_snapshot!("advise_text", text.join("\n"));
    let json = advice.iter().map(|one| export::advice::json(one).unwrap());
    insta::assert_snapshot!("advise_json", json.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_unit_is_advised_as_a_drop_in() {
    let (advice, lasted) = advice();
    let lines = export::advice::systemd(&advice, lasted, |one| {
        let (name, of_user) = match &*one.name {
            "careless" => ("careless.service", None),
            "killed" => ("killed.scope", None),
            "slow" => ("slow.slice", Some(1000)),
            _ => return None,
        };
        Some(Unit {
            name: name.to_owned(),
            of_user,
        })
    });
    insta::assert_snapshot!("advise_systemd", lines.join("\n"));
}

#[test]
fn a_container_is_advised_as_a_service_of_compose() {
    let (mut advice, lasted) = advice();
    let hostile = "yes: \"#\n\u{202e}";
    for one in &mut advice {
        if one.name == "careless" {
            hostile.clone_into(&mut one.name);
        }
    }
    let text = export::advice::compose(&advice, lasted).join("\n");
    insta::assert_snapshot!("advise_compose", text);
    let read = &YamlLoader::load_from_str(&text).unwrap()[0]["services"];
    assert_eq!(read["slow"]["cpus"].as_f64(), Some(0.35));
    assert_eq!(read["tight"]["mem_limit"].as_str(), Some("74m"));
    assert_eq!(read["forker"]["pids_limit"].as_i64(), Some(40));
    assert_eq!(read[hostile]["pids_limit"].as_i64(), Some(32));
}
