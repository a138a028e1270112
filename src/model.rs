//! Folds samples into what people ask: rates, effective limits, throttling, history, OOM incidents.
//!
//! A [`Model`] takes [`Sample`]s, [`Event`]s and [`Note`]s, and answers with [`Row`]s. It knows nothing of
//! where they come from, how they are drawn, or what time it is.
//!
//! What is *measured* belongs to a cgroup by identity: a name that comes back is a new cgroup and has no
//! rate yet. What is *remembered* (history, peaks, OOM kills) belongs to the path, so that a workload which
//! was restarted keeps its past; folds belong to the name that people gave, too ([`Row::identity`]).

pub mod advice;
mod bind;
pub mod chain;
pub mod change;
pub mod changed;
pub mod field;
pub mod filter;
pub mod forecast;
pub mod happening;
pub mod history;
pub mod host;
pub mod incident;
pub mod io;
pub mod limit;
pub mod memory;
pub mod note;
pub mod oom;
pub mod parts;
pub mod peaks;
pub mod process;
pub mod rate;
pub mod row;
pub mod state;
pub mod tree;
pub mod victim;
pub mod warning;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kernel::cgroup::CgroupId;
use crate::kernel::clock;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::Reading;
use crate::names;
use crate::oom::{Fact, Fired, Means, OomKill};
use crate::sample::{Event, Presence, Sample};

use forecast::growth::Growth;
pub use happening::{Happening, What};
pub use history::History;
pub use host::Host;
pub use incident::Incident;
pub use note::{Note, Severity};
pub use peaks::Peaks;
pub use row::Row;
use warning::Sign;
pub use warning::{Thresholds, Warning};

/// How many notes are kept.
pub const NOTES: usize = 1000;

/// What is remembered of a path.
#[derive(Debug, Clone, Default)]
struct Track {
    history: History,
    /// Of few: see [`forecast::suspects`].
    growth: Option<Box<Growth>>,
    peaks: Peaks,
    kills: oom::Ledger,
    /// What people call it.
    called: Option<Arc<str>>,
    /// Which cgroup had this path last, and when it was first seen.
    since: Option<(CgroupId, Duration)>,
    /// The last `memory.stat` seen.
    memory_stat: Option<(CgroupId, Arc<MemoryStat>)>,
}

/// Everything known about a host and its cgroups.
#[derive(Debug, Clone, Default)]
pub struct Model {
    sample: Option<Arc<Sample>>,
    index: HashMap<CgroupId, usize>,
    rows: Vec<Row>,
    host: Host,
    /// Boxed, as a map has room for twice as many.
    tracks: HashMap<Arc<str>, Box<Track>>,
    notes: VecDeque<Note>,
    notes_ever: u64,
    incidents: VecDeque<Incident>,
    watch: warning::Watch,
    process_cpu: process::Cpu,
    process_sizes: incident::Sizes,
    expected: Vec<changed::Expected>,
    utc_offset: i32,
}

impl Model {
    /// A model that shows times at this offset from UTC, in seconds.
    pub fn new(utc_offset: i32) -> Self {
        Self {
            utc_offset,
            ..Self::default()
        }
    }

    /// Takes in the next sample. The same instant again changes nothing; an earlier one (somebody went
    /// back in time) starts the rates anew. Gives what is seen to have happened by it.
    pub fn fold(&mut self, sample: Arc<Sample>) -> Vec<Happening> {
        let before = self.sample.take();
        if let Some(before) = &before
            && before.since_boot == sample.since_boot
        {
            self.sample = Some(before.clone());
            return Vec::new();
        }
        let seconds = before
            .as_ref()
            .and_then(|before| rate::seconds_between(before.since_boot, sample.since_boot));
        let previous = before.as_ref().map(|before| row::Before {
            sample: before,
            index: &self.index,
        });
        let tracks = &self.tracks;
        // The old ones make room first: a host may have tens of thousands.
        self.rows = Vec::new();
        self.rows = row::rows(&sample, previous.as_ref(), |cgroup| {
            let (id, stat) = tracks.get(&cgroup.path)?.memory_stat.as_ref()?;
            (*id == cgroup.id).then(|| Arc::clone(stat))
        });
        self.host.fold(
            &sample.host,
            before.as_ref().map(|before| &before.host),
            seconds,
        );
        for (row, cgroup) in self.rows.iter_mut().zip(&sample.cgroups) {
            let track = self.tracks.entry(row.path.clone()).or_default();
            if cgroup.called.is_some() {
                track.called.clone_from(&cgroup.called);
            }
            row.oom_kills = track.kills.settle(row.id, &row.oom_kills, sample.time);
            if cgroup.presence == Presence::Vanished {
                continue;
            }
            if track.since.is_none_or(|(id, _)| id != row.id) {
                track.since = Some((row.id, sample.since_boot));
            }
            if let Reading::Value(stat) = &cgroup.memory_stat {
                track.memory_stat = Some((row.id, Arc::clone(stat)));
                if let Some(demand) = forecast::demand(row) {
                    let kills = row.oom_kills.value().copied().unwrap_or_default();
                    let at = sample.since_boot;
                    track
                        .growth
                        .get_or_insert_default()
                        .push(row.id, kills, at, demand);
                }
            }
            let then = previous
                .as_ref()
                .and_then(|before| before.of(row.id))
                .zip(seconds);
            track.peaks.fold(row, cgroup, then);
            track.history.push(history::Point {
                at: sample.since_boot,
                memory: row.memory.current.value().copied(),
                cpu: row.cpu.value().copied(),
                limit: incident::likely_limit(row),
                stall: incident::stall(cgroup, then),
            });
        }
        let trends: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                self.tracks
                    .get(&row.path)?
                    .growth
                    .as_ref()?
                    .trend_of(row.id)
            })
            .collect();
        forecast::foretell(&sample, &mut self.rows, &trends);
        victim::foretell(&sample, &mut self.rows);
        let looks = warning::looks(&sample, &self.rows, previous.as_ref(), &self.watch);
        let changes = previous.as_ref().map_or_else(Vec::new, |before| {
            changed::changes(&sample, &self.rows, before, |row| {
                let (id, since) = self.tracks.get(&row.path)?.since?;
                (id == row.id).then_some(since)
            })
        });
        let mut happened = self.take_changes(&sample, changes);
        happened.extend(self.take_looks(&sample, looks));
        self.process_cpu = before
            .as_ref()
            .map_or_else(process::Cpu::new, |before| process::cpu(before, &sample));
        self.process_sizes.fold(&sample);
        self.index = row::index(&sample);
        let sequels = incident::follow(&mut self.incidents, &sample, &self.index);
        self.forget(&sample);
        let time = sample.time;
        self.sample = Some(sample);
        happened.extend(sequels.into_iter().map(|number| Happening {
            time,
            what: What::Sequel(number),
        }));
        happened
    }

    /// Drops what is remembered of paths that are long gone. The peaks of workloads stay: the summary
    /// at the end is about them.
    fn forget(&mut self, sample: &Sample) {
        let oldest = sample.since_boot.saturating_sub(history::SPAN);
        if self.tracks.len() <= self.rows.len() {
            return;
        }
        self.tracks.retain(|path, track| {
            let is_stale = track.history.is_older_than(oldest);
            if is_stale {
                track.history = History::default();
            }
            !is_stale || row::Kind::of(path) == row::Kind::Workload
        });
    }

    /// Takes in what the kernel told between two samples; gives what happened by it, if it is news.
    pub fn event(&mut self, event: &Event) -> Option<Happening> {
        let (time, what) = match event {
            Event::Stall {
                time,
                cgroup,
                share,
                seconds,
            } => {
                let (share, seconds) = (*share, *seconds);
                return self.stalled(*time, *cgroup, Sign::Pressure { share, seconds });
            }
            Event::OomKill(kill) if kill.killer().is_some() => {
                (kill.time, What::Kill(self.killed_by_program(kill)))
            }
            Event::OomKill(kill) => (kill.time, What::Kill(self.oom_kill(kill))),
            Event::Notice { time, text } => {
                self.note(Note {
                    time: *time,
                    severity: Severity::Warning,
                    text: text.clone(),
                    cgroup: None,
                });
                (*time, What::Notice(text.clone()))
            }
        };
        Some(Happening { time, what })
    }

    /// Gives the number of the incident that it makes.
    fn oom_kill(&mut self, kill: &OomKill) -> u64 {
        let at = self.since_boot(kill.time);
        let track = self.tracks.entry(kill.path.value.clone()).or_default();
        track
            .kills
            .tell(kill.cgroup, kill.kills, kill.total, kill.time);
        track.peaks.oom_kills = track.peaks.oom_kills.max(track.kills.total());
        if let Some(at) = at {
            track.history.mark_oom(at);
        }
        let row = self.index.get(&kill.cgroup).map(|&at| &self.rows[at]);
        let label = |path: &str| self.full_label(path);
        let number = self.next_incident();
        let track = &self.tracks[&kill.path.value];
        let mut incident = Incident::new(number, at.unwrap_or_default(), kill, row, &label);
        incident.look_back(&track.history);
        if let Some(Fired::Cgroup { path, .. }) = incident.fired().map(|fired| fired.value) {
            incident.grown = self.process_sizes.grown(path);
        }
        if let (None, Some((id, stat))) = (incident.kill.memory_stat, &track.memory_stat)
            && *id == kill.cgroup
        {
            incident.kill.memory_stat = Some(Fact::new(**stat, Means::Seen));
        }
        self.add_incident(incident);
        number
    }

    /// The same where a program killed, of whose kills the kernel has no counters.
    fn killed_by_program(&mut self, kill: &OomKill) -> u64 {
        let at = self.since_boot(kill.time).unwrap_or_default();
        let number = self.next_incident();
        let label = |path: &str| self.full_label(path);
        let row = self.row(&kill.path.value);
        let mut incident = match row {
            Some(row) => {
                let kill = OomKill {
                    cgroup: row.id,
                    ..kill.clone()
                };
                Incident::new(number, at, &kill, Some(row), &label)
            }
            None => Incident::of_past(number, at, kill, &label),
        };
        if let Some(track) = self.tracks.get(&kill.path.value) {
            incident.look_back(&track.history);
        }
        self.add_incident(incident);
        number
    }

    fn add_incident(&mut self, incident: Incident) {
        self.incidents
            .retain(|known| !known.is_past_of(&incident.kill));
        let notes: Vec<Note> = oom::notes(&incident).collect();
        incident::push(&mut self.incidents, incident);
        for note in notes {
            self.note(note);
        }
    }

    fn next_incident(&self) -> u64 {
        self.incidents.back().map_or(1, |last| last.number + 1)
    }

    /// A wall-clock time on the clock of the samples; `None` before the first one.
    fn since_boot(&self, time: SystemTime) -> Option<Duration> {
        let sample = self.sample.as_ref()?;
        Some(match time.duration_since(sample.time) {
            Ok(later) => sample.since_boot + later,
            Err(earlier) => sample.since_boot.saturating_sub(earlier.duration()),
        })
    }

    /// Adds a line to the event log: what a launcher says about its workloads, for instance.
    pub fn note(&mut self, note: Note) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
        self.notes_ever += 1;
    }

    /// The newest sample.
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_deref()
    }

    /// Every cgroup of the newest sample, parents before children.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a path.
    pub fn row(&self, path: &str) -> Option<&Row> {
        self.rows.iter().find(|row| &*row.path == path)
    }

    /// What to call a path: the name that people gave, also shortly after it is gone, or what the path
    /// tells. Foreign text.
    pub fn label<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        let called = self
            .tracks
            .get(path)
            .and_then(|track| track.called.as_deref());
        called.map_or_else(|| names::identify(path).label, Cow::Borrowed)
    }

    /// The same where nothing else on the line says in what it is: `web/worker` of what a container or a unit made below
    /// itself. Foreign text.
    pub fn full_label(&self, path: &str) -> String {
        let level = names::named_level(path).map_or(path, |(level, _)| level);
        let below = path.strip_prefix(level).unwrap_or_default();
        format!("{}{below}", self.label(level))
    }

    /// Whose memory may meet a limit, and the limits above them: their `memory.stat` is needed for a
    /// forecast. Not more than some dozens, those closest to their limits.
    pub fn suspects(&self) -> HashSet<CgroupId> {
        let near = self.watch.thresholds.memory[0];
        forecast::suspects(&self.rows, near, |row| {
            let since = self.sample.as_ref()?.since_boot;
            self.tracks.get(&row.path)?.history.grown(since)
        })
    }

    /// The host as a whole.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The OOM kills, newest first.
    pub fn incidents(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.incidents.iter().rev()
    }

    /// Whether something was known of a path in the last minutes.
    pub fn remembers(&self, path: &str) -> bool {
        let now = self
            .sample
            .as_ref()
            .map_or(Duration::ZERO, |sample| sample.since_boot);
        self.history(path)
            .is_some_and(|past| !past.is_older_than(now.saturating_sub(history::SPAN)))
    }

    /// The past of a path.
    pub fn history(&self, path: &str) -> Option<&History> {
        self.tracks.get(path).map(|track| &track.history)
    }

    /// What a path reached while it was watched.
    pub fn peaks(&self, path: &str) -> Option<&Peaks> {
        self.tracks.get(path).map(|track| &track.peaks)
    }

    /// The event log, newest first.
    pub fn notes(&self) -> impl ExactSizeIterator<Item = &Note> {
        self.notes.iter().rev()
    }

    /// How many notes there have been, those that are forgotten included.
    pub fn notes_ever(&self) -> u64 {
        self.notes_ever
    }

    /// A time of day for people: `12:03:41`, in the model's time zone.
    pub fn clock(&self, time: SystemTime) -> String {
        clock::local(time, self.utc_offset).1
    }

    /// The date of a time that is not of the newest sample's day: `2026-07-31`, in the model's time zone.
    pub fn other_day(&self, time: SystemTime) -> Option<String> {
        let day = |time| clock::local(time, self.utc_offset).0;
        let today = day(self.sample.as_ref()?.time);
        Some(day(time)).filter(|day| *day != today)
    }

    /// The same as [`clock`](Self::clock), with its date where that is another one: `2026-07-31 12:03:41`.
    pub fn date_and_clock(&self, time: SystemTime) -> String {
        let day = self.other_day(time);
        day.map_or_else(String::new, |day| day + " ") + &self.clock(time)
    }
}
