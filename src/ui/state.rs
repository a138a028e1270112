//! What the user has made of the screen. No styles, nothing drawn.

mod settle;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ratatui::layout::Rect;

use super::Options;
use super::editor::{Done, DoneState, Editor};
use super::ended::List;
use super::keymap::Action;
use super::keys::Keys;
use super::layout::{self, Edge, Page, Plan, Split};
use super::listing::Listing;
use super::log::Log;
use super::menu::Menu;
use super::prompt::Prompt;
use super::question::Question;
use super::settings::Fold;
use super::tabs::View;
use super::theme::{self, Depth};
use super::update::Drag;
use crate::kernel::cgroup::CgroupId;
use crate::model::field::Preset;
use crate::model::process::{Order, Process};
use crate::model::tree::{self, Line, Shape};
use crate::model::{Model, Row};
use crate::sample::live::Interest;
use crate::text;

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Screen {
    /// To the view.
    #[default]
    View,
    /// Into the filter.
    Filter,
    /// To the help: the keys that move scroll it, any other closes it.
    Help {
        /// The first line that is shown.
        top: usize,
    },
    /// Into the palette.
    Palette {
        /// Which of what matches is chosen.
        at: usize,
    },
    /// Into the editor of limits.
    Editor,
    /// To the list of what was changed.
    Changes {
        /// Which of them is chosen, the newest first.
        at: usize,
    },
    /// To the menu of what can be done.
    Menu,
    /// Into the line in which a new workload is typed.
    Prompt,
    /// To the log of a workload, in place of the view.
    Log,
    /// To the list of workloads that are over.
    Ended,
    /// To the question: `y` goes on, `n` and Esc do not.
    Question,
}

/// How much of the past the charts of the detail view show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    /// In full.
    #[default]
    Minutes,
    /// In coarse.
    Hours,
}

/// Whether the panel about the selected cgroup is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Where there is room.
    #[default]
    Auto,
    /// Also where the others have to shrink for it.
    Open,
    /// Not.
    Closed,
}

/// Whether the screen follows the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// It does.
    #[default]
    Live,
    /// It is held still.
    Paused,
}

/// Which line is selected, by path: a workload that is made again stays selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// Nothing to select yet.
    #[default]
    None,
    /// Nobody chose; the first workload will do.
    Auto(Arc<str>),
    /// The user chose it.
    Chosen(Arc<str>),
}

/// What is seen of a text about something that may be too long for the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// The key of what it is about.
    pub of: Option<u64>,
    /// The first line on the screen.
    pub top: usize,
}

/// How far the kernel log reaches back, which kills of before are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogReach {
    /// It was not read.
    #[default]
    Unread,
    /// To the boot.
    Boot,
    /// To this time: what was older was overwritten.
    Since(SystemTime),
}

/// The time until a trial ends, as of what is on the screen.
pub fn time_left(end: SystemTime, model: &Model) -> String {
    let now = model.sample().map_or(end, |sample| sample.time);
    text::age(end.duration_since(now).unwrap_or_default())
}

/// The state of the dashboard.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Where keys go.
    pub screen: Screen,
    /// What the screen is about.
    pub view: View,
    /// The columns of the tree.
    pub preset: Preset,
    /// What is typed into the palette.
    pub typed: String,
    /// The first line of the detail view.
    pub detail_top: usize,
    /// The past in the detail view.
    pub span: Span,
    /// The processes, known by their pids.
    pub processes: Listing,
    /// Their order.
    pub order: Order,
    /// The OOM kills, known by their numbers.
    pub incidents: Listing,
    /// How far back the kernel log goes.
    pub log_reach: LogReach,
    /// What is seen of the chosen one.
    pub excerpt: Excerpt,
    /// The panel about the selected cgroup.
    pub detail: Detail,
    /// Whether the screen follows the model.
    pub flow: Flow,
    /// Folds, order, filter.
    pub shape: Shape,
    /// The selected line.
    pub selection: Selection,
    /// The visible lines of the tree, as of the last update.
    pub lines: Vec<Line>,
    /// The first line on the screen.
    pub top: usize,
    /// Where the selected line was at the last update, in case it goes away.
    at: usize,
    /// The terminal.
    pub area: Rect,
    /// The limits that are edited.
    pub editor: Option<Editor>,
    /// What was changed in this run, the oldest first.
    pub done: Vec<Done>,
    /// Which of them is about to be undone.
    pub undoing: Option<usize>,
    /// How many trials were ordered.
    pub trials: u64,
    /// What can be done, where it was asked for.
    pub menu: Option<Menu>,
    /// What was said last, until the next key, where the event log is not seen.
    pub told: Option<String>,
    /// What is asked before something that cannot be taken back.
    pub question: Option<Question>,
    /// The line in which a new workload is typed.
    pub prompt: Prompt,
    /// The workload that was just started, until it is seen or another key is pressed.
    pub awaited: Option<String>,
    /// The log that is followed.
    pub log: Option<Log>,
    /// How many logs were followed.
    pub logs: u64,
    /// The workloads that are over.
    pub ended: List,
    /// What is to be said in the event log, until the loop does.
    pub said: Vec<String>,
    /// Time between two samples, for the header.
    pub interval: Duration,
    /// The keys in force.
    pub keys: Arc<Keys>,
    /// The theme.
    pub theme: theme::Name,
    /// Whether the mouse is left to the terminal, by which text is selected.
    pub no_mouse: bool,
    /// Whether the theme is another one than at the start; then the footer names it.
    pub other_theme: bool,
    /// How many colours the terminal can show.
    pub depth: Depth,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// How high the panels are.
    pub split: Split,
    /// The edge of a panel that the mouse holds.
    pub drag: Option<Drag>,
    /// The edge that was clicked just before: a second click is a double one.
    pub clicked: Option<Edge>,
    /// What is closed at the start.
    pub first_folds: Fold,
    /// By what the selected cgroup is known again under another path.
    identity: Option<Arc<str>>,
}

impl State {
    /// The state at the start.
    pub fn new(area: Rect, interval: Duration) -> Self {
        Self {
            area,
            interval,
            ..Self::default()
        }
    }

    /// Has something said in the event log.
    pub fn say(&mut self, text: impl Into<String>) {
        self.said.push(text.into());
    }

    /// Takes over what was chosen before the start, on a terminal in such an environment.
    pub fn begin(
        &mut self,
        options: &Options,
        depth: Depth,
        environment: impl Fn(&str) -> Option<String>,
    ) {
        let settings = &options.settings;
        self.shape.root.clone_from(&options.root);
        self.shape.sort = settings.sort;
        self.first_folds = settings.fold;
        self.preset = settings.columns;
        self.keys = Arc::clone(&settings.keys);
        self.depth = depth;
        self.theme = theme::first(settings.theme, depth, &environment);
        self.ascii = settings.ascii.wanted(&environment);
        self.no_mouse = settings.no_mouse;
    }

    /// The next theme that the terminal can show.
    pub fn next_theme(&mut self) {
        let next = self.theme.next(self.depth);
        self.other_theme |= next != self.theme;
        self.theme = next;
    }

    /// Selects a cgroup wherever it is, and opens what it is in.
    pub fn go_to(&mut self, path: &str, model: &Model) {
        let Some(row) = model.row(path) else { return };
        let mut parent = row.parent;
        while let Some(above) = parent.and_then(|at| model.rows().get(at)) {
            self.shape.unfold(above);
            parent = above.parent;
        }
        self.selection = Selection::Chosen(row.path.clone());
        self.detail_top = 0;
    }

    /// The path of the selected line.
    pub fn selected(&self) -> Option<&Arc<str>> {
        match &self.selection {
            Selection::None => None,
            Selection::Auto(path) | Selection::Chosen(path) => Some(path),
        }
    }

    /// Where the selected line is among the visible ones.
    pub fn position(&self, model: &Model) -> Option<usize> {
        let path = self.selected()?;
        self.lines.iter().position(|line| {
            model
                .rows()
                .get(line.row)
                .is_some_and(|row| row.path == *path)
        })
    }

    /// The selected row.
    pub fn selected_row<'a>(&self, model: &'a Model) -> Option<&'a Row> {
        model.row(self.selected()?)
    }

    /// Whether the selected cgroup is gone, and may come back: a workload that restarts is away for a
    /// moment, and what is said about it stays.
    pub fn is_away(&self, model: &Model) -> bool {
        self.selected()
            .is_some_and(|path| model.row(path).is_none() && model.remembers(path))
    }

    /// Where the selected line is, or was while it is away.
    pub fn cursor(&self, model: &Model) -> usize {
        let last = self.lines.len().saturating_sub(1);
        self.position(model).unwrap_or(self.at.min(last))
    }

    /// How the screen is split.
    pub fn plan(&self, model: &Model) -> Option<Plan> {
        layout::plan_with(
            self.area,
            self.detail,
            self.notice(model).is_some(),
            self.split,
        )
    }

    /// How the screen is split where it is about one thing.
    pub fn page_plan(&self, model: &Model) -> Option<Page> {
        layout::page(self.area, self.notice(model).is_some())
    }

    /// What is on trial, with the trial's number and the time that is left; the newest first.
    pub fn on_trial(&self) -> impl Iterator<Item = (&Done, u64, SystemTime)> {
        self.done.iter().rev().filter_map(|done| match done.state {
            DoneState::OnTrial { number, end } => Some((done, number, end)),
            DoneState::Made | DoneState::Undone => None,
        })
    }

    /// The trial of the editor's chosen line.
    pub fn chosen_trial(&self) -> Option<(u64, SystemTime)> {
        let editor = self.editor.as_ref()?;
        let address = editor.slot()?.address;
        let mut trials = self.on_trial();
        let chosen =
            trials.find(|(done, ..)| done.path == editor.path && done.change.address == address);
        chosen.map(|(_, number, end)| (number, end))
    }

    /// What is on trial and how long, in one sentence, with the keys that end it.
    fn trial_notice(&self, model: &Model) -> Option<String> {
        let mut trials = self.on_trial();
        let (done, _, end) = trials.next()?;
        let more = match trials.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let keys = [(Action::Keep, "keeps"), (Action::Undo, "takes back")];
        let keys =
            keys.map(|(action, does)| Some(format!(" · {} {does}", self.keys.label(action)?)));
        Some(format!(
            "on trial for {}: {} {}{more}{}",
            time_left(end, model),
            model.label(&done.path),
            done.change.in_short(),
            keys.into_iter().flatten().collect::<String>()
        ))
    }

    /// One sentence on top: what was just said, what is on trial, what is wrong with the filter, or why columns are empty.
    pub fn notice(&self, model: &Model) -> Option<String> {
        self.told
            .clone()
            .or_else(|| self.trial_notice(model))
            .or_else(|| self.shape.filter.error().map(str::to_owned))
            .or_else(|| model.host().missing_because())
    }

    /// How many lines of the tree fit.
    pub fn page(&self, model: &Model) -> usize {
        self.plan(model)
            .map_or(1, |plan| usize::from(plan.tree.height).max(1))
    }

    /// Selects the visible line at this position, or the last one.
    pub fn select(&mut self, position: usize, model: &Model) {
        let last = self.lines.len().saturating_sub(1);
        if let Some(line) = self.lines.get(position.min(last)) {
            self.selection = Selection::Chosen(model.rows()[line.row].path.clone());
        }
    }

    /// The processes of the selected cgroup and below, in their order.
    pub fn listed<'a>(&self, model: &'a Model) -> Vec<Process<'a>> {
        self.selected()
            .map_or_else(Vec::new, |path| model.processes(path, self.order))
    }

    /// The pids of [`listed`](Self::listed).
    pub fn process_keys(&self, model: &Model) -> Vec<u64> {
        let listed = self.listed(model);
        listed
            .iter()
            .map(|process| process.sample.pid.into())
            .collect()
    }

    /// The numbers of the OOM kills that are shown, newest first.
    pub fn incident_keys(&self, model: &Model) -> Vec<u64> {
        model.incidents().map(|incident| incident.number).collect()
    }

    /// What is looked at: the lines on the screen with all above them (a bar may be about an ancestor's
    /// limit), the selected one, and its processes.
    pub fn interest(&self, model: &Model) -> Interest {
        let rows = model.rows();
        let mut stats = HashSet::new();
        for line in self.lines.iter().skip(self.top).take(self.page(model)) {
            let mut at = Some(line.row);
            while let Some(row) = at.and_then(|at| rows.get(at)) {
                if !stats.insert(row.id) {
                    break;
                }
                at = row.parent;
            }
        }
        stats.extend(self.selected_row(model).map(|row| row.id));
        // Who is to be killed is foretold wherever it is.
        stats.extend(model.suspects());
        let mut processes = self.wanted_processes(model);
        processes.extend(model.endangered());
        Interest::Some { stats, processes }
    }

    /// Whose processes are looked at: the selected cgroup's, and only where they are listed also those of
    /// the cgroups below it.
    fn wanted_processes(&self, model: &Model) -> HashSet<CgroupId> {
        let Some(selected) = self.selected_row(model) else {
            return HashSet::new();
        };
        if self.view != View::Processes {
            return [selected.id].into();
        }
        // Who is killed next may be a process beside it.
        let mut wanted = model.under_one_limit(&selected.path);
        let rows = model.rows().iter();
        let below = rows.filter(|row| tree::is_in(&row.path, &selected.path));
        wanted.extend(below.map(|row| row.id));
        wanted
    }
}
