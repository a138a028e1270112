//! Images that run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tar::EntryType;

use crate::build::{Layer, Layout, Packed, STORE, base, docker_archive, empty_store, stored};
use crate::support::{Done, Host, binary, read, wait_until};

/// `ringfence run FLAGS --image IMAGE [-- COMMAND]`
fn run(image: &str, flags: &[&str], command: &[&str]) -> Done {
    let mut run = Command::new(binary());
    run.arg("run").args(flags).args(["--image", image]);
    if !command.is_empty() {
        run.arg("--").args(command);
    }
    Done::from(run.stdin(std::process::Stdio::null()).output().unwrap())
}

/// What the program said, whether or not layers had to be unpacked.
#[track_caller]
fn said(done: &Done) -> String {
    let told: Vec<&str> = done.stderr.lines().collect();
    let only_unpacks = told
        .iter()
        .all(|line| line.starts_with("ringfence: unpacking "));
    assert!(done.code == 0 && only_unpacks, "{done:?}");
    done.stdout.trim_end().to_owned()
}

/// An image of the base and one more layer.
fn two_layers(layout: &mut Layout, config: &Value, more: Layer) {
    let layers = [
        layout.layer(&base().tar(), Packed::Gzip),
        layout.layer(&more.tar(), Packed::Zstd),
    ];
    layout.image("latest", config, &layers);
}

#[test]
fn layers_hide_replace_and_add_and_are_unpacked_once() {
    let host = Host::new();
    empty_store();
    let mut layout = Layout::new();
    let lower = Layer::new()
        .dir("d")
        .file("d/gone", "")
        .file("d/kept", "")
        .dir("opaque")
        .file("opaque/gone", "")
        .dir("opaque/deep")
        .file("opaque/deep/gone", "")
        .dir("again")
        .file("again/gone", "")
        .file("changed", "old")
        .dir("becomes-file")
        .file("becomes-file/x", "");
    let middle = Layer::new()
        .file("d/.wh.gone", "")
        .dir("opaque")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "")
        // A directory that was removed and made again, told in either order.
        .file(".wh.again", "")
        .dir("again")
        .file("again/new", "")
        .file(".wh.becomes-file", "")
        .file("becomes-file", "file");
    let top = Layer::new().file("changed", "new").file("opaque/newer", "");
    let layers = [
        layout.layer(&base().tar(), Packed::Gzip),
        layout.layer(&lower.tar(), Packed::Plain),
        layout.layer(&middle.tar(), Packed::Zstd),
        layout.layer(&top.tar(), Packed::Gzip),
    ];
    layout.image("latest", &json!({}), &layers);
    let script = "ls d opaque again; cat changed becomes-file; echo; echo x >opaque/gone; mkdir opaque/deep 2>/dev/null; \
                  ls opaque; ls opaque/deep";
    let done = run(layout.path(), &[], &["sh", "-c", script]);
    let told = "unpacking 4 layers, ";
    assert!(done.stderr.contains(told), "{done:?}");
    assert_eq!(
        done.stdout,
        "again:\nnew\n\nd:\nkept\n\nopaque:\nnew\nnewer\nnewfile\ndeep\ngone\nnew\nnewer\n",
        "{done:?}"
    );
    assert_eq!(stored(), 4);
    // The second time there is nothing to say, and what was written is gone.
    assert_eq!(
        run(layout.path(), &[], &["ls", "/opaque"]).ok(),
        "new\nnewer"
    );
    // Another image shares what it can.
    let mut other = Layout::new();
    let layers = [
        other.layer(&base().tar(), Packed::Zstd),
        other.layer(&Layer::new().file("other", "").tar(), Packed::Plain),
    ];
    other.image("latest", &json!({}), &layers);
    let done = run(other.path(), &[], &["ls", "/other"]);
    done.fails(0, &["unpacking 1 layer, "]);
    assert_eq!(stored(), 5);
    // Of root alone, as there may be programs with set-user-ID in it.
    assert_eq!(fs::metadata(STORE).unwrap().mode() & 0o777, 0o700);
    host.assert_clean("four layers");
}

#[test]
fn files_keep_what_their_layer_says() {
    let _host = Host::new();
    let mut layout = Layout::new();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = "long/".to_owned() + &"x".repeat(200);
    let more = Layer::new()
        .add("setuid", EntryType::Regular, 0o4755, "", b"x")
        .add("sticky", EntryType::Directory, 0o1777, "", b"")
        .add("one", EntryType::Regular, 0o640, "", b"linked")
        .add("two", EntryType::Link, 0o640, "./one", b"")
        .add("fifo", EntryType::Fifo, 0o600, "", b"")
        .symlink("dangling", "/no/such")
        .symlink("up", "../../../../etc/passwd")
        .known(&[
            ("uid", b"54321"),
            ("gid", b"33"),
            ("mtime", b"1234567890.5"),
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ])
        .file("owned", "")
        .dir("long")
        .known(&[("path", long.as_bytes())])
        .file("short", "far");
    two_layers(&mut layout, &json!({}), more);
    let script = "stat -c '%n %a %u:%g %h %Y' setuid sticky one owned fifo; cat two; echo; cat up | head -n 1; cat long/*";
    let script = script.replace("| head -n 1", "| grep root");
    assert_eq!(
        said(&run(layout.path(), &[], &["sh", "-c", &script])),
        "setuid 4755 0:0 1 1000000000\nsticky 1777 0:0 2 1000000000\none 640 0:0 2 1000000000\n\
         owned 644 54321:33 1 1234567890\nfifo 600 0:0 1 1000000000\nlinked\nroot:x:0:0:root:/root:/bin/sh\nfar"
    );
    let layers = fs::read_dir(format!("{STORE}/layers/sha256")).unwrap();
    let owned = layers
        .map(|layer| layer.unwrap().path().join("owned"))
        .find(|path| path.exists())
        .unwrap();
    let mut value = [0; 64];
    for (name, expected) in [
        ("security.capability", Some(&capability[..])),
        ("user.note", Some(b"a\nb")),
        ("trusted.overlay.opaque", None),
    ] {
        let found = rustix::fs::getxattr(&owned, name, &mut value);
        assert_eq!(
            found.ok().map(|length| &value[..length]),
            expected,
            "{name}"
        );
    }
}

#[test]
fn the_image_says_what_the_user_does_not() {
    let _host = Host::new();
    let mut layout = Layout::new();
    let config = json!({
        "Entrypoint": ["sh", "-c", "echo $A $B $HOME $(pwd) $(id -u):$(id -G) $0 \"$@\""],
        "Cmd": ["zero", "one two"],
        "Env": ["PATH=/odd:/bin", "A=image", "B=image", "NO_VALUE", "=bad"],
        "WorkingDir": "/srv/made",
        "User": "web",
        "Volumes": {"/data": {}},
        "ExposedPorts": null,
        "Labels": {"a": "b"},
        "OnBuild": null,
    });
    two_layers(&mut layout, &config, Layer::new().file("x", ""));
    let image = layout.path();
    assert_eq!(
        said(&run(image, &[], &[])),
        "image image /var/www /srv/made 33:34 4 zero one two"
    );
    assert_eq!(
        run(
            image,
            &["-e", "A=user", "-w", "/tmp", "-u", "root"],
            &["mine"]
        )
        .ok(),
        "user image /root /tmp 0:0 mine"
    );
    assert_eq!(
        run(image, &["-e", "HOME=/h", "-u", "web:adm"], &[]).ok(),
        "image image /h /srv/made 33:4 zero one two"
    );
    assert_eq!(
        run(image, &["--entrypoint", "echo"], &["a", "b"]).ok(),
        "a b"
    );
    assert_eq!(run(image, &["--entrypoint", "pwd"], &[]).ok(), "/srv/made");
    assert_eq!(
        run(image, &["--entrypoint", ""], &["echo", "plain"]).ok(),
        "plain"
    );
    let path = run(image, &["--entrypoint", "env"], &[]).ok();
    assert!(
        path.contains("PATH=/odd:/bin") && !path.contains("NO_VALUE"),
        "{path}"
    );
    run(image, &["--entrypoint", ""], &[]).fails(125, &["names no command to run"]);
    run(image, &["-u", "nobody"], &[]).fails(125, &["no user nobody", "/etc/passwd"]);
    run(image, &["--entrypoint", "none"], &[]).fails(127, &["none: not found in PATH"]);
}

#[test]
fn who_is_not_root_has_no_capabilities_and_owns_its_streams() {
    let host = Host::new();
    let script = "id -u; id -G; grep -E 'Cap(Eff|Prm|Bnd)' /proc/self/status; echo x >/dev/stdout; \
                  echo $HOME; touch /root/x 2>/dev/null || echo held";
    let expected = "1000\n1000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nx\n\
                    /home/user\nheld";
    assert_eq!(host.sh(&["--user", "user"], script).ok(), expected);
    assert_eq!(
        host.sh(&["--user", "user", "--init"], script).ok(),
        expected
    );
    // Also where everything is dropped, with the right to change the user.
    let flags = ["-u", "1000:5", "--cap-drop", "ALL"];
    let script = "id -u; id -G; grep CapBnd /proc/self/status";
    assert_eq!(
        host.sh(&flags, script).ok(),
        "1000\n5\nCapBnd:\t0000000000000000"
    );
    let done = host.sh(
        &["-t", "-u", "1000"],
        "echo terminal >$(tty); stat -c %u $(tty)",
    );
    assert_eq!(done.ok(), "terminal\r\n1000");
    host.run(&["-u", "none"], &["true"])
        .fails(125, &["no user none"]);
    host.run(&["-u", "-1"], &["true"]).fails(2, &["is no user"]);
}

#[test]
fn nobody_survives_the_launcher_of_a_user() {
    let host = Host::new();
    for flags in [&["-u", "1000"][..], &["-u", "1000", "--init"]] {
        let workload = host.start("orphan", flags, "echo ready; exec sleep 100");
        let pids = workload.pids();
        nix::sys::signal::kill(workload.launcher(), Signal::SIGKILL).unwrap();
        workload.finish();
        for pid in pids {
            wait_until("its end", || !fs::exists(format!("/proc/{pid}")).unwrap());
        }
        host.run(&[], &["true"])
            .fails(0, &["orphan: its supervisor was killed"]);
    }
}

#[test]
fn archives_are_read_in_place() {
    let host = Host::new();
    empty_store();
    let mut layout = Layout::new();
    two_layers(
        &mut layout,
        &json!({"Cmd": ["cat", "/who"]}),
        Layer::new().file("who", "oci\n"),
    );
    let archive = layout.archive();
    let archive = archive.to_str().unwrap();
    assert_eq!(said(&run(archive, &[], &[])), "oci");
    for name in ["", ":latest"] {
        assert_eq!(
            run(&format!("oci-archive:{archive}{name}"), &[], &[]).ok(),
            "oci"
        );
        assert_eq!(
            run(&format!("oci:{}{name}", layout.path()), &[], &[]).ok(),
            "oci"
        );
    }
    fs::remove_file(archive).unwrap();

    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let saved = dir.path().join("saved:1.tar");
    let layers = [base().tar(), Layer::new().file("who", "docker\n").tar()];
    let config = json!({"Cmd": ["cat", "/who"]});
    docker_archive(&saved, &["box:latest", "shop/box:1"], &config, &layers);
    let saved = saved.to_str().unwrap();
    // The lower layer is that of the other image.
    run(saved, &[], &[]).fails(0, &["unpacking 1 layer, "]);
    for name in ["", ":box:latest", ":shop/box:1", ":1"] {
        assert_eq!(
            run(&format!("docker-archive:{saved}{name}"), &[], &[]).ok(),
            "docker"
        );
    }
    run(&format!("{saved}:2"), &[], &[]).fails(125, &["no one image called 2, but box:latest"]);
    host.assert_clean("archives");
}

#[test]
fn one_of_several_images_is_chosen() {
    let _host = Host::new();
    let mut layout = Layout::new();
    let lower = layout.layer(&base().tar(), Packed::Gzip);
    for tag in ["1.0", "2.0"] {
        let upper = layout.layer(&Layer::new().file("who", tag).tar(), Packed::Gzip);
        layout.image(
            tag,
            &json!({"Cmd": ["cat", "/who"]}),
            &[lower.clone(), upper],
        );
    }
    let image = layout.path().to_owned();
    assert_eq!(said(&run(&format!("{image}:1.0"), &[], &[])), "1.0");
    assert_eq!(said(&run(&format!("{image}:2.0"), &[], &[])), "2.0");
    run(&image, &[], &[]).fails(125, &["several images", "PATH:TAG: 1.0, 2.0"]);
    run(&format!("{image}:3"), &[], &[]).fails(125, &["no one image called 3, but 1.0, 2.0"]);

    // An index in the index, for several machines.
    let mut layout = Layout::new();
    let lower = layout.layer(&base().tar(), Packed::Gzip);
    let mut manifests = Vec::new();
    for machine in ["arm64", "amd64"] {
        let upper = layout.layer(&Layer::new().file("who", machine).tar(), Packed::Gzip);
        let mut manifest =
            layout.manifest(&json!({"Cmd": ["cat", "/who"]}), &[lower.clone(), upper]);
        manifest["platform"] = json!({"architecture": machine, "os": "linux"});
        manifests.push(manifest);
    }
    let index =
        |manifests: &[Value]| json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    let both = layout.put("index.v1+json", index(&manifests).as_bytes());
    let foreign = layout.put("index.v1+json", index(&manifests[..1]).as_bytes());
    layout.add("both", both);
    layout.add("foreign", foreign);
    let image = layout.path();
    assert_eq!(said(&run(&format!("{image}:both"), &[], &[])), "amd64");
    run(&format!("{image}:foreign"), &[], &[]).fails(
        125,
        &["no image for linux on amd64, but for linux on arm64"],
    );
}

#[test]
fn many_layers_and_the_same_one_again() {
    let _host = Host::new();
    empty_store();
    let mut layout = Layout::new();
    let mut layers = vec![layout.layer(&base().tar(), Packed::Gzip)];
    for number in 0..84 {
        let layer = Layer::new()
            .file("last", &number.to_string())
            .file(&format!("n/{number}"), "");
        layers.push(layout.layer(&layer.tar(), Packed::Plain));
    }
    // Once more on top of all.
    layers.push(layers[7].clone());
    layout.image("latest", &json!({}), &layers);
    let script = "cat last; ls n | grep -c .";
    assert_eq!(said(&run(layout.path(), &[], &["sh", "-c", script])), "684");
    assert_eq!(stored(), 85);
}

#[test]
fn a_stop_signal_takes_the_place_of_term() {
    let _host = Host::new();
    let mut layout = Layout::new();
    let script = "trap 'echo quit; exit 3' QUIT; trap 'echo term' TERM; echo ready; while :; do sleep 0.1; done";
    let config = json!({"Cmd": ["sh", "-c", script], "StopSignal": "SIGQUIT"});
    two_layers(&mut layout, &config, Layer::new().file("x", ""));
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(binary())
        .args(["run", "--image", layout.path()])
        .stdout(out.reopen().unwrap())
        .spawn()
        .unwrap();
    wait_until("its first word", || read(out.path()) == "ready");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(read(out.path()), "ready\nquit");
}

#[test]
fn files_of_up_have_images_too() {
    let host = Host::new();
    let mut layout = Layout::new();
    two_layers(
        &mut layout,
        &json!({"Cmd": ["cat", "/who"]}),
        Layer::new().file("who", "up\n"),
    );
    let spec = json!({"image": layout.path(), "user": "web"}).to_string();
    let mut supervisor = host.supervise(&spec);
    let mut reports = String::new();
    while !reports.contains("exited") {
        reports += &supervisor.next_report();
    }
    assert!(
        reports.contains(r#""report":"exited","code":0"#),
        "{reports}"
    );
    supervisor.stop();
    let spec = json!({"image": layout.path(), "rootfs": ["/"]}).to_string();
    let report = host.supervise(&spec).next_report();
    let told = r#"{"report":"failed","code":125,"text":"an image and a rootfs are each"#;
    assert!(report.starts_with(told), "{report}");
}

#[test]
fn a_kept_layer_is_over_the_image() {
    let _host = Host::new();
    let mut layout = Layout::new();
    two_layers(&mut layout, &json!({}), Layer::new().file("who", "image\n"));
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let flags = ["--layer-dir", dir.path().to_str().unwrap()];
    let script = "echo mine >/who; echo 'new:x:7:7::/:' >>/etc/passwd";
    said(&run(layout.path(), &flags, &["sh", "-c", script]));
    let flags = [&flags[..], &["-u", "new"]].concat();
    let script = "cat /who; id -u";
    assert_eq!(
        run(layout.path(), &flags, &["sh", "-c", script]).ok(),
        "mine\n7"
    );
    assert_eq!(run(layout.path(), &[], &["cat", "/who"]).ok(), "image");
}
