//! What a person types to see only some of the cgroups.
//!
//! Words with spaces between them; a row has to satisfy all of them. [`FORMS`] is the list for the help.

use std::time::Duration;

use regex::{Regex, RegexBuilder};

use super::row::{self, Row};
use super::{field, state};
use crate::kernel::unit::Bytes;
use crate::names::{Owner, Role};
use crate::text;

/// Every form of a word, and what it keeps.
pub const FORMS: [(&str, &str); 9] = [
    ("word", "names that contain it; with a / in it, paths"),
    ("/regex/", "names or paths that match"),
    (
        "mem>80%",
        "memory above that share of the limit that binds; also <",
    ),
    (
        "kind:docker",
        "what it is: podman, pod, service, workload, …; or who made it",
    ),
    ("mem>64m", "working set above that size"),
    ("cpu>50%", "CPU above that much of a core; also <"),
    (
        "oom<60",
        "an OOM kill is near: within so many seconds, or 5m",
    ),
    ("faults", "OOM kills, refused forks, whatever is held back"),
    (
        "state:slowed",
        "in that state: throttled, stalled, frozen, …",
    ),
];

/// How much memory a compiled pattern may take.
const PATTERN: usize = 1 << 18;

/// A filter as it was typed, and what it means.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
    error: Option<String>,
}

/// A kind of cgroup.
#[derive(Debug)]
struct Kind {
    /// One word for it, and others that people say.
    words: &'static [&'static str],
    holds: fn(&Row) -> bool,
}

const fn kind(words: &'static [&'static str], holds: fn(&Row) -> bool) -> Kind {
    Kind { words, holds }
}

/// Every kind: who made a cgroup, or what it is to its maker.
static KINDS: [Kind; 19] = [
    kind(&["ringfence"], |row| row.owner == Owner::Ringfence),
    kind(&["docker"], |row| row.owner == Owner::Docker),
    kind(&["buildkit"], |row| row.owner == Owner::Buildkit),
    kind(&["podman", "libpod"], |row| row.owner == Owner::Podman),
    kind(&["containerd"], |row| row.owner == Owner::Containerd),
    kind(&["crio", "cri-o"], |row| row.owner == Owner::Crio),
    kind(&["kubernetes", "k8s", "kubelet"], |row| {
        row.owner == Owner::Kubernetes
    }),
    kind(&["lxc", "lxd", "incus"], |row| row.owner == Owner::Lxc),
    kind(&["machined", "nspawn", "libvirt"], |row| {
        row.owner == Owner::Machined
    }),
    kind(&["snap"], |row| row.owner == Owner::Snap),
    kind(&["flatpak"], |row| row.owner == Owner::Flatpak),
    kind(&["systemd"], |row| row.owner == Owner::Systemd),
    kind(&["workload"], |row| row.kind == row::Kind::Workload),
    kind(&["container"], |row| row.role == Role::Container),
    kind(&["pod"], |row| row.role == Role::Pod),
    kind(&["app"], |row| row.role == Role::App),
    // Also of those that have another owner: a flatpak is a scope, too.
    kind(&["service"], |row| row.path.ends_with(".service")),
    kind(&["scope"], |row| row.path.ends_with(".scope")),
    kind(&["slice"], |row| row.path.ends_with(".slice")),
];

/// The kind of this name.
fn kind_of(word: &str) -> Result<&'static Kind, String> {
    let found = KINDS.iter().find(|kind| kind.words.contains(&word));
    found.ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.words[0]).collect();
        format!("`kind:{word}`: there are {}", known.join(" "))
    })
}

#[derive(Debug, Clone)]
enum Term {
    Name(String),
    Path(String),
    Matches(Regex),
    MemoryShare(Side, f64),
    MemorySize(Side, Bytes),
    Cpu(Side, f64),
    OomIn(Side, Duration),
    Faults,
    State(String),
    Kind(&'static Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

impl Filter {
    /// Reads a filter. One that cannot be understood keeps everything, and says why.
    pub fn new(text: &str) -> Self {
        let terms = words(text).map(Term::parse).collect::<Result<Vec<_>, _>>();
        let (terms, error) = match terms {
            Ok(terms) => (terms, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Self {
            text: text.to_owned(),
            terms,
            error,
        }
    }

    /// What was typed. It may be foreign text: it can have been pasted.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why it cannot be understood, in one sentence.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether everything is kept.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Types one more character.
    pub fn push(&mut self, char: char) {
        let mut text = std::mem::take(&mut self.text);
        text.push(char);
        *self = Self::new(&text);
    }

    /// Takes the last character back.
    pub fn pop(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.pop();
        *self = Self::new(&text);
    }

    /// Whether a row satisfies it.
    pub fn keeps(&self, row: &Row) -> bool {
        self.terms.iter().all(|term| term.keeps(row))
    }

    /// Whether it asks for names only: what is below a name that was asked for belongs to it, what is
    /// below a number does not.
    pub fn is_by_name(&self) -> bool {
        let by_name =
            |term: &Term| matches!(term, Term::Name(_) | Term::Path(_) | Term::Matches(_));
        self.terms.iter().all(by_name)
    }
}

/// The words; a `/regex/` may contain spaces.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let regex = rest.strip_prefix('/').and_then(|inner| {
            let mut ends = inner.match_indices('/').map(|(at, _)| at + 2);
            ends.find(|end| rest[*end..].is_empty() || rest[*end..].starts_with(' '))
        });
        let end = regex.unwrap_or_else(|| rest.find(' ').unwrap_or(rest.len()));
        let (word, after) = rest.split_at(end);
        rest = after.trim_start();
        (!word.is_empty()).then_some(word)
    })
}

impl Term {
    fn parse(word: &str) -> Result<Self, String> {
        if let Some(pattern) = word
            .strip_prefix('/')
            .and_then(|word| word.strip_suffix('/'))
            .filter(|pattern| !pattern.is_empty())
        {
            return RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(PATTERN)
                .build()
                .map(Self::Matches)
                .map_err(|error| {
                    // The last line says what is wrong, those above draw an arrow.
                    let error = error.to_string();
                    let why = error.lines().last().unwrap_or_default();
                    let why = why.trim().trim_start_matches("error: ");
                    format!("/{pattern}/ is not a regular expression: {why}")
                });
        }
        for (at, side) in [('>', Side::Above), ('<', Side::Below)] {
            if let Some((field, value)) = word.split_once(at) {
                return Self::compare(word, field, side, value);
            }
        }
        let word = word.to_lowercase();
        if let Some(kind) = word.strip_prefix("kind:") {
            return kind_of(kind).map(Self::Kind);
        }
        if let Some(state) = word.strip_prefix("state:") {
            if field::all_state_words().any(|known| known.starts_with(state)) {
                return Ok(Self::State(state.to_owned()));
            }
            let known: Vec<&str> = field::all_state_words().collect();
            return Err(format!("`state:{state}`: there are {}", known.join(" ")));
        }
        Ok(match &*word {
            "faults" => Self::Faults,
            _ if word.contains('/') => Self::Path(word),
            _ => Self::Name(word),
        })
    }

    fn compare(word: &str, field: &str, side: Side, value: &str) -> Result<Self, String> {
        let value = value.trim_start_matches('=');
        let share = value.strip_suffix('%').and_then(|number| {
            let number: f64 = number.parse().ok()?;
            number.is_finite().then_some(number)
        });
        let bytes = value.parse::<Bytes>().ok();
        match (&*field.to_lowercase(), share, bytes) {
            ("mem" | "memory", Some(share), _) => Ok(Self::MemoryShare(side, share)),
            ("mem" | "memory", None, Some(bytes)) => Ok(Self::MemorySize(side, bytes)),
            ("mem" | "memory", None, None) => Err(format!(
                "`{word}`: memory is compared with a share or a size: mem>80%, mem>64m"
            )),
            ("cpu", Some(share), _) => Ok(Self::Cpu(side, share)),
            ("cpu", None, _) => Err(format!(
                "`{word}`: CPU is compared with percent of a core: cpu>50%"
            )),
            ("oom", ..) => match text::duration(value) {
                Ok(time) => Ok(Self::OomIn(side, time)),
                Err(_) => Err(format!(
                    "`{word}`: the time until an OOM kill is compared with seconds: oom<60, oom<5m"
                )),
            },
            _ => Err(format!(
                "`{word}`: only mem, cpu and oom can be compared: mem>80%, cpu>50%, oom<60"
            )),
        }
    }

    fn keeps(&self, row: &Row) -> bool {
        match self {
            Self::Name(word) => [&*row.label, &*row.name]
                .iter()
                .any(|name| name.to_lowercase().contains(word)),
            Self::Path(word) => [&*row.label, &*row.path]
                .iter()
                .any(|name| name.to_lowercase().contains(word)),
            Self::Matches(regex) => [&*row.label, &*row.name, &*row.path]
                .iter()
                .any(|name| regex.is_match(name)),
            Self::MemoryShare(side, percent) => {
                let ceiling = row.memory_limit.value();
                ceiling
                    .and_then(|ceiling| ceiling.first()?.share())
                    .is_some_and(|share| side.holds(share * 100.0, *percent))
            }
            Self::MemorySize(side, bound) => row
                .memory
                .working
                .value()
                .is_some_and(|bytes| side.holds(*bytes, *bound)),
            Self::Cpu(side, percent) => row
                .cpu
                .value()
                .is_some_and(|cpu| side.holds(cpu.0, *percent)),
            Self::OomIn(side, bound) => row
                .forecast
                .value()
                .is_some_and(|forecast| side.holds(forecast.likely, *bound)),
            Self::Faults => state::has_faults(row),
            Self::State(word) => field::has_state(row, word),
            Self::Kind(kind) => (kind.holds)(row),
        }
    }
}

impl Side {
    fn holds<T: PartialOrd + Copy>(self, value: T, bound: T) -> bool {
        match self {
            Self::Above => value > bound,
            Self::Below => value < bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_split_into_words() {
        let split = |text| words(text).collect::<Vec<_>>();
        assert_eq!(split("  cron mem>80% "), ["cron", "mem>80%"]);
        assert_eq!(split("/a b/ faults /x/"), ["/a b/", "faults", "/x/"]);
        assert_eq!(split("/system.slice/cron"), ["/system.slice/cron"]);
        assert_eq!(split("/"), ["/"]);
        assert_eq!(split(""), Vec::<&str>::new());
    }

    #[test]
    fn a_bad_filter_keeps_everything_and_says_why() {
        for (text, why) in [
            (
                "/le(ak/",
                "/le(ak/ is not a regular expression: unclosed group",
            ),
            ("mem>lots", "mem>80%"),
            ("cpu>7", "percent of a core"),
            ("pids>7", "only mem, cpu and oom"),
            ("oom<soon", "oom<60"),
            ("kind:dokcer", "there are ringfence docker buildkit podman"),
            ("kind:", "service scope slice"),
            (
                "state:tired",
                "running empty threaded forks-refused throttled slowed",
            ),
            ("/(((a{99}){99}){99})/", "size limit"),
        ] {
            let filter = Filter::new(text);
            let error = filter.error().unwrap_or_default();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains('\n'));
            assert!(filter.terms.is_empty());
        }
        for text in [
            "",
            "/",
            "//",
            "/x",
            "word",
            "/^l.*r$/",
            "mem<5%",
            "cpu>=50%",
            "oom<60",
            "oom<5m",
            "FAULTS",
            "kind:docker",
            "KIND:CRI-O",
            "kind:k8s kind:pod",
            "state:slowed",
            "State:stalled",
            "state:",
        ] {
            assert_eq!(Filter::new(text).error(), None, "{text}");
        }
    }
}
