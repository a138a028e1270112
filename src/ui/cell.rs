//! How each typed value of the catalogue looks in so many columns of the screen.

use std::sync::Arc;

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use crate::kernel::unit::{Limit, Percent, Reading};
use crate::model::field::{self, Value};
use crate::model::limit::{Ceiling, Of, Quantity};
use crate::model::row::{Kind, Row};
use crate::model::state::states;
use crate::text;

/// From this share of a limit on, a bar warns.
const CLOSE: f64 = 0.9;

/// What stands for a value that is not available here, and for one that could not be read.
pub const NOT_AVAILABLE: &str = "·";
/// See [`NOT_AVAILABLE`].
pub const UNREADABLE: &str = "?";

/// Draws a value into `width` columns: never more, and exactly as many where it is a bar.
pub fn draw(value: &Value<'_>, width: usize, theme: &Theme) -> Line<'static> {
    match value {
        Value::Name(row) | Value::Label(row) => {
            Line::raw(text::fit(&row.label, width).into_owned())
        }
        Value::Percent(reading) => state(reading, theme, |percent| {
            number(field::percent(*percent), percent.0 < 0.05, theme)
        }),
        Value::Throttled(reading) => state(reading, theme, |throttled| {
            let percent = field::percent(throttled.share);
            let above = if throttled.of == Of::Own { "" } else { "↑" };
            let text = format!("{percent}{above}");
            if throttled.holds() {
                Line::styled(text, theme.warning)
            } else {
                number(text, true, theme)
            }
        }),
        Value::Bytes(reading) => state(reading, theme, |bytes| {
            number(text::bytes(*bytes), bytes.0 == 0, theme)
        }),
        Value::Count(reading) => state(reading, theme, |count| match count {
            0 => number("0".to_owned(), true, theme),
            count => Line::styled(count.to_string(), theme.alarm),
        }),
        Value::Number(reading) => state(reading, theme, |number| Line::raw(number.to_string())),
        Value::Rate(reading) => state(reading, theme, |rate| {
            number(field::rate(*rate), *rate < 0.5, theme)
        }),
        Value::Limit(reading) => state(reading, theme, |limit| match limit {
            Limit::At(bytes) => Line::raw(text::bytes(*bytes)),
            Limit::Max => Line::styled("∞", theme.dim),
        }),
        Value::State(row) => {
            let words = text::fit(&field::state_words(row), width).into_owned();
            if states(row).is_empty() {
                Line::styled(words, theme.dim)
            } else {
                Line::styled(words, theme.warning)
            }
        }
        Value::Stall(reading) => state(reading, theme, |stall| {
            let text = field::stall(*stall);
            if stall.share.0 >= 50.0 {
                Line::styled(text, theme.warning)
            } else {
                number(text, stall.share.0 < 0.5, theme)
            }
        }),
        Value::OfCpus(row, ceiling) => against(row, ceiling, width, theme, field::cpus, "no limit"),
        Value::OfBytes(row, ceiling) => {
            against(row, ceiling, width, theme, text::bytes, "no limit!")
        }
        Value::OfSwap(row, ceiling) => against(row, ceiling, width, theme, text::bytes, "no limit"),
        Value::OomIn(reading) => match reading {
            Reading::Value(forecast) if forecast.is_near() => {
                Line::styled(field::oom_in(forecast), theme.alarm)
            }
            other => state(other, theme, |forecast| Line::raw(field::oom_in(forecast))),
        },
        Value::OomNext(reading) => state(reading, theme, |next| {
            let comm = text::sanitise(&next.comm);
            Line::raw(format!("{} {comm}{}", next.pid, field::with_others(next)))
        }),
        Value::Io(row) => io(row, theme),
        Value::Pids(row) => pids(row, theme),
    }
}

/// One of the three states of a reading.
fn state<T>(
    reading: &Reading<T>,
    theme: &Theme,
    draw: impl FnOnce(&T) -> Line<'static>,
) -> Line<'static> {
    match reading {
        Reading::Value(value) => draw(value),
        Reading::NotAvailable => Line::styled(NOT_AVAILABLE, theme.dim),
        Reading::Unreadable(_) => Line::styled(UNREADABLE, theme.warning),
    }
}

/// A number; nothing is drawn quietly, so that what happens stands out.
fn number(text: String, is_nothing: bool, theme: &Theme) -> Line<'static> {
    if is_nothing {
        Line::styled(text, theme.dim)
    } else {
        Line::raw(text)
    }
}

/// `  12K     2M▲`: each of the two with a place for its mark.
fn io(row: &Row, theme: &Theme) -> Line<'static> {
    state(&row.io, theme, |flow| {
        let half = |rate: f64, reading: bool| {
            let text = format!("{:>6}", field::rate(rate));
            if flow.is_capped(reading) {
                [
                    Span::styled(text, theme.warning),
                    Span::styled("▲", theme.warning),
                ]
            } else {
                let style = if rate < 0.5 { theme.dim } else { theme.plain() };
                [Span::styled(text, style), Span::raw(" ")]
            }
        };
        let [read, read_mark] = half(flow.read(), true);
        let [written, written_mark] = half(flow.written(), false);
        Line::from(vec![read, read_mark, Span::raw(" "), written, written_mark])
    })
}

/// `16/16!`: of the limit met first, `↑` where it is an ancestor's, `!` where forks were refused.
fn pids(row: &Row, theme: &Theme) -> Line<'static> {
    state(&row.pids, theme, |pids| {
        let (limit, above) = match &row.pids_limit {
            Reading::Value(ceiling) => (
                ceiling.binding.limit.to_string(),
                ceiling.binding.of != Of::Own,
            ),
            Reading::NotAvailable | Reading::Unreadable(_) => ("∞".to_owned(), false),
        };
        let above = if above { "↑" } else { "" };
        if row.refuses_forks() {
            Line::styled(format!("{pids}/{limit}{above}!"), theme.warning)
        } else {
            Line::from(vec![
                Span::raw(pids.to_string()),
                Span::styled(format!("/{limit}{above}"), theme.dim),
            ])
        }
    })
}

/// `━━━━╾───    64M`, with `↑name` between bar and limit where the limit is not its own, and `high` or `cpuset`
/// where it is another one than usual.
fn against<T: Quantity>(
    row: &Row,
    ceiling: &Reading<Arc<Ceiling<T>>>,
    width: usize,
    theme: &Theme,
    text: impl Fn(T) -> String,
    without: &'static str,
) -> Line<'static> {
    let right = |span: Span<'static>| {
        let padding = width.saturating_sub(span.width());
        Line::from(vec![Span::raw(" ".repeat(padding)), span])
    };
    let ceiling = match ceiling {
        Reading::Value(ceiling) => ceiling,
        Reading::NotAvailable => return right(Span::styled(NOT_AVAILABLE, theme.dim)),
        Reading::Unreadable(_) => return right(Span::styled(UNREADABLE, theme.warning)),
    };
    let Some(first) = ceiling.first() else {
        return right(match row.kind {
            Kind::Other => Span::styled("∞", theme.dim),
            _ if !row.leaf => Span::styled("∞", theme.dim),
            _ if without.ends_with('!') => Span::styled(without, theme.warning),
            _ => Span::styled(without, theme.dim),
        });
    };
    let limit = format!(" {:>4}", text(first.limit));
    // The limit itself and whose it is matter more, and a bar has a cell at least.
    let others = limit.width() + 1 + if first.of == Of::Own { 0 } else { 2 };
    let qualifier = first
        .qualifier()
        .map(|word| format!(" {word}"))
        .filter(|word| word.width() + others <= width);
    let limit = qualifier.unwrap_or_default() + &limit;
    let room = width.saturating_sub(limit.width());
    // At least four cells of bar, and a name only where four of it are legible.
    let owner = first.of.label().map_or_else(String::new, |owner| {
        let owner = text::sanitise(&owner);
        let room = room.saturating_sub(4 + 2).min(room / 2);
        match room {
            0..4 => " ↑".to_owned(),
            _ => format!(" ↑{}", text::fit(&owner, room)),
        }
    });
    let mut spans = bar(
        room.saturating_sub(owner.width()),
        first.share().unwrap_or(0.0),
        first.charged_share().unwrap_or(0.0),
        theme,
    );
    spans.push(Span::styled(owner, theme.dim));
    spans.push(Span::raw(limit));
    Line::from(spans)
}

/// A bar of exactly `width` cells: `━` in use, `╍` dropped first, `─` left. Half a cell is `╾`. `charged` is the share of
/// both.
pub fn bar(width: usize, share: f64, charged: f64, theme: &Theme) -> Vec<Span<'static>> {
    let halves = |share: f64| {
        // A share of a width: small and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let halves = (share.clamp(0.0, 1.0) * 2.0 * width as f64).round() as usize;
        halves
    };
    let used = halves(share).max(usize::from(charged >= 0.005 && width > 0));
    let all = halves(charged).max(used);
    let (full, half) = (used / 2, used % 2);
    let light = (all.div_ceil(2))
        .saturating_sub(full + half)
        .min(width - (full + half).min(width));
    let left = width.saturating_sub(full + half + light);
    let colour = if share >= CLOSE {
        theme.warning
    } else {
        theme.fill
    };
    [
        ("━".repeat(full), colour),
        ("╾".repeat(half), colour),
        ("╍".repeat(light), theme.light),
        ("─".repeat(left), theme.dim),
    ]
    .into_iter()
    .filter(|(text, _)| !text.is_empty())
    .map(|(text, style)| Span::styled(text, style))
    .collect()
}

/// Blocks of a sparkline, one for each share of the whole; nothing at all still has a foot.
pub fn spark(shares: impl Iterator<Item = f64>) -> String {
    shares.map(|share| block((share * 8.0).max(0.1))).collect()
}

/// A block of so many eighths of a cell; a space for none at all.
pub fn block(eighths: f64) -> char {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    // Clamped to the blocks there are.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = eighths.ceil().clamp(0.0, 8.0) as usize;
    BLOCKS[index]
}

/// A pressure of the host for the header: `c12`.
pub fn pressure(letter: char, share: Option<Percent>) -> String {
    share.map_or_else(
        || format!("{letter}{NOT_AVAILABLE}"),
        |share| format!("{letter}{:.0}", share.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, share: f64, charged: f64) -> String {
        let spans = bar(width, share, charged, &Theme::PLAIN);
        spans.iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn bars_fill_in_halves_and_keep_their_width() {
        assert_eq!(drawn(5, 0.0, 0.0), "─────");
        assert_eq!(drawn(5, 0.01, 0.01), "╾────");
        assert_eq!(drawn(5, 0.5, 0.5), "━━╾──");
        assert_eq!(drawn(5, 0.6, 1.0), "━━━╍╍");
        assert_eq!(drawn(5, 7.0, 7.0), "━━━━━");
        assert_eq!(drawn(0, 1.0, 0.0), "");
        for width in 0..20 {
            for share in 0..12 {
                for part in 0..12 {
                    let text = drawn(width, f64::from(share) / 10.0, f64::from(part) / 10.0);
                    assert_eq!(text.width(), width, "{share} {part}");
                }
            }
        }
    }
}
