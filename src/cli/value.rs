//! Values that several verbs take.

use std::time::Duration;

/// Shorter times would only keep the machine busy; longer ones are a mistake.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_hours(30 * 24);

/// A length of time: a plain number of seconds (`20`, `0.5`) or with units (`10s`, `2m 30s`, `500ms`).
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    seconds
        .filter(|time| (LEAST..=MOST).contains(time))
        .ok_or_else(|| "a time such as 20, 0.5, 10s or 2m is wanted, 10 ms to 30 days".to_owned())
}

/// A percentage above 0; 100 is one core.
pub fn percent(text: &str) -> Result<f64, String> {
    text.trim_end_matches('%')
        .parse::<f64>()
        .ok()
        .filter(|percent| *percent > 0.0 && *percent <= 100_000.0)
        .ok_or_else(|| "a percentage above 0 is wanted; 100 is one core".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, millis) in [
            ("20", 20_000),
            ("0.5", 500),
            ("10s", 10_000),
            ("2m", 120_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "nan",
            "inf",
            "1e300",
            "1e-9",
            "99999d",
            "10 parsecs",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
