//! Text for terminals that know no more than ASCII.

use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands for a character that is not ASCII: one that looks like it, or means the same here.
const TABLE: [(&str, char); 38] = [
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
    ("≠", '!'),
    ("\u{a0}", ' '),
];

/// What stands for a character.
pub fn like(char: char) -> char {
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

/// Whether this environment knows no more than ASCII. A locale that is not UTF-8 says so; without one, only the console of
/// Linux is not trusted with more.
pub fn is_ascii_locale(environment: impl Fn(&str) -> Option<String>) -> bool {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(variable);
    match locale {
        Some(locale) => {
            let locale = locale.to_lowercase();
            !(locale.contains("utf-8") || locale.contains("utf8"))
        }
        None => variable("TERM").is_some_and(|term| term == "linux"),
    }
}

/// The text as this process's locale can show it.
pub fn in_locale(text: &str) -> Cow<'_, str> {
    static ASCII: LazyLock<bool> =
        LazyLock::new(|| is_ascii_locale(|name| std::env::var(name).ok()));
    if text.is_ascii() || !*ASCII {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(like).collect())
}

/// The same of several lines.
pub fn all_in_locale(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let lines = lines.into_iter();
    lines.map(|line| in_locale(&line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
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
}
