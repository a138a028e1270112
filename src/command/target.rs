//! Which cgroup a person means.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use crate::launch::plan;

/// The v2 mount, or why there is nothing to show.
pub fn v2_mount(hierarchy: &Hierarchy) -> anyhow::Result<PathBuf> {
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
pub fn find(mount: &Path, target: &str) -> anyhow::Result<PathBuf> {
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
