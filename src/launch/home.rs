//! The cgroup that a workload's own is made in: one that is ours to edit.
//!
//! * Where no systemd runs: a slice at the top, for all workloads.
//! * Where it runs, it is asked for a scope for each workload, in the slice of that name, and leaves it alone
//!   (`Delegate=yes`): in its other cgroups, what others wrote goes with the next `systemctl daemon-reload`. In a leaf
//!   beside the workload's, as a cgroup that hands out controllers has no processes, is the launcher, if it goes on by
//!   itself. One in the foreground stays where it was started, in a service, for one, to which the journal so gives what
//!   it says; a helper process takes its place. The scope goes with either.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{getpid, getppid};

use super::helper::Helper;
use crate::kernel::cgroup::hierarchy::of_process;
use crate::kernel::cgroup::tree::{self, Cgroup};
use crate::kernel::error::{Error, Result};
use crate::kernel::systemd::bus;

/// The cgroup above all workloads, below the v2 mount.
pub const SLICE: &str = "ringfence.slice";
/// The leaf of the launcher, or of what keeps its place, in a scope.
const LAUNCHER: &str = "launcher";

/// Where the cgroup of a workload of this name may be, from the mount on: without systemd, and with it.
pub fn leaves(name: &str) -> [PathBuf; 2] {
    let slice = Path::new(SLICE);
    [slice.join(name), slice.join(scope(name)).join(name)]
}

/// The workload's cgroup in a directory of the slice: that itself, or the one in its scope.
pub fn leaf_of(dir: &Path) -> PathBuf {
    let name = dir.file_name().and_then(|name| name.to_str());
    let inner = name.and_then(|name| name.strip_prefix("ringfence-")?.strip_suffix(".scope"));
    inner.map_or_else(|| dir.to_owned(), |name| dir.join(name))
}

fn scope(name: &str) -> String {
    format!("ringfence-{name}.scope")
}

/// Starts a process for a workload's scope, which would else go between two lives of the workload. It hands on to its
/// launcher that the scope is to stop.
fn keep_scope() -> Result<Helper> {
    Helper::start(c"ringfence-scope", [], || {
        let term = SigSet::from(Signal::SIGTERM);
        if set_pdeathsig(Signal::SIGKILL).is_ok() {
            while term.wait().is_ok() {
                // It would be dead itself if it were not its child any more.
                let _ = kill(getppid(), Signal::SIGTERM);
            }
        }
    })
}

/// Makes the cgroup that the leaf of a workload of this name is made in, with these controllers handed down to it and
/// by it. What keeps it, if anything does, must be kept as long.
pub fn make(
    mount: &Path,
    name: &str,
    controllers: &[&str],
    detached: bool,
) -> Result<(Cgroup, Option<Helper>)> {
    if let Some(socket) = bus::socket() {
        let keeper = (!detached).then(keep_scope).transpose()?;
        let process = keeper.as_ref().map_or_else(getpid, Helper::pid);
        bus::delegated_scope(&socket, &scope(name), SLICE, process)?;
        let process = process.to_string();
        let own = of_process(Path::new("/proc"), &process)?.unwrap_or_default();
        let scope = Cgroup::open(mount.join(own.strip_prefix("/").unwrap_or(&own)))?;
        let beside = Cgroup::create(scope.path().join(LAUNCHER))?;
        beside.write("cgroup.procs", &process)?;
        tree::enable(&scope, controllers)?;
        return Ok((scope, keeper));
    }
    let path = mount.join(SLICE);
    let slice = match Cgroup::create(&path) {
        Err(error) if error.errno() == Errno::EEXIST => Cgroup::open(&path),
        made => made,
    }?;
    hand_down(&Cgroup::open(mount)?, &slice, controllers)?;
    Ok((slice, None))
}

/// How often controllers are switched on that somebody else switches off.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// Has the controllers handed down by the root and by the slice, until both do: whoever else edits the root, as systemd
/// does, may switch one off in between.
fn hand_down(root: &Cgroup, slice: &Cgroup, controllers: &[&str]) -> Result<()> {
    let offered = root.words("cgroup.controllers")?;
    let mut left = TRIES;
    loop {
        left -= 1;
        let enabled = [root, slice]
            .into_iter()
            .try_for_each(|parent| tree::enable(parent, controllers).map(drop));
        let on = slice.words("cgroup.subtree_control")?;
        let is_on = |name: &&str| {
            let has = |words: &[String]| words.iter().any(|word| word == name);
            has(&on) || !has(&offered)
        };
        match enabled {
            Ok(()) if controllers.iter().all(is_on) => return Ok(()),
            Err(error) if error.errno() != Errno::ENOENT || left == 0 => return Err(error),
            Ok(()) if left == 0 => {
                let error = io::Error::other("somebody switches them off again");
                return Err(Error::new("hand controllers down to", slice.path(), error));
            }
            _ => sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_found_in_its_scope() {
        for leaf in leaves("a-b.scope") {
            let name = Path::new("a-b.scope");
            let dir = if leaf.parent() == Some(Path::new(SLICE)) {
                leaf.clone()
            } else {
                leaf.parent().unwrap().to_owned()
            };
            assert_eq!(leaf_of(&dir), leaf);
            assert!(leaf.ends_with(name));
        }
    }
}
