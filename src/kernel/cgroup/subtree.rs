//! A cgroup with all below it: who is in it, and which of them are frozen by their own switch.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::tree::Cgroup;
use crate::kernel::error::Result;

/// A cgroup and every one below it, the nearest first. One that vanishes meanwhile is left out.
pub fn cgroups(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut below: Vec<PathBuf> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        found.append(&mut below);
        at += 1;
    }
    found
}

/// How many times systemd-oomd has killed in a cgroup, as it notes at the cgroup itself, which may be gone with the next
/// start of its unit. `None` where it never did. Whoever owns the cgroup can write it, too.
///
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd-oomd.service.html>
pub fn oomd_kills(path: &Path) -> Option<u64> {
    let mut value = [0; 20];
    let length = rustix::fs::getxattr(path, "user.oomd_kill", &mut value).ok()?;
    let text = std::str::from_utf8(value.get(..length)?).ok()?;
    text.trim().parse().ok().filter(|kills| *kills > 0)
}

/// The processes of a cgroup and of all below it: cgroup and pid, in order. A pid of 0 is a process that
/// is outside the reader's pid namespace. `EOPNOTSUPP` where the cgroup is threaded: its processes
/// belong to the one above it.
pub fn processes(path: &Path) -> Result<Vec<(PathBuf, u32)>> {
    let mut processes = Vec::new();
    for (at, cgroup) in cgroups(path).into_iter().enumerate() {
        match Cgroup::open(&cgroup).and_then(|cgroup| cgroup.processes()) {
            Ok(mut pids) => {
                pids.sort_unstable();
                processes.extend(pids.into_iter().map(|pid| (cgroup.clone(), pid)));
            }
            Err(error) if at == 0 => return Err(error),
            // The processes of a threaded one are those of the domain above it.
            Err(error) if error.is_gone() || error.errno() == Errno::EOPNOTSUPP => {}
            Err(error) => return Err(error),
        }
    }
    Ok(processes)
}

/// The cgroups that their own `cgroup.freeze` holds frozen, among this one and all below it. Since 5.2.
pub fn frozen(path: &Path) -> Vec<PathBuf> {
    let mut cgroups = cgroups(path);
    cgroups.retain(|cgroup| is_frozen(cgroup));
    cgroups
}

/// The nearest cgroup that its own `cgroup.freeze` holds frozen, among this one and all above it up to the mount. Since 5.2.
pub fn frozen_above<'a>(path: &'a Path, mount: &Path) -> Option<&'a Path> {
    path.ancestors()
        .take_while(|above| above.starts_with(mount))
        .find(|above| is_frozen(above))
}

/// Whether its own `cgroup.freeze` holds a cgroup frozen; it may also be an ancestor's.
pub fn is_frozen(path: &Path) -> bool {
    fs::read(path.join("cgroup.freeze")).is_ok_and(|text| text.trim_ascii() == b"1")
}
