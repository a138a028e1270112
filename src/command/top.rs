//! `ringfence top`: the live tree of every cgroup.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::command::target::{find, v2_mount};
use crate::control::worker::Worker;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::model::{Model, Note};
use crate::sample::live::{self, Live};
use crate::ui;
use crate::ui::settings::Settings;

/// What `top` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// One subtree: a cgroup path or a workload's name.
    pub target: Option<String>,
    /// How to show it.
    pub watch: Watch,
}

/// How a dashboard is shown.
#[derive(Debug, Clone)]
pub struct Watch {
    /// A text table every interval instead of the dashboard.
    pub plain: bool,
    /// Time between two samples.
    pub interval: Duration,
    /// End by itself after this long.
    pub duration: Option<Duration>,
    /// Where to save the last screen as an SVG picture.
    pub picture: Option<PathBuf>,
    /// How the dashboard looks and which keys it has.
    pub settings: Settings,
}

impl Watch {
    /// Whether the dashboard is wanted and there is a terminal for it.
    pub fn on_screen(&self) -> bool {
        !self.plain && io::stdout().is_terminal() && io::stdin().is_terminal()
    }
}

const PROC: &str = "/proc";

/// Shows the tree until the user quits or the duration is over.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let hierarchy = Hierarchy::discover(Path::new(PROC))?;
    let mount = v2_mount(&hierarchy)?;
    let subtree = match &options.target {
        Some(target) => find(&mount, target)?,
        None => PathBuf::new(),
    };
    watch(hierarchy, subtree, &options.watch, None)?;
    Ok(0)
}

/// Watches a subtree, on the screen or as text, until it is over. `notes` adds lines to the event log.
pub fn watch(
    hierarchy: Hierarchy,
    subtree: PathBuf,
    watch: &Watch,
    notes: Option<UnboundedReceiver<Note>>,
) -> anyhow::Result<Model> {
    let root = (!subtree.as_os_str().is_empty())
        .then(|| Path::new("/").join(&subtree).to_string_lossy().into());
    let mount = v2_mount(&hierarchy)?;
    let live = Live::start(live::Options {
        proc: PROC.into(),
        kmsg: Some("/dev/kmsg".into()),
        state: "/".into(),
        hierarchy,
        subtree,
        interval: watch.interval,
    })?;
    let options = ui::Options {
        interval: watch.interval,
        duration: watch.duration,
        root,
        settings: watch.settings.clone(),
    };
    let model = if watch.on_screen() {
        ui::dashboard(live, Worker::start(mount)?, &options, notes)?
    } else {
        ui::plain(live, &options, notes, &mut io::stdout().lock())?
    };
    if let Some(path) = &watch.picture {
        let picture = ui::picture(&model, &options)?;
        fs::write(path, picture).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(model)
}
