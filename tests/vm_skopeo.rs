//! Images that Debian's own programs write, as root in the Debian guest: `cargo xtask test vm_skopeo`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::systemd::call;
use support::{Done, Host};

const NAME: &str = "localhost/box:1";

/// Has buildah make an image of two layers, of which the second one hides something of the first one.
fn build() {
    if std::process::Command::new("buildah")
        .args(["inspect", "--type=image", NAME])
        .output()
        .unwrap()
        .status
        .success()
    {
        return;
    }
    let container = call(&["buildah", "from", "scratch"]);
    let root = call(&["buildah", "mount", &container]);
    let root = Path::new(&root);
    for dir in ["bin", "etc", "d", "opaque"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    let busybox = root.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
    fs::hard_link(&busybox, root.join("bin/hard")).unwrap();
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nweb:x:33:\n").unwrap();
    for file in ["d/gone", "d/kept", "opaque/gone"] {
        fs::write(root.join(file), "").unwrap();
    }
    call(&["chown", "33:33", root.join("d/kept").to_str().unwrap()]);
    for option in [
        ["--entrypoint", r#"["sh", "-c"]"#],
        ["--cmd", "'id -un; pwd; echo $GREETING'"],
        ["--env", "GREETING=hello"],
        ["--user", "web"],
        ["--workingdir", "/d"],
    ] {
        call(&["buildah", "config", option[0], option[1], &container]);
    }
    call(&["buildah", "commit", &container, "localhost/base:1"]);
    call(&["buildah", "rm", &container]);

    let container = call(&["buildah", "from", "--pull-never", "localhost/base:1"]);
    let root = call(&["buildah", "mount", &container]);
    let root = Path::new(&root);
    fs::remove_file(root.join("d/gone")).unwrap();
    fs::remove_dir_all(root.join("opaque")).unwrap();
    fs::create_dir(root.join("opaque")).unwrap();
    fs::write(root.join("opaque/new"), "").unwrap();
    call(&["buildah", "commit", &container, NAME]);
    call(&["buildah", "rm", &container]);
}

/// Runs it as it wants to be run, and looks at its files.
#[track_caller]
fn runs(host: &Host, image: &str) {
    let command = |words: &[&str]| {
        let mut run = host.command(&["--image", image], words);
        Done::from(run.output().unwrap())
    };
    let said = |done: &Done| {
        let mut told = done.stderr.lines();
        let only_unpacks = told.all(|line| line.starts_with("ringfence: unpacking "));
        assert!(done.code == 0 && only_unpacks, "{image}: {done:?}");
        done.stdout.trim_end().to_owned()
    };
    assert_eq!(said(&command(&[])), "web\n/d\nhello", "{image}");
    let script = "ls /d /opaque; stat -c '%U %a' kept; stat -c %h /bin/hard /bin/busybox";
    assert_eq!(
        said(&command(&[script])),
        "/d:\nkept\n\n/opaque:\nnew\nweb 644\n2\n2",
        "{image}"
    );
}

// Images are written first: what those programs mount and leave is none of ringfence's, whose leftovers are looked for
// from then on.

#[test]
fn skopeo_writes_directories_and_archives() {
    build();
    let from = format!("containers-storage:{NAME}");
    let written = [
        "oci:/var/tmp/layout:one",
        "oci-archive:/var/tmp/layout.tar:one",
        "docker-archive:/var/tmp/docker.tar:box:1",
    ];
    for to in written {
        call(&["skopeo", "copy", "--quiet", &from, to]);
    }
    // A second one in the same directory, packed by zstd.
    let to = "oci:/var/tmp/layout:two";
    let zstd = ["--dest-compress-format=zstd", &from, to];
    call(&[&["skopeo", "copy", "--quiet"][..], &zstd].concat());
    let host = Host::new();
    for image in written {
        runs(&host, image);
    }
    for image in [
        "/var/tmp/layout:one",
        "/var/tmp/layout:two",
        "/var/tmp/docker.tar",
    ] {
        runs(&host, image);
    }
    host.run(&["--image", "/var/tmp/layout"], &["true"])
        .fails(125, &["several images", "one, two"]);
}

#[test]
fn podman_and_buildah_write_them_too() {
    build();
    let written = [
        ("oci-dir", "/var/tmp/podman"),
        ("oci-archive", "/var/tmp/podman.tar"),
        ("docker-archive", "/var/tmp/podman-docker.tar"),
    ];
    for (format, to) in written {
        call(&[
            "podman", "save", "--quiet", "--format", format, "--output", to, NAME,
        ]);
    }
    call(&["buildah", "push", "--quiet", NAME, "oci:/var/tmp/buildah:1"]);
    let host = Host::new();
    for (_, image) in written {
        runs(&host, image);
    }
    runs(&host, "/var/tmp/buildah:1");
}
