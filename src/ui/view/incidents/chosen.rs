//! One OOM kill with all that is known about it, and how each thing is known.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::kernel::memory::MemoryStat;
use crate::model::incident::BEFORE;
use crate::model::{Incident, Model, field, oom};
use crate::sample::{Means, Victim};
use crate::text;
use crate::ui::keymap::Action;
use crate::ui::state::State;
use crate::ui::theme::Theme;
use crate::ui::view::chart::{self, Chart};
use crate::ui::view::{pad, put, wrap};

/// From this width on, the chart stands beside the words.
const BESIDE: u16 = 100;
/// So many victims beside the first have a line of their own.
const OTHERS: usize = 6;
/// The column of what a fact is about.
const ABOUT: usize = 9;

/// A fact as it is drawn: what it is about, the words, and how they are known.
struct Told {
    about: &'static str,
    words: String,
    from: Option<Means>,
}

impl Told {
    fn new(about: &'static str, words: String, from: Option<Means>) -> Self {
        Self { about, words, from }
    }
}

pub(super) fn render(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model,
    incident: &Incident,
    state: &State,
    theme: &Theme,
) {
    if area.height == 0 {
        return;
    }
    let wide = area.width >= BESIDE;
    let words = words(area);
    let lines = lines(&facts(incident, model), words.width, theme);
    let top = state.excerpt.top.min(overflow(&lines, area));
    for (line, y) in lines.iter().skip(top).zip(0..words.height) {
        put(buffer, words, y, line);
    }
    let cut = (lines.len() - top).saturating_sub(usize::from(words.height));
    if cut > 0 && words.height > 1 {
        let more = more(cut + 1, state);
        let more = pad(&more, usize::from(words.width), false);
        put(
            buffer,
            words,
            words.height - 1,
            &Line::styled(more, theme.dim),
        );
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let beside = if wide {
        let left = area.width * 3 / 5;
        Rect {
            x: area.x + left,
            width: area.width - left,
            height: area.height.min(14),
            ..area
        }
    } else {
        Rect {
            y: area.y + used.min(area.height),
            height: area.height.saturating_sub(used).min(12),
            ..area
        }
    };
    if beside.height > chart::LEAST {
        before(buffer, beside, incident, theme);
    }
}

/// Where the words go.
fn words(area: Rect) -> Rect {
    let beside = area.width * 3 / 5;
    Rect {
        width: if area.width >= BESIDE {
            beside - 2
        } else {
            area.width
        },
        ..area
    }
}

fn overflow(lines: &[Line<'_>], area: Rect) -> usize {
    lines.len().saturating_sub(usize::from(area.height))
}

/// The last line that can be the first on the screen.
pub(super) fn last_top(area: Rect, model: &Model, incident: &Incident) -> usize {
    let facts = facts(incident, model);
    overflow(&lines(&facts, words(area).width, &Theme::PLAIN), area)
}

/// `… 7 more lines (PgDn)`
fn more(lines: usize, state: &State) -> String {
    let key = state.keys.label(Action::PageDown);
    let key = key.map_or_else(String::new, |key| format!(" ({key})"));
    format!("… {lines} more lines{key}")
}

fn lines(facts: &[Told], width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(ABOUT);
    let mut lines = Vec::new();
    for fact in facts {
        let from = fact.from.map(|from| format!("  ({from})"));
        let from_width = from.as_deref().map_or(0, str::width);
        let wrapped = wrap(&fact.words, room, room);
        let last = wrapped.len().saturating_sub(1);
        for (at, words) in wrapped.into_iter().enumerate() {
            let about = if at == 0 { fact.about } else { "" };
            let fits = at == last && words.width() + from_width <= room;
            let mut spans = vec![
                Span::styled(pad(about, ABOUT, false), theme.dim),
                Span::raw(words),
            ];
            // How it is known gives way to what is known.
            spans.extend(
                from.clone()
                    .filter(|_| fits)
                    .map(|from| Span::styled(from, theme.dim)),
            );
            lines.push(Line::from(spans));
        }
    }
    lines
}

fn facts(incident: &Incident, model: &Model) -> Vec<Told> {
    let kill = &incident.kill;
    let mut facts = vec![
        Told::new("killed", killed(incident, model), None),
        Told::new(
            "cgroup",
            text::sanitise(&kill.path.value).into_owned(),
            Some(kill.path.from),
        ),
        Told::new(
            "why",
            why(incident),
            kill.fired.as_ref().map(|fired| fired.from),
        ),
    ];
    facts.extend(victim(incident));
    facts.push(Told::new("after", incident.after(), None));
    facts.extend(past(incident).map(|words| Told::new("before", words, None)));
    if let Some(stat) = &kill.memory_stat {
        let words = composition(&stat.value);
        facts.push(Told::new("memory", words, Some(stat.from)));
    }
    facts.extend(others(incident));
    facts
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
fn killed(incident: &Incident, model: &Model) -> String {
    let kill = &incident.kill;
    let many = text::processes(usize::try_from(kill.kills).unwrap_or(usize::MAX));
    let group = match &kill.group {
        Some(group) if group.value => ", the whole cgroup (memory.oom.group)",
        _ => "",
    };
    format!("{many} at {}{group}", model.clock(kill.time))
}

/// The one that was chosen, or the first of them.
fn victim(incident: &Incident) -> Vec<Told> {
    match incident.kill.victims.first() {
        Some(victim) => vec![
            Told::new("victim", who(victim), Some(victim.from)),
            Told::new("", size(victim), None),
        ],
        None => vec![Told::new(
            "victim",
            "unknown: nothing names it".to_owned(),
            None,
        )],
    }
}

/// Who else was killed.
fn others(incident: &Incident) -> Vec<Told> {
    let kill = &incident.kill;
    let known = kill.victims.iter().skip(1).take(OTHERS);
    let mut facts: Vec<Told> = known
        .map(|victim| Told::new("", who(victim), Some(victim.from)))
        .collect();
    let told = 1 + facts.len();
    let more = kill.victims.len().saturating_sub(told);
    if more > 0 {
        facts.push(Told::new("", format!("and {more} more"), None));
    }
    let named = u64::try_from(kill.victims.len().max(1)).unwrap_or(u64::MAX);
    let nameless = kill.kills.saturating_sub(named);
    if nameless > 0 {
        let words = format!("{nameless} unknown: nothing names them");
        facts.push(Told::new("", words, None));
    }
    if let Some(first) = facts.first_mut() {
        first.about = "also";
    }
    facts
}

/// `pid 48213 (1 inside) ringfence · rss 63.1M`
fn who(victim: &Victim) -> String {
    text::sanitise(&oom::about(victim, " (? inside)")).into_owned()
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

/// `grew 7.1M/s over 9 s · memory pressure up to 34 % · limit lowered from 96M to 64M 12 s before`
fn past(incident: &Incident) -> Option<String> {
    let mut words = Vec::new();
    if let Some(growth) = incident.growth().filter(|growth| growth.rate >= 1.0) {
        let rate = field::rate(growth.rate);
        words.push(format!("grew {rate}/s over {:.0} s", growth.seconds));
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

/// The victims' cgroup's memory up to the kill, at the right end.
fn before(buffer: &mut Buffer, area: Rect, incident: &Incident, theme: &Theme) {
    let title = format!("memory in the {} min before", BEFORE.as_secs() / 60);
    put(buffer, area, 0, &Line::styled(title, theme.title));
    let width = usize::from(chart::columns(area.width));
    let values = incident.columns(width);
    if values.iter().all(Option::is_none) {
        let text = Line::styled("not seen before it was killed", theme.dim);
        put(buffer, area, 1, &text);
        return;
    }
    let mut kills = vec![false; width];
    if let Some(last) = kills.last_mut() {
        *last = true;
    }
    Chart {
        values: &values,
        kills: &kills,
        limit: incident.limit_bytes.map(|limit| limit.0 as f64),
        scale: field::rate,
        caption: String::new(),
    }
    .render(
        buffer,
        Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        },
        theme,
    );
}
