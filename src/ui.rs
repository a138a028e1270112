//! The dashboard, and the table for those without a screen.
//!
//! Messages go into [`update::update`], which changes the [`state::State`] and may ask for an effect; the
//! views draw model and state and change nothing. Both run in a single-threaded runtime that lives no
//! longer than the call: launching needs a process without threads of its own.

pub mod ascii;
pub mod cell;
pub mod columns;
pub mod crumbs;
pub mod editor;
pub mod ended;
pub mod feed;
mod input;
pub mod keymap;
pub mod keys;
pub mod layout;
pub mod listing;
pub mod log;
pub mod menu;
pub mod palette;
pub mod plain;
pub mod prompt;
pub mod question;
pub mod save;
pub mod settings;
pub mod state;
mod svg;
pub mod tabs;
pub mod terminal;
pub mod theme;
pub mod update;
pub mod view;
mod watchdog;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use crossterm::event::Event;
use ratatui::layout::Rect;

use crate::control::hook::Says;
use crate::control::worker::Worker;
use crate::export::page;
use crate::kernel::clock;
use crate::model::{Model, Note, Severity};
use crate::oom::past::PastKills;
use crate::sample::live::{Interest, Live};
use crate::text;
use feed::{Feed, News, Started};
use input::Input;
use settings::Settings;
use state::{Flow, Selection, State};
use terminal::Terminal;
use terminal::signals::Signals;
use theme::{Depth, Theme};
use update::{Effect, Message, update};

/// Columns and rows of a picture.
const PICTURE: (u16, u16) = (120, 30);

/// Where keys come faster than screens can be drawn, one is drawn this often.
const LONGEST_UNDRAWN: Duration = Duration::from_millis(100);

/// How something is watched.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Time between two samples, as the live source was told.
    pub interval: Duration,
    /// End by itself after this long.
    pub duration: Option<Duration>,
    /// Show only this cgroup and what is below it, by its path from the v2 root, although more is
    /// sampled: what is above it may bind it. `None` for all that is sampled.
    pub root: Option<Arc<str>>,
    /// A shell command to run for every OOM incident.
    pub on_oom: Option<String>,
    /// What the user has chosen.
    pub settings: Settings,
}

/// Shows the dashboard on the terminal until the user leaves, a signal comes, or the duration is over.
/// `control` carries out what the user changes; what was `started` before tells of itself in the event log. `past` is
/// what the kernel log had before, where it can be read. The terminal is as before when this returns, and the model that
/// is given back knows the peaks.
pub fn dashboard(
    live: Live,
    mut control: Worker,
    options: &Options,
    started: Option<Started>,
    past: Option<PastKills>,
) -> anyhow::Result<Model> {
    let model = runtime()?.block_on(async {
        // It may wait for the user's command at the end: the terminal is given back before.
        let mut feed = Feed::new(live, started, options, Says::Nothing)?;
        let mut terminal =
            Terminal::enter(!options.settings.no_mouse).context("cannot take over the terminal")?;
        feed.past = past;
        watch(&mut terminal, &mut feed, &mut control, options).await
    });
    for ending in control.finish(|| eprintln!("ringfence: finishing what was begun")) {
        eprintln!("ringfence: {}", text::to_terminal(&ending.text));
    }
    model
}

/// Writes a table each interval and a line for each event, until the reader goes away, a signal comes,
/// the duration is over, or the notes end: then nothing that was started runs any more.
pub fn plain(
    live: Live,
    options: &Options,
    started: Option<Started>,
    out: &mut dyn Write,
) -> anyhow::Result<Model> {
    runtime()?.block_on(async {
        live.set_interest(Interest::All);
        let mut feed = Feed::new(live, started, options, Says::OnStderr)?;
        let mut model = Model::new(clock::utc_offset());
        model.warn(options.settings.warnings, options.root.clone());
        let mut told = 0;
        loop {
            let news = feed.next().await?;
            let is_sample = matches!(news, News::Sample(_));
            let goes_on =
                !matches!(news, News::NotesOver) & feed.take_in(news, &mut model).is_some();
            feed.drain(&mut model);
            let fresh = usize::try_from(model.notes_ever() - told).unwrap_or(usize::MAX);
            told = model.notes_ever();
            let mut fresh: Vec<&Note> = model.notes().take(fresh).collect();
            fresh.reverse();
            let outcome = plain::notes(out, &model, fresh.into_iter()).and_then(|()| {
                if is_sample {
                    plain::table(out, &model, options.root.as_deref())
                } else {
                    Ok(())
                }
            });
            if !plain::quiet_end(outcome).context("cannot write the table")? || !goes_on {
                return Ok(model);
            }
        }
    })
}

/// The dashboard's screen as it would be now, as an SVG picture. What was killed most is selected: there
/// is most to see.
pub fn picture(model: &Model, options: &Options) -> anyhow::Result<String> {
    let area = Rect::new(0, 0, PICTURE.0, PICTURE.1);
    let mut state = State::new(area, options.interval);
    state.begin(options, Depth::Millions, |_| None);
    let most = model
        .rows()
        .iter()
        .filter(|row| row.leaf)
        .max_by_key(|row| row.oom_kills.value().copied());
    state.settle(model);
    if let Some(row) = most {
        state.selection = Selection::Chosen(row.path.clone());
        state.settle(model);
    }
    let theme = Theme::of(state.theme, state.depth);
    save::draw(model, &state, &theme)
}

/// A single-threaded one, for as long as somebody watches.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}

/// The loop: draw, wait, update. Nothing is drawn that nothing has changed, and of keys that come faster than
/// screens can be drawn, what the last of them led to.
async fn watch(
    terminal: &mut Terminal,
    feed: &mut Feed,
    control: &mut Worker,
    options: &Options,
) -> anyhow::Result<Model> {
    let size = terminal.size().context("cannot ask the terminal's size")?;
    let area = Rect::new(0, 0, size.width, size.height);
    let mut state = State::new(area, options.interval);
    let environment = |name: &str| std::env::var(name).ok();
    state.begin(options, Depth::of(environment), environment);
    state.log_reach = feed.log_reach();
    // Where it was started; relative, should that not be known.
    let mut saves = save::Saves::new(std::env::current_dir().unwrap_or_default());
    let mut model = Model::new(clock::utc_offset());
    model.warn(options.settings.warnings, options.root.clone());
    // While the screen is held still: what it shows. The model itself goes on.
    let mut held: Option<Box<Model>> = None;
    let mut interest = None;
    let mut input = Input::default();
    let mut signals = Signals::new()?;
    // Since the last screen.
    let mut changed = true;
    let mut drawn = Instant::now();
    loop {
        let shown = held.as_deref().unwrap_or(&model);
        let theme = Theme::of(state.theme, state.depth);
        let more = input.has_more().await;
        if changed && (!more || drawn.elapsed() >= LONGEST_UNDRAWN) {
            terminal
                .show(|frame| view::render(frame, shown, &state, &theme))
                .context("cannot draw on the terminal")?;
            changed = false;
            drawn = Instant::now();
        }
        let wanted = state.interest(shown);
        if interest.as_ref() != Some(&wanted) {
            feed.live.set_interest(wanted.clone());
            interest = Some(wanted);
        }
        let message = tokio::select! {
            news = feed.next() => {
                let news = news?;
                if feed.take_in(news, &mut model).is_none() {
                    return Ok(model);
                }
                feed.drain(&mut model);
                Message::Model
            }
            told = signals.next() => match terminal.heed(told, !state.no_mouse)? {
                Some(size) => Message::Terminal(Event::Resize(size.width, size.height)),
                None => continue,
            },
            event = input.next() => match event {
                Some(event) => Message::Terminal(event.context("cannot read the keys")?),
                None => return Ok(model),
            },
            Some(outcome) = control.outcomes.recv() => Message::Control(outcome),
            note = saves.next() => {
                if let Some(held) = &mut held {
                    held.note(note.clone());
                }
                model.note(note);
                Message::Model
            }
        };
        if message.is_idle(&state) {
            continue;
        }
        changed = true;
        let shown = held.as_deref().unwrap_or(&model);
        match update(&mut state, &message, shown) {
            Some(Effect::Quit) => return Ok(model),
            Some(Effect::Flow(Flow::Paused)) => held = Some(Box::new(model.clone())),
            Some(Effect::Flow(Flow::Live)) => {
                held = None;
                state.settle(&model);
            }
            Some(Effect::Order(order)) => {
                for (cgroup, file) in order.writes() {
                    model.expect_change(cgroup, file);
                }
                control.order(order);
            }
            Some(Effect::Suspend) => Terminal::ask_for_stop()?,
            Some(Effect::Mouse) => terminal.capture_mouse(!state.no_mouse)?,
            Some(Effect::Save) => {
                let picture = save::draw(shown, &state, &theme);
                saves.save(save::PICTURE, || picture);
            }
            Some(Effect::SavePage(number)) => {
                if let Some(incident) = shown.incident(number).cloned() {
                    saves.save(save::PAGE, move || Ok(page::of_kill(&incident)));
                }
            }
            None => {}
        }
        for text in state.said.drain(..) {
            model.note(Note {
                time: SystemTime::now(),
                severity: Severity::Info,
                text,
                cgroup: None,
            });
        }
    }
}
