//! Everything that a loop waits for besides keys: samples, kernel events, notes, signals, the time limit.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::Options;
use super::state::LogReach;
use super::watchdog::Watchdog;
use crate::control::hook::{Hook, Says};
use crate::kernel::signals::EarlySignals;
use crate::model::{Happening, Model, NOTES, Note, What, tree};
use crate::oom::OomKill;
use crate::oom::past::PastKills;
use crate::sample::live::Live;
use crate::sample::{Event, Sample};

/// Workloads that were started before the loop.
pub struct Started {
    /// What happens to them.
    pub notes: Receiver<Note>,
    /// Signals that came meanwhile.
    pub signals: EarlySignals,
}

/// Where a loop gets its news from.
pub struct Feed {
    /// Dropped first: what is waited for afterwards may take longer.
    _watchdog: Watchdog,
    /// The live source.
    pub live: Live,
    hook: Option<Hook>,
    notes: Option<Receiver<Note>>,
    events_over: bool,
    signals: [Signal; 3],
    end: Option<Instant>,
    /// Whether there was a sample.
    has_sample: bool,
    root: Option<Arc<str>>,
    /// What the kernel log had before, until the first sample: only then the model knows names.
    pub past: Option<PastKills>,
}

/// What a loop was woken for.
#[derive(Debug)]
pub enum News {
    /// A new sample.
    Sample(Arc<Sample>),
    /// Something happened in between.
    Event(Event),
    /// Somebody has something to say.
    Note(Note),
    /// Nobody will have anything to say any more.
    NotesOver,
    /// What went wrong with the user's command.
    Hook(String),
    /// A signal or the time limit ends it.
    End,
}

impl Feed {
    /// Ties the sources together. Only inside a runtime. What the user's command prints goes where `says`
    /// says.
    pub fn new(
        live: Live,
        started: Option<Started>,
        options: &Options,
        says: Says,
    ) -> anyhow::Result<Self> {
        let (notes, early) = started
            .map(|started| (started.notes, started.signals))
            .unzip();
        let hook = options.on_oom.clone();
        let hook = hook.map(|command| Hook::new(command, says)).transpose();
        let feed = Self {
            _watchdog: Watchdog::start(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
                .context("cannot listen to signals")?,
            live,
            hook: hook.context("cannot get ready for the command of --on-oom")?,
            notes,
            events_over: false,
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
            root: options.root.clone(),
            end: options.duration.map(|duration| Instant::now() + duration),
            has_sample: false,
            past: None,
        };
        early
            .map_or(Ok(()), EarlySignals::repeat)
            .context("cannot listen to signals")?;
        Ok(feed)
    }

    /// How far back the kernel log goes, which kills of before are read from; known until the first sample.
    pub fn log_reach(&self) -> LogReach {
        match &self.past {
            None => LogReach::Unread,
            Some(past) => past.begins.map_or(LogReach::Boot, LogReach::Since),
        }
    }

    /// Whether a kill was in what is shown.
    fn is_shown(&self, kill: &OomKill) -> bool {
        let root = self.root.as_deref();
        root.is_none_or(|root| tree::is_in(&kill.path.value, root))
    }

    /// Waits for the next news. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> anyhow::Result<News> {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let over = async {
            match self.end {
                // Something was to be seen: where there is very much, the first look may take longer than that.
                Some(end) if self.has_sample => tokio::time::sleep_until(end).await,
                _ => std::future::pending().await,
            }
        };
        let note = async {
            match &mut self.notes {
                Some(notes) => notes.recv().await,
                None => std::future::pending().await,
            }
        };
        let trouble = async {
            match &mut self.hook {
                Some(hook) => hook.trouble().await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            if self.events_over {
                std::future::pending().await
            } else {
                self.live.events.recv().await
            }
        };
        Ok(tokio::select! {
            biased;
            _ = interrupt.recv() => News::End,
            _ = terminate.recv() => News::End,
            _ = hangup.recv() => News::End,
            () = over => News::End,
            event = event => if let Some(event) = event {
                News::Event(event)
            } else {
                self.events_over = true;
                Box::pin(self.next()).await?
            },
            trouble = trouble => News::Hook(trouble),
            changed = self.live.samples.changed() => {
                changed.map_err(|_| anyhow::anyhow!("the sampler has ended"))?;
                let sample = self.live.samples.borrow_and_update().clone();
                match sample {
                    Some(sample) => {
                        self.has_sample = true;
                        News::Sample(sample)
                    }
                    None => Box::pin(self.next()).await?,
                }
            }
            // Last: there may be always one.
            note = note => if let Some(note) = note {
                News::Note(note)
            } else {
                self.notes = None;
                News::NotesOver
            },
        })
    }

    /// Takes news into the model and gives what happened; `None` where they are the end.
    pub fn take_in(&mut self, news: News, model: &mut Model) -> Option<Vec<Happening>> {
        Some(match news {
            News::Sample(sample) => {
                let happened = model.fold(sample);
                if let Some(past) = self.past.take() {
                    model.past_kills(past.kills.iter().filter(|kill| self.is_shown(kill)));
                }
                happened
            }
            News::Event(event) => self.event(&event, model).into_iter().collect(),
            News::Note(note) => {
                model.note(note);
                Vec::new()
            }
            News::Hook(text) => {
                let time = SystemTime::now();
                model
                    .event(&Event::Notice { time, text })
                    .into_iter()
                    .collect()
            }
            News::NotesOver => Vec::new(),
            News::End => return None,
        })
    }

    /// Takes an event in, if it is about what is shown, and has the user's command told.
    fn event(&mut self, event: &Event, model: &mut Model) -> Option<Happening> {
        if let Event::OomKill(kill) = event
            && !self.is_shown(kill)
        {
            return None;
        }
        let happening = model.event(event)?;
        if let (What::Kill(number), Some(hook)) = (&happening.what, &mut self.hook)
            && let Some(incident) = model.incident(*number)
        {
            hook.call(incident);
        }
        Some(happening)
    }

    /// Takes in what came together with the last news, so that a burst is drawn once; no more notes than the model
    /// remembers, as there may be always one more.
    pub fn drain(&mut self, model: &mut Model) {
        while let Ok(event) = self.live.events.try_recv() {
            self.event(&event, model);
        }
        for _ in 0..NOTES / 2 {
            let Some(Ok(note)) = self.notes.as_mut().map(Receiver::try_recv) else {
                break;
            };
            model.note(note);
        }
    }
}
