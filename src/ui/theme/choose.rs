//! Which theme it is: what the user named, what the terminal can show, what the environment asks for.

use std::fmt;
use std::str::FromStr;

/// The themes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Name {
    /// Light text on a dark ground.
    Dark,
    /// Dark text on a light ground.
    Light,
    /// Every text at a contrast of 7 to 1 or more.
    HighContrast,
    /// Blue, orange and yellow: told apart with any kind of colour vision.
    ColourBlind,
    /// The terminal's own sixteen colours, on its own ground.
    #[default]
    Sixteen,
    /// No colours.
    Plain,
}

impl Name {
    /// All of them, in the order in which one key goes through them.
    pub const ALL: [Self; 6] = [
        Self::Dark,
        Self::Light,
        Self::HighContrast,
        Self::ColourBlind,
        Self::Sixteen,
        Self::Plain,
    ];

    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::ColourBlind => "colour-blind",
            Self::Sixteen => "16",
            Self::Plain => "plain",
        }
    }

    /// The next one that such a terminal can show; after the last the first.
    #[must_use]
    pub fn next(self, depth: Depth) -> Self {
        let mut next = self;
        for _ in Self::ALL {
            next = Self::ALL[(next as usize + 1) % Self::ALL.len()];
            if next.on(depth) == next {
                break;
            }
        }
        next
    }

    /// The theme that such a terminal shows in its place.
    #[must_use]
    pub fn on(self, depth: Depth) -> Self {
        match depth {
            Depth::None => Self::Plain,
            Depth::Sixteen if self != Self::Plain => Self::Sixteen,
            _ => self,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is not a theme; there are {all}")
        })
    }
}

/// How many colours a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// None, not even bold.
    None,
    /// The sixteen that its user chose.
    #[default]
    Sixteen,
    /// 256.
    Indexed,
    /// Red, green and blue of eight bits each.
    Millions,
}

impl Depth {
    /// As the environment tells: `COLORTERM`, then `TERM`.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| environment(name).unwrap_or_default();
        let term = variable("TERM");
        match &*variable("COLORTERM") {
            _ if term == "dumb" => Self::None,
            "truecolor" | "24bit" => Self::Millions,
            _ if term.ends_with("-direct") => Self::Millions,
            _ if term.contains("-256color") => Self::Indexed,
            _ => Self::Sixteen,
        }
    }
}

/// The theme at the start. What is named goes before `NO_COLOR` (<https://no-color.org>), as that asks
/// for; without either it is dark, or light where `COLORFGBG` tells of a light ground.
pub fn first(
    named: Option<Name>,
    depth: Depth,
    environment: impl Fn(&str) -> Option<String>,
) -> Name {
    let variable = |name| environment(name).unwrap_or_default();
    let name = named.unwrap_or_else(|| {
        if !variable("NO_COLOR").is_empty() {
            return Name::Plain;
        }
        // `15;0`, `0;default;15`: the last one is the ground, and 7 and 15 are white.
        match variable("COLORFGBG").rsplit(';').next() {
            Some("7" | "15") => Name::Light,
            _ => Name::Dark,
        }
    });
    name.on(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_environment_tells_what_can_be_shown() {
        for (variables, depth, name) in [
            (
                &[("COLORTERM", "truecolor"), ("TERM", "xterm")][..],
                Depth::Millions,
                Name::Dark,
            ),
            (
                &[("COLORTERM", "24bit"), ("COLORFGBG", "0;15")],
                Depth::Millions,
                Name::Light,
            ),
            (
                &[("TERM", "xterm-256color"), ("COLORFGBG", "15;0")],
                Depth::Indexed,
                Name::Dark,
            ),
            (&[("TERM", "xterm")], Depth::Sixteen, Name::Sixteen),
            (&[("TERM", "linux")], Depth::Sixteen, Name::Sixteen),
            (&[], Depth::Sixteen, Name::Sixteen),
            (
                &[("TERM", "dumb"), ("COLORTERM", "truecolor")],
                Depth::None,
                Name::Plain,
            ),
            (
                &[("NO_COLOR", "1"), ("TERM", "xterm-256color")],
                Depth::Indexed,
                Name::Plain,
            ),
            (
                &[("NO_COLOR", ""), ("TERM", "xterm-256color")],
                Depth::Indexed,
                Name::Dark,
            ),
        ] {
            assert_eq!(Depth::of(from(variables)), depth, "{variables:?}");
            assert_eq!(first(None, depth, from(variables)), name, "{variables:?}");
        }
        let quiet = from(&[("NO_COLOR", "1")]);
        assert_eq!(
            first(Some(Name::Light), Depth::Millions, &quiet),
            Name::Light
        );
        assert_eq!(
            first(Some(Name::Light), Depth::Sixteen, &quiet),
            Name::Sixteen
        );
        assert_eq!(first(Some(Name::Light), Depth::None, &quiet), Name::Plain);
    }

    #[test]
    fn one_key_goes_through_what_can_be_shown() {
        let mut name = Name::Dark;
        for other in Name::ALL {
            assert_eq!(name, other);
            name = name.next(Depth::Indexed);
        }
        assert_eq!(name, Name::Dark);
        assert_eq!(Name::Sixteen.next(Depth::Sixteen), Name::Plain);
        assert_eq!(Name::Plain.next(Depth::Sixteen), Name::Sixteen);
        assert_eq!(Name::Plain.next(Depth::None), Name::Plain);
        for name in Name::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("drak".parse::<Name>().is_err());
    }
}
