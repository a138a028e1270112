//! What the model knows, for programs and for pages.

pub mod advice;
pub mod events;
pub mod incident;
pub mod page;
pub mod why;

use std::fmt::Write as _;

use crate::text;

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
