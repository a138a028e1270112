//! What speaks against something, each in one sentence with what would help.

use std::path::Path;

use nix::errno::Errno;

use super::{Ground, Target};
use crate::kernel::cgroup::subtree;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::obstacle::Obstacle;
use crate::kernel::process::held::why_not_signalled;

/// Why a file of a cgroup cannot be written: it is not there, or not ours.
pub fn file(cgroup: &Cgroup, path: &str, file: &str, since: &str) -> Option<String> {
    let obstacle = if cgroup.path().join(file).exists() {
        cgroup.why_not_writable(file)?
    } else {
        let newer = format!("it takes Linux {since} or newer");
        Obstacle::new(format!("{path} has no {file}"), newer)
    };
    Some(obstacle.to_string())
}

/// Why memory cannot be reclaimed from it.
pub fn reclaim(cgroup: &Cgroup, path: &str) -> Option<String> {
    if path == "/" {
        return Some(
            "the root cgroup is the host itself; choose one below it to reclaim from".to_owned(),
        );
    }
    if !cgroup.path().join("memory.current").exists() {
        let what = format!("{path} has no memory controller: its parent does not hand it down");
        let remedy = "write +memory to the parent's cgroup.subtree_control";
        return Some(Obstacle::new(what, remedy).to_string());
    }
    file(cgroup, path, "memory.reclaim", "5.19")
}

/// The nearest ancestor that keeps a cgroup frozen.
pub fn frozen_above(ground: &Ground, path: &str) -> Option<String> {
    let above = Path::new(path).ancestors().skip(1);
    above
        .filter_map(Path::to_str)
        .find(|path| subtree::is_frozen(&ground.dir(path)))
        .map(str::to_owned)
}

/// Why TERM would not be handled.
pub fn term(ground: &Ground, target: &Target) -> Option<String> {
    let above = frozen_above(ground, &target.path)?;
    let what = format!(
        "{} is kept frozen by {above}, so TERM cannot be handled",
        target.path
    );
    let remedy = "thaw that one first, or kill this one";
    Some(Obstacle::new(what, remedy).to_string())
}

/// The parent of a cgroup.
pub fn parent(path: &str) -> Option<&str> {
    Path::new(path).parent()?.to_str()
}

/// Why processes cannot be moved from a cgroup to its parent: the kernel's rules.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint>
pub fn move_up(ground: &Ground, path: &str) -> Option<String> {
    let Some(parent) = parent(path) else {
        return Some("the root cgroup has no parent to move to".to_owned());
    };
    let above = match Cgroup::open(ground.dir(parent)) {
        Ok(above) => above,
        Err(error) => return Some(error.to_string()),
    };
    let kind = |path| {
        let text = std::fs::read_to_string(ground.dir(path).join("cgroup.type"));
        text.unwrap_or_default().trim().to_owned()
    };
    if kind(path) == "threaded" {
        let what = format!("{path} is threaded: its processes belong to a cgroup above it");
        return Some(Obstacle::new(what, "move them from there").to_string());
    }
    if kind(parent) == "domain invalid" {
        return Some(threaded(parent));
    }
    let handed = above.read("cgroup.subtree_control").unwrap_or_default();
    let handed = String::from_utf8_lossy(&handed);
    // The root is the one cgroup that may have both processes and children with controllers.
    if parent != "/" && !handed.trim().is_empty() {
        return Some(no_internal_processes(parent, handed.trim()));
    }
    let obstacle = above.why_not_writable("cgroup.procs")?;
    Some(obstacle.to_string())
}

/// In words why a process was not moved to a cgroup.
pub fn refused_move(to: &str, errno: Errno) -> String {
    match errno {
        Errno::EBUSY => no_internal_processes(to, "controllers"),
        Errno::EOPNOTSUPP => threaded(to),
        Errno::EACCES | Errno::EPERM => format!(
            "one may only move processes between cgroups that were delegated to one together, and {to} \
             was not; type sudo in front"
        ),
        Errno::EAGAIN => format!("{to} is at its pids.max"),
        errno => errno.desc().to_owned(),
    }
}

fn threaded(path: &str) -> String {
    format!("{path} is part of a threaded subtree, which takes threads, not whole processes")
}

fn no_internal_processes(path: &str, handed: &str) -> String {
    format!(
        "{path} hands {handed} on to its children, so the kernel lets no process live in it itself (EBUSY)"
    )
}

/// Why a process may not be signalled by us.
pub fn signal(pid: u32, name: &str) -> Option<String> {
    let errno = why_not_signalled(pid)?;
    let what = format!("pid {name} belongs to another user ({})", errno.desc());
    Some(Obstacle::new(what, "type sudo in front").to_string())
}
