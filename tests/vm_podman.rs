//! Containers of a real podman, by name, as root in the Debian guest: `cargo xtask test vm_podman`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ringfence::kernel::cgroup::CgroupId;
use ringfence::names::{Names, Owner, Role, identify};

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use support::dashboard::Dashboard;
use support::systemd::{MOUNT, Unit, call, daemon_reload, set};
use support::{Done, binary, read, wait_until};

const ROOTFS: &str = "/var/tmp/rootfs";

/// Containers on busybox alone; removed with their pods at the end.
struct Podman;

impl Podman {
    fn new() -> Self {
        binary();
        for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(Path::new(ROOTFS).join(dir)).unwrap();
        }
        let busybox = Path::new(ROOTFS).join("bin/busybox");
        fs::copy("/bin/busybox", &busybox).unwrap();
        fs::set_permissions(busybox, fs::Permissions::from_mode(0o755)).unwrap();
        Self
    }

    /// `podman OPTIONS run …`; gives the container's id.
    fn run(&self, global: &[&str], flags: &[&str], name: &str) -> String {
        let run = ["run", "-d", "--network=none", "--name", name];
        let command = ["--rootfs", ROOTFS, "/bin/busybox", "sleep", "1000"];
        self.call(&[global, &run, flags, &command].concat())
    }

    #[expect(clippy::unused_self, reason = "what it makes is removed with it")]
    fn call(&self, words: &[&str]) -> String {
        call(&[&["podman"][..], words].concat())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for what in [&["pod", "rm"][..], &["rm"]] {
            let _ = Command::new("podman")
                .args(what)
                .args(["--all", "--force", "--time=0"])
                .output();
        }
    }
}

/// The file of a cgroup.
fn file(path: &str, file: &str) -> PathBuf {
    Path::new(MOUNT)
        .join(path.trim_start_matches('/'))
        .join(file)
}

/// Who owns a cgroup that is there, what it is, and what people call it.
#[track_caller]
fn told(path: &str) -> (Owner, Role, Option<String>) {
    assert!(file(path, "").is_dir(), "{path}");
    let identity = identify(path);
    let name = Names::new("/").of(CgroupId(1), path, Instant::now());
    (
        identity.owner,
        identity.role,
        name.map(|name| name.to_string()),
    )
}

fn container(name: &str) -> (Owner, Role, Option<String>) {
    (Owner::Podman, Role::Container, Some(name.to_owned()))
}

/// The screen of `ringfence top TARGET`, its first row selected, with all of these in one line each.
#[track_caller]
fn screen(target: &str, lines: &[&[&str]]) {
    let mut dashboard = Dashboard::start(&["top", target]);
    dashboard.wait_for(lines[0][0]);
    dashboard.keys("\x1b[H");
    dashboard.wait("the name", |contents| {
        lines.iter().all(|words| {
            contents
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
        })
    });
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

/// Case 32 of the field: crun's own cgroup has the limits.
#[test]
fn a_container_goes_by_its_name_and_its_limits_outlive_a_reload() {
    let podman = Podman::new();
    let id = podman.run(&[], &["--memory=64m"], "web");
    let scope = format!("/machine.slice/libpod-{id}.scope");
    assert_eq!(told(&scope), container("web"));
    let conmon = format!("/machine.slice/libpod-conmon-{id}.scope");
    let helper = Some("conmon of web".to_owned());
    assert_eq!(told(&conmon), (Owner::Podman, Role::Helper, helper));
    let payload = format!("{scope}/container");
    assert_eq!(told(&payload), container("web"));

    screen("web", &[&["web", &id[..12]], &["web · podman container"]]);
    screen(&scope, &[&["scope of web"], &["web", &id[..12], "64M"]]);
    for target in ["conmon of web", &id] {
        screen(target, &[&["live"]]);
    }

    let witness = Unit::service("witness.service");
    let done = set(&["web", "memory.max=32m", "pids.max=20", "cpu.max=50%"]);
    let short = &id[..12];
    done.fails(
        0,
        &[
            "podman was told: podman update --memory=33554432 --memory-swap=",
            short,
        ],
    );
    done.fails(0, &["podman was told: podman update --cpus=0.5 ", short]);
    // This version has no such flag.
    done.fails(
        0,
        &[
            "podman could not be told, and brings its own back",
            "--pids-limit=20",
        ],
    );
    // Nor does it keep what it was told.
    done.fails(
        0,
        &["memory.max: podman inspect does not agree all the same"],
    );
    let all = || ["memory.max", "pids.max", "cpu.max"].map(|name| read(file(&payload, name)));
    let limits = ["33554432", "20", "50000 100000"];
    assert_eq!(all(), limits);
    daemon_reload(&witness);
    assert_eq!(all(), limits);
    let running = podman.call(&["inspect", "--format={{.State.Running}}", "web"]);
    assert_eq!(running, "true");

    // What is asked for by the path of the scope is the scope's, which is said.
    let done = set(&[&scope, "pids.max=90"]);
    done.fails(
        0,
        &[
            "the container in it has its limits and processes in ",
            &payload,
        ],
    );
    assert_eq!(
        (read(file(&scope, "pids.max")), all()),
        ("90".into(), limits.map(str::to_owned))
    );

    podman.call(&["rm", "--force", "--time=0", "web"]);
    set(&["web", "pids.max=5"]).fails(125, &["there is no cgroup `web`"]);
}

#[test]
fn a_container_of_the_other_cgroup_manager_does_too() {
    let podman = Podman::new();
    let id = podman.run(&["--cgroup-manager=cgroupfs"], &["--memory=64m"], "plain");
    let path = format!("/libpod_parent/libpod-{id}");
    assert_eq!(told(&path), container("plain"));
    assert_eq!(read(file(&path, "memory.max")), "67108864");
    let helper = told("/libpod_parent/conmon");
    assert_eq!(helper, (Owner::Podman, Role::Helper, None));
    screen("plain", &[&["plain · podman container"]]);
    // No unit of systemd's, so that there is nobody to tell.
    let done = set(&["plain", "memory.max=32m"]);
    let told = format!("{path}\nmemory.max  64M → 32M");
    assert!(done.code == 0 && done.stdout.starts_with(&told), "{done:?}");
    assert_eq!(read(file(&path, "memory.max")), "33554432");
}

/// What a stand-in for podman does, which a shell script says.
fn stand_in(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("podman");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// `ringfence` with the programs of one folder alone.
fn with_path(path: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(binary());
    command.args(arguments).env("PATH", path);
    Done::from(command.output().unwrap())
}

#[test]
fn where_podman_and_the_kernel_disagree_is_shown() {
    let podman = Podman::new();
    let id = podman.run(
        &[],
        &["--memory=64m", "--cpus=0.5", "--pids-limit=40"],
        "web",
    );
    let payload = format!("/machine.slice/libpod-{id}.scope/container");
    let get = |arguments: &[&str]| {
        let mut get = Command::new(binary());
        Done::from(get.args(["get", "web"]).args(arguments).output().unwrap()).ok()
    };
    let knobs = ["memory.max", "memory.swap.max", "cpu.max", "pids.max"];
    let text = get(&knobs);
    assert!(
        text.starts_with(&format!("{payload}\n")) && !text.contains("takes it to be"),
        "{text}"
    );
    // Written past it.
    fs::write(file(&payload, "memory.max"), "50331648").unwrap();
    fs::write(file(&payload, "pids.max"), "50").unwrap();
    let text = get(&knobs);
    for (knob, takes) in [("memory.max  48M", "64M"), ("pids.max  50", "40")] {
        let mut lines = text.lines().skip_while(|line| !line.starts_with(knob));
        let next = lines.nth(1).unwrap_or_default();
        assert_eq!(
            next,
            format!(
                "    podman takes it to be {takes}, and brings that back when it starts the container again"
            ),
            "{text}"
        );
    }
    assert_eq!(text.matches("takes it to be").count(), 2, "{text}");
    let object: serde_json::Value = serde_json::from_str(&get(&["memory.max", "--json"])).unwrap();
    assert_eq!(
        (&object["value"], &object["believed"]["podman"]),
        (&"50331648".into(), &"67108864".into())
    );
    let mut dashboard = Dashboard::start(&["top", "web"]);
    dashboard.wait_for("web · podman container");
    dashboard.keys("e");
    dashboard.wait_for("≠ podman takes it to be 64M, and brings that back when it starts the");
    dashboard.keys("\x1b");
    dashboard.wait("the editor to close", |contents| {
        !contents.contains("limits of")
    });
    dashboard.keys("q");
    assert!(dashboard.end().success());
    podman.call(&["restart", "--time=0", "web"]);
    assert_eq!(read(file(&payload, "memory.max")), "67108864");
    assert_eq!(read(file(&payload, "pids.max")), "40");
}

#[test]
fn an_engine_that_is_late_wrong_or_not_there_changes_nothing_of_what_was_set() {
    let podman = Podman::new();
    let id = podman.run(&[], &["--memory=64m"], "web");
    let payload = format!("/machine.slice/libpod-{id}.scope/container");
    let max = file(&payload, "memory.max");
    let brings =
        "podman could not be told, and brings its own back when it starts the container again: ";
    for (script, size, words) in [
        ("exit 1", "63m", "it failed without a word"),
        ("echo too bad >&2; exit 125", "62m", "too bad"),
        ("exec /bin/sleep 60", "61m", "it did not answer within 10 s"),
    ] {
        let folder = stand_in(script);
        let done = with_path(
            folder.path(),
            &["set", "web", &format!("memory.max={size}")],
        );
        done.fails(0, &[&format!("{brings}{words}")]);
        let bytes: u64 = size.trim_end_matches('m').parse().unwrap();
        assert_eq!(read(&max), (bytes << 20).to_string());
    }
    let none = tempfile::tempdir().unwrap();
    with_path(none.path(), &["set", "web", "memory.max=60m"])
        .fails(0, &[&format!("{brings}its command is not here")]);
    with_path(none.path(), &["get", "web", "memory.max"]).fails(
        0,
        &["podman does not say what it takes the limits to be: its command is not here"],
    );
    // One that makes something else of it.
    let folder = stand_in(&format!("echo 1M >{}; echo nonsense", max.display()));
    let done = with_path(folder.path(), &["set", "web", "memory.max=59m"]);
    done.fails(
        0,
        &["memory.max: podman made it 1048576, which was written over"],
    );
    done.fails(
        0,
        &["podman does not say what it has kept: its answer is not understood"],
    );
    assert_eq!(read(&max), (59 << 20).to_string());
}

/// Case 33 of the field: in plain text, and where it is killed.
#[test]
fn a_container_goes_by_its_name_in_plain_text_and_when_it_is_killed() {
    let podman = Podman::new();
    let id = podman.run(&[], &["--memory=32m", "--memory-swap=32m"], "hungry");
    let scope = format!("/machine.slice/libpod-{id}.scope");
    let say = |arguments: &[&str]| {
        let said = Command::new(binary()).args(arguments).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let plain = say(&["top", "hungry", "--plain", "--duration", "1"]);
    let mut lines = plain.lines();
    let row = lines.find(|line| line.starts_with(&format!("{scope}/container ")));
    let label = row.and_then(|row| row.split_whitespace().rev().nth(1));
    assert_eq!(label, Some("hungry"), "{plain}");

    let mut events = Command::new(binary());
    let mut events = events.arg("events").stdout(Stdio::piped()).spawn().unwrap();
    wait_until("its watch", || {
        read(format!("/proc/{}/syscall", events.id()))
            .starts_with(|char: char| char.is_ascii_digit())
    });
    let mut killed = Command::new("podman");
    killed.args(["exec", "hungry", "/bin/busybox", "tail", "/dev/zero"]);
    assert!(!killed.status().unwrap().success());
    let mut told = String::new();
    let mut lines = BufReader::new(events.stdout.take().unwrap());
    lines.read_line(&mut told).unwrap();
    events.kill().unwrap();
    events.wait().unwrap();
    let why = say(&["why", "hungry"]);
    eprintln!("{told}\n{why}");
    for said in [told, why] {
        // What the journal said is quoted below.
        let first = said.lines().next().unwrap_or_default();
        assert!(
            first.contains("hungry") && !first.contains(&id[..12]),
            "{said}"
        );
    }
}

#[test]
fn a_name_given_twice_is_an_error_that_says_which() {
    let podman = Podman::new();
    let user = |words: &str| {
        let command = format!("cd; XDG_RUNTIME_DIR=/run/user/1000 podman {words}");
        call(&["su", "user", "-c", &command])
    };
    call(&["cp", "-a", ROOTFS, "/home/user/rootfs"]);
    call(&["chown", "-R", "user:user", "/home/user/rootfs"]);
    let ours = podman.run(&[], &[], "twin");
    let theirs = user(
        "run -d --network=none --name twin --rootfs /home/user/rootfs /bin/busybox sleep 1000",
    );
    let manager = "user.slice/user-1000.slice/user@1000.service";
    let rootless = format!("{manager}/user.slice/libpod-{theirs}.scope");
    assert_eq!(told(&format!("/{rootless}")), container("twin"));
    let done = set(&["twin", "pids.max=9"]);
    done.fails(
        125,
        &[
            "2 cgroups are called `twin`: give a path, one of ",
            &rootless,
            &format!("machine.slice/libpod-{ours}.scope"),
        ],
    );
    // By path it works; root tells the user's own manager.
    set(&[&rootless, "pids.max=9"]).fails(0, &["systemctl --user '--machine=1000@' set-property"]);
    assert_eq!(read(file(&rootless, "pids.max")), "9");
    user("rm --force --time=0 twin");
    call(&["rm", "-r", "/home/user/rootfs"]);
    set(&["twin", "memory.max=48m"]).fails(0, &["podman was told: podman update "]);
}

#[test]
fn containers_of_a_pod_are_in_their_pod() {
    let podman = Podman::new();
    // Its pause image is made here, of catatonit; there is no network to fetch one from.
    let pod = podman.call(&["pod", "create", "--network=none", "--name", "shop"]);
    let db = {
        let run = ["run", "-d", "--pod=shop", "--name=db", "--rootfs", ROOTFS];
        podman.call(&[&run[..], &["/bin/busybox", "sleep", "1000"]].concat())
    };
    let slice = format!("/machine.slice/machine-libpod_pod_{pod}.slice");
    let scope = format!("{slice}/libpod-{db}.scope");
    assert_eq!(told(&scope), container("db"));
    // Podman keeps a pod's name in a database of its own; what is left is the id.
    assert_eq!(told(&slice), (Owner::Podman, Role::Pod, None));
    let label = format!("pod {}", &pod[..12]);
    assert_eq!(identify(&slice).label, label);
    screen(
        &label,
        &[
            &[&label],
            &["db", &db[..12]],
            &[&format!("{}-infra", &pod[..12])],
        ],
    );
    set(&["db", "memory.max=48m"]).fails(0, &["podman was told: podman update "]);
    let payload = format!("{scope}/container");
    assert_eq!(read(file(&payload, "memory.max")), "50331648");
    set(&[&label, "memory.max=96m"]).fails(0, &["was told"]);
    assert_eq!(read(file(&slice, "memory.max")), "100663296");
}
