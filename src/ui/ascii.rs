//! For terminals that know no more than ASCII: every cell of the finished screen, through one table.

use ratatui::buffer::Buffer;

/// What stands for a character that is not ASCII: one that looks like it, or means the same here.
const TABLE: [(&str, char); 37] = [
    ("─┄┈╌┅┉╴╶—–‐−·•", '-'),
    ("│┃║▏▌▐┆┊‖❙¦", '|'),
    ("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬✝†", '+'),
    ("━═▅", '='),
    ("╍╺╸…≈", '~'),
    // Half a cell of a bar, with the track to the right of it.
    ("╾╼▸▶›»→⇒►", '>'),
    ("◂◀‹«←⇐◄", '<'),
    ("█■▮▇", '#'),
    ("▓", '%'),
    ("▒▆", '+'),
    ("░▃", ':'),
    ("▄", '-'),
    ("▂", '.'),
    ("▁", '_'),
    ("▀▔", '"'),
    ("✖✗✘✕×❌", 'x'),
    ("●∞★✱", '*'),
    ("○◯□▯◦", 'o'),
    ("◆◉", '@'),
    ("◇", 'O'),
    ("▲⚠", '!'),
    ("↑▴△", '^'),
    ("↓▾▼▽", 'v'),
    ("↔", '='),
    ("↵⏎", '<'),
    ("❄", 'f'),
    ("✓✔", 'v'),
    ("⏸", '|'),
    ("‘’‚", '\''),
    ("“”„", '"'),
    ("µμ", 'u'),
    ("°", 'o'),
    ("÷", '/'),
    ("≤", '<'),
    ("≥", '>'),
    ("±", '+'),
    ("\u{a0}", ' '),
];

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

/// What stands for a character.
fn like(char: char) -> char {
    match char {
        char if char.is_ascii() => char,
        '\u{2800}' => ' ',
        // Braille: the more dots, the more.
        '\u{2801}'..='\u{28ff}'
            if (char as u32).count_ones() - ('\u{2800}' as u32).count_ones() < 3 =>
        {
            '.'
        }
        '\u{2801}'..='\u{28ff}' => ':',
        _ => TABLE
            .iter()
            .find(|(looks, _)| looks.contains(char))
            .map_or('?', |(_, ascii)| *ascii),
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
    /// Whether it is to be ASCII in this environment. A locale that is not UTF-8 says so; without one,
    /// only the console of Linux is not trusted with more.
    pub fn wanted(self, environment: impl Fn(&str) -> Option<String>) -> bool {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable);
        match (self, locale) {
            (Self::Always, _) => true,
            (Self::Never, _) => false,
            (Self::Auto, Some(locale)) => {
                let locale = locale.to_lowercase();
                !(locale.contains("utf-8") || locale.contains("utf8"))
            }
            (Self::Auto, None) => variable("TERM").is_some_and(|term| term == "linux"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn each_symbol_has_one_look() {
        let mut seen = String::new();
        for char in TABLE.iter().flat_map(|(looks, _)| looks.chars()) {
            assert!(!char.is_ascii() && !seen.contains(char), "{char}");
            seen.push(char);
        }
        assert!(TABLE.iter().all(|(_, ascii)| ascii.is_ascii()));
        let text = "─│█━✖●⠁⣿é日";
        assert_eq!(text.chars().map(like).collect::<String>(), "-|#=x*.:??");
        // The parts of a bar, and the steps of a curve, are told apart.
        for parts in ["━╾╍─", "▁▂▃▄▅▆▇█", "█▓▒░─", "●○❄✝▸▾"]
        {
            let mut ascii: Vec<char> = parts.chars().map(like).collect();
            ascii.sort_unstable();
            ascii.dedup();
            let different = parts.chars().count();
            // `▇` and `█` are both full enough.
            assert!(
                ascii.len() + usize::from(parts.contains('▇')) >= different,
                "{parts}"
            );
        }
    }

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
