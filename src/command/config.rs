//! The configuration: one TOML file, read by all verbs that show a dashboard; `ringfence config init`
//! writes it, `ringfence config check` says what is in force.

mod read;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::file;
use crate::model::Thresholds;
use crate::text;
use crate::ui::ascii::Ascii;
use crate::ui::settings::Settings;
use crate::ui::theme;

pub use read::{Problem, parse};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// How the dashboard looks and which keys it has.
    pub settings: Settings,
    /// Time between two samples.
    pub interval: Option<Duration>,
}

/// The time between two samples where nothing says otherwise.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A file that cannot be read, or has mistakes in it.
#[derive(Debug, thiserror::Error)]
#[error("{}", first(.0))]
pub struct Broken(pub Vec<Problem>);

fn first(problems: &[Problem]) -> String {
    let first = problems.first().map(ToString::to_string);
    match problems.len().saturating_sub(1) {
        0 => first.unwrap_or_default(),
        more => format!(
            "{} (and {more} more: `ringfence config check` has them all)",
            first.unwrap_or_default()
        ),
    }
}

/// `$XDG_CONFIG_HOME/ringfence/config.toml`, by default in `~/.config`; `None` without a home.
pub fn default_path(environment: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let folder = |name: &str| {
        // A relative one is no folder of the user's, says the specification.
        let path = environment(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(config.join("ringfence/config.toml"))
}

/// Reads a file, or the user's own, which may be missing.
pub fn load(explicit: Option<&Path>) -> Result<Config, Broken> {
    Ok(find(explicit)?.0)
}

/// The configuration, and the file that it is from.
fn find(explicit: Option<&Path>) -> Result<(Config, Option<PathBuf>), Broken> {
    let path = match explicit {
        Some(path) => path.to_owned(),
        None => match default_path(|name| env::var_os(name)) {
            Some(path) => path,
            None => return Ok((Config::default(), None)),
        },
    };
    // What was named may be a pipe. The default one is below HOME, which sudo may keep, so that it may be another user's.
    let text = match explicit {
        Some(path) => fs::read_to_string(path),
        None => file::read_through_links(&path)
            .and_then(|text| String::from_utf8(text).map_err(io::Error::other)),
    };
    let text = match text {
        Err(error) if error.kind() == ErrorKind::NotFound && explicit.is_none() => {
            return Ok((Config::default(), None));
        }
        text => text.map_err(|error| {
            let why = format!("read {}: {error}", path.display());
            Broken(vec![Problem::whole(why)])
        })?,
    };
    let config = parse(&path.display().to_string(), &text).map_err(Broken)?;
    Ok((config, Some(path)))
}

/// Checks a file, or the user's own: prints what is in force, or every mistake with its line and column.
pub fn check(explicit: Option<&Path>, out: &mut dyn io::Write) -> Result<u8> {
    match find(explicit) {
        Ok((config, path)) => {
            let from = path.map_or_else(
                || "no file: these are the defaults".to_owned(),
                |path| format!("from {}", text::sanitise(&path.display().to_string())),
            );
            let here = here(&config, |name| env::var(name).ok());
            write!(out, "# {from}\n# {here}\n{}", in_force(&config))
                .context("write what is in force")?;
            Ok(0)
        }
        Err(error) => {
            for problem in &error.0 {
                eprintln!("{}", text::sanitise(&problem.to_string()));
            }
            Ok(2)
        }
    }
}

/// What `auto` comes to on a terminal in such an environment.
fn here(config: &Config, environment: impl Fn(&str) -> Option<String>) -> String {
    let depth = theme::Depth::of(&environment);
    let name = theme::first(config.settings.theme, depth, &environment);
    let colours = match depth {
        theme::Depth::None => "no colours",
        theme::Depth::Sixteen => "16 colours",
        theme::Depth::Indexed => "256 colours",
        theme::Depth::Millions => "all colours",
    };
    let characters = if config.settings.ascii.wanted(&environment) {
        "ASCII"
    } else {
        "Unicode"
    };
    format!("on this terminal: theme {name}, {colours}, {characters}")
}

/// Writes a file that has every setting at its default, as comments.
pub fn init(explicit: Option<&Path>, force: bool) -> Result<u8> {
    let path = match explicit {
        Some(path) => path.to_owned(),
        None => default_path(|name| env::var_os(name))
            .context("neither XDG_CONFIG_HOME nor HOME is set; name a file")?,
    };
    // What a link points to is what is meant.
    let path = fs::canonicalize(&path).unwrap_or(path);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    match made.and_then(|()| file::write(&path, &commented(), force)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there; --force overwrites it", path.display());
        }
        written => written.with_context(|| format!("write {}", path.display()))?,
    }
    println!("{}", text::sanitise(&path.display().to_string()));
    Ok(0)
}

/// What the configuration comes to, as a file of its own.
pub fn in_force(config: &Config) -> String {
    let mut out = String::new();
    for (name, value, _) in values(config) {
        let _ = writeln!(out, "{name} = {value}");
    }
    out.push_str("\n[warnings]\n");
    for (name, value, _) in warnings(&config.settings.warnings) {
        let _ = writeln!(out, "{name} = {value}");
    }
    out.push_str("\n[keys]\n");
    for (binding, keys) in config.settings.keys.all() {
        let _ = writeln!(out, "{} = {}", binding.action.name(), list(keys));
    }
    out
}

/// The default file: what can be set, what it is by default, and what else it could be.
pub fn commented() -> String {
    let config = Config::default();
    let mut out = String::from(
        "# The configuration of ringfence. Everything is optional and shown at its default.\n\
         # `ringfence config check` says what is in force, and what is wrong.\n",
    );
    for (name, value, about) in values(&config) {
        let _ = write!(out, "\n# {about}\n# {name} = {value}\n");
    }
    out.push_str(
        "\n# Warnings before a kill, each said once and cleared when it is over; `false` for one, or for all of\n\
         # `warnings`, says none.\n[warnings]\n",
    );
    for (name, value, about) in warnings(&config.settings.warnings) {
        let _ = write!(out, "# {about}\n# {name} = {value}\n");
    }
    out.push_str(
        "\n# The keys of each action, in place of those that it has: k, K, ctrl-k, alt-x, F9, space, enter,\n\
         # esc, up, page-up, shift-tab …; none at all for []. Ctrl-C always quits.\n[keys]\n",
    );
    for (binding, keys) in config.settings.keys.all() {
        let entry = format!("{} = {}", binding.action.name(), list(keys));
        let _ = writeln!(out, "# {entry:<32} # {}", binding.about);
    }
    out
}

fn list(keys: &[crate::ui::keys::Key]) -> String {
    let keys = keys.iter().map(|key| match key.to_string() {
        // The two that mean something in a string of TOML.
        key if key.contains(['"', '\\']) => format!("'{key}'"),
        key => format!("\"{key}\""),
    });
    format!("[{}]", keys.collect::<Vec<_>>().join(", "))
}

/// Every threshold, in the same way.
fn warnings(thresholds: &Thresholds) -> [(&'static str, String, &'static str); 7] {
    let two = |[warning, critical]: [u32; 2]| match warning {
        Thresholds::NEVER | 0 => "false".to_owned(),
        _ => format!("[{warning}, {critical}]"),
    };
    let times = |times: u32| match times {
        Thresholds::NEVER => "false".to_owned(),
        _ => times.to_string(),
    };
    [
        (
            "memory",
            two(thresholds.memory),
            "Percent of a memory limit that the kernel cannot drop: a warning, and critical.",
        ),
        (
            "high",
            times(thresholds.high),
            "How often a second memory.high holds it back, at such a share of memory.high.",
        ),
        (
            "max",
            times(thresholds.max),
            "How often a second it meets memory.max, at such a share of memory.max.",
        ),
        (
            "pressure",
            two(thresholds.pressure),
            "Percent of the time that it waits for memory (PSI): a warning, and critical.",
        ),
        (
            "forks",
            times(thresholds.forks),
            "How many forks a second pids.max refuses.",
        ),
        (
            "throttled",
            two(thresholds.throttled),
            "Percent of the periods in which cpu.max holds it back: a warning, and critical.",
        ),
        (
            "oom-in",
            two(thresholds.oom_in),
            "Seconds until growth is to meet memory.max: a warning, and critical.",
        ),
    ]
}

/// Every setting but the keys: its name, its value in TOML, and what it is about.
fn values(config: &Config) -> [(&'static str, String, String); 7] {
    use crate::model::field::Preset;
    use crate::ui::settings::Fold;
    use crate::ui::theme::Name;

    let settings = &config.settings;
    let quoted = |text: &str| format!("\"{text}\"");
    let theme = settings.theme.map_or("auto", Name::as_str);
    let ascii = match settings.ascii {
        Ascii::Auto => quoted("auto"),
        Ascii::Always => "true".to_owned(),
        Ascii::Never => "false".to_owned(),
    };
    let interval = config.interval.unwrap_or(INTERVAL).as_secs_f64();
    let sort = settings.sort.by.field().key;
    let sort = if settings.sort.reversed {
        format!("-{sort}")
    } else {
        sort.to_owned()
    };
    [
        (
            "theme",
            quoted(theme),
            format!(
                "The theme: auto, {}.",
                Name::ALL.map(Name::as_str).join(", ")
            ),
        ),
        (
            "ascii",
            ascii,
            "Only ASCII on the screen: true, false, or \"auto\", which asks the locale.".to_owned(),
        ),
        (
            "mouse",
            (!settings.no_mouse).to_string(),
            "Whether the mouse is for the dashboard: true, or false for the terminal to select text."
                .to_owned(),
        ),
        (
            "interval",
            quoted(&format!("{interval}s")),
            "Time between two samples: \"500ms\", \"2s\", or a number of seconds.".to_owned(),
        ),
        (
            "columns",
            quoted(settings.columns.name()),
            format!(
                "The columns of the tree: {}.",
                Preset::ALL.map(Preset::name).join(", ")
            ),
        ),
        (
            "sort",
            quoted(&sort),
            format!(
                "The order of the tree: {}; the other way round: -cpu.",
                read::sorts().join(", ")
            ),
        ),
        (
            "fold",
            quoted(settings.fold.name()),
            format!(
                "What of the tree is closed at first: {}.",
                Fold::ALL.map(Fold::name).join(", ")
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_written_says_what_is_so_anyway() {
        let file = commented();
        assert_eq!(parse("f", &file).unwrap(), Config::default());
        // Without the `#` before each setting it is the same.
        let set: Vec<&str> = file
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.contains(" = ") && !setting.contains(':') => setting,
                Some(setting) if setting.starts_with("palette = ") => setting,
                _ => line,
            })
            .collect();
        let set = set.join("\n");
        assert!(
            set.contains("\ntheme = ") && set.contains("\nquit = "),
            "{set}"
        );
        let config = parse("f", &set).unwrap();
        assert_eq!(config.settings, Settings::default());
        assert_eq!(config.interval, Some(INTERVAL));
    }

    #[test]
    fn what_is_in_force_can_be_read_again() {
        let text = "theme = 'light'\nascii = true\nmouse = false\ninterval = 0.25\ncolumns = 'io'\nsort = '-cpu'\n\
                    fold = 'open'\n\
                    [warnings]\nmemory = [40, 50]\nmax = false\npressure = false\n[keys]\nquit = ['ctrl-q', 'F10']\nhelp = []\nfilter = ['\"', '\\']\n";
        let config = parse("f", text).unwrap();
        assert_eq!(parse("f", &in_force(&config)).unwrap(), config);
    }

    #[test]
    fn what_auto_comes_to_is_said() {
        let said = |variables: &[(&str, &str)]| {
            here(&Config::default(), |name| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(
            said(&[("TERM", "xterm-256color"), ("LANG", "C")]),
            "on this terminal: theme dark, 256 colours, ASCII"
        );
        assert_eq!(
            said(&[("TERM", "xterm"), ("LANG", "C.UTF-8")]),
            "on this terminal: theme 16, 16 colours, Unicode"
        );
    }

    #[test]
    fn the_file_is_where_the_desktop_says() {
        let path = |xdg: &str, home: &str| {
            default_path(|name| match name {
                "XDG_CONFIG_HOME" => Some(xdg.into()),
                "HOME" => Some(home.into()),
                _ => None,
            })
        };
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(path("/c", "/h"), some("/c/ringfence/config.toml"));
        assert_eq!(path("", "/h"), some("/h/.config/ringfence/config.toml"));
        assert_eq!(path("c", "/h"), some("/h/.config/ringfence/config.toml"));
        assert_eq!(path("", ""), None);
    }
}
