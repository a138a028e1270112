//! Deaths as one self-contained HTML page, for a ticket: nothing in it is loaded from elsewhere, and nothing runs.

use std::path::Path;
use std::time::SystemTime;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::events::rfc3339;
use super::incident::summary;
use crate::kernel::badness::NEVER;
use crate::kernel::cgroup::hierarchy::mount_point;
use crate::kernel::cgroup::knob::{Knob, KnobValue};
use crate::kernel::cgroup::standing::{Standing, standings};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::host;
use crate::kernel::kmsg::dump::Choice;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{self, Bytes, Reading};
use crate::model::Incident;
use crate::model::incident::BEFORE;
use crate::oom::{OomKill, Victim, words};
use crate::text;
use crate::why::{Statement, Unread};

/// The limits that are shown of each level of the tree.
const LIMITS: [Knob; 4] = [
    Knob::MemoryMax,
    Knob::MemoryHigh,
    Knob::SwapMax,
    Knob::OomGroup,
];

/// So many deaths are shown: a page of 200 has about 1 MiB.
pub const SECTIONS: usize = 200;

/// The chart of memory, in pixels.
const CHART: (f64, f64) = (640.0, 160.0);

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dim, th { color: #777; font-weight: normal; } .killed { color: #c0392b; font-weight: bold; }
.bar { background: #3b82c4; height: .8rem; min-width: 1px; }
svg { max-width: 100%; height: auto; }
";

/// What the page is about, and where it was made.
#[derive(Debug, Clone)]
pub struct Head {
    /// What was asked, in a line. Foreign text.
    pub title: String,
    /// When the page was made.
    pub time: SystemTime,
    /// The host's name. Foreign text.
    pub host: String,
    /// The kernel's release. Foreign text.
    pub kernel: String,
}

impl Head {
    /// On this host, now.
    pub fn now(title: String) -> Self {
        let (host, kernel) = host::names();
        Self {
            title,
            time: SystemTime::now(),
            host,
            kernel,
        }
    }
}

/// One death.
#[derive(Debug)]
pub struct DeathSection<'a> {
    /// What happened, in a line. Foreign text.
    pub headline: String,
    /// How sure that is, where it was put together from what others say.
    pub certainty: Option<&'static str>,
    /// What was put together. Foreign text.
    pub evidence: &'a [Statement],
    /// All that is known of it, where the kernel killed.
    pub incident: Option<&'a Incident>,
    /// The limits up the tree, as they are now: [`levels`].
    pub levels: Vec<LevelLimits>,
}

/// A cgroup or one above it, with its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelLimits {
    /// Its path from the v2 root. Foreign text.
    path: String,
    /// `memory.current`.
    used: Option<Bytes>,
    /// Each of [`LIMITS`]; `None` where it is not there.
    limits: [Option<String>; LIMITS.len()],
}

/// The limits of a cgroup and of those above it, nearest first, as they are now. `mount` is where cgroup v2 is mounted,
/// and `path` begins at its root.
pub fn levels(mount: &Path, path: &str) -> Vec<LevelLimits> {
    let path = Path::new(path.trim_start_matches('/'));
    let knobs = LIMITS.map(|knob| standings(mount, path, knob.into()));
    (0..knobs[0].len())
        .map(|at| LevelLimits {
            path: knobs[0][at].path.clone(),
            used: current(mount, &knobs[0][at].path),
            limits: std::array::from_fn(|knob| limit(LIMITS[knob], knobs[knob].get(at)?)),
        })
        .collect()
}

/// `memory.current` of a cgroup.
fn current(mount: &Path, path: &str) -> Option<Bytes> {
    let cgroup = Cgroup::open(mount.join(path.trim_start_matches('/')));
    let text = cgroup.and_then(|cgroup| cgroup.read("memory.current"));
    unit::number(&text.ok()?, "memory.current").ok().map(Bytes)
}

fn limit(knob: Knob, standing: &Standing) -> Option<String> {
    match &standing.value {
        Reading::Value(KnobValue::Size(limit)) => Some(text::limit(*limit)),
        Reading::Value(value) => Some(value.to_text(knob.into())),
        Reading::NotAvailable => None,
        Reading::Unreadable(errno) => Some(errno.to_string()),
    }
}

/// One OOM kill that was seen, with the limits as they are now.
pub fn of_kill(incident: &Incident) -> String {
    let Incident {
        kill, name, limit, ..
    } = incident;
    let mount = mount_point(Path::new("/proc"));
    let section = DeathSection {
        headline: words::line(kill, name, limit),
        certainty: None,
        evidence: &[],
        incident: Some(incident),
        levels: mount.map_or_else(Vec::new, |mount| levels(&mount, &kill.path.value)),
    };
    page(&Head::now(format!("Why {name} died")), &[section], 0, &[])
}

/// The whole document; so many `older` deaths are left out.
pub fn page(head: &Head, sections: &[DeathSection<'_>], older: usize, unread: &[Unread]) -> String {
    let title = shown(&head.title);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p .dim {
                    "host " (shown(&head.host)) " · Linux " (shown(&head.kernel)) " · " (rfc3339(head.time))
                    " · ringfence " (env!("CARGO_PKG_VERSION"))
                }
                @if sections.is_empty() {
                    p { "Nothing is known." }
                }
                @for section in sections { (one(section)) }
                @if older > 0 { p { "And " (older) " older ones, which are not shown here." } }
                @if !unread.is_empty() {
                    h2 { "Not read" }
                    table {
                        @for unread in unread {
                            tr { td { (unread.source.words()) } td { (shown(&unread.why)) } }
                        }
                    }
                }
            }
        }
    };
    markup.into_string()
}

/// Foreign text: nothing in it means anything to a terminal, where the page is printed.
fn shown(text: &str) -> String {
    text::sanitise(text).into_owned()
}

fn one(section: &DeathSection<'_>) -> Markup {
    html! {
        h2 {
            (shown(&section.headline))
            @if let Some(certainty) = section.certainty {
                span .dim { " (" (certainty) ")" }
            }
        }
        @if !section.evidence.is_empty() {
            h3 { "How it is known" }
            table {
                @for evidence in section.evidence {
                    tr { td .dim { (evidence.source.words()) } td { (shown(&evidence.text)) } }
                }
            }
        }
        @if let Some(incident) = section.incident { (known(incident)) }
        @if !section.levels.is_empty() { (limits(&section.levels)) }
    }
}

/// All that is known of a kill of the kernel's.
fn known(incident: &Incident) -> Markup {
    let kill = &incident.kill;
    html! {
        h3 { "The kill" }
        table {
            @for detail in summary(incident, &rfc3339) {
                tr {
                    td .dim { (detail.about) }
                    td { (detail.words) }
                    td .dim { @if let Some(from) = detail.from { (from.name()) } }
                }
            }
        }
        h3 { "Memory in the " (BEFORE.as_secs() / 60) " minutes before" }
        (curve(incident))
        @if let Some(stat) = &kill.memory_stat {
            h3 { "What the memory was made of " span .dim { "(" (stat.from.name()) ")" } }
            (composition(&stat.value))
        }
        @if !kill.victims.is_empty() {
            h3 { "Killed" }
            (victims(&kill.victims))
        }
        @if let Some(choice) = &kill.choice {
            h3 { "Who could have been killed " span .dim { "(kernel log)" } }
            (candidates(choice, kill))
        }
    }
}

fn number(size: Bytes) -> Markup {
    html! { td .number title=(format!("{} bytes", size.0)) { (text::bytes(size)) } }
}

fn composition(stat: &MemoryStat) -> Markup {
    let parts = stat.composition();
    let total: u64 = parts.iter().map(|(_, size)| size.0).sum();
    html! {
        table {
            @for (name, size) in parts {
                @let share = size.0 as f64 / total.max(1) as f64 * 100.0;
                tr {
                    td { (name) }
                    (number(size))
                    td style="width: 20rem" { div .bar style=(format!("width: {share:.1}%")) {} }
                }
            }
        }
    }
}

fn victims(victims: &[Victim]) -> Markup {
    html! {
        table {
            tr {
                th .number { "pid" } th .number { "inside" } th { "command" } th .number { "uid" }
                th .number { "anon" } th .number { "file" } th .number { "shmem" }
                th .number { "oom_score_adj" } th { "known from" }
            }
            @for victim in victims {
                tr {
                    td .number { (victim.pid) }
                    td .number { (or_dash(victim.inner_pid)) }
                    td .killed { (shown(&victim.comm)) }
                    td .number { (or_dash(victim.uid)) }
                    (number(victim.anon)) (number(victim.file)) (number(victim.shmem))
                    td .number { (or_dash(victim.oom_score_adj)) }
                    td .dim { (victim.from.name()) }
                }
            }
        }
    }
}

fn candidates(choice: &Choice, kill: &OomKill) -> Markup {
    html! {
        @if let Some(asked) = &choice.asked {
            p { (shown(&asked.comm)) " (pid " (or_dash(asked.pid)) ") wanted memory." }
        }
        table {
            tr {
                th .number { "pid" } th { "command" } th .number { "uid" } th .number { "rss" }
                th .number { "swap" } th .number { "page tables" } th .number { "oom_score_adj" }
            }
            @for of in &choice.candidates {
                tr {
                    td .number { (of.pid) }
                    td .killed[kill.has_killed(of.pid)] { (shown(&of.comm)) }
                    td .number { (of.uid) }
                    (number(of.badness.rss)) (number(of.badness.swap)) (number(of.badness.page_tables))
                    td .number {
                        (of.badness.oom_score_adj)
                        @if of.badness.oom_score_adj == NEVER { " (never killed)" }
                    }
                }
            }
        }
        @if choice.more_candidates > 0 { p .dim { "and " (choice.more_candidates) " more" } }
    }
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn limits(levels: &[LevelLimits]) -> Markup {
    html! {
        h3 { "Limits up the tree, as they are now" }
        table {
            tr {
                th { "cgroup" } th .number { "memory.current" }
                @for knob in LIMITS { th .number { (knob.name()) } }
            }
            @for level in levels {
                tr {
                    td { (shown(&level.path)) }
                    @if level.used.is_none() && level.limits.iter().all(Option::is_none) {
                        td .dim colspan=(1 + LIMITS.len()) { "is no longer there" }
                    } @else {
                        @if let Some(used) = level.used { (number(used)) } @else { td .number { "–" } }
                        @for limit in &level.limits { td .number { (or_dash(limit.as_ref())) } }
                    }
                }
            }
        }
    }
}

/// Memory against the limit, up to the kill at the right end.
fn curve(incident: &Incident) -> Markup {
    let before = &incident.before;
    if before.is_empty() {
        return html! { p .dim { "Not recorded: no dashboard was open." } };
    }
    let limit = incident.limit_bytes.map(|limit| limit.0 as f64);
    let drawn = before
        .iter()
        .flat_map(|moment| [Some(moment.memory), moment.limit])
        .flatten()
        .map(f64::from);
    let most = drawn.chain(limit).fold(1.0, f64::max) * 1.05;
    let (width, height) = CHART;
    let x = |age: f32| width * (1.0 - f64::from(age) / BEFORE.as_secs_f64());
    let y = |bytes: f64| height * (1.0 - bytes / most);
    let points = |value: &dyn Fn(usize) -> Option<f32>| {
        let points = before.iter().enumerate().filter_map(|(at, moment)| {
            let bytes = f64::from(value(at)?);
            Some(format!("{:.1},{:.1}", x(moment.age), y(bytes)))
        });
        points.collect::<Vec<_>>().join(" ")
    };
    // The limit as it was at each moment, and as the kernel told it at the kill.
    let bound = points(&|at| before[at].limit);
    let end = limit.map(|limit| format!("{width:.1},{:.1}", y(limit)));
    let bound = [Some(bound), end]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height + 22.0)
            viewBox=(format!("0 0 {width} {}", height + 22.0)) role="img" aria-label="memory before the kill" {
            polyline points=(points(&|at| Some(before[at].memory))) fill="none" stroke="#3b82c4" stroke-width="2" {}
            polyline points=(bound) fill="none" stroke="#c0392b" stroke-dasharray="6 4" {}
            line x1="0" y1=(height) x2=(width) y2=(height) stroke="#999" {}
            text x="0" y=(height + 16.0) font-size="12" fill="#777" { "−" (BEFORE.as_secs()) " s" }
            text x=(width) y=(height + 16.0) font-size="12" fill="#777" text-anchor="end" { "killed" }
        }
        p .dim {
            "Solid: memory.current, at most "
            (text::bytes(Bytes(before.iter().fold(0, |most, moment| most.max(whole(moment.memory))))))
            @if let Some(limit) = incident.limit_bytes { "; dashed: the limit, " (text::bytes(limit)) }
            "."
        }
    }
}

/// The chart's numbers have no sign and no fraction that matters.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(bytes: f32) -> u64 {
    bytes as u64
}
