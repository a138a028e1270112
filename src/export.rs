//! What the model knows, for programs and for pages.

pub mod advice;
pub mod events;
pub mod incident;
pub mod page;
pub mod why;

use std::fmt::Write as _;

use serde::Serialize;

use crate::text;

/// The version of what `events`, `why`, `advise` and `get` print with `--json`. It grows by one where a field goes or means
/// something else; new fields may come at any time.
const SCHEMA: u32 = 1;

/// An object of JSON with the version of its fields; `None` where it cannot be written.
pub fn json<T: Serialize>(fields: &T) -> Option<String> {
    #[derive(Serialize)]
    struct Object<'a, T> {
        schema: u32,
        #[serde(flatten)]
        fields: &'a T,
    }
    let object = Object {
        schema: SCHEMA,
        fields,
    };
    Some(harmless(&serde_json::to_string(&object).ok()?))
}

/// JSON in which nothing means anything to a terminal: by itself, it escapes only the lower control
/// characters.
fn harmless(json: &str) -> String {
    let mut units = [0; 2];
    json.chars()
        .fold(String::with_capacity(json.len()), |mut out, char| {
            if text::is_harmless(char) {
                out.push(char);
            } else {
                for unit in char.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            out
        })
}
