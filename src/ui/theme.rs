//! Colours, by what they mean. Nothing is said by colour alone, and nothing blinks.
//!
//! A [`Theme`] is what is drawn with. It is made of what the user chose ([`Name`]) and of what the
//! terminal can show ([`Depth`]): colours that it has not got become the nearest ones that it has.

mod choose;
pub(in crate::ui) mod palette;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Style};

pub use choose::{Depth, Name, first};

/// How each meaning looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// What has no style of its own, and the ground below all; empty for the terminal's own colours.
    pub base: Style,
    /// Frames, tracks, what is not available.
    pub dim: Style,
    /// Titles of columns and panels.
    pub title: Style,
    /// The program's name, the live mark.
    pub accent: Style,
    /// The filled part of a bar, the line of a chart.
    pub fill: Style,
    /// The reclaimable part of a bar.
    pub light: Style,
    /// Close to a limit, held back, unlimited.
    pub warning: Style,
    /// Killed.
    pub alarm: Style,
    /// The selected line.
    pub selected: Style,
}

impl Theme {
    /// The sixteen colours that every terminal lets its user choose: light and dark screens both work.
    pub const COLOURS: Self = palette::SIXTEEN;

    /// Without colours: bold, dim and reversed only.
    pub const PLAIN: Self = palette::PLAIN;

    /// The theme of this name, in the colours of a terminal that can show so many.
    pub fn of(name: Name, depth: Depth) -> Self {
        match (depth, palette::of(name)) {
            (_, theme @ (Self::PLAIN | Self::COLOURS)) | (Depth::Millions, theme) => theme,
            (Depth::Indexed, theme) => theme.map(palette::nearest),
            (Depth::Sixteen, _) => Self::COLOURS,
            (Depth::None, _) => Self::PLAIN,
        }
    }

    /// The ground's own foreground.
    pub fn plain(&self) -> Style {
        Style::new()
    }

    /// Gives cells that have no colours of their own those of the ground. Once, when all is drawn.
    pub fn ground(&self, buffer: &mut Buffer) {
        if self.base == Style::new() {
            return;
        }
        for cell in &mut buffer.content {
            if let (Color::Reset, Some(colour)) = (cell.fg, self.base.fg) {
                cell.fg = colour;
            }
            if let (Color::Reset, Some(colour)) = (cell.bg, self.base.bg) {
                cell.bg = colour;
            }
        }
    }

    /// Every style with what it is for.
    pub fn styles(&self) -> [(&'static str, Style); 9] {
        [
            ("base", self.base),
            ("dim", self.dim),
            ("title", self.title),
            ("accent", self.accent),
            ("fill", self.fill),
            ("light", self.light),
            ("warning", self.warning),
            ("alarm", self.alarm),
            ("selected", self.selected),
        ]
    }

    fn map(self, colour: fn(Color) -> Color) -> Self {
        let map = |style: Style| Style {
            fg: style.fg.map(colour),
            bg: style.bg.map(colour),
            ..style
        };
        Self {
            base: map(self.base),
            dim: map(self.dim),
            title: map(self.title),
            accent: map(self.accent),
            fill: map(self.fill),
            light: map(self.light),
            warning: map(self.warning),
            alarm: map(self.alarm),
            selected: map(self.selected),
        }
    }
}
