//! Who owns a cgroup, told by its path alone: no I/O, and no allocation where nothing is to change.
//!
//! Both cgroup drivers are known: systemd's (`docker-ID.scope`, `kubepods-burstable-podUID.slice`) and
//! cgroupfs's (`/docker/ID`, `/kubepods/burstable/podUID/ID`). A container in a container is told by the
//! innermost one; what a container makes below itself belongs to it.

mod part;

use std::borrow::Cow;
use std::path::Path;

pub use self::part::PAYLOAD;
use self::part::{Above, Part, classify};
use super::systemd;

/// Who made a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// ringfence: below a `ringfence.slice`.
    Ringfence,
    /// docker.
    Docker,
    /// A step of a `BuildKit` (or `docker build`) build.
    Buildkit,
    /// podman.
    Podman,
    /// containerd, outside Kubernetes.
    Containerd,
    /// CRI-O, outside Kubernetes.
    Crio,
    /// The kubelet, whatever its runtime.
    Kubernetes,
    /// LXC, also under LXD and Incus.
    Lxc,
    /// systemd-machined: systemd-nspawn and libvirt.
    Machined,
    /// snapd.
    Snap,
    /// flatpak.
    Flatpak,
    /// systemd.
    Systemd,
    /// Nobody known.
    Unknown,
}

impl Owner {
    /// One word for it; empty for [`Owner::Unknown`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Ringfence => "ringfence",
            Self::Docker => "docker",
            Self::Buildkit => "buildkit",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Machined => "machined",
            Self::Snap => "snap",
            Self::Flatpak => "flatpak",
            Self::Systemd => "systemd",
            Self::Unknown => "",
        }
    }
}

/// What it is to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A container, a virtual machine, or a workload of ringfence.
    Container,
    /// Containers that belong together.
    Pod,
    /// Made by what runs in a container, below the container's own cgroup.
    Inside,
    /// A helper of a container, outside of it: conmon, `lxc.monitor`.
    Helper,
    /// An application of a user.
    App,
    /// A unit that runs something: a service, a scope, a mount.
    Unit,
    /// Something that only holds others: a slice.
    Group,
    /// Nothing known.
    Other,
}

/// What a path tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Who made it.
    pub owner: Owner,
    /// What it is to its owner.
    pub role: Role,
    /// The owner's name for it: a container's full id, a pod's uid, a unit. Foreign text.
    pub id: Option<Cow<'a, str>>,
    /// A short name for people. Foreign text.
    pub label: Cow<'a, str>,
}

impl Identity<'_> {
    /// `docker container`, `kubernetes pod`, `systemd unit`; see [`what`].
    pub fn what(&self) -> String {
        what(self.owner, self.role)
    }
}

/// In words: `docker container`, `in a podman container`, `systemd slice`.
pub fn what(owner: Owner, role: Role) -> String {
    let word = owner.word();
    match role {
        Role::Container if owner == Owner::Ringfence => format!("{word} workload"),
        Role::Container if owner == Owner::Buildkit => format!("{word} step"),
        Role::Container if owner == Owner::Machined => format!("{word} machine"),
        Role::Container => format!("{word} container"),
        Role::Pod => format!("{word} pod"),
        Role::Inside if owner == Owner::Ringfence => format!("in a {word} workload"),
        Role::Inside => format!("in a {word} container"),
        Role::Helper => format!("{word} helper"),
        Role::App if owner == Owner::Systemd => "application".to_owned(),
        Role::App => format!("{word} application"),
        Role::Unit => format!("{word} unit"),
        Role::Group if owner == Owner::Systemd => format!("{word} slice"),
        Role::Group => format!("{word} group"),
        Role::Other => "cgroup".to_owned(),
    }
}

/// Tells by the path from the v2 root who owns a cgroup and what to call it.
pub fn identify(path: &str) -> Identity<'_> {
    let mut above = Above::default();
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let found = classify(&above, part);
        if parts.peek().is_none() {
            return Identity {
                owner: found.owner,
                role: found.role,
                id: id(found),
                label: label(&above, found),
            };
        }
        above.kubernetes |= found.owner == Owner::Kubernetes;
        if found.role == Role::Container {
            above.container = Some(found.owner);
        }
        above.scope_of = part::is_oci_scope(&found).then_some(found);
        above.name = part;
    }
    Identity {
        owner: Owner::Unknown,
        role: Role::Other,
        id: None,
        label: Cow::Borrowed("/"),
    }
}

/// The nearest level of a path that its owner has a name for: the cgroup itself, or the container, application or unit that
/// made it below its own. A slice only holds what is below it.
pub fn named_level(path: &str) -> Option<(&str, Identity<'_>)> {
    let levels = Path::new(path).ancestors().filter_map(Path::to_str);
    levels
        .map(|level| (level, identify(level)))
        .find(|(level, identity)| {
            identity.id.is_some() && (*level == path || identity.role != Role::Group)
        })
}

/// The path of the container's own cgroup, with its limits, where `path` may be a scope around it.
pub fn payload(path: &str) -> Option<String> {
    let payload = format!("{path}/{PAYLOAD}");
    let is_container = |path| identify(path).role == Role::Container;
    (is_container(path) && is_container(&payload)).then_some(payload)
}

/// As much of an id as people say.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn id(part: Part<'_>) -> Option<Cow<'_, str>> {
    let id = part.id?;
    Some(match (part.owner, part.role) {
        (Owner::Kubernetes, Role::Pod) if id.contains('_') => Cow::Owned(id.replace('_', "-")),
        (Owner::Machined | Owner::Flatpak | Owner::Snap, _) => systemd::unescape(id),
        _ => Cow::Borrowed(id),
    })
}

fn label<'a>(above: &Above<'_>, part: Part<'a>) -> Cow<'a, str> {
    match (part.owner, part.role, part.id) {
        (Owner::Ringfence, Role::Container, _) => Cow::Borrowed(part.name),
        (Owner::Lxc, Role::Container, Some(name)) => Cow::Borrowed(name),
        (Owner::Machined, _, Some(name)) => systemd::unescape(name),
        (Owner::Kubernetes, Role::Pod, Some(uid)) => {
            Cow::Owned(format!("pod {}", uid.get(..8).unwrap_or(uid)))
        }
        (_, Role::Pod, Some(id)) => Cow::Owned(format!("pod {}", short(id))),
        (_, Role::Container, Some(id)) => Cow::Borrowed(short(id)),
        (Owner::Lxc, Role::Helper, Some(name)) => Cow::Owned(format!("monitor of {name}")),
        (_, Role::Helper, Some(id)) if id.len() > 12 => Cow::Owned(format!("conmon {}", short(id))),
        (_, Role::App, _) => systemd::unescape(part.name),
        _ => systemd::label(above.name, part.name),
    }
}

#[cfg(test)]
mod tests;
