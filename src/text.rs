//! Numbers for people, and names made harmless for a terminal.

pub mod ascii;

use std::borrow::Cow;
use std::time::Duration;

use humansize::{FormatSizeOptions, Kilo};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::kernel::unit::{Bytes, Limit};

/// A size as people read it, in powers of 1024: `63.1M`, `512B`, `1K`, `1.9G`. At most 5 columns below 1 E.
pub fn bytes(Bytes(size): Bytes) -> String {
    let options = FormatSizeOptions::default()
        .base_unit(humansize::BaseUnit::Byte)
        .kilo(Kilo::Binary)
        .units(Kilo::Binary)
        .decimal_places(1)
        .decimal_zeroes(0)
        .space_after_value(false);
    let text = humansize::format_size(size, options);
    // `64MiB` → `64M`, `512B` stays; from three digits on, the fraction says nothing: `512.3M` → `512M`.
    let text = text.strip_suffix("iB").unwrap_or(&text);
    match text.split_once('.') {
        Some((whole, fraction)) if whole.len() >= 3 => {
            format!(
                "{whole}{}",
                fraction.trim_start_matches(|digit: char| digit.is_ascii_digit())
            )
        }
        _ => text.to_owned(),
    }
}

/// A limit on bytes: a size, or `max`.
pub fn limit(limit: Limit<Bytes>) -> String {
    limit.value().map_or_else(|| "max".to_owned(), bytes)
}

/// A time ahead, of which the first digits matter: `14 s`, `2 min`, `3 h`.
pub fn time_left(time: Duration) -> String {
    match time.as_secs_f64().round() {
        seconds @ ..100.0 => format!("{seconds} s"),
        seconds @ ..5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}

/// A line for a terminal: harmless, and in ASCII where the locale is.
pub fn to_terminal(text: &str) -> String {
    ascii::in_locale(&sanitise(text)).into_owned()
}

/// ` (7 inside)`: the pid that a process sees itself, where that is another one.
pub fn inside(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" ({pid} inside)"))
}

/// `1 process`, `3 processes`
pub fn processes(count: usize) -> String {
    match count {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    }
}

/// A foreign name made harmless: control characters (escape sequences, newlines), bidirectional
/// overrides and characters without width become visible `\u{…}` escapes; all else is kept.
pub fn sanitise(name: &str) -> Cow<'_, str> {
    if name.chars().all(is_harmless) {
        return Cow::Borrowed(name);
    }
    name.chars()
        .fold(String::with_capacity(name.len() + 8), |mut out, char| {
            if is_harmless(char) {
                out.push(char);
            } else {
                out.extend(char.escape_default());
            }
            out
        })
        .into()
}

/// A table for people: columns padded to their widest cell, the first one to the left, the others to the
/// right, two spaces in between. One line per row, no other decoration.
pub fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.width());
            if column == 0 {
                out.extend([cell, &*padding]);
            } else {
                out.extend(["  ", &*padding, cell]);
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// As much of a text as fits into so many columns, with `…` for the rest. Never wider, whatever the width
/// of its characters.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut out: String = text
        .chars()
        .take_while(|char| {
            used += char.width().unwrap_or(0);
            used < columns
        })
        .collect();
    if columns > 0 {
        out.push('…');
    }
    out.into()
}

/// Whether a character is just drawn, in a cell of its own.
pub fn is_harmless(char: char) -> bool {
    !char.is_control()
        // U+FFFE, U+FFFF and their like are no characters, and not allowed in XML.
        && u32::from(char) & 0xfffe != 0xfffe
        && char.width().is_some_and(|width| width > 0)
        && !matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A length of time in its two largest units: `2h 5m`, `3s`.
pub fn age(time: Duration) -> String {
    let words = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    let words: Vec<&str> = words.split(' ').take(2).collect();
    words.join(" ")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (size, text) in [
            (0, "0B"),
            (512, "512B"),
            (1024, "1K"),
            (64 << 20, "64M"),
            (66_165_146, "63.1M"),
            (537_184_000, "512M"),
            (2_040_109_466, "1.9G"),
        ] {
            assert_eq!(bytes(Bytes(size)), text);
        }
    }

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(
            sanitise("a\x1b[31mb\nc\u{202e}"),
            "a\\u{1b}[31mb\\nc\\u{202e}"
        );
        assert_eq!(sanitise("日本 é"), "日本 é");
        assert_eq!(sanitise("a\u{fffe}\u{ffff}"), "a\\u{fffe}\\u{ffff}");
    }

    #[test]
    fn what_is_too_wide_is_cut_at_a_character() {
        assert_eq!(fit("leaker", 6), "leaker");
        assert_eq!(fit("leaker", 4), "lea…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本語", 1), "…");
        assert_eq!(fit("a", 0), "");
    }

    #[test]
    fn tables_are_aligned() {
        let lines = [["A", "BB"], ["日本", "1"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(table(&lines), "A     BB\n日本   1\n");
    }

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
