//! One OOM kill in words, and how each thing is known.

use std::time::SystemTime;

use crate::kernel::badness::NEVER;
use crate::kernel::kmsg::dump::Candidate;
use crate::kernel::memory::MemoryStat;
use crate::model::{Incident, field};
use crate::oom::{Means, Victim, words};
use crate::text;

/// So many victims beside the first, and so many candidates, have a line of their own.
const LINES: usize = 6;

/// One thing that is known of a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillDetail {
    /// What it is about, in a word; empty where it goes on about the same.
    pub about: &'static str,
    /// In words; harmless to a terminal.
    pub words: String,
    /// How that is known.
    pub from: Option<Means>,
}

impl KillDetail {
    fn new(about: &'static str, words: String, from: Option<Means>) -> Self {
        Self { about, words, from }
    }
}

/// All of it, in the order in which people ask; times by `clock`.
pub fn details(incident: &Incident, clock: &dyn Fn(SystemTime) -> String) -> Vec<KillDetail> {
    let mut details = summary(incident, clock);
    if let Some(stat) = &incident.kill.memory_stat {
        let words = composition(&stat.value);
        details.push(KillDetail::new("memory", words, Some(stat.from)));
    }
    details.extend(others(incident));
    details.extend(choice(incident));
    details
}

/// The same without what has many parts: what the memory was made of, all victims, who could have been killed.
pub fn summary(incident: &Incident, clock: &dyn Fn(SystemTime) -> String) -> Vec<KillDetail> {
    let kill = &incident.kill;
    let mut details = vec![
        KillDetail::new("killed", killed(incident, clock), None),
        KillDetail::new(
            "cgroup",
            text::sanitise(&kill.path.value).into_owned(),
            Some(kill.path.from),
        ),
        KillDetail::new(
            "why",
            why(incident),
            kill.fired.as_ref().map(|fired| fired.from),
        ),
    ];
    details.extend(victim(incident));
    details.push(KillDetail::new("after", incident.after(), None));
    details.extend(past(incident).map(|words| KillDetail::new("before", words, None)));
    details
}

/// `limit memory.max 90M of app, an ancestor: /app`
fn why(incident: &Incident) -> String {
    let limit = text::sanitise(&incident.limit);
    match incident.kill.limit_path() {
        Some(path) if *path == incident.kill.path.value => format!("{limit}, its own"),
        Some(path) => format!("{limit}, an ancestor: {}", text::sanitise(path)),
        None => limit.into_owned(),
    }
}

/// `3 processes at 12:02:50, the whole cgroup (memory.oom.group)`
fn killed(incident: &Incident, clock: &dyn Fn(SystemTime) -> String) -> String {
    let kill = &incident.kill;
    if let Some(killer) = kill.killer() {
        return format!("by {} at {}", killer.name, clock(kill.time));
    }
    let many = text::processes(usize::try_from(kill.kills).unwrap_or(usize::MAX));
    let group = match &kill.group {
        Some(group) if group.value => ", the whole cgroup (memory.oom.group)",
        _ => "",
    };
    format!("{many} at {}{group}", clock(kill.time))
}

/// The one that was chosen, or the first of them.
fn victim(incident: &Incident) -> Vec<KillDetail> {
    match incident.kill.victims.first() {
        Some(victim) => vec![
            KillDetail::new("victim", who(victim), Some(victim.from)),
            KillDetail::new("", size(victim), None),
        ],
        // The program that killed has said all.
        None if incident.kill.killer().is_some() => Vec::new(),
        None => vec![KillDetail::new(
            "victim",
            "unknown: nothing names it".to_owned(),
            None,
        )],
    }
}

/// Who else was killed.
fn others(incident: &Incident) -> Vec<KillDetail> {
    let kill = &incident.kill;
    let known = kill.victims.iter().skip(1).take(LINES);
    let mut details: Vec<KillDetail> = known
        .map(|victim| KillDetail::new("", who(victim), Some(victim.from)))
        .collect();
    let told = 1 + details.len();
    let more = kill.victims.len().saturating_sub(told);
    if more > 0 {
        details.push(KillDetail::new("", format!("and {more} more"), None));
    }
    let named = u64::try_from(kill.victims.len().max(1)).unwrap_or(u64::MAX);
    let nameless = kill.kills.saturating_sub(named);
    if nameless > 0 {
        let words = format!("{nameless} unknown: nothing names them");
        details.push(KillDetail::new("", words, None));
    }
    if let Some(first) = details.first_mut() {
        first.about = "also";
    }
    details
}

/// Who asked for memory, and who could have been killed.
fn choice(incident: &Incident) -> Vec<KillDetail> {
    let kill = &incident.kill;
    let Some(choice) = &kill.choice else {
        return Vec::new();
    };
    let from = Some(Means::KernelLog);
    let mut details = Vec::new();
    if let Some(asked) = &choice.asked {
        let pid = asked
            .pid
            .map_or_else(String::new, |pid| format!("pid {pid} "));
        let words = format!("{pid}{} wanted memory", text::sanitise(&asked.comm));
        details.push(KillDetail::new("asked", words, from));
    }
    let shown = choice.candidates.iter().take(LINES);
    let begin = details.len();
    details
        .extend(shown.map(|of| KillDetail::new("", candidate(of, kill.has_killed(of.pid)), None)));
    if let Some(first) = details.get_mut(begin) {
        first.about = "choice";
        first.from = from;
    }
    let more = choice.candidates.len().saturating_sub(LINES) + choice.more_candidates;
    if more > 0 {
        details.push(KillDetail::new("", format!("and {more} more"), None));
    }
    details
}

/// `✖ pid 4200 web · 30M · oom_score_adj 500`
fn candidate(of: &Candidate, is_killed: bool) -> String {
    let mark = if is_killed { "✖" } else { "·" };
    let adj = match of.badness.oom_score_adj {
        0 => String::new(),
        NEVER => " · never killed (oom_score_adj -1000)".to_owned(),
        adj => format!(" · oom_score_adj {adj}"),
    };
    let (pid, comm) = (of.pid, text::sanitise(&of.comm));
    format!(
        "{mark} pid {pid} {comm} · {}{adj}",
        text::bytes(of.badness.size())
    )
}

/// `pid 48213 (1 inside) ringfence · rss 63.1M`
fn who(victim: &Victim) -> String {
    text::sanitise(&words::about(victim, " (? inside)")).into_owned()
}

/// `anon 62M + file 1M + shmem 0B · oom_score_adj 0 · uid 0`
fn size(victim: &Victim) -> String {
    let [anon, file, shmem] = [victim.anon, victim.file, victim.shmem].map(text::bytes);
    let adj = victim.oom_score_adj;
    let parts = [
        Some(format!("anon {anon} + file {file} + shmem {shmem}")),
        adj.map(|adj| format!("oom_score_adj {adj}")),
        victim.uid.map(|uid| format!("uid {uid}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `anon 62M · file 1M (shmem 0B) · kernel 512K · sock 0B`
fn composition(stat: &MemoryStat) -> String {
    let [anon, file, shmem, kernel, sock] =
        [stat.anon, stat.file, stat.shmem, stat.kernel, stat.sock].map(text::bytes);
    format!("anon {anon} · file {file} (shmem {shmem}) · kernel {kernel} · sock {sock}")
}

/// `grew 7.1M/s over 9 s · most by pid 4711 worker: 12M to 58M · memory pressure up to 34 % · limit lowered from 96M to 64M 12 s before`
fn past(incident: &Incident) -> Option<String> {
    let mut words = Vec::new();
    if let Some(growth) = incident.growth().filter(|growth| growth.rate >= 1.0) {
        let rate = field::rate(growth.rate);
        words.push(format!("grew {rate}/s over {:.0} s", growth.seconds));
    }
    if let Some(grown) = &incident.grown {
        let [from, to] = [grown.from, grown.to].map(text::bytes);
        let comm = text::sanitise(&grown.comm);
        words.push(format!("most by pid {} {comm}: {from} to {to}", grown.pid));
    }
    if let Some(stall) = incident.pressure().filter(|stall| *stall >= 0.5) {
        words.push(format!("memory pressure up to {stall:.0} %"));
    }
    if let Some(change) = incident.limit_change() {
        let how = if change.to < change.from {
            "lowered"
        } else {
            "raised"
        };
        let when = match change.age {
            0.0..1.0 => "just".to_owned(),
            age => format!("{age:.0} s"),
        };
        words.push(format!(
            "limit {how} from {} to {} {when} before",
            field::rate(change.from.into()),
            field::rate(change.to.into()),
        ));
    }
    (!words.is_empty()).then(|| words.join(" · "))
}
