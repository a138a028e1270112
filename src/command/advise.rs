//! `ringfence advise`: watches for a while, then suggests limits.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::config::INTERVAL;
use super::top::{place, root_of, source};
use crate::control::hook::Says;
use crate::export;
use crate::kernel::clock;
use crate::kernel::systemd::Unit;
use crate::model::advice::{Advice, Observation};
use crate::model::{Model, Thresholds};
use crate::sample::live::Interest;
use crate::text::ascii::all_in_locale;
use crate::ui;
use crate::ui::feed::{Feed, News};
use crate::ui::plain::quiet_end;

/// What `advise` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// One subtree: a cgroup path or a workload's name.
    pub target: Option<String>,
    /// How long to watch.
    pub watch: Duration,
    /// What to print.
    pub form: Form,
}

/// What suggestions are printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Words for people.
    Text,
    /// An object a cgroup.
    Json,
    /// Drop-ins.
    Systemd,
    /// Services of a compose file.
    Compose,
}

/// Watches until the time is over or a signal comes, and tells what was learnt.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let (hierarchy, subtree) = place(options.target.as_deref())?;
    let root = root_of(&subtree);
    let watch = ui::Options {
        duration: Some(options.watch),
        root: root.clone(),
        ..ui::Options::default()
    };
    // A short look has samples, too.
    let interval = INTERVAL
        .min(options.watch / 5)
        .max(Duration::from_millis(100));
    let live = source(hierarchy, subtree, interval, Thresholds::NONE)?;
    live.set_interest(Interest::All);
    if io::stderr().is_terminal() {
        eprintln!(
            "ringfence: watching for {:?}; Ctrl-C for what is known by then",
            options.watch
        );
    }
    let (model, seen) = ui::runtime()?.block_on(async {
        let mut feed = Feed::new(live, None, &watch, Says::OnStderr)?;
        let mut model = Model::new(clock::utc_offset());
        let mut seen = Observation::default();
        loop {
            let news = feed.next().await?;
            let is_sample = matches!(news, News::Sample(_));
            if feed.take_in(news, &mut model).is_none() {
                return Ok::<_, anyhow::Error>((model, seen));
            }
            if is_sample {
                seen.fold(&model);
            }
        }
    })?;
    let advice = seen.advise(&model, root.as_deref());
    let out = &mut io::stdout().lock();
    let lasted = seen.lasted();
    let unit_of = |advice: &Advice| Unit::of_cgroup(Path::new(advice.cgroup.strip_prefix('/')?));
    let lines = match options.form {
        Form::Text => all_in_locale(export::advice::text(&advice, lasted)),
        Form::Json => advice.iter().filter_map(export::advice::json).collect(),
        Form::Systemd => export::advice::systemd(&advice, lasted, unit_of),
        Form::Compose => export::advice::compose(&advice, lasted),
    };
    let told = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    quiet_end(told.and_then(|()| out.flush())).context("cannot write the advice")?;
    Ok(0)
}
