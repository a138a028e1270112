//! A screen as an SVG picture: how the README's pictures are made.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Position;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::theme::{Theme, palette};

/// The size of one character cell, in pixels.
const CELL: (f64, f64) = (8.4, 16.5);
/// Space around the screen, in pixels.
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#11151c";
const FOREGROUND: &str = "#d5dae3";
/// The sixteen colours of a terminal, as this picture shows them.
const PALETTE: [&str; 16] = [
    "#1b212b", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf",
    "#5c6370", "#ff7b86", "#b5e890", "#ffd68a", "#7cc7ff", "#de95f5", "#6fd6e3", "#ffffff",
];

/// Draws a buffer as one SVG document, on a theme's ground.
pub fn picture(buffer: &Buffer, theme: &Theme) -> String {
    let area = buffer.area;
    let ground = Ground {
        text: theme.base.fg.and_then(colour),
        behind: theme.base.bg.and_then(colour),
    };
    let background = ground.behind.as_deref().unwrap_or(BACKGROUND);
    let width = f64::from(area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(area.height) * CELL.1 + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"'DejaVu Sans Mono','JetBrains Mono',Menlo,Consolas,monospace\" \
         font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{background}\"/>\n"
    );
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        while x < area.right() {
            let run = Run::starting_at(buffer, Position { x, y }, area.right(), &ground);
            run.draw(
                &mut out,
                f64::from(x - area.left()),
                f64::from(y - area.top()),
            );
            x += run.columns;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The theme's own colours, where it has some.
struct Ground {
    text: Option<String>,
    behind: Option<String>,
}

/// Neighbouring cells of one look.
struct Run {
    text: String,
    columns: u16,
    fill: String,
    behind: Option<String>,
    modifier: Modifier,
}

impl Run {
    fn starting_at(buffer: &Buffer, at: Position, right: u16, ground: &Ground) -> Self {
        let look = |cell: &Cell| (cell.fg, cell.bg, cell.modifier);
        let first = &buffer[at];
        let mut run = Self::of(first, ground);
        let mut x = at.x;
        while x < right {
            let cell = &buffer[Position { x, y: at.y }];
            if look(cell) != look(first) {
                break;
            }
            run.text.push_str(cell.symbol());
            x += u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
        }
        run.columns = x - at.x;
        run
    }

    fn of(cell: &Cell, ground: &Ground) -> Self {
        let text = ground.text.as_deref().unwrap_or(FOREGROUND);
        let (mut fill, mut behind) = (colour(cell.fg), colour(cell.bg));
        if cell.modifier.contains(Modifier::REVERSED) {
            let below = ground.behind.as_deref().unwrap_or(BACKGROUND);
            (fill, behind) = (
                Some(behind.unwrap_or_else(|| below.to_owned())),
                Some(fill.unwrap_or_else(|| text.to_owned())),
            );
        }
        // What is as the ground is not drawn again.
        behind = behind.filter(|behind| Some(behind) != ground.behind.as_ref());
        Self {
            text: String::new(),
            columns: 0,
            fill: fill.unwrap_or_else(|| text.to_owned()),
            behind,
            modifier: cell.modifier,
        }
    }

    fn draw(&self, out: &mut String, column: f64, row: f64) {
        let (x, y) = (MARGIN + column * CELL.0, MARGIN + row * CELL.1);
        let width = f64::from(self.columns) * CELL.0;
        if let Some(behind) = &self.behind {
            let height = CELL.1;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{behind}\"/>"
            );
        }
        if self.text.trim().is_empty() {
            return;
        }
        let mut looks = String::new();
        for (modifier, attribute) in [
            (Modifier::BOLD, " font-weight=\"bold\""),
            (Modifier::DIM, " opacity=\"0.6\""),
            (Modifier::ITALIC, " font-style=\"italic\""),
            (Modifier::UNDERLINED, " text-decoration=\"underline\""),
        ] {
            if self.modifier.contains(modifier) {
                looks.push_str(attribute);
            }
        }
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{looks}>{}</text>",
            y + CELL.1 * 0.75,
            self.fill,
            escape(&self.text)
        );
    }
}

/// A terminal colour as SVG writes it; `None` for the terminal's own.
fn colour(colour: Color) -> Option<String> {
    let named = |index: usize| Some(PALETTE[index].to_owned());
    match colour {
        Color::Reset => None,
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(8),
        Color::LightRed => named(9),
        Color::LightGreen => named(10),
        Color::LightYellow => named(11),
        Color::LightBlue => named(12),
        Color::LightMagenta => named(13),
        Color::LightCyan => named(14),
        Color::White => named(15),
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(index) => Some(indexed(index)),
    }
}

/// The 256 colours: sixteen named ones, a cube of six levels, a ramp of grey.
fn indexed(index: u8) -> String {
    if let Some(named) = PALETTE.get(usize::from(index)) {
        return (*named).to_owned();
    }
    let (red, green, blue) = palette::indexed(index);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn runs_of_one_look_become_one_text() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 1));
        buffer.set_string(0, 0, "a<b", Style::new().fg(Color::Red));
        buffer.set_string(3, 0, "日本", Style::new().fg(Color::Indexed(231)));
        let svg = picture(&buffer, &Theme::COLOURS);
        assert!(svg.contains("fill=\"#e06c75\">a&lt;b</text>"), "{svg}");
        assert!(
            svg.contains("textLength=\"33.6\"") && svg.contains("fill=\"#ffffff\">日本</text>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 2, "{svg}");
    }
}
