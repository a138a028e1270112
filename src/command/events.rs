//! `ringfence events`: what happens, a line each, at once.

mod before;

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use self::before::Before;
use super::top::{place, root_of, source};
use crate::control::hook::Says;
use crate::export::events;
use crate::kernel::clock;
use crate::kernel::watch::is_over;
use crate::model::limit::Of;
use crate::model::{Happening, Model, Thresholds};
use crate::sample::live::Interest;
use crate::text::ascii::all_in_locale;
use crate::ui;
use crate::ui::feed::Feed;
use crate::ui::plain::quiet_end;

/// What `events` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// One subtree: a cgroup path or a workload's name.
    pub target: Option<String>,
    /// JSON in place of words.
    pub json: bool,
    /// End by itself after this long.
    pub duration: Option<Duration>,
    /// Tell first of what the kernel log has since then.
    pub since: Option<SystemTime>,
    /// End then.
    pub until: Option<SystemTime>,
    /// A shell command to run for every incident.
    pub on_oom: Option<String>,
    /// Time between two samples.
    pub interval: Duration,
    /// From where on it warns.
    pub warnings: Thresholds,
}

/// From this share of its memory limit on, a cgroup is looked at closely: it may be killed.
const CLOSE: f64 = 0.5;

/// Tells what happens until a signal comes, the reader goes away, or the time is over.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let (hierarchy, subtree) = place(options.target.as_deref())?;
    let root = root_of(&subtree);
    let listening = SystemTime::now();
    let left = |until: SystemTime| until.duration_since(listening).ok();
    let only_before = options.until.is_some_and(|until| left(until).is_none());
    let watch = ui::Options {
        duration: options.duration.or_else(|| left(options.until?)),
        root: root.clone(),
        on_oom: options.on_oom.clone(),
        ..ui::Options::default()
    };
    let live = source(hierarchy, subtree, options.interval, options.warnings)?;
    let before = options.since.map(|since| {
        let now = SystemTime::now();
        let wanted = since..options.until.map_or(now, |until| until.min(now));
        Before::read(wanted, listening, root.as_deref()).context("what was before cannot be told")
    });
    let before = before.transpose()?;
    let mut untold = before.as_ref();
    let mut looked_at = interest(&Model::default());
    live.set_interest(looked_at.clone());
    let out = io::stdout();
    let tell = |model: &Model, happening: &Happening| {
        tell(&mut out.lock(), options.json, model, happening)
    };
    ui::runtime()?.block_on(async {
        let mut feed = Feed::new(live, None, &watch, Says::OnStderr)?;
        let mut model = Model::new(clock::utc_offset());
        model.warn(options.warnings, root.clone());
        loop {
            let news = feed.next().await?;
            // Not more than one at a time: each is told at once.
            let Some(happened) = feed.take_in(news, &mut model) else {
                return Ok(0);
            };
            let mut told = Ok(());
            if model.sample().is_some()
                && let Some(before) = untold.take()
            {
                told = before.tell(&mut model, tell);
            }
            for happening in &happened {
                let again = before
                    .as_ref()
                    .is_some_and(|before| before.has(&model, happening));
                if !again {
                    told = told.and_then(|()| tell(&model, happening));
                }
            }
            if !quiet_end(told).context("cannot write what happened")? {
                return Ok(0);
            }
            // As nothing may happen for long, nothing would be written to see it.
            if is_over(out.as_fd()) || (only_before && untold.is_none()) {
                return Ok(0);
            }
            let wanted = interest(&model);
            if wanted != looked_at {
                feed.live.set_interest(wanted.clone());
                looked_at = wanted;
            }
        }
    })
}

/// Writes the lines of something that happened.
fn tell(out: &mut dyn Write, json: bool, model: &Model, happening: &Happening) -> io::Result<()> {
    let lines = if json {
        events::json(model, happening).into_iter().collect()
    } else {
        all_in_locale(events::text(model, happening))
    };
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// What the memory is made of of those who may be killed or are to be warned of, and their processes.
fn interest(model: &Model) -> Interest {
    let close = model.rows().iter().filter(|row| {
        let limit = row.memory_limit.value().map(|limit| &limit.binding);
        limit.is_some_and(|limit| limit.of != Of::Host && limit.charged_share() >= Some(CLOSE))
    });
    Interest::Some {
        stats: close.map(|row| row.id).chain(model.suspects()).collect(),
        processes: model.endangered(),
    }
}
