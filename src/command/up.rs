//! `ringfence up`: several workloads from a file, and the dashboard over them.

mod crew;
pub mod file;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc::channel;

use super::top::{self, Watch};
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::signals::EarlySignals;
use crate::launch::home::{SLICE, leaves};
use crate::launch::{Plan, Spec};
use crate::model::Model;
use crate::model::peaks::{Entry, Peaks, summary};
use crate::text::ascii::in_locale;
use crate::ui::feed::Started;
use crew::{Career, Crew};

/// So many lines of workloads wait to be shown. Who says more waits itself, as at any pipe that nobody reads.
const UNREAD: usize = 256;

/// What `up` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file of the workloads.
    pub file: PathBuf,
    /// How to show them.
    pub watch: Watch,
}

/// Starts the workloads of a file, watches them until the user leaves, and stops them.
pub fn run(options: &Options) -> Result<u8> {
    start_and_watch(&file::read(&options.file)?, &options.watch)
}

/// Starts workloads, watches them until the user leaves (or all have ended, without a screen), stops
/// them, and says how they fared.
pub fn start_and_watch(specs: &[Spec], watch: &Watch) -> Result<u8> {
    // What can be refused is refused before any of them runs.
    for spec in specs {
        Plan::new(spec)?;
    }
    // Whatever has started by then is stopped as it should be.
    let signals = EarlySignals::note().context("listen to signals")?;
    let (notes, told) = channel(UNREAD);
    let crew = Crew::start(specs, &notes, &signals)?;
    drop(notes);
    let started = Started {
        notes: told,
        signals,
    };
    let hierarchy = Hierarchy::discover(Path::new("/proc"))?;
    let watched = top::watch(hierarchy, SLICE.into(), watch, Some(started));
    if watch.on_screen() {
        println!("stopping {} workloads", specs.len());
    }
    let careers = crew.stop();
    let model = watched?;
    print!("{}", in_locale(&fared(&careers, &model)));
    if careers.iter().all(|career| !career.started) {
        bail!("none of the workloads could be started");
    }
    Ok(0)
}

/// The summary: per workload the peak against each limit.
fn fared(careers: &[Career], model: &Model) -> String {
    let unseen = Peaks::default();
    let entries: Vec<Entry<'_>> = careers
        .iter()
        .map(|career| Entry {
            name: &career.name,
            // One that ended before the first sample has none.
            peaks: leaves(&career.name)
                .iter()
                .find_map(|leaf| model.peaks(&format!("/{}", leaf.display())))
                .unwrap_or(&unseen),
            restarts: Some(career.restarts),
        })
        .collect();
    summary(&entries)
}
