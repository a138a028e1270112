//! The names that people gave, from the state files that each owner keeps on disk.
//!
//! | owner | where | since |
//! |---|---|---|
//! | docker | `/var/lib/docker/containers/ID/config.v2.json` (or the `data-root` of `daemon.json`, or below a user's home) | 1.10 |
//! | podman, CRI-O | `…/containers/storage/DRIVER-containers/containers.json`, `volatile-containers.json` | |
//! | Kubernetes | the links in `/var/log/containers`, the directories in `/var/log/pods` | 1.14 |
//! | machined | `/run/systemd/machines` | |
//! | users | `/etc/passwd` | |
//!
//! These are ordinary files, not the kernel's, so that this room opens them by itself. Some belong to the
//! very users who are watched; therefore only regular files are opened, through no link at their end,
//! never blocking, and only so much of them is read. Whatever is missing, unreadable, malformed or too
//! large is no name.
//!
//! A read may still hang (a home on a network): ask from a thread that may wait.

mod file;
mod state;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::state::State;
use super::owner::{Identity, Owner, Role, identify};
use super::systemd;
use crate::kernel::cgroup::CgroupId;

/// How long a name holds; then it is looked up again, as containers can be renamed.
const HOLDS: Duration = Duration::from_mins(1);
/// How long there is no name. A container's state may be written after its cgroup was made.
const MISSING: Duration = Duration::from_secs(3);
/// The longest that there is no name, after many attempts.
const MISSING_AT_LAST: Duration = Duration::from_secs(48);
/// A longer name is none.
const LONGEST: usize = 256;

/// What was found out about one cgroup.
#[derive(Debug)]
struct Answer {
    name: Option<Arc<str>>,
    until: Instant,
    /// How long the next failure holds.
    pause: Duration,
}

/// Looks names up, and remembers them by cgroup.
#[derive(Debug)]
pub struct Names {
    state: State,
    known: HashMap<CgroupId, Answer>,
}

impl Names {
    /// Looks in the files below `root`: `/`, or a fixture.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            state: State::new(root.into()),
            known: HashMap::new(),
        }
    }

    /// What people call a cgroup, where that is known. Does I/O for a new cgroup, seldom for a known one.
    pub fn of(&mut self, id: CgroupId, path: &str, now: Instant) -> Option<Arc<str>> {
        if let Some(answer) = self.known.get(&id).filter(|answer| now < answer.until) {
            return answer.name.clone();
        }
        let identity = identify(path);
        if !is_nameable(&identity) {
            return None;
        }
        let found = self.find(&identity, path, now).map(Arc::from);
        let last = self.known.remove(&id);
        let pause = last.as_ref().map_or(MISSING, |last| last.pause);
        let (holds, pause) = match found {
            Some(_) => (HOLDS, MISSING),
            None => (pause, (pause * 2).min(MISSING_AT_LAST)),
        };
        // A state file that is just being written must not take the name away.
        let name = found.or_else(|| last.and_then(|last| last.name));
        let answer = Answer {
            name: name.clone(),
            until: now + holds,
            pause,
        };
        self.known.insert(id, answer);
        name
    }

    /// The same for one that is there no longer: nothing is remembered of it.
    pub fn of_removed(&mut self, path: &str, now: Instant) -> Option<String> {
        let identity = identify(path);
        let is_nameable = is_nameable(&identity);
        is_nameable.then(|| self.find(&identity, path, now))?
    }

    fn find(&mut self, identity: &Identity<'_>, path: &str, now: Instant) -> Option<String> {
        self.look_up(identity, path, now)
            .filter(|name| !name.is_empty() && name.len() <= LONGEST)
    }

    /// Forgets all but these, and the files that nobody asks for.
    pub fn keep(&mut self, alive: impl Fn(CgroupId) -> bool) {
        self.known.retain(|id, _| alive(*id));
        self.state.forget_unused(Instant::now());
    }

    fn look_up(&mut self, identity: &Identity<'_>, path: &str, now: Instant) -> Option<String> {
        let state = &mut self.state;
        let id = identity.id.as_deref()?;
        match (identity.owner, identity.role) {
            (Owner::Docker, Role::Container) => {
                let name = state.docker(id, user(path), now)?;
                Some(kubernetes_name(&name).unwrap_or(name))
            }
            (Owner::Podman, Role::Container) => state.storage(id, user(path), now),
            (Owner::Podman, Role::Helper) => state
                .storage(id, user(path), now)
                .map(|name| format!("conmon of {name}")),
            (Owner::Kubernetes | Owner::Crio | Owner::Containerd, Role::Container) => {
                state.log_link(id, now).or_else(|| {
                    let name = state
                        .storage(id, None, now)
                        .or_else(|| state.docker(id, None, now))?;
                    Some(kubernetes_name(&name).unwrap_or(name))
                })
            }
            (Owner::Kubernetes, Role::Pod) => state.pod(id, now),
            (Owner::Machined, Role::Container) => state.machine(last_part(path), id),
            (Owner::Systemd, Role::Group) => {
                let user = state.user(systemd::user(id)?, now)?;
                Some(format!("user {}", user.name))
            }
            (Owner::Systemd, Role::Unit) => {
                let user = state.user(systemd::user(id)?, now)?;
                Some(format!("user@{}.service", user.name))
            }
            _ => None,
        }
    }
}

/// Whether anybody may have given it a name that its path does not tell.
pub fn is_nameable(identity: &Identity<'_>) -> bool {
    match (identity.owner, identity.role) {
        (Owner::Podman, Role::Container | Role::Helper)
        | (Owner::Kubernetes, Role::Container | Role::Pod)
        | (Owner::Docker | Owner::Crio | Owner::Containerd | Owner::Machined, Role::Container) => {
            true
        }
        (Owner::Systemd, Role::Group | Role::Unit) => {
            identity.id.as_deref().and_then(systemd::user).is_some()
        }
        _ => false,
    }
}

/// The user in whose part of the tree a cgroup is: who runs docker or podman without being root. Anybody may give a cgroup
/// of their own the name of another's.
fn user(path: &str) -> Option<u32> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (user, _) = path.strip_prefix("user.slice/")?.split_once('/')?;
    systemd::user(user)
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The kubelet's name for a container under docker and CRI-O, `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`, in
/// the form of [`in_pod`].
fn kubernetes_name(name: &str) -> Option<String> {
    let mut fields = name.strip_prefix("k8s_")?.split('_');
    let (container, pod, namespace) = (fields.next()?, fields.next()?, fields.next()?);
    let container = if container == "POD" {
        "pause"
    } else {
        container
    };
    Some(in_pod(container, namespace, pod))
}

/// `nginx (shop/web-7d4b9c)`: what differs comes first, so that little is lost where it is cut.
fn in_pod(container: &str, namespace: &str, pod: &str) -> String {
    format!("{container} ({namespace}/{pod})")
}
