//! Why something died before ringfence was started, as root in the Debian guest: `cargo xtask test vm_why`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::events::flood_kernel_log;
use support::systemd::call;
use support::{Done, as_user, binary, wait_until};

const ROOTFS: &str = "/var/tmp/rootfs";

fn why(arguments: &[&str]) -> Done {
    let mut why = Command::new(binary());
    Done::from(why.arg("why").args(arguments).output().unwrap())
}

/// The answers as JSON, the latest first.
#[track_caller]
fn answers(name: &str) -> Vec<Value> {
    let text = why(&[name, "--json"]).ok();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["not_read"].is_null())
        .collect()
}

/// Where an answer is known from.
fn sources(answer: &Value) -> Vec<&str> {
    let evidence = answer["evidence"].as_array().unwrap().iter();
    evidence.map(|of| of["source"].as_str().unwrap()).collect()
}

#[test]
fn a_container_of_podman() {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(Path::new(ROOTFS).join(dir)).unwrap();
    }
    let busybox = Path::new(ROOTFS).join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).unwrap();
    fs::set_permissions(busybox, fs::Permissions::from_mode(0o755)).unwrap();
    let run = [
        "podman",
        "run",
        "-d",
        "--network=none",
        "--memory=32m",
        "--name",
        "glutton",
    ];
    let command = ["--rootfs", ROOTFS, "/bin/busybox", "tail", "/dev/zero"];
    let id = call(&[&run[..], &command].concat());
    call(&["podman", "wait", "glutton"]);
    let all = answers("glutton");
    assert_eq!(all.len(), 1, "{all:#?}");
    let answer = &all[0];
    assert_eq!(
        (&answer["cause"], &answer["by"]),
        (&"oom_kill".into(), &"kernel".into())
    );
    assert_eq!(answer["certainty"], "certain");
    assert_eq!(
        answer["kill"]["victims"][0]["comm"], "busybox",
        "{answer:#}"
    );
    assert_eq!(answer["kill"]["limit"]["max"], 32 << 20);
    let known = sources(answer);
    for source in ["kernel_log", "podman"] {
        assert!(known.contains(&source), "{answer:#}");
    }
    // By its id as well, and when all is asked for.
    assert_eq!(answers(&id[..12]).len(), 1);
    let page = std::env::temp_dir().join("why.html");
    let text = why(&["--html", page.to_str().unwrap()]).ok();
    assert!(text.contains("OOM kill  glutton  pid "), "{text}");
    let page = fs::read_to_string(page).unwrap();
    for part in [
        "podman's state",
        "limit memory.max 32M of glutton",
        "Who could have been killed",
        "/machine.slice</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    call(&["podman", "rm", "--force", "--time=0", "glutton"]);
}

#[test]
fn a_service_also_when_the_kernel_log_has_forgotten_it() {
    let unit = [
        "systemd-run",
        "--quiet",
        "--unit=hog.service",
        "--property=MemoryMax=32M",
    ];
    call(
        &[
            &unit[..],
            &["--property=MemorySwapMax=0", "tail", "/dev/zero"],
        ]
        .concat(),
    );
    let result = || {
        call(&[
            "systemctl",
            "show",
            "--property=Result",
            "--value",
            "hog.service",
        ])
    };
    wait_until("its end", || result() == "oom-kill");
    let fresh = answers("hog");
    assert_eq!(fresh.len(), 1, "{fresh:#?}");
    let known = sources(&fresh[0]);
    for source in ["kernel_log", "systemd", "journal"] {
        assert!(known.contains(&source), "{:#}", fresh[0]);
    }
    call(&["journalctl", "--sync"]);
    flood_kernel_log();
    // A unit that was looked at is forgotten.
    call(&["systemctl", "reset-failed", "hog.service"]);
    let later = answers("hog.service");
    assert_eq!(later.len(), 1, "{later:#?}");
    let known = sources(&later[0]);
    assert!(!known.contains(&"kernel_log"), "{:#}", later[0]);
    assert!(known.contains(&"kernel_log_in_journal"), "{:#}", later[0]);
    assert_eq!(later[0]["kill"]["victims"][0]["comm"], "tail");
}

#[test]
fn what_may_not_be_read_is_said_and_nothing_is_said_so() {
    let nothing = why(&["nobody-of-that-name"]);
    nothing.fails(1, &["nothing is known of a death of nobody-of-that-name"]);
    let mut user = Command::new(binary());
    user.args(["why", "nobody-of-that-name"]);
    let done = as_user(user);
    done.fails(1, &["not read: kernel log: "]);
}
