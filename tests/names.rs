//! What cgroups are called: from their paths, and from the state files of a fixture host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ringfence::kernel::cgroup::CgroupId;
use ringfence::names::{Names, identify};
use ringfence::text;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "89abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567";
const C: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const D: &str = "aaaabbbbccccddddaaaabbbbccccddddaaaabbbbccccddddaaaabbbbccccdddd";
const E: &str = "1111222233334444111122223333444411112222333344441111222233334444";
const F: &str = "5555666677778888555566667777888855556666777788885555666677778888";
const POD: &str = "2ba1d3e4_5f60_4711_8899_aabbccddeeff";
const ALICE: &str = "/user.slice/user-1000.slice/user@1000.service/user.slice";

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/names/host")
}

/// What one path is called on a host that nobody has asked before.
fn called(root: &Path, path: &str) -> Option<String> {
    let mut names = Names::new(root);
    let name = names.of(CgroupId(1), path, Instant::now());
    name.map(|name| name.to_string())
}

#[test]
fn every_owner_keeps_names_that_can_be_read() {
    let pod = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice");
    let cgroupfs = format!("/kubepods/burstable/pod{}", POD.replace('_', "-"));
    for (path, name) in [
        (format!("/system.slice/docker-{A}.scope"), "web"),
        (format!("/docker/{A}"), "web"),
        (format!("/docker/{C}"), "moved"),
        (format!("{ALICE}/docker-{D}.scope"), "alices-web"),
        (format!("/machine.slice/libpod-{A}.scope"), "db"),
        (format!("/libpod_parent/libpod-{A}"), "db"),
        (
            format!("/machine.slice/libpod-conmon-{A}.scope"),
            "conmon of db",
        ),
        (format!("/machine.slice/libpod-{C}.scope"), "passing"),
        (format!("/machine.slice/libpod-{D}.scope"), "until-boot"),
        (format!("{ALICE}/libpod-{E}.scope"), "alices-db"),
        (pod.clone(), "shop/web-7d4b9c"),
        (cgroupfs.clone(), "shop/web-7d4b9c"),
        (format!("{pod}/crio-{B}.scope"), "nginx (shop/web-7d4b9c)"),
        (format!("/docker/{B}"), "pause (kube-system/dns-6f7b)"),
        (r"/machine.slice/machine-web\x2d1.scope".into(), "web-1"),
        ("/user.slice/user-1000.slice".into(), "user alice"),
        (
            "/user.slice/user-1000.slice/user@1000.service".into(),
            "user@alice.service",
        ),
    ] {
        assert_eq!(called(&host(), &path).as_deref(), Some(name), "{path}");
    }
}

#[test]
fn links_tell_by_where_they_are_and_where_they_lead() {
    let root = tempfile::tempdir().unwrap();
    let link = |at: &str, target: &str| {
        let at = root.path().join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    };
    // The log itself is out of reach, as it is for most users.
    link(
        &format!("var/log/containers/web-7d4b9c_shop_nginx-{E}.log"),
        "/var/log/pods/shop_web-7d4b9c_2ba1d3e4/nginx/0.log",
    );
    link(
        r"run/systemd/machines/unit:machine-qemu\x2d1\x2dvm.scope",
        "qemu-1-vm",
    );
    for (path, name) in [
        (
            format!("/kubepods.slice/kubepods-pod{POD}.slice/cri-containerd-{E}.scope"),
            "nginx (shop/web-7d4b9c)",
        ),
        (
            format!("/kubepods/burstable/podabcdef01/{E}"),
            "nginx (shop/web-7d4b9c)",
        ),
        (
            format!("/system.slice/crio-{E}.scope"),
            "nginx (shop/web-7d4b9c)",
        ),
        (
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope".into(),
            "qemu-1-vm",
        ),
    ] {
        assert_eq!(called(root.path(), &path).as_deref(), Some(name), "{path}");
    }
}

#[test]
fn what_nobody_named_has_no_name() {
    for path in [
        "/".into(),
        "/system.slice/cron.service".into(),
        "/ringfence.slice/leaker".into(),
        "/lxc.payload.web".into(),
        "/user.slice/user-77.slice".into(),
        // The wrong owner, the wrong user, no names in the list.
        format!("/docker/{E}"),
        format!("/machine.slice/libpod-{E}.scope"),
        format!("/machine.slice/libpod-{F}.scope"),
        format!("/docker/{A}/inside"),
        "/machine.slice/machine-...scope".into(),
        r"/machine.slice/machine-..\x2fmachines\x2fweb\x2d1.scope".into(),
        r"/machine.slice/machine-\x00.scope".into(),
    ] {
        assert_eq!(called(&host(), &path), None, "{path}");
        assert_eq!(called(Path::new("/nowhere/at/all"), &path), None, "{path}");
    }
}

/// A host whose docker says this about the container `A`.
fn docker(config: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &format!("var/lib/docker/containers/{A}/config.v2.json"),
        config,
    );
    root
}

fn write(root: &Path, path: &str, text: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn hostile_state_is_no_name_and_no_harm() {
    let path = format!("/docker/{A}");
    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"Name":"{}"}}"#, "x".repeat(257));
    for config in [
        "",
        "{",
        "[]",
        "null",
        r#"{"Name":7}"#,
        r#"{"Name":""}"#,
        "\u{0}",
        &deep,
        &long,
    ] {
        let root = docker(config.as_bytes());
        assert_eq!(
            called(root.path(), &path),
            None,
            "{}",
            text::fit(config, 20)
        );
    }
    // Larger than anybody's state: only its length is looked at.
    let root = docker(b"");
    let file = root
        .path()
        .join(format!("var/lib/docker/containers/{A}/config.v2.json"));
    let huge = fs::OpenOptions::new().write(true).open(&file).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(called(root.path(), &path), None);

    // A pipe, which would block; a link to a device; links that lead in a circle.
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(called(root.path(), &path), None);
    for target in [Path::new("/dev/zero"), &file] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        assert_eq!(called(root.path(), &path), None);
    }

    let circle = root.path().join("var/log");
    fs::create_dir_all(&circle).unwrap();
    symlink("containers", circle.join("containers")).unwrap();
    symlink("/var/log/pods", circle.join("pods")).unwrap();
    assert_eq!(
        called(root.path(), &format!("/kubepods/podabcdef01/{A}")),
        None
    );
    assert_eq!(called(root.path(), "/kubepods/podabcdef01"), None);
}

#[test]
fn names_are_as_given_and_made_harmless_where_drawn() {
    let root = docker(br#"{"Name":"/web\u001b[2J\n\u202e"}"#);
    let name = called(root.path(), &format!("/docker/{A}")).unwrap();
    assert_eq!(name, "web\u{1b}[2J\n\u{202e}");
    assert_eq!(text::sanitise(&name), r"web\u{1b}[2J\n\u{202e}");
}

#[test]
fn no_name_holds_for_seconds_and_a_name_for_a_minute() {
    let root = tempfile::tempdir().unwrap();
    let config = format!("var/lib/docker/containers/{A}/config.v2.json");
    let path = format!("/docker/{A}");
    let mut names = Names::new(root.path());
    let start = Instant::now();
    let mut after = |seconds| {
        let name = names.of(CgroupId(1), &path, start + Duration::from_secs(seconds));
        name.map(|name| name.to_string())
    };
    assert_eq!(after(0), None);
    write(root.path(), &config, br#"{"Name":"/early"}"#);
    assert_eq!(after(2), None);
    assert_eq!(after(4).as_deref(), Some("early"));
    write(root.path(), &config, br#"{"Name":"/renamed"}"#);
    assert_eq!(after(60).as_deref(), Some("early"));
    assert_eq!(after(65).as_deref(), Some("renamed"));
    // Half-written at this moment: the name stays.
    write(root.path(), &config, br#"{"Na"#);
    assert_eq!(after(130).as_deref(), Some("renamed"));
    // Another cgroup of the path is another thing.
    assert_eq!(names.of(CgroupId(2), &path, start), None);
}

#[test]
fn a_list_is_read_again_when_it_has_changed() {
    let root = tempfile::tempdir().unwrap();
    let list = "var/lib/containers/storage/overlay-containers/containers.json";
    let mut names = Names::new(root.path());
    let start = Instant::now();
    let podman = |id| format!("/machine.slice/libpod-{id}.scope");
    write(
        root.path(),
        list,
        format!(r#"[{{"id":"{A}","names":["one"]}}]"#).as_bytes(),
    );
    assert_eq!(
        names.of(CgroupId(1), &podman(A), start).as_deref(),
        Some("one")
    );
    let two = format!(r#"[{{"id":"{A}","names":["one"]}},{{"id":"{B}","names":["two"]}}]"#);
    write(root.path(), list, two.as_bytes());
    let later = start + Duration::from_secs(2);
    assert_eq!(
        names.of(CgroupId(2), &podman(B), later).as_deref(),
        Some("two")
    );
}

/// Parts as cgroups may be called: fragments of known names, and anything.
fn any_part() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "docker-",
        "libpod-",
        "conmon-",
        "crio-",
        "cri-containerd-",
        "kubepods",
        "-pod",
        "pod",
        ":",
        A,
        ".scope",
        ".slice",
        ".service",
        ".mount",
        "lxc.payload.",
        "lxc.monitor",
        "machine-",
        "systemd-nspawn@",
        "snap.",
        "app-",
        "flatpak-",
        "ringfence.slice",
        "user-",
        "user@",
        "session-",
        "1000",
        r"\x1b",
        r"\x2d",
        r"\xff",
        r"\x",
        "-",
        "_",
        "é",
        "日本",
        "\u{1b}[2J",
        "\u{202e}",
        "libpod_pod_",
        "libpod_parent",
        "docker",
        ".libvirt-qemu",
    ]);
    let piece = prop_oneof![4 => known.prop_map(str::to_owned), 1 => "\\PC{0,3}", 1 => ".{0,3}"];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_has_a_harmless_label(parts in prop::collection::vec(any_part(), 0..6)) {
        let path = format!("/{}", parts.join("/"));
        let identity = identify(&path);
        prop_assert!(!identity.label.is_empty());
        prop_assert!(!identity.what().is_empty());
        for text in [&*identity.label, identity.id.as_deref().unwrap_or_default()] {
            let shown = text::sanitise(text);
            prop_assert!(shown.chars().all(|char| !char.is_control()));
        }
        Names::new(host()).of(CgroupId(1), &path, Instant::now());
    }
}

/// Whoever is watched writes these lists, and chooses the names of their own cgroups.
#[test]
fn a_users_list_is_bounded_and_read_for_that_user_alone() {
    let root = tempfile::tempdir().unwrap();
    let lists = root
        .path()
        .join("home/alice/.local/share/containers/storage/overlay-containers");
    fs::create_dir_all(&lists).unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let users = "alice:x:1000:1000::/home/alice:/bin/sh\n";
    fs::write(root.path().join("etc/passwd"), users).unwrap();
    let entries: Vec<String> = (0..10_000)
        .map(|n| format!(r#"{{"id":"{n:064x}","names":["name-{n}"]}}"#))
        .collect();
    let text = format!("[{}]", entries.join(","));
    fs::write(lists.join("containers.json"), text).unwrap();
    let of = |above: &str, n: u32| called(root.path(), &format!("{above}/libpod-{n:064x}.scope"));
    assert_eq!(of(ALICE, 0).unwrap(), "name-0");
    assert_eq!(of(&ALICE[1..], 1_999).unwrap(), "name-1999");
    assert_eq!(of(ALICE, 9_999), None);
    for other in [
        "/user.slice/user-1001.slice/user-1000.slice",
        "/user-1000.slice/user@1000.service",
        "/system.slice/user@1000.service/user.slice",
    ] {
        assert_eq!(of(other, 0), None, "{other}");
    }
}
