//! Images that are not what they should be: one clear sentence, nothing outside touched, nothing left.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tar::{EntryType, Header};

use crate::build::{
    Layer, Layout, Packed, base, digest, docker_archive, empty_store, pack, stored, temporaries,
};
use crate::support::{Done, Host};

/// Runs an image that cannot be had, for one reason.
#[track_caller]
fn refuses(host: &Host, image: &str, why: &[&str]) {
    let done = host.run(&["--image", image], &["echo", "ran"]);
    done.fails(125, why);
    assert_eq!(done.stdout, "");
    // Nothing of it is in the store, and nothing was made outside of it.
    assert_eq!((stored(), temporaries()), (0, Vec::new()), "{why:?}");
}

/// An image of the base and such a layer.
fn with_layer(layer: Layer) -> Layout {
    let mut layout = Layout::new();
    let layers = [
        layout.layer(&base().tar(), Packed::Gzip),
        layout.layer(&layer.tar(), Packed::Gzip),
    ];
    layout.image("latest", &json!({}), &layers);
    layout
}

#[test]
fn members_that_would_lead_out() {
    let host = Host::new();
    empty_store();
    fs::write("/tmp/victim", "untouched").unwrap();
    let deep = "../".repeat(12) + "tmp/victim";
    for (layer, why) in [
        (Layer::new().file(&deep, "x"), "a path with `..`"),
        (Layer::new().file("a/../../x", "x"), "a path with `..`"),
        (Layer::new().file("/tmp/victim", "x"), "an absolute path"),
        (
            Layer::new().symlink("out", "/tmp").file("out/victim", "x"),
            "out/victim: goes through out, which is a symbolic link",
        ),
        (
            Layer::new()
                .symlink("out", "/tmp")
                .file("out/.wh.victim", ""),
            "goes through out, which is a symbolic link",
        ),
        (
            Layer::new().add("hard", EntryType::Link, 0o644, "/tmp/victim", b""),
            "links to an absolute path",
        ),
        (
            Layer::new().add("hard", EntryType::Link, 0o644, &deep, b""),
            "links to a path with `..`",
        ),
        (
            Layer::new().symlink("out", "/tmp").add(
                "hard",
                EntryType::Link,
                0o644,
                "out/victim",
                b"",
            ),
            "is a hard link to out/victim, which is not in this layer before it",
        ),
        (
            Layer::new().add("hard", EntryType::Link, 0o644, "bin/busybox", b""),
            "is a hard link to bin/busybox, which is not in this layer before it",
        ),
        (
            Layer::new().add("dev/vda", EntryType::Block, 0o666, "", b""),
            "dev/vda: is a device",
        ),
        (
            Layer::new().add("null", EntryType::Char, 0o666, "", b""),
            "null: is a device",
        ),
        (
            Layer::new().add("odd", EntryType::new(b'V'), 0o666, "", b""),
            "unknown kind `V`",
        ),
        (
            Layer::new()
                .known(&[("GNU.sparse.major", b"1")])
                .file("holes", ""),
            "sparse",
        ),
        (
            Layer::new().known(&[("path", b"../x")]).file("x", ""),
            "a path with `..`",
        ),
    ] {
        refuses(&host, with_layer(layer).path(), &[why]);
        assert_eq!(fs::read_to_string("/tmp/victim").unwrap(), "untouched");
    }
    // A link that leads out is no harm, as inside it leads nowhere else.
    let layout = with_layer(Layer::new().symlink("out", "../../../tmp/victim"));
    let done = host.run(&["--image", layout.path()], &["cat", "/out"]);
    done.fails(1, &["can't open '/out'"]);
    assert_eq!(stored(), 2);
    fs::remove_file("/tmp/victim").unwrap();
}

#[test]
fn blobs_that_are_not_what_they_claim() {
    let host = Host::new();
    empty_store();
    let tar = base().tar();
    let flip = |path: &std::path::Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    // The layer, as it is packed.
    let mut layout = Layout::new();
    let layer = layout.layer(&tar, Packed::Gzip);
    layout.image("latest", &json!({}), std::slice::from_ref(&layer));
    let blob = layout.blob(layer.0["digest"].as_str().unwrap());
    flip(&blob);
    refuses(
        &host,
        layout.path(),
        &[
            "its digest is sha256:",
            "damaged or not what it claims to be",
        ],
    );
    fs::write(&blob, b"short").unwrap();
    refuses(&host, layout.path(), &["has 5 bytes and not "]);
    fs::remove_file(&blob).unwrap();
    refuses(&host, layout.path(), &["is missing"]);
    // What is in it.
    let mut layout = Layout::new();
    let (descriptor, _) = layout.layer(&tar, Packed::Zstd);
    layout.image("latest", &json!({}), &[(descriptor, digest(b"other"))]);
    refuses(
        &host,
        layout.path(),
        &["its digest is sha256:", &digest(b"other")],
    );
    // No digest at all, and one that is a path.
    for bad in ["md5:00", "sha256:../../../../etc/passwd", ""] {
        let mut layout = Layout::new();
        let (descriptor, _) = layout.layer(&tar, Packed::Zstd);
        layout.image("latest", &json!({}), &[(descriptor, bad.to_owned())]);
        refuses(&host, layout.path(), &["digest"]);
    }
    // Configuration and manifest.
    let mut layout = Layout::new();
    let layer = layout.layer(&tar, Packed::Plain);
    let manifest = layout.image("latest", &json!({}), &[layer]);
    let manifest = layout.blob(manifest["digest"].as_str().unwrap());
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let config = layout.blob(text["config"]["digest"].as_str().unwrap());
    for blob in [config, manifest] {
        let good = fs::read(&blob).unwrap();
        flip(&blob);
        refuses(&host, layout.path(), &["its digest is"]);
        fs::write(&blob, &good).unwrap();
    }
    host.run(&["--image", layout.path()], &["true"])
        .fails(127, &["unpacking"]);
    empty_store();
    // What docker saved has no digest but that of the configuration, and those in it.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let saved = dir.path().join("saved.tar");
    docker_archive(
        &saved,
        &["a:1"],
        &json!({}),
        &[Layer::new().file("x", "original").tar()],
    );
    let mut bytes = fs::read(&saved).unwrap();
    let at = bytes
        .windows(8)
        .position(|bytes| bytes == b"original")
        .unwrap();
    bytes[at] = b'0';
    fs::write(&saved, bytes).unwrap();
    refuses(
        &host,
        saved.to_str().unwrap(),
        &["0/layer.tar: its digest is sha256:"],
    );
}

#[test]
fn what_is_no_image() {
    let host = Host::new();
    empty_store();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("text"), "not a tar archive").unwrap();
    fs::write(at("packed"), pack(b"tar", Packed::Gzip)).unwrap();
    for (image, why) in [
        (at("none"), "there is no such directory or file"),
        ("busybox:latest".to_owned(), "skopeo copy docker://"),
        (at("empty"), "has neither an index.json"),
        (at("text"), "cannot be read as a tar archive"),
        (at("packed"), "is compressed as a whole"),
        ("/dev/null".to_owned(), "neither a file nor a directory"),
    ] {
        refuses(&host, &image, &[why]);
    }
    let layout = with_layer(Layer::new());
    for (text, why) in [
        ("{}", "index.json cannot be understood: missing field"),
        ("", "cannot be understood: EOF"),
        (
            r#"{"schemaVersion":2,"manifests":[]}"#,
            "has no image in it",
        ),
    ] {
        fs::write(format!("{}/index.json", layout.path()), text).unwrap();
        refuses(&host, layout.path(), &[why]);
    }
    fs::write(format!("{}/index.json", layout.path()), " ".repeat(5 << 20)).unwrap();
    refuses(&host, layout.path(), &["index.json: has 5242880 bytes"]);
    host.run(&["--image", layout.path(), "--rootfs", "/"], &["true"])
        .fails(125, &["index.json"]);
    let layout = with_layer(Layer::new());
    host.run(&["--image", layout.path(), "--rootfs", "/"], &["true"])
        .fails(125, &["an image and a rootfs are each a root file system"]);
    host.run(&["--entrypoint", "x"], &["true"])
        .fails(125, &["entrypoint is about an image"]);
}

/// A layer whose one file has 10 GB of zeroes, in some 10 MB, made of pieces that are packed once.
fn bomb() -> Vec<u8> {
    const PIECE: usize = 16 << 20;
    const PIECES: usize = 640;
    let mut header = Header::new_gnu();
    header.set_path("zeroes").unwrap();
    header.set_mode(0o644);
    header.set_size((PIECE * PIECES) as u64);
    header.set_cksum();
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let piece = packed(&vec![0; PIECE]);
    let mut bomb = packed(header.as_bytes());
    for _ in 0..PIECES {
        bomb.extend(&piece);
    }
    bomb.extend(packed(&[0; 1024]));
    bomb
}

#[test]
fn a_bomb_of_10_gb_is_refused_before_it_is_large() {
    let host = Host::new();
    empty_store();
    let bomb = bomb();
    assert!((8 << 20..16 << 20).contains(&bomb.len()), "{}", bomb.len());
    let mut layout = Layout::new();
    let layer = layout.put("layer.v1.tar+gzip", &bomb);
    layout.image("latest", &json!({}), &[(layer, digest(b"unknown"))]);
    drop(bomb);
    let free = || {
        let found = nix::sys::statvfs::statvfs("/var/lib").unwrap();
        found.blocks_available() * found.fragment_size()
    };
    let before = free();
    let begun = Instant::now();
    let mut child = host
        .command(&["--image", layout.path()], &["true"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut least = before;
    while child.try_wait().unwrap().is_none() {
        least = least.min(free());
        sleep(Duration::from_millis(50));
    }
    let took = begun.elapsed();
    Done::from(child.wait_with_output().unwrap()).fails(
        125,
        &["become more than 8G or 200 times as much, which is refused"],
    );
    assert_eq!((stored(), temporaries()), (0, Vec::new()));
    // Nobody waits for it for long, and what it takes in the meantime stays small.
    let taken = before - least;
    println!("a bomb of 10 GB took {took:.1?} and at most {taken} bytes");
    assert!(taken < 512 << 20, "{taken}");
    assert!(took < Duration::from_mins(2), "{took:?}");
}

#[test]
fn a_layer_larger_than_the_disk_is_refused() {
    let host = Host::new();
    empty_store();
    fs::create_dir_all("/var/lib/ringfence").unwrap();
    let _small = crate::support::mount(&[
        "-t",
        "tmpfs",
        "-o",
        "size=8m",
        "tmpfs",
        "/var/lib/ringfence",
    ]);
    let mut layout = Layout::new();
    let tar = Layer::new().file("large", &"x".repeat(9 << 20)).tar();
    let layer = layout.layer(&tar, Packed::Gzip);
    layout.image("latest", &json!({}), &[layer]);
    refuses(
        &host,
        layout.path(),
        &["there is not enough room on the disk"],
    );
}
