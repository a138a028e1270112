//! Which cgroup a person means.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::control::sheet::payload_of;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use crate::names::{Names, Role, identify};

/// So many cgroups of the same name are listed.
const CANDIDATES: usize = 5;

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

/// The fewest digits of a container's id that mean it.
const LEAST_DIGITS: usize = 4;

/// The subtree that is meant, relative to the mount: an absolute path under the mount, a path from the v2 root with a
/// slash in it, or the only cgroup that has this name in any way. Where two have, it is an error: whoever may make a cgroup
/// gives it a name, and none goes before another's.
pub fn find(mount: &Path, target: &str) -> anyhow::Result<PathBuf> {
    find_in(mount, Path::new("/"), target)
}

/// `state` is `/`, or a fixture: where docker, podman and others keep the names that people gave.
fn find_in(mount: &Path, state: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(target);
    let relative = path
        .strip_prefix(mount)
        .or_else(|_| path.strip_prefix("/"))
        .unwrap_or(path);
    if relative.components().any(|part| part.as_os_str() == "..") {
        bail!("`{target}` is not a cgroup: a path from the v2 root has no `..`");
    }
    let is_path = target.contains('/') || target.is_empty();
    if is_path && mount.join(relative).is_dir() {
        return Ok(relative.to_owned());
    }
    let all = all(mount)?;
    let mut names = Names::new(state);
    let found = all.iter().filter(|path| {
        path.file_name().is_some_and(|name| name == target)
            || is_called(mount, path, &mut names, target)
    });
    // Of a container in a scope, its own cgroup is meant, which has the limits.
    let found = found.map(|path| payload_of(mount, path).unwrap_or_else(|| path.clone()));
    let mut seen = HashSet::new();
    let found: Vec<PathBuf> = found.filter(|path| seen.insert(path.clone())).collect();
    match &found[..] {
        [only] => Ok(only.clone()),
        [] => bail!(
            "there is no cgroup `{target}`: give a path under {}, a workload's name or a container's; \
             `ringfence top` without one shows all",
            mount.display()
        ),
        several => {
            let more = several.len().saturating_sub(CANDIDATES);
            let mut candidates: Vec<String> = several
                .iter()
                .take(CANDIDATES)
                .map(|path| format!("/{}", path.display()))
                .collect();
            if more > 0 {
                candidates.push(format!("{more} more"));
            }
            let last = candidates.pop().unwrap_or_default();
            bail!(
                "{} cgroups are called `{target}`: give a path, one of {} and {last}",
                several.len(),
                candidates.join(", ")
            )
        }
    }
}

/// Whether people call a cgroup so: its container's name or id, or its unit without escapes.
fn is_called(mount: &Path, path: &Path, names: &mut Names, target: &str) -> bool {
    let path = path.to_string_lossy();
    let identity = identify(&path);
    // A helper has the id of its container.
    let digits =
        target.len() >= LEAST_DIGITS && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_id = identity.role != Role::Helper
        && identity.id.as_deref().is_some_and(|id| {
            id == target || (digits && identity.role == Role::Container && id.starts_with(target))
        });
    if has_id || identity.label == target {
        return true;
    }
    let Ok(metadata) = fs::metadata(mount.join(&*path)) else {
        return false;
    };
    names
        .of(CgroupId(metadata.ino()), &path, Instant::now())
        .is_some_and(|name| &*name == target)
}

/// Every cgroup below the root, breadth first.
fn all(mount: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
                found.push(path.clone());
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
            ("system.slice", "system.slice"),
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

    #[test]
    fn what_people_call_it_counts_as_much_as_its_own_name() {
        let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/names/host");
        let a = "0123456789abcdef".repeat(4);
        let tree = tree();
        let mount = tree.path();
        let scope = format!("machine.slice/libpod-{a}.scope");
        let payload = format!("{scope}/container");
        let escaped = r"system.slice/tpl@a\x2db.service";
        for path in [
            &*payload,
            &format!("machine.slice/libpod-conmon-{a}.scope"),
            escaped,
        ] {
            fs::create_dir_all(mount.join(path)).unwrap();
        }
        for (target, found) in [
            ("db", &*payload),
            (&a, &payload),
            (&format!("libpod-{a}.scope"), &payload),
            (&format!("/{scope}"), &scope),
            ("tpl@a-b.service", escaped),
            ("container", &payload),
            ("0123", &payload),
            ("012345", &payload),
            ("0123456789abc", &payload),
        ] {
            assert_eq!(
                find_in(mount, &state, target).unwrap(),
                Path::new(found),
                "{target}"
            );
        }
        // Another of the same name, of another owner.
        let docker = format!("docker/{a}");
        fs::create_dir_all(mount.join(&docker)).unwrap();
        assert_eq!(find_in(mount, &state, "web").unwrap(), Path::new(&docker));
        let build = format!("system.slice/docker-{a}.scope");
        fs::create_dir_all(mount.join(&build)).unwrap();
        let error = find_in(mount, &state, "web").unwrap_err().to_string();
        assert_eq!(
            error,
            format!("2 cgroups are called `web`: give a path, one of /{docker} and /{build}")
        );
        // Nor does anybody take a container's name by making a cgroup, wherever it is.
        for own in ["user.slice/user-1000.slice/db", "user.slice/db/init"] {
            fs::create_dir_all(mount.join(own)).unwrap();
            let error = find_in(mount, &state, "db").unwrap_err().to_string();
            let several = "2 cgroups are called `db`: give a path, one of ";
            assert!(
                error.starts_with(several) && error.contains(&payload),
                "{error}"
            );
            assert_eq!(
                find_in(mount, &state, &format!("/{own}")).unwrap(),
                Path::new(own)
            );
            fs::remove_dir_all(mount.join("user.slice")).unwrap();
        }
        // Nor at the top, where a slash makes it a path.
        fs::create_dir(mount.join("db")).unwrap();
        let error = find_in(mount, &state, "db").unwrap_err().to_string();
        assert_eq!(
            error,
            format!("2 cgroups are called `db`: give a path, one of /db and /{payload}")
        );
        assert_eq!(find_in(mount, &state, "/db").unwrap(), Path::new("db"));
        // Fewer digits may be anybody's name, and two may begin alike.
        for short in ["012", "0123"] {
            assert!(find_in(mount, &state, short).is_err(), "{short}");
        }
    }
}
