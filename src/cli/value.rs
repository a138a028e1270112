//! Values that several verbs take.

use std::time::SystemTime;

use nix::sys::signal::Signal;

pub use crate::text::duration;

/// A moment: so long ago (`10m`), or a time in RFC 3339 (`2026-07-01T12:03:41Z`).
pub fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    duration(text)
        .ok()
        .and_then(|ago| SystemTime::now().checked_sub(ago))
        .ok_or_else(|| {
            "so long ago is wanted, 10m or 2h, or a time: 2026-07-01T12:03:41Z".to_owned()
        })
}

/// A percentage above 0; 100 is one core.
pub fn percent(text: &str) -> Result<f64, String> {
    text.trim_end_matches('%')
        .parse::<f64>()
        .ok()
        .filter(|percent| *percent > 0.0 && *percent <= 100_000.0)
        .ok_or_else(|| "a percentage above 0 is wanted; 100 is one core".to_owned())
}

/// A signal by its name (`TERM`, `sigterm`) or its number.
pub fn signal(text: &str) -> Result<Signal, String> {
    let found = if let Ok(number) = text.parse::<i32>() {
        Signal::try_from(number).ok()
    } else {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        format!("SIG{name}").parse().ok()
    };
    found.ok_or_else(|| "no such signal: TERM, HUP or 15 is wanted".to_owned())
}
