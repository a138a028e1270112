//! Colours, by what they mean. Only the sixteen that every terminal lets its user choose, so that light
//! and dark screens both work; and nothing is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// How each meaning looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
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
    /// With colours.
    pub const COLOURS: Self = Self {
        dim: Style::new().fg(Color::DarkGray),
        title: Style::new().add_modifier(Modifier::BOLD),
        accent: Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
        fill: Style::new().fg(Color::Cyan),
        light: Style::new().fg(Color::Blue),
        warning: Style::new().fg(Color::Yellow),
        alarm: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        selected: Style::new().add_modifier(Modifier::REVERSED),
    };

    /// Without: bold, dim and reversed only.
    pub const PLAIN: Self = Self {
        dim: Style::new().add_modifier(Modifier::DIM),
        title: Style::new().add_modifier(Modifier::BOLD),
        accent: Style::new().add_modifier(Modifier::BOLD),
        fill: Style::new(),
        light: Style::new().add_modifier(Modifier::DIM),
        warning: Style::new().add_modifier(Modifier::BOLD),
        alarm: Style::new().add_modifier(Modifier::BOLD),
        selected: Style::new().add_modifier(Modifier::REVERSED),
    };

    /// The terminal's own foreground.
    pub fn plain(&self) -> Style {
        Style::new()
    }

    /// As the environment asks: <https://no-color.org>.
    pub fn from_env() -> Self {
        match std::env::var_os("NO_COLOR") {
            Some(value) if !value.is_empty() => Self::PLAIN,
            _ => Self::COLOURS,
        }
    }
}
