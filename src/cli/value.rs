//! Values that several verbs take.

pub use crate::text::duration;

/// A percentage above 0; 100 is one core.
pub fn percent(text: &str) -> Result<f64, String> {
    text.trim_end_matches('%')
        .parse::<f64>()
        .ok()
        .filter(|percent| *percent > 0.0 && *percent <= 100_000.0)
        .ok_or_else(|| "a percentage above 0 is wanted; 100 is one core".to_owned())
}
