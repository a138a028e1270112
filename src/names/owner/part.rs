//! One part of a path, and what those above it tell about it.

use super::{Owner, Role};
use crate::names::systemd;

/// How crun calls the cgroup of a container, with its limits, below the scope that it has systemd make (the annotation
/// `run.oci.systemd.subgroup`).
///
/// <https://github.com/containers/crun/blob/main/crun.1.md>
pub const PAYLOAD: &str = "container";

/// What the parts before the last one tell about it.
#[derive(Default)]
pub(super) struct Above<'a> {
    /// The name of the cgroup it is in.
    pub name: &'a str,
    /// Whether the kubelet's tree is around.
    pub kubernetes: bool,
    /// Whose container it is in.
    pub container: Option<Owner>,
    /// The container whose scope it is in, right below.
    pub scope_of: Option<Part<'a>>,
}

/// What one part of a path is, before it is put into words.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub owner: Owner,
    pub role: Role,
    pub id: Option<&'a str>,
    /// What the label is made from.
    pub name: &'a str,
}

/// Whether it is the scope of a container that an OCI runtime starts.
pub(super) fn is_oci_scope(part: &Part<'_>) -> bool {
    let is_oci = matches!(
        part.owner,
        Owner::Docker | Owner::Podman | Owner::Containerd | Owner::Crio | Owner::Kubernetes
    );
    is_oci && part.role == Role::Container && part.name.strip_suffix(".scope").is_some()
}

/// What a part of a path is, below those above it.
pub(super) fn classify<'a>(above: &Above<'a>, name: &'a str) -> Part<'a> {
    let part = |owner, role, id, name| Part {
        owner,
        role,
        id,
        name,
    };
    if above.name == "ringfence.slice" {
        return part(Owner::Ringfence, Role::Container, Some(name), name);
    }
    if name == "ringfence.slice" {
        return part(Owner::Ringfence, Role::Group, Some(name), name);
    }
    if let Some(found) = container(above, name)
        .or_else(|| pod(above, name))
        .or_else(|| machine(above, name))
    {
        return found;
    }
    if let Some(scope) = above.scope_of.filter(|_| name == PAYLOAD) {
        return Part { name, ..scope };
    }
    if let Some(owner) = above.container {
        return part(owner, Role::Inside, None, name);
    }
    if (above.name, name) == ("libpod_parent", "conmon") {
        return part(Owner::Podman, Role::Helper, None, name);
    }
    let group = match name {
        "docker" => Some(Owner::Docker),
        "buildkit" => Some(Owner::Buildkit),
        "libpod_parent" => Some(Owner::Podman),
        "lxc" | "lxc.payload" | "lxc.monitor" | "lxc.pivot" => Some(Owner::Lxc),
        _ => None,
    };
    if let Some(owner) = group {
        return part(owner, Role::Group, None, name);
    }
    if let Some(app) = systemd::snap(name) {
        return part(Owner::Snap, Role::App, Some(app), app);
    }
    if let Some(app) = systemd::flatpak(name) {
        return part(Owner::Flatpak, Role::App, Some(app), app);
    }
    if let Some((_, app)) = systemd::app(name) {
        return part(Owner::Systemd, Role::App, Some(name), app);
    }
    match systemd::unit(name) {
        Some((_, ".slice")) => part(Owner::Systemd, Role::Group, Some(name), name),
        Some(_) => part(Owner::Systemd, Role::Unit, Some(name), name),
        None => part(Owner::Unknown, Role::Other, None, name),
    }
}

/// `PREFIX-ID.scope`, `SLICE:PREFIX:ID`, or an id by itself.
fn container<'a>(above: &Above<'a>, name: &'a str) -> Option<Part<'a>> {
    const PREFIXES: [(&str, Owner, Role); 11] = [
        ("docker-buildkit-", Owner::Buildkit, Role::Container),
        ("docker-", Owner::Docker, Role::Container),
        ("buildkit-", Owner::Buildkit, Role::Container),
        ("nerdctl-", Owner::Containerd, Role::Container),
        ("libpod-conmon-", Owner::Podman, Role::Helper),
        ("libpod-", Owner::Podman, Role::Container),
        ("cri-containerd-", Owner::Containerd, Role::Container),
        ("crio-conmon-", Owner::Crio, Role::Helper),
        ("crio-", Owner::Crio, Role::Container),
        ("conmon-", Owner::Podman, Role::Helper),
        ("podman-", Owner::Podman, Role::Helper),
    ];
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let prefixed = PREFIXES.into_iter().find_map(|(prefix, owner, role)| {
        let id = stem.strip_prefix(prefix)?;
        if owner == Owner::Docker && is_build(id) {
            return Some((Owner::Buildkit, role, id));
        }
        let fits = is_hex(id) || (owner == Owner::Buildkit && is_build(id));
        fits.then_some((owner, role, id))
    });
    let found = prefixed
        .or_else(|| {
            // The systemd driver's way to write it, where the runtime uses the other driver.
            let mut fields = name.split(':');
            let (_, prefix, id) = (fields.next()?, fields.next()?, fields.next()?);
            let (_, owner, role) = PREFIXES
                .into_iter()
                .find(|(known, ..)| known.strip_suffix('-') == Some(prefix))?;
            (is_hex(id) && fields.next().is_none()).then_some((owner, role, id))
        })
        .or_else(|| {
            let owner = match above.name {
                "docker" if is_hex(name) => Owner::Docker,
                "docker" | "buildkit" if is_build(name) => Owner::Buildkit,
                "k8s.io" if is_hex(name) => Owner::Containerd,
                // A pod's own cgroup.
                "libpod_parent" => return None,
                _ if above.kubernetes && name.len() >= 32 && is_hex(name) => Owner::Kubernetes,
                // docker's `--cgroup-parent`; nobody else names a cgroup so.
                _ if name.len() == 64 && is_hex(name) => Owner::Docker,
                _ => return None,
            };
            Some((owner, Role::Container, name))
        });
    let (owner, role, id) = found?;
    Some(Part {
        owner: if above.kubernetes {
            Owner::Kubernetes
        } else {
            owner
        },
        role,
        id: Some(id),
        name,
    })
}

/// `kubepods-burstable-podUID.slice`, `kubepods/burstable/podUID`, `machine-libpod_pod_ID.slice`.
fn pod<'a>(above: &Above<'a>, name: &'a str) -> Option<Part<'a>> {
    let found = |owner, role, id| Part {
        owner,
        role,
        id,
        name,
    };
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    if let Some((front, rest)) = stem.split_once("kubepods")
        && (front.is_empty() || front.ends_with('-'))
        && (rest.is_empty() || rest.starts_with('-'))
    {
        return Some(match rest.split_once("-pod") {
            Some((_, uid)) if is_uid(uid) => found(Owner::Kubernetes, Role::Pod, Some(uid)),
            _ => found(Owner::Kubernetes, Role::Group, Some(name)),
        });
    }
    if above.kubernetes {
        if let Some(uid) = name.strip_prefix("pod").filter(|uid| is_uid(uid)) {
            return Some(found(Owner::Kubernetes, Role::Pod, Some(uid)));
        }
        if matches!(name, "burstable" | "besteffort" | "guaranteed") {
            return Some(found(Owner::Kubernetes, Role::Group, None));
        }
    }
    let podman = match above.name {
        "libpod_parent" => Some(name),
        _ => stem.rsplit_once("libpod_pod_").map(|(_, id)| id),
    };
    let id = podman.filter(|id| is_hex(id))?;
    Some(found(Owner::Podman, Role::Pod, Some(id)))
}

/// `lxc.payload.NAME`, `machine-NAME.scope`, `systemd-nspawn@NAME.service`, `NAME.libvirt-qemu`.
fn machine<'a>(above: &Above<'a>, part: &'a str) -> Option<Part<'a>> {
    let lxc = |role, name| (Owner::Lxc, role, name);
    let machine = |name| (Owner::Machined, Role::Container, name);
    let by_prefix = part
        .strip_prefix("lxc.payload.")
        .map(|name| lxc(Role::Container, name))
        .or_else(|| Some(lxc(Role::Helper, part.strip_prefix("lxc.monitor.")?)))
        .or_else(|| {
            let scope = part.strip_prefix("machine-")?;
            Some(machine(scope.strip_suffix(".scope")?))
        })
        .or_else(|| {
            let service = part.strip_prefix("systemd-nspawn@")?;
            Some(machine(service.strip_suffix(".service")?))
        })
        .or_else(|| {
            let (name, driver) = part.rsplit_once(".libvirt-")?;
            matches!(driver, "qemu" | "lxc").then_some(machine(name))
        });
    let (owner, role, name) = by_prefix.or(match above.name {
        "lxc" | "lxc.payload" => Some(lxc(Role::Container, part)),
        "lxc.monitor" => Some(lxc(Role::Helper, part)),
        _ => None,
    })?;
    (!name.is_empty()).then_some(Part {
        owner,
        role,
        id: Some(name),
        name: part,
    })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `BuildKit` counts in base 36: 25 letters and digits.
fn is_build(text: &str) -> bool {
    text.len() == 25
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A pod's uid; in a slice its `-` have become `_`.
fn is_uid(text: &str) -> bool {
    text.len() >= 8
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'))
}
