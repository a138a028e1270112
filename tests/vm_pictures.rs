//! The pictures of the README, as the dashboard saves them by key on a real terminal while the demo runs.
//! `cargo xtask pictures` keeps what this prints.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::dashboard::Dashboard;
use support::{Host, wait_until};

/// Saves the screen, and gives the picture.
fn save(dashboard: &mut Dashboard, folder: &Path, key: &str, name: &str) -> String {
    let before = pictures(folder);
    dashboard.keys(key);
    dashboard.wait(name, |_| pictures(folder).len() > before.len());
    let path = pictures(folder)
        .into_iter()
        .find(|path| !before.contains(path))
        .expect("a picture");
    // It is written in one go, and its end tells that it is whole.
    dashboard.wait("the whole picture", |_| {
        fs::read_to_string(&path).is_ok_and(|text| text.trim_end().ends_with("</svg>"))
    });
    let picture = fs::read_to_string(&path).expect("a picture");
    println!("PICTURE {name}\n{picture}\nEND OF PICTURE");
    picture
}

fn pictures(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "svg"))
        .collect()
}

/// Waits until the leaker has most of what it may have.
fn grown() {
    let current = "/sys/fs/cgroup/ringfence.slice/leaker/memory.current";
    wait_until("the leaker", || {
        let text = fs::read_to_string(current).unwrap_or_default();
        text.trim()
            .parse()
            .is_ok_and(|current: u64| current > 44 << 20)
    });
}

#[test]
fn each_view_is_saved_by_key() {
    let _host = Host::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut dashboard = Dashboard::start_in(folder.path(), &["demo", "--theme", "dark"]);
    dashboard.resize(30, 120);
    // For pictures that are kept, so many that the charts tell something.
    let kills = std::env::var("RINGFENCE_KILLS").map_or(1, |kills| kills.parse().expect("kills"));
    let events = "/sys/fs/cgroup/ringfence.slice/leaker/memory.events";
    let deadline = Instant::now() + Duration::from_secs(30 + 30 * kills);
    loop {
        let text = fs::read_to_string(events).unwrap_or_default();
        let kill = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        // A group kill counts its first victim twice.
        if kill.is_some_and(|count| count.parse().is_ok_and(|count: u64| count >= 2 * kills)) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        sleep(Duration::from_millis(100));
    }
    grown();
    dashboard.select("leaker");
    dashboard.keys("\x1b");
    dashboard.wait("no filter", |contents| contents.contains("● spinner"));
    let folder = folder.path();
    let tree = save(&mut dashboard, folder, "S", "demo");
    assert!(tree.contains("leaker") && tree.contains("spinner"));
    for (key, name, holds) in [
        ("2", "detail", "PRESSURE"),
        ("3", "processes", "HOST PID"),
        ("4", "incidents", "OOM kills · "),
    ] {
        dashboard.keys(key);
        dashboard.wait_for(holds);
        let picture = save(&mut dashboard, folder, "S", name);
        assert!(picture.contains("leaker"), "{name}");
    }
    dashboard.keys("1");
    dashboard.wait_for("● spinner");
    dashboard.keys("e");
    dashboard.wait_for("io.max vda wbps");
    grown();
    dashboard.keys("32m");
    dashboard.wait("the warning", |contents| {
        contents.contains("writes `33554432`") && contents.contains("below usage")
    });
    // Typed text is typed text, so here it is another key.
    let editor = save(&mut dashboard, folder, "\x13", "editor");
    assert!(editor.contains("limits of leaker"));
    dashboard.keys("\x03");
    assert!(dashboard.end().success());
}
