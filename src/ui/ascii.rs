//! For terminals that know no more than ASCII: every cell of the finished screen, through one table.

use ratatui::buffer::Buffer;

use crate::text::ascii::{is_ascii_locale, like};

/// Makes every cell ASCII. What was two columns wide leaves the second one empty, so that all stays where
/// it is.
pub fn ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let char = cell.symbol().chars().next().map_or(' ', like);
            cell.set_char(char);
        }
    }
}

/// What the user wants of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ascii {
    /// Where the locale or the console knows no more.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Ascii {
    /// Whether it is to be ASCII in this environment.
    pub fn wanted(self, environment: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_ascii_locale(environment),
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn wide_symbols_keep_their_columns() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, "a日b─", Style::new());
        ascii(&mut buffer);
        let text: String = buffer
            .content
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        assert_eq!(text, "a? b- ");
    }

    #[test]
    fn the_locale_tells_what_is_known() {
        for (variables, ascii) in [
            (&[("LANG", "en_GB.UTF-8")][..], false),
            (&[("LANG", "C.utf8")], false),
            (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], true),
            (&[("LANG", "de_DE.ISO-8859-1")], true),
            (
                &[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")],
                false,
            ),
            (&[("TERM", "linux")], true),
            (&[("TERM", "linux"), ("LANG", "C.UTF-8")], false),
            (&[("TERM", "xterm")], false),
        ] {
            let environment = |name: &str| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Ascii::Auto.wanted(environment), ascii, "{variables:?}");
            assert!(Ascii::Always.wanted(environment) && !Ascii::Never.wanted(environment));
        }
    }
}
