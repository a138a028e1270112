//! Why something died, also before anybody watched: what the kernel log, the journal, the state files of docker and podman,
//! systemd's units, systemd-oomd's marks and ringfence's own records still say.
//!
//! Each of them is asked for deaths ([`Death`]). What two of them say of one death is put together ([`together`]): both
//! are kept as evidence, and the more is known of it. What could not be read is said, too ([`Unread`]): an answer that
//! nothing is known is worth nothing without.

pub mod docker;
pub mod journal;
pub mod marks;
pub mod podman;
pub mod units;
pub mod workloads;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::kernel::cgroup::is_in;
use crate::names;
use crate::names::local::Names;
use crate::oom::OomKill;

/// What is told of one death within this time is of one death: an exit is written down after the kill.
const TOGETHER: Duration = Duration::from_secs(10);

/// Where something is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `/dev/kmsg`.
    KernelLog,
    /// The kernel's lines in the journal, also of earlier boots.
    KernelLogInJournal,
    /// What programs wrote to the journal.
    Journal,
    /// What systemd-oomd noted at the cgroup.
    OomdMark,
    /// docker's state.
    Docker,
    /// podman's state.
    Podman,
    /// systemd's units.
    Systemd,
    /// ringfence's own records.
    Ringfence,
}

impl Origin {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::KernelLog => "kernel log",
            Self::KernelLogInJournal => "kernel log, in the journal",
            Self::Journal => "journal",
            Self::OomdMark => "systemd-oomd's mark",
            Self::Docker => "docker's state",
            Self::Podman => "podman's state",
            Self::Systemd => "systemd",
            Self::Ringfence => "ringfence's record",
        }
    }
}

/// Who killed it for want of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The kernel.
    Kernel(Box<OomKill>),
    /// The kernel, or so its owner says, who read the counters; of the kill itself nothing is known.
    Oom,
    /// A program: `systemd-oomd`, `earlyoom`, `kubelet`.
    Killer(&'static str),
    /// A signal that anybody may have sent; an OOM kill is one of those who send 9.
    Signal(i32),
    /// It ended by itself.
    Exit(i32),
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It fits: a SIGKILL that nobody explains.
    Possible,
    /// Its owner says so.
    Likely,
    /// Who killed it says so.
    Certain,
}

impl Certainty {
    /// In a word.
    pub fn words(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// One fact, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Where it is from.
    pub source: Origin,
    /// What it says. Foreign text.
    pub text: String,
}

/// One death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// When; `None` where only that it happened is known.
    pub at: Option<SystemTime>,
    /// What people call it. Foreign text.
    pub name: String,
    /// Other names of it: an id, a unit. Foreign text.
    pub aliases: Vec<String>,
    /// The commands of the victims, by which one may ask for it, too. Foreign text.
    pub commands: Vec<String>,
    /// Its cgroup, from the v2 root. Foreign text.
    pub cgroup: Option<Arc<str>>,
    /// Who killed it, as far as that is known.
    pub cause: Cause,
    /// How that is known, the best first.
    pub evidence: Vec<Statement>,
}

/// What could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// What.
    #[serde(rename = "not_read")]
    pub source: Origin,
    /// Why. Foreign text.
    #[serde(rename = "text")]
    pub why: String,
}

/// What one source says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// In no order.
    pub deaths: Vec<Death>,
    /// What it could not read.
    pub unread: Vec<Unread>,
}

impl Cause {
    /// An exit code as shells and container engines give it: 128 and the signal where one killed.
    fn of_exit(code: i32) -> Self {
        match code {
            129..=192 => Self::Signal(code - 128),
            code => Self::Exit(code),
        }
    }
}

impl Findings {
    /// Nothing, and why.
    pub fn unread(source: Origin, why: impl Into<String>) -> Self {
        let mut findings = Self::default();
        findings.add_unread(source, why);
        findings
    }

    /// Something else could not be read.
    fn add_unread(&mut self, source: Origin, why: impl Into<String>) {
        let why = why.into();
        self.unread.push(Unread { source, why });
    }
}

impl FromIterator<Death> for Findings {
    fn from_iter<T: IntoIterator<Item = Death>>(deaths: T) -> Self {
        Self {
            deaths: deaths.into_iter().collect(),
            unread: Vec::new(),
        }
    }
}

impl Death {
    /// A kill that the kernel tells of.
    pub fn by_kernel(source: Origin, kill: OomKill, names: &mut Names) -> Self {
        let path = Arc::clone(&kill.path.value);
        let called = Called::new(&path, names);
        let commands = kill.victims.iter().map(|victim| victim.comm.clone());
        let victim = kill.victims.first();
        let text = victim.map_or_else(
            || "an OOM kill".to_owned(),
            |victim| format!("it killed pid {} {}", victim.pid, victim.comm),
        );
        Self {
            at: Some(kill.time),
            name: called.name,
            aliases: called.aliases,
            commands: commands.collect(),
            cgroup: Some(path),
            cause: Cause::Kernel(Box::new(kill)),
            evidence: vec![Statement { source, text }],
        }
    }

    /// What somebody tells of a unit of systemd's.
    fn of_unit(
        unit: &str,
        names: &mut Names,
        at: Option<SystemTime>,
        cause: Cause,
        evidence: Statement,
    ) -> Self {
        let called = Called::new(unit, names);
        Self {
            at,
            name: called.name,
            aliases: called.aliases,
            commands: Vec::new(),
            cgroup: None,
            cause,
            evidence: vec![evidence],
        }
    }

    /// How sure the cause is.
    pub fn certainty(&self) -> Certainty {
        match self.cause {
            // Whoever owns the cgroup may have written the mark.
            Cause::Killer(_) if self.is_marked_only() => Certainty::Likely,
            Cause::Kernel(_) | Cause::Killer(_) | Cause::Exit(_) => Certainty::Certain,
            Cause::Oom => Certainty::Likely,
            Cause::Signal(_) => Certainty::Possible,
        }
    }

    fn is_marked_only(&self) -> bool {
        let mut evidence = self.evidence.iter();
        evidence.all(|of| of.source == Origin::OomdMark)
    }

    /// Whether one may have meant it: its name, an id or the beginning of one, its unit with or without the suffix, the
    /// last part of its path or all of it, a command.
    pub fn is_called(&self, name: &str) -> bool {
        let path = self.cgroup.as_deref();
        let fits = |alias: &str| {
            let id = alias.len() >= 12 && name.len() >= 4 && alias.starts_with(name);
            alias == name || id || names::systemd::unit(alias).is_some_and(|(stem, _)| stem == name)
        };
        fits(&self.name)
            || self.aliases.iter().any(|alias| fits(alias))
            || self.commands.iter().any(|command| command == name)
            || path.is_some_and(|path| {
                let last = path.rsplit('/').next().unwrap_or(path);
                fits(last) || (name.starts_with('/') && is_in(path, name))
            })
    }

    /// Whether another source may mean the same death.
    fn is_of(&self, other: &Self) -> bool {
        let same = self.cgroup.is_some() && self.cgroup == other.cgroup;
        self.is_near(other) && (same || self.is_named_by(other) || other.is_named_by(self))
    }

    /// Whether a name of the other's is one of this one's, or in its path: systemd tells of a kill for each unit above, too.
    fn is_named_by(&self, other: &Self) -> bool {
        let parts = self.cgroup.iter().flat_map(|path| path.split('/'));
        let own: Vec<&str> = std::iter::once(&self.name)
            .chain(&self.aliases)
            .map(String::as_str)
            .chain(parts)
            .collect();
        let mut others = std::iter::once(&other.name).chain(&other.aliases);
        others.any(|name| !name.is_empty() && own.contains(&name.as_str()))
    }

    fn is_near(&self, other: &Self) -> bool {
        self.apart(other) <= TOGETHER
    }

    /// The time between them; none where it is not known.
    fn apart(&self, other: &Self) -> Duration {
        match (self.at, other.at) {
            (Some(one), Some(other)) => one
                .duration_since(other)
                .unwrap_or_else(|error| error.duration()),
            _ => Duration::ZERO,
        }
    }

    /// How much is told by the cause: the most is kept.
    fn rank(&self) -> u8 {
        match self.cause {
            Cause::Kernel(_) => 4,
            Cause::Killer(_) => 3,
            Cause::Oom => 2,
            Cause::Signal(_) => 1,
            Cause::Exit(_) => 0,
        }
    }

    /// Takes in what another source says of it.
    fn take(&mut self, other: Self) {
        let (mut better, worse) = if other.rank() > self.rank() {
            (other, self.clone())
        } else {
            (self.clone(), other)
        };
        better.at = better.at.or(worse.at);
        better.cgroup = better.cgroup.or(worse.cgroup);
        better.aliases.push(worse.name);
        better.aliases.extend(worse.aliases);
        better.commands.extend(worse.commands);
        for list in [&mut better.aliases, &mut better.commands] {
            list.sort_unstable();
            list.dedup();
        }
        better.evidence.extend(worse.evidence);
        *self = better;
    }
}

/// What people call what died, and its other names.
struct Called {
    name: String,
    aliases: Vec<String>,
}

impl Called {
    /// By its path from the v2 root, or by its unit. In a container, that container is meant; in a unit, that unit.
    fn new(path: &str, names: &mut Names) -> Self {
        let (path, identity) =
            names::named_level(path).unwrap_or_else(|| (path, names::identify(path)));
        let last = path.rsplit('/').next().unwrap_or(path);
        let name = names.of_removed(path, Instant::now());
        Self {
            name: name.unwrap_or_else(|| identity.label.into_owned()),
            aliases: identity
                .id
                .map(Cow::into_owned)
                .into_iter()
                .chain([last.to_owned()])
                .collect(),
        }
    }
}

/// Puts together what several sources say of one death; the latest comes first, and those without a time last.
pub fn together(mut deaths: Vec<Death>) -> Vec<Death> {
    let mut all: Vec<Death> = Vec::new();
    // Who tells the most comes first, of equals the latest: the others join what is nearest in time.
    deaths.sort_by_key(|death| std::cmp::Reverse((death.rank(), death.at)));
    for death in deaths {
        let fits = |known: &&mut Death| match (&known.cause, &death.cause) {
            // Two kills are two, however near; one may be told by two.
            (Cause::Kernel(one), Cause::Kernel(other)) => {
                let victim = |kill: &OomKill| kill.victims.first().map(|victim| victim.pid);
                victim(one).is_some() && victim(one) == victim(other) && known.is_near(&death)
            }
            // Each of them says it has killed.
            (Cause::Kernel(_), Cause::Killer(_)) => false,
            _ => known.is_of(&death),
        };
        let nearest = all
            .iter_mut()
            .filter(fits)
            .min_by_key(|known| known.apart(&death));
        match nearest {
            Some(known) => known.take(death),
            None => all.push(death),
        }
    }
    all.sort_by_key(|death| std::cmp::Reverse(death.at));
    all
}
