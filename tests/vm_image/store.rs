//! The store: nothing half-made stays, whoever dies in the middle, and two launchers do not meet.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tar::EntryType;

use crate::build::{Layer, Layout, Packed, STORE, base, empty_store, stored, temporaries};
use crate::support::{Done, Host, binary, wait_until};

/// An image that takes a while to unpack: many small files.
fn large() -> Layout {
    let mut layout = Layout::new();
    let mut layer = Layer::new();
    for dir in 0..40 {
        for file in 0..100 {
            let path = format!("many/{dir}/{file}");
            layer = layer.add(&path, EntryType::Regular, 0o644, "", &[b'x'; 4096]);
        }
    }
    let layers = [
        layout.layer(&base().tar(), Packed::Gzip),
        layout.layer(&layer.tar(), Packed::Gzip),
    ];
    layout.image("latest", &json!({"Cmd": ["ls", "/many/39/99"]}), &layers);
    layout
}

fn start(image: &str) -> Child {
    Command::new(binary())
        .args(["run", "--image", image])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until some files of it are there, and it is not done yet.
fn in_the_middle(child: &mut Child) {
    wait_until("some files", || {
        temporaries().iter().any(|dir| dir.join("many/3").exists())
    });
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(stored(), 0);
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn a_launcher_that_is_killed_leaves_what_the_next_one_sweeps() {
    let host = Host::new();
    empty_store();
    let layout = large();
    let mut child = start(layout.path());
    in_the_middle(&mut child);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    assert_eq!((temporaries().is_empty(), stored()), (false, 0));
    // Whatever it runs.
    host.run(&[], &["true"])
        .fails(0, &["its supervisor was killed"]);
    assert!(temporaries().is_empty());
    // And again in the middle, where the next one wants the same.
    let mut child = start(layout.path());
    in_the_middle(&mut child);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let done = Done::from(start(layout.path()).wait_with_output().unwrap());
    done.fails(0, &["unpacking 2 layers"]);
    assert_eq!((&*done.stdout, stored()), ("/many/39/99\n", 2));
    assert!(temporaries().is_empty());
}

#[test]
fn one_that_is_interrupted_cleans_up_itself() {
    let host = Host::new();
    empty_store();
    let layout = large();
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut child = start(layout.path());
        in_the_middle(&mut child);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!((temporaries().len(), stored()), (0, 0));
        host.assert_clean("an interrupt");
    }
}

#[test]
fn two_launchers_unpack_once() {
    let _host = Host::new();
    empty_store();
    let layout = large();
    let mut first = start(layout.path());
    in_the_middle(&mut first);
    let others = [(); 2].map(|()| start(layout.path()));
    assert_eq!(first.wait_with_output().unwrap().stdout, b"/many/39/99\n");
    for other in others {
        let done = Done::from(other.wait_with_output().unwrap());
        assert_eq!((done.code, &*done.stdout), (0, "/many/39/99\n"), "{done:?}");
        assert!(!done.stderr.contains("unpacking 2"), "{done:?}");
    }
    assert_eq!((temporaries().len(), stored()), (0, 2));
}

#[test]
fn who_waits_says_so_and_can_be_interrupted() {
    let _host = Host::new();
    empty_store();
    let layout = large();
    let tmp = Path::new(STORE).join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    let busy = File::open(&tmp).unwrap();
    busy.lock().unwrap();
    let waiting = || {
        let mut child = start(layout.path());
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let told = format!(
            "waiting for pid {} (vm_image), which unpacks",
            std::process::id()
        );
        assert!(line.contains(&told), "{line}");
        (child, stderr)
    };
    let (mut hasty, _stderr) = waiting();
    send(&hasty, Signal::SIGTERM);
    assert_eq!(hasty.wait().unwrap().code(), Some(143));
    let (patient, _stderr) = waiting();
    drop(busy);
    assert_eq!(patient.wait_with_output().unwrap().stdout, b"/many/39/99\n");
    assert_eq!((temporaries().len(), stored()), (0, 2));
}
