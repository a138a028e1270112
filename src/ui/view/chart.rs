//! A curve below its ceiling: the first line is the limit, with a ✖ for each OOM kill.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::pad;
use crate::ui::cell;
use crate::ui::theme::Theme;

/// Columns of the scale at the left.
pub const SCALE: u16 = 6;
/// A chart with fewer lines says nothing.
pub const LEAST: u16 = 3;

/// What is drawn.
pub struct Chart<'a> {
    /// A value for each column, `None` where nothing is known.
    pub values: &'a [Option<f64>],
    /// The columns with an OOM kill.
    pub kills: &'a [bool],
    /// The limit; without one the scale ends at the highest value.
    pub limit: Option<f64>,
    /// What the top of the scale is called.
    pub scale: fn(f64) -> String,
    /// What the curve is about.
    pub caption: String,
}

/// How many columns the curve of a chart has.
pub fn columns(width: u16) -> u16 {
    width.saturating_sub(SCALE + 1)
}

impl Chart<'_> {
    /// Draws it; nothing where there is not even room for a line.
    pub fn render(&self, buffer: &mut Buffer, area: Rect, theme: &Theme) {
        if area.height < 2 {
            return;
        }
        let width = columns(area.width);
        let peak = self.values.iter().flatten().copied().fold(0.0, f64::max);
        let top = self.limit.unwrap_or(peak);
        let x = area.x + SCALE + 1;
        let label = |buffer: &mut Buffer, y: u16, text: &str| {
            let text = pad(text, usize::from(SCALE), true);
            buffer.set_string(area.x, y, text, theme.dim);
        };
        label(buffer, area.y, &(self.scale)(top));
        label(buffer, area.bottom() - 1, "0");
        for at in 0..width {
            let killed = self
                .kills
                .get(usize::from(at))
                .is_some_and(|killed| *killed);
            let (symbol, style) = match (killed, self.limit) {
                (true, _) => ("✖", theme.alarm),
                (false, Some(_)) => ("┄", theme.warning),
                (false, None) => ("┈", theme.dim),
            };
            buffer.set_string(x + at, area.y, symbol, style);
        }
        let lines = area.height - 1;
        for (at, value) in (0..width).zip(self.values) {
            let Some(value) = value else { continue };
            let share = if top > 0.0 { value / top } else { 0.0 };
            let eighths = share.min(1.0) * f64::from(lines) * 8.0;
            // Something, however little, is not nothing.
            let eighths = if *value > 0.0 { eighths.max(0.5) } else { 0.0 };
            for line in 0..lines {
                let symbol = cell::block(eighths - f64::from(line) * 8.0);
                let y = area.bottom() - 1 - line;
                buffer.set_string(x + at, y, symbol.to_string(), theme.fill);
            }
        }
        // Where the curve has not come yet: its left end.
        let first = self.values.iter().position(Option::is_some);
        let first = first.unwrap_or(self.values.len());
        if first > self.caption.width() + 2 && lines > 1 {
            buffer.set_string(x + 1, area.bottom() - 1, &self.caption, theme.dim);
        }
    }
}
