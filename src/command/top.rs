//! `ringfence top`: the live tree of every cgroup.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::command::target::{find, v2_mount};
use crate::control::worker::Worker;
use crate::file;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::model::{Model, Thresholds};
use crate::oom::past;
use crate::sample::live::{self, Live};
use crate::ui;
use crate::ui::feed::Started;
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
    /// A shell command to run for every OOM incident.
    pub on_oom: Option<String>,
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
/// The kernel log.
pub const KMSG: &str = "/dev/kmsg";

/// Shows the tree until the user quits or the duration is over.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let (hierarchy, subtree) = place(options.target.as_deref())?;
    watch(hierarchy, subtree, &options.watch, None)?;
    Ok(0)
}

/// The hierarchy, and the subtree of a target; empty for all of it.
pub fn place(target: Option<&str>) -> anyhow::Result<(Hierarchy, PathBuf)> {
    let hierarchy = Hierarchy::discover(Path::new(PROC))?;
    let mount = v2_mount(&hierarchy)?;
    let subtree = target.map_or_else(|| Ok(PathBuf::new()), |target| find(&mount, target))?;
    Ok((hierarchy, subtree))
}

/// The live source of this host.
pub fn source(
    hierarchy: Hierarchy,
    subtree: PathBuf,
    interval: Duration,
    warnings: Thresholds,
) -> anyhow::Result<Live> {
    Ok(Live::start(live::Options {
        proc: PROC.into(),
        kmsg: Some(KMSG.into()),
        tracing: Some("/".into()),
        journal: true,
        state: "/".into(),
        hierarchy,
        subtree,
        interval,
        stall: warnings.pressure,
    })?)
}

/// The path of a subtree as samples have it; `None` for the root.
pub fn root_of(subtree: &Path) -> Option<Arc<str>> {
    let named = !subtree.as_os_str().is_empty();
    named.then(|| Path::new("/").join(subtree).to_string_lossy().into())
}

/// Watches a subtree, on the screen or as text, until it is over. What was `started` before tells of itself in the event log.
pub fn watch(
    hierarchy: Hierarchy,
    subtree: PathBuf,
    watch: &Watch,
    started: Option<Started>,
) -> anyhow::Result<Model> {
    let root = root_of(&subtree);
    let mount = v2_mount(&hierarchy)?;
    let live = source(hierarchy, subtree, watch.interval, watch.settings.warnings)?;
    let options = ui::Options {
        interval: watch.interval,
        duration: watch.duration,
        root,
        on_oom: watch.on_oom.clone(),
        settings: watch.settings.clone(),
    };
    let model = if watch.on_screen() {
        // While the first sample is taken.
        let past = past::read(Path::new(KMSG)).ok();
        ui::dashboard(live, Worker::start(mount)?, &options, started, past)?
    } else {
        ui::plain(live, &options, started, &mut io::stdout().lock())?
    };
    if let Some(path) = &watch.picture {
        let picture = ui::picture(&model, &options)?;
        let written = match path.symlink_metadata() {
            // A device, or a link that somebody put there.
            Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
            _ => file::write(path, &picture, true),
        };
        written.with_context(|| format!("write {}", path.display()))?;
    }
    Ok(model)
}
