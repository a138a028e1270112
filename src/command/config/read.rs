//! Text into a configuration. Every mistake is told, each with its line and column.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use crate::command::place::pointed;
use crate::model::Thresholds;
use crate::model::field::{FIELDS, FieldId, Preset};
use crate::model::tree::Sort;
use crate::text;
use crate::ui::ascii::Ascii;
use crate::ui::keymap::{Action, KEYMAP};
use crate::ui::keys::{Key, Keys};
use crate::ui::settings::Fold;
use crate::ui::theme::Name;

/// The settings outside of tables, and the tables.
const SETTINGS: [&str; 9] = [
    "theme", "ascii", "mouse", "interval", "columns", "sort", "fold", "warnings", "keys",
];
/// Those in the table `warnings`.
const WARNINGS: [&str; 7] = [
    "memory",
    "high",
    "max",
    "pressure",
    "forks",
    "throttled",
    "oom-in",
];
/// From this likeness on, a word is taken for a misspelt one.
const LIKE: f64 = 0.75;

/// A mistake: `config.toml:3:1: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, in bytes from the beginning.
    at: usize,
    text: String,
}

impl Problem {
    /// One with the file as a whole.
    pub(super) fn whole(text: String) -> Self {
        Self { at: 0, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the text of a file of this name; the mistakes are in the order of the file.
pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader {
        name,
        text,
        config: Config::default(),
        keys: Keys::default(),
        bound: Vec::new(),
        problems: Vec::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.problem(error.span().unwrap_or_default(), error.message());
    }
    // What is left of a broken line would only be misunderstood.
    if errors.is_empty() {
        reader.table(table.get_ref());
    }
    reader.config.settings.keys = Arc::new(reader.keys);
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| problem.at);
    if problems.is_empty() {
        Ok(reader.config)
    } else {
        Err(problems)
    }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    config: Config,
    keys: Keys,
    /// Which actions have keys of their own, and where.
    bound: Vec<(Action, Range<usize>)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, message: &str) {
        // One line, whatever the parser of TOML says.
        let message: Vec<&str> = message.split_whitespace().collect();
        self.problems.push(Problem {
            at: span.start,
            text: pointed(self.name, self.text, span.start, &message.join(" ")),
        });
    }

    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if name == "keys" {
                self.all_keys(value);
                continue;
            }
            if name == "warnings" {
                self.warnings(value);
                continue;
            }
            let read = match name {
                "theme" => theme(value.get_ref()).map(|theme| self.config.settings.theme = theme),
                "ascii" => ascii(value.get_ref()).map(|ascii| self.config.settings.ascii = ascii),
                "mouse" => match value.get_ref() {
                    DeValue::Boolean(on) => {
                        self.config.settings.no_mouse = !on;
                        Ok(())
                    }
                    _ => Err("true or false is wanted".to_owned()),
                },
                "interval" => {
                    interval(value.get_ref()).map(|time| self.config.interval = Some(time))
                }
                "columns" => one_of(value.get_ref(), &Preset::ALL, Preset::name)
                    .map(|columns| self.config.settings.columns = columns),
                "sort" => sort(value.get_ref()).map(|sort| self.config.settings.sort = sort),
                "fold" => one_of(value.get_ref(), &Fold::ALL, Fold::name)
                    .map(|fold| self.config.settings.fold = fold),
                _ => {
                    let message = unknown("setting", name, &SETTINGS);
                    self.problem(key.span(), &message);
                    continue;
                }
            };
            if let Err(message) = read {
                self.problem(value.span(), &format!("{name}: {message}"));
            }
        }
    }

    fn warnings(&mut self, value: &Spanned<DeValue<'_>>) {
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Boolean(false) => {
                self.config.settings.warnings = Thresholds::NONE;
                return;
            }
            _ => {
                self.problem(
                    value.span(),
                    "warnings: a table is wanted: [warnings]; or false",
                );
                return;
            }
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let thresholds = &mut self.config.settings.warnings;
            let read = match name {
                "memory" => percents(value.get_ref()).map(|of| thresholds.memory = of),
                "high" => times(value.get_ref()).map(|of| thresholds.high = of),
                "max" => times(value.get_ref()).map(|of| thresholds.max = of),
                "pressure" => percents(value.get_ref()).map(|of| thresholds.pressure = of),
                "forks" => times(value.get_ref()).map(|of| thresholds.forks = of),
                "throttled" => percents(value.get_ref()).map(|of| thresholds.throttled = of),
                "oom-in" => countdown(value.get_ref()).map(|of| thresholds.oom_in = of),
                _ => {
                    let message = unknown("warning", name, &WARNINGS);
                    self.problem(key.span(), &message);
                    continue;
                }
            };
            if let Err(message) = read {
                self.problem(value.span(), &format!("{name}: {message}"));
            }
        }
    }

    fn all_keys(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(value.span(), "keys: a table is wanted: [keys]");
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(action) = Action::named(name) else {
                let names: Vec<String> = KEYMAP.iter().map(|entry| entry.action.name()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let message = unknown("action", name, &names);
                self.problem(key.span(), &message);
                continue;
            };
            if let Some(keys) = self.keys_of(name, value) {
                self.keys.rebind(action, keys);
                self.bound.push((action, value.span()));
            }
        }
        self.clash();
    }

    fn keys_of(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Key>> {
        let values: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        let mut keys = Vec::new();
        let mut all = true;
        for value in values {
            let key = match value.get_ref() {
                DeValue::String(text) => text.parse::<Key>(),
                _ => Err("keys are wanted, in quotes: [\"k\", \"up\"]".to_owned()),
            };
            match key {
                Ok(key) => keys.push(key),
                Err(message) => {
                    self.problem(value.span(), &format!("{name}: {message}"));
                    all = false;
                }
            }
        }
        all.then_some(keys)
    }

    fn clash(&mut self) {
        let Some((key, one, other)) = self.keys.clash() else {
            return;
        };
        // Where the later one stands in the file; one of them does.
        let set = |action| self.bound.iter().find(|(bound, _)| *bound == action);
        let spans = [one, other].map(|action| set(action).map(|(_, span)| span.clone()));
        let by_default = [one, other]
            .into_iter()
            .zip(&spans)
            .find(|(_, span)| span.is_none())
            .map_or_else(String::new, |(action, _)| {
                format!(
                    "; `{}` has it by default, and can be given another",
                    action.name()
                )
            });
        let span = spans.into_iter().flatten().max_by_key(|span| span.start);
        let message = format!(
            "`{key}` is bound to both `{}` and `{}`{by_default}",
            one.name(),
            other.name()
        );
        self.problem(span.unwrap_or_default(), &message);
    }
}

/// Two percentages, for a warning and for a critical one; `false` for never.
fn percents(value: &DeValue<'_>) -> Result<[u32; 2], String> {
    let wanted = || "two whole percentages are wanted, [85, 95], or false".to_owned();
    match value {
        DeValue::Boolean(false) => Ok([Thresholds::NEVER; 2]),
        value => pair(value)
            .filter(|&[warning, critical]| critical <= 100 && warning <= critical)
            .ok_or_else(wanted),
    }
}

/// Two times in seconds, for a warning and for a critical one; `false` for never.
fn countdown(value: &DeValue<'_>) -> Result<[u32; 2], String> {
    let wanted = || "two times in whole seconds are wanted, [60, 10], or false".to_owned();
    match value {
        DeValue::Boolean(false) => Ok([0; 2]),
        value => pair(value)
            .filter(|[warning, critical]| warning >= critical)
            .ok_or_else(wanted),
    }
}

fn pair(value: &DeValue<'_>) -> Option<[u32; 2]> {
    let DeValue::Array(values) = value else {
        return None;
    };
    let values: Option<Vec<u32>> = values.iter().map(|value| whole(value.get_ref())).collect();
    values?.try_into().ok()
}

/// So many times a second; `false` for never.
fn times(value: &DeValue<'_>) -> Result<u32, String> {
    match value {
        DeValue::Boolean(false) => Ok(Thresholds::NEVER),
        value => whole(value).ok_or_else(|| {
            "how often a second, a whole number from 1 on, is wanted, or false".to_owned()
        }),
    }
}

/// A whole number from 1 on.
fn whole(value: &DeValue<'_>) -> Option<u32> {
    match value {
        DeValue::Integer(number) => number.as_str().parse().ok().filter(|number| *number > 0),
        _ => None,
    }
}

fn theme(value: &DeValue<'_>) -> Result<Option<Name>, String> {
    let mut all = vec![None];
    all.extend(Name::ALL.map(Some));
    one_of(value, &all, |name| name.map_or("auto", Name::as_str))
}

fn ascii(value: &DeValue<'_>) -> Result<Ascii, String> {
    match value {
        DeValue::Boolean(true) => Ok(Ascii::Always),
        DeValue::Boolean(false) => Ok(Ascii::Never),
        DeValue::String(text) if text == "auto" => Ok(Ascii::Auto),
        _ => Err("true, false or \"auto\" is wanted".to_owned()),
    }
}

fn interval(value: &DeValue<'_>) -> Result<Duration, String> {
    match value {
        DeValue::String(text) => text::duration(text),
        DeValue::Integer(number) => text::duration(number.as_str()),
        DeValue::Float(number) => text::duration(number.as_str()),
        _ => text::duration(""),
    }
}

/// The names of what the tree can be sorted by: what a key sorts by.
pub(super) fn sorts() -> Vec<&'static str> {
    let sorts = KEYMAP.iter().filter_map(|entry| match entry.action {
        Action::Sort(by) => Some(by.field().key),
        _ => None,
    });
    sorts.collect()
}

fn sort(value: &DeValue<'_>) -> Result<Sort, String> {
    let text = match value {
        DeValue::String(text) => text.as_ref(),
        _ => "",
    };
    let (name, reversed) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let known = |id: &FieldId| id.field().key == name;
    FIELDS
        .iter()
        .map(|field| field.id)
        .find(known)
        .map(|by| Sort { by, reversed })
        .ok_or_else(|| unknown("order", text, &sorts()))
}

fn one_of<T: Copy>(
    value: &DeValue<'_>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
    let DeValue::String(text) = value else {
        return Err(format!("one of {} is wanted, in quotes", names.join(", ")));
    };
    let found = names.iter().position(|name| name == text);
    found
        .map(|at| all[at])
        .ok_or_else(|| unknown("value", text, &names))
}

/// That there is no such word, and which one may have been meant.
fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let like = known
        .iter()
        .map(|other| (strsim::jaro_winkler(word, other), other))
        .filter(|(like, _)| *like >= LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let meant = match like {
        Some((_, other)) => format!("did you mean `{other}`?"),
        None if known.len() <= 9 => format!("there are {}", known.join(", ")),
        None => "`ringfence config init FILE` writes all that there are".to_owned(),
    };
    format!("there is no {what} `{word}`; {meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = parse("c.toml", text).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_setting_is_read() {
        let config = parse(
            "c.toml",
            "theme = 'high-contrast'\nascii = false\ninterval = 2\ncolumns = 'memory'\n\
             sort = '-memory'\nfold = 'closed'\nkeys.quit = 'y'\n",
        );
        let config = config.unwrap();
        assert_eq!(config.interval, Some(Duration::from_secs(2)));
        let settings = config.settings;
        assert_eq!(settings.theme, Some(Name::HighContrast));
        assert_eq!(settings.ascii, Ascii::Never);
        assert_eq!(settings.columns, Preset::Memory);
        assert_eq!(settings.fold, Fold::Closed);
        let sort = Sort {
            by: FieldId::Memory,
            reversed: true,
        };
        assert_eq!(settings.sort, sort);
        assert_eq!(settings.keys.labels(Action::Quit), "y");
        assert_eq!(settings.warnings, Thresholds::default());
        let config = parse(
            "c.toml",
            "[warnings]\nmemory = [50, 60]\nhigh = 7\nmax = false\npressure = false\nforks = 3\nthrottled = [20, 30]\noom-in = [300, 5]",
        );
        let warnings = Thresholds {
            memory: [50, 60],
            high: 7,
            max: Thresholds::NEVER,
            pressure: [Thresholds::NEVER; 2],
            forks: 3,
            throttled: [20, 30],
            oom_in: [300, 5],
        };
        assert_eq!(config.unwrap().settings.warnings, warnings);
        let none = parse("c.toml", "warnings = false").unwrap();
        assert_eq!(none.settings.warnings, Thresholds::NONE);
        assert_eq!(parse("c.toml", "").unwrap(), Config::default());
        assert_eq!(
            parse("c.toml", "theme = 'auto'\nascii = 'auto'").unwrap(),
            Config::default()
        );
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        for (text, says) in [
            (
                "thme = 'dark'",
                "c.toml:1:1: there is no setting `thme`; did you mean `theme`?",
            ),
            (
                "\ntheme = 'drak'",
                "c.toml:2:9: theme: there is no value `drak`; did you mean `dark`?",
            ),
            (
                "theme = 16",
                "c.toml:1:9: theme: one of auto, dark, light, high-contrast, colour-blind, 16, plain is wanted, in quotes",
            ),
            (
                "ascii = 'yes'",
                "c.toml:1:9: ascii: true, false or \"auto\" is wanted",
            ),
            ("interval = 'soon'", "c.toml:1:12: interval: a time such as"),
            ("interval = 0", "c.toml:1:12: interval: a time such as"),
            ("interval = [1]", "c.toml:1:12: interval: a time such as"),
            (
                "columns = 'mem'",
                "c.toml:1:11: columns: there is no value `mem`; did you mean `memory`?",
            ),
            (
                "sort = 'cpus'",
                "c.toml:1:8: sort: there is no order `cpus`; did you mean `cpu`?",
            ),
            (
                "warnings = true",
                "c.toml:1:12: warnings: a table is wanted: [warnings]; or false",
            ),
            (
                "[warnings]\nmemory = [95, 85]",
                "c.toml:2:10: memory: two whole percentages are wanted, [85, 95], or false",
            ),
            (
                "[warnings]\noom-in = [10, 60]",
                "c.toml:2:10: oom-in: two times in whole seconds are wanted, [60, 10], or false",
            ),
            (
                "[warnings]\npressure = 10",
                "c.toml:2:12: pressure: two whole percentages are wanted",
            ),
            (
                "[warnings]\nhigh = 0",
                "c.toml:2:8: high: how often a second, a whole number",
            ),
            (
                "[warnings]\nmaxx = 1",
                "c.toml:2:1: there is no warning `maxx`; did you mean `max`?",
            ),
            (
                "zzz = 1",
                "c.toml:1:1: there is no setting `zzz`; there are theme, ascii",
            ),
            ("keys = 1", "c.toml:1:8: keys: a table is wanted"),
            (
                "[keys]\nquitt = ['y']",
                "c.toml:2:1: there is no action `quitt`; did you mean `quit`?",
            ),
            (
                "[keys]\nquit = ['y', 'hyper-x']",
                "c.toml:2:14: quit: `hyper-x` is not a key",
            ),
            (
                "[keys]\nquit = ['ctrl-c']",
                "c.toml:2:9: quit: `ctrl-c` always quits",
            ),
            (
                "[keys]\nquit = [1]",
                "c.toml:2:9: quit: keys are wanted, in quotes",
            ),
            (
                "[keys]\nquit = ['k']",
                "c.toml:2:8: `k` is bound to both `up` and `quit`; `up` has it by default, and can be given another",
            ),
            (
                "[keys]\nhelp = ['y']\nquit = ['y']",
                "c.toml:3:8: `y` is bound to both `help` and `quit`",
            ),
            ("fold = [", "c.toml:1:9: unclosed array"),
        ] {
            let problems = problems(text);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].starts_with(says),
                "{}\nwanted {says}",
                problems[0]
            );
        }
        let text = "fold = 'y'\nthme = 1\n[keys]\nquit = ['k']\nquitt = []\n";
        let lines: Vec<String> = problems(text)
            .iter()
            .map(|problem| problem.split(':').nth(1).unwrap_or_default().to_owned())
            .collect();
        assert_eq!(lines, ["1", "2", "4", "5"]);
    }

    #[test]
    fn keys_can_be_swapped() {
        let config = parse("c.toml", "[keys]\nquit = ['k']\nup = ['q', 'up']\n").unwrap();
        assert_eq!(config.settings.keys.labels(Action::Up), "q ↑");
    }
}
