//! What `ringfence advise` says about a scenario.

mod common;

use std::sync::Arc;

use ringfence::export;
use ringfence::model::Model;
use ringfence::model::advice::Observation;

#[test]
fn each_is_advised_by_what_it_did() {
    let mut model = Model::new(0);
    let mut seen = Observation::default();
    for (sample, _) in common::scenario("advice").play() {
        model.fold(Arc::new(sample));
        seen.fold(&model);
    }
    let advice = seen.advise(&model, None);
    let text = export::advice::text(&advice, seen.lasted());
    insta::assert_snapshot!("advise_text", text.join("\n"));
}
