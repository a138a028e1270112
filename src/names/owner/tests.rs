use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "2ba1d3e4-5f60-4711-8899-aabbccddeeff";

/// Path, owner, role, label. `ID` and `UID` stand for themselves.
#[rustfmt::skip]
const PATHS: [(&str, Owner, Role, &str); 72] = [
    ("/", Owner::Unknown, Role::Other, "/"),
    ("", Owner::Unknown, Role::Other, "/"),
    ("/ringfence.slice", Owner::Ringfence, Role::Group, "ringfence.slice"),
    ("/ringfence.slice/leaker", Owner::Ringfence, Role::Container, "leaker"),
    ("/ringfence.slice/cafe.scope", Owner::Ringfence, Role::Container, "cafe.scope"),
    ("/user.slice/ringfence.slice/a/b", Owner::Ringfence, Role::Inside, "b"),
    ("/docker", Owner::Docker, Role::Group, "docker"),
    ("/docker/ID", Owner::Docker, Role::Container, "0123456789ab"),
    ("/system.slice/docker-ID.scope", Owner::Docker, Role::Container, "0123456789ab"),
    ("/system.slice/docker-ID.scope/init.scope", Owner::Docker, Role::Inside, "init.scope"),
    ("/docker/ID/docker/ID", Owner::Docker, Role::Container, "0123456789ab"),
    ("/my-parent/ID", Owner::Docker, Role::Container, "0123456789ab"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Owner::Docker, Role::Container, "0123456789ab"),
    ("/system.slice/docker.service", Owner::Systemd, Role::Unit, "docker.service"),
    ("/system.slice/docker-prune.service", Owner::Systemd, Role::Unit, "docker-prune.service"),
    ("/docker/buildkit", Owner::Buildkit, Role::Group, "buildkit"),
    ("/docker/buildkit/x1y2z3x1y2z3x1y2z3x1y2z3x", Owner::Buildkit, Role::Container, "x1y2z3x1y2z3"),
    ("/system.slice/docker-x1y2z3x1y2z3x1y2z3x1y2z3x.scope", Owner::Buildkit, Role::Container, "x1y2z3x1y2z3"),
    ("/system.slice/nerdctl-ID.scope", Owner::Containerd, Role::Container, "0123456789ab"),
    ("/machine.slice/libpod-ID.scope", Owner::Podman, Role::Container, "0123456789ab"),
    ("/machine.slice/libpod-ID.scope/container", Owner::Podman, Role::Container, "0123456789ab"),
    ("/machine.slice/libpod-ID.scope/container/x", Owner::Podman, Role::Inside, "x"),
    ("/machine.slice/libpod-ID.scope/container/container", Owner::Podman, Role::Inside, "container"),
    ("/libpod_parent/libpod-ID/container", Owner::Podman, Role::Inside, "container"),
    ("/ringfence.slice/cafe.scope/container", Owner::Ringfence, Role::Inside, "container"),
    ("/kubepods.slice/kubepods-podabcdef01.slice/crio-ID.scope/container", Owner::Kubernetes, Role::Container, "0123456789ab"),
    ("/machine.slice/libpod-conmon-ID.scope", Owner::Podman, Role::Helper, "conmon 0123456789ab"),
    ("/libpod_parent", Owner::Podman, Role::Group, "libpod_parent"),
    ("/libpod_parent/conmon", Owner::Podman, Role::Helper, "conmon"),
    ("/libpod_parent/libpod-ID", Owner::Podman, Role::Container, "0123456789ab"),
    ("/libpod_parent/ID/libpod-ID", Owner::Podman, Role::Container, "0123456789ab"),
    ("/libpod_parent/ID", Owner::Podman, Role::Pod, "pod 0123456789ab"),
    ("/machine.slice/machine-libpod_pod_ID.slice", Owner::Podman, Role::Pod, "pod 0123456789ab"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/podman-1234.scope", Owner::Podman, Role::Helper, "podman-1234.scope"),
    ("/system.slice/cri-containerd-ID.scope", Owner::Containerd, Role::Container, "0123456789ab"),
    ("/k8s.io/ID", Owner::Containerd, Role::Container, "0123456789ab"),
    ("/system.slice/crio-ID.scope", Owner::Crio, Role::Container, "0123456789ab"),
    ("/system.slice/crio-conmon-ID.scope", Owner::Crio, Role::Helper, "conmon 0123456789ab"),
    ("/kubepods.slice", Owner::Kubernetes, Role::Group, "kubepods.slice"),
    ("/kubepods.slice/kubepods-burstable.slice", Owner::Kubernetes, Role::Group, "burstable.slice"),
    ("/kubepods.slice/kubepods-pod2ba1d3e4_5f60_4711_8899_aabbccddeeff.slice", Owner::Kubernetes, Role::Pod, "pod 2ba1d3e4"),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2ba1d3e4_5f60_4711_8899_aabbccddeeff.slice/cri-containerd-ID.scope", Owner::Kubernetes, Role::Container, "0123456789ab"),
    ("/kubepods.slice/kubepods-podabcdef01.slice/crio-ID.scope", Owner::Kubernetes, Role::Container, "0123456789ab"),
    ("/kubepods.slice/kubepods-podabcdef01.slice/docker-ID.scope/x", Owner::Kubernetes, Role::Inside, "x"),
    ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-podUID.slice", Owner::Kubernetes, Role::Pod, "pod 2ba1d3e4"),
    ("/kubepods/burstable", Owner::Kubernetes, Role::Group, "burstable"),
    ("/kubepods/burstable/podUID", Owner::Kubernetes, Role::Pod, "pod 2ba1d3e4"),
    ("/kubepods/burstable/podUID/ID", Owner::Kubernetes, Role::Container, "0123456789ab"),
    ("/system.slice/containerd.service/kubepods-burstable-podUID.slice:cri-containerd:ID", Owner::Containerd, Role::Container, "0123456789ab"),
    ("/system.slice/docker-ID.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID.slice/cri-containerd-ID.scope", Owner::Kubernetes, Role::Container, "0123456789ab"),
    ("/lxc.payload.web", Owner::Lxc, Role::Container, "web"),
    ("/lxc.payload.web/system.slice/cron.service", Owner::Lxc, Role::Inside, "cron.service"),
    ("/lxc.monitor.web", Owner::Lxc, Role::Helper, "monitor of web"),
    ("/lxc/101", Owner::Lxc, Role::Container, "101"),
    ("/lxc.monitor/101", Owner::Lxc, Role::Helper, "monitor of 101"),
    ("/machine.slice", Owner::Systemd, Role::Group, "machine.slice"),
    (r"/machine.slice/machine-web\x2d1.scope", Owner::Machined, Role::Container, "web-1"),
    (r"/machine.slice/systemd-nspawn@web\x2d1.service", Owner::Machined, Role::Container, "web-1"),
    ("/machine.slice/systemd-nspawn@web.service/payload/init.scope", Owner::Machined, Role::Inside, "init.scope"),
    ("/machine/qemu-1-vm.libvirt-qemu", Owner::Machined, Role::Container, "qemu-1-vm"),
    ("/u/app.slice/snap.firefox.firefox-01234567-89ab-cdef-0123-456789abcdef.scope", Owner::Snap, Role::App, "firefox"),
    ("/system.slice/snap.lxd.daemon.service", Owner::Snap, Role::App, "lxd.daemon"),
    ("/u/app.slice/app-flatpak-org.mozilla.firefox-77.scope", Owner::Flatpak, Role::App, "org.mozilla.firefox"),
    ("/u/app.slice/app-gnome-firefox-1234.scope", Owner::Systemd, Role::App, "firefox"),
    (r"/u/app.slice/app-gnome-org.gnome.a\x2db-1234.scope", Owner::Systemd, Role::App, "org.gnome.a-b"),
    ("/u/app.slice", Owner::Systemd, Role::Group, "app.slice"),
    ("/system.slice/cron.service", Owner::Systemd, Role::Unit, "cron.service"),
    ("/system.slice/system-getty.slice", Owner::Systemd, Role::Group, "getty.slice"),
    ("/user.slice/user-1000.slice", Owner::Systemd, Role::Group, "user 1000"),
    ("/user.slice/user-1000.slice/session-3.scope", Owner::Systemd, Role::Unit, "session 3"),
    ("/init.scope", Owner::Systemd, Role::Unit, "init.scope"),
    ("/anything/else", Owner::Unknown, Role::Other, "else"),
];

#[test]
fn every_owner_is_told_by_the_path() {
    for (path, owner, role, label) in PATHS {
        let path = path.replace("UID", UID).replace("ID", ID);
        let found = identify(&path);
        assert_eq!(
            (found.owner, found.role, &*found.label),
            (owner, role, label),
            "{path}"
        );
    }
}

#[test]
fn ids_are_whole() {
    let id = |path: &str| {
        let path = path.replace("ID", ID);
        identify(&path).id.map(Cow::into_owned)
    };
    assert_eq!(id("/docker/ID").as_deref(), Some(ID));
    assert_eq!(id("/machine.slice/libpod-ID.scope").as_deref(), Some(ID));
    assert_eq!(
        id("/kubepods.slice/kubepods-pod2ba1d3e4_5f60_4711_8899_aabbccddeeff.slice").as_deref(),
        Some(UID)
    );
    assert_eq!(
        id("/system.slice/cron.service").as_deref(),
        Some("cron.service")
    );
    assert_eq!(id("/anything"), None);
}

#[test]
fn nothing_is_allocated_where_nothing_changes() {
    for path in [
        "/system.slice/cron.service",
        "/machine.slice/libpod-0123456789abcdef.scope",
        "/ringfence.slice/leaker",
    ] {
        let found = identify(path);
        assert!(matches!(found.label, Cow::Borrowed(_)), "{path}");
        assert!(matches!(found.id, Some(Cow::Borrowed(_))), "{path}");
    }
}

#[test]
fn what_something_made_below_itself_leads_to_it() {
    for (path, expected) in [
        (
            "/system.slice/cron.service/job",
            Some("/system.slice/cron.service"),
        ),
        (
            "/u/user@1000.service/app.slice/odd",
            Some("/u/user@1000.service"),
        ),
        ("/docker/0123/a/b", Some("/docker/0123")),
        ("/docker/0123/init.scope", Some("/docker/0123")),
        ("/ringfence.slice/web/worker", Some("/ringfence.slice/web")),
        (
            "/system.slice/cron.service",
            Some("/system.slice/cron.service"),
        ),
        ("/docker/0123", Some("/docker/0123")),
        ("/system.slice", Some("/system.slice")),
        ("/user.slice/odd", None),
        ("/odd/odder", None),
        ("/", None),
        ("", None),
    ] {
        let found = named_level(path).map(|(level, _)| level);
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn it_is_said_in_words() {
    for (path, words) in [
        ("/ringfence.slice/a", "ringfence workload"),
        ("/docker/0123", "docker container"),
        ("/docker/0123/x", "in a docker container"),
        ("/kubepods/podabcdef01", "kubernetes pod"),
        ("/system.slice", "systemd slice"),
        ("/system.slice/cron.service", "systemd unit"),
        ("/u/app-firefox-1.scope", "application"),
        ("/odd", "cgroup"),
    ] {
        assert_eq!(identify(path).what(), words, "{path}");
    }
}
