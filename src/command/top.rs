//! `ringfence top`: the live tree of every cgroup.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use crate::launch::plan;
use crate::model::{Model, Note};
use crate::sample::live::{self, Live};
use crate::ui;

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
    };
    let model = if watch.on_screen() {
        ui::dashboard(live, &options, notes)?
    } else {
        ui::plain(live, &options, notes, &mut io::stdout().lock())?
    };
    if let Some(path) = &watch.picture {
        let picture = ui::picture(&model, &options)?;
        fs::write(path, picture).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(model)
}

/// The v2 mount, or why there is nothing to show.
fn v2_mount(hierarchy: &Hierarchy) -> anyhow::Result<PathBuf> {
    match (&hierarchy.mount, hierarchy.mode) {
        (Some(mount), _) => Ok(mount.clone()),
        (None, Mode::V1) => bail!(
            "this host has only cgroup v1, and ringfence reads v2: `ringfence doctor` says what to change"
        ),
        (None, _) => {
            bail!("no cgroup file system is mounted here: `ringfence doctor` says what to change")
        }
    }
}

/// The subtree that is meant, relative to the mount: an absolute path under the mount, a path from the
/// v2 root, a workload's name, or the name of the only cgroup called so.
fn find(mount: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(target);
    let relative = path
        .strip_prefix(mount)
        .or_else(|_| path.strip_prefix("/"))
        .unwrap_or(path);
    if relative.components().any(|part| part.as_os_str() == "..") {
        bail!("`{target}` is not a cgroup: a path from the v2 root has no `..`");
    }
    for candidate in [relative.to_owned(), Path::new(plan::SLICE).join(relative)] {
        if mount.join(&candidate).is_dir() {
            return Ok(candidate);
        }
    }
    let found = named(mount, target)?;
    match &found[..] {
        [only] => Ok(only.clone()),
        [] => bail!(
            "there is no cgroup `{target}`: give a path under {} or a workload's name; `ringfence top` without one shows all",
            mount.display()
        ),
        [first, second, ..] => bail!(
            "{} cgroups are called `{target}`: give a path, {} or {} for instance",
            found.len(),
            first.display(),
            second.display()
        ),
    }
}

/// Every cgroup of that name, breadth first.
fn named(mount: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = VecDeque::from([PathBuf::new()]);
    while let Some(at) = pending.pop_front() {
        let directory = mount.join(&at);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // It vanished, or it is not ours to read: the others may still be found.
            Err(_) if !at.as_os_str().is_empty() => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list {}", directory.display()));
            }
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = at.join(entry.file_name());
                if entry.file_name() == name {
                    found.push(path.clone());
                }
                pending.push_back(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for path in [
            "ringfence.slice/leaker",
            "system.slice/a/twin",
            "user.slice/twin",
            "user.slice/only",
        ] {
            fs::create_dir_all(mount.path().join(path)).unwrap();
        }
        mount
    }

    #[test]
    fn a_target_is_a_path_or_a_name() {
        let tree = tree();
        let mount = tree.path();
        let absolute = mount.join("user.slice");
        for (target, found) in [
            ("system.slice/a", "system.slice/a"),
            ("/system.slice/a", "system.slice/a"),
            (absolute.to_str().unwrap(), "user.slice"),
            ("leaker", "ringfence.slice/leaker"),
            ("only", "user.slice/only"),
            ("/", ""),
        ] {
            assert_eq!(find(mount, target).unwrap(), Path::new(found), "{target}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_in_one_sentence() {
        let tree = tree();
        for (target, says) in [
            ("nobody", "there is no cgroup `nobody`"),
            ("twin", "2 cgroups are called `twin`"),
            ("../etc", "not a cgroup"),
        ] {
            let error = find(tree.path(), target).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
