//! `ringfence set` and names under a real systemd, as root in the Debian guest: `cargo xtask test vm_systemd`.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};
use ringfence::kernel::systemd::bus;
use ringfence::names::{Owner, Role, identify};

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use support::dashboard::Dashboard;
use support::systemd::{MOUNT, Unit, call, daemon_reload, set, set_as_user};
use support::{Done, binary, read, wait_until};

/// What is asked for, the kernel's file, and what it then reads. All that systemd has a property for.
const KNOBS: [(&str, &str, &str); 11] = [
    ("memory.max=64m", "memory.max", "67108864"),
    ("memory.high=48m", "memory.high", "50331648"),
    ("memory.low=8m", "memory.low", "8388608"),
    ("memory.min=4m", "memory.min", "4194304"),
    ("memory.swap.max=1m", "memory.swap.max", "1048576"),
    ("cpu.max=50%", "cpu.max", "50000 100000"),
    ("cpu.weight=250", "cpu.weight", "250"),
    ("cpuset.cpus=0", "cpuset.cpus", "0"),
    ("io.weight=300", "io.weight", "default 300"),
    ("io.max=/dev/vda:wbps=2m", "io.max", IO_MAX),
    ("pids.max=17", "pids.max", "17"),
];
/// `/dev/vda` is 254:0 on both kernels.
const IO_MAX: &str = "254:0 rbps=max wbps=2097152 riops=max wiops=max";
const ETC: &str = "/etc/systemd/system.control";
const RUN: &str = "/run/systemd/system.control";

#[track_caller]
fn assert_knobs(unit: &Unit, when: &str) {
    for (_, file, text) in KNOBS {
        assert_eq!(unit.read(file), text, "{file} of {} {when}", unit.name);
    }
}

/// All knobs at once; what was said on stderr has these words in one line.
#[track_caller]
fn set_knobs(unit: &Unit, words: &[&str]) {
    let wishes = KNOBS.map(|(wish, ..)| wish);
    let done = set(&[&[unit.target()][..], &wishes].concat());
    done.fails(0, words);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(
        (lines.len(), lines[0]),
        (1 + KNOBS.len(), &*format!("/{}", unit.target())),
        "{done:?}"
    );
}

fn one_of_each() -> [Unit; 3] {
    let scope = Unit::scope("bare.scope", r"other\x2dslice.slice");
    let slice = Unit::started(r"other\x2dslice.slice");
    [Unit::service("bare.service"), scope, slice]
}

#[test]
fn every_limit_of_a_unit_outlives_a_reload() {
    let witness = Unit::service("witness.service");
    for unit in one_of_each() {
        let told = [
            "was told: systemctl set-property --runtime",
            "MemoryMax=67108864",
        ];
        set_knobs(&unit, &told);
        assert_knobs(&unit, "before");
        daemon_reload(&witness);
        assert_knobs(&unit, "after");
        assert!(!Path::new(ETC).join(format!("{}.d", unit.name)).exists());
    }
}

/// The contrast: without systemd's knowledge, the same limits do not last.
#[test]
fn a_direct_write_is_undone_by_a_reload() {
    let witness = Unit::service("witness.service");
    let unit = Unit::service("direct.service");
    let on = ["CPUWeight=100", "IOWeight=100", "AllowedCPUs=0-1"];
    call(
        &[
            &["systemctl", "set-property", "--runtime", &unit.name][..],
            &on,
        ]
        .concat(),
    );
    wait_until("the controllers", || {
        unit.file("io.max").exists() && unit.file("cpu.max").exists()
    });
    let before = KNOBS.map(|(_, file, _)| unit.read(file));
    for (_, file, text) in KNOBS {
        unit.write(file, text);
    }
    assert_knobs(&unit, "before");
    daemon_reload(&witness);
    for ((_, file, text), before) in KNOBS.into_iter().zip(before) {
        // It leaves alone the limits of disks that it does not know of.
        let expected = if file == "io.max" { text } else { &before };
        assert_eq!(unit.read(file), expected, "{file}");
    }
}

#[test]
fn a_controller_that_is_off_is_turned_on_by_systemd() {
    let unit = Unit::service("bare.service");
    let controllers = || unit.read("cgroup.controllers");
    let had = controllers();
    assert!(!had.contains("cpu") && !had.contains("io"), "{had}");
    let off = "the cpu controller is off in /system.slice/bare.service; systemd turns it on with the limit";
    let wishes = [unit.target(), "cpu.weight=200", "pids.max=9"];

    let done = set(&[&wishes[..], &["--dry-run"]].concat());
    done.fails(0, &[off]);
    assert!(done.stdout.contains("cpu.weight  100 → 200\n"), "{done:?}");
    assert_eq!(controllers(), had);

    // An ordinary user may not have it done, and is told what is needed.
    let done = set_as_user("bare.service cpu.weight=200");
    done.fails(
        125,
        &["Access denied; type sudo in front", "nothing was changed"],
    );
    assert_eq!(done.stdout, "");

    // Where systemd refuses, what was written already is taken back.
    let before = unit.read("pids.max");
    let bin = tempfile::tempdir().unwrap();
    let systemctl = bin.path().join("systemctl");
    let script = "#!/bin/sh\n[ \"$1\" = show ] && exec /bin/systemctl \"$@\"\n\
                  cat /sys/fs/cgroup/system.slice/bare.service/pids.max >&2; exit 1\n";
    fs::write(&systemctl, script).unwrap();
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    let mut refused = Command::new(binary());
    // The shim tells what it sees: by then it was written.
    refused
        .arg("set")
        .args(wishes)
        .env("PATH", format!("{}:/bin", bin.path().display()));
    Done::from(refused.output().unwrap())
        .fails(125, &["it could not be told (9)", "nothing was changed"]);
    assert_eq!(unit.read("pids.max"), before);
    assert_eq!(controllers(), had);

    let done = set(&wishes);
    done.fails(0, &[off]);
    done.fails(
        0,
        &[
            "was told: systemctl set-property --runtime -- bare.service",
            "CPUWeight=200",
        ],
    );
    assert!(controllers().contains("cpu"), "{}", controllers());
    assert_eq!(
        (unit.read("cpu.weight"), unit.read("pids.max")),
        ("200".into(), "9".into())
    );

    // Below a unit nobody but its owner can do that: the hint remains.
    fs::create_dir(unit.file("below")).unwrap();
    let below = format!("{}/below", unit.target());
    let done = set(&[&below, "pids.max=5"]);
    done.fails(
        125,
        &[
            "the pids controller is not on in",
            "write +pids to",
            "nothing was changed",
        ],
    );
    fs::remove_dir(unit.file("below")).unwrap();
}

#[test]
fn a_knob_without_a_property_is_said_not_to_last_and_does_not() {
    let witness = Unit::service("witness.service");
    let unit = Unit::service("lone.service");
    let done = set(&["lone.service", "memory.oom.group=1"]);
    done.fails(
        0,
        &["memory.oom.group: systemd has no property for it, and will undo it at `systemctl daemon-reload`"],
    );
    assert!(!done.stderr.contains("was told"), "{done:?}");
    assert_eq!(unit.read("memory.oom.group"), "1");
    daemon_reload(&witness);
    assert_eq!(unit.read("memory.oom.group"), "0");

    // Idle is a weight to systemd.
    set(&["lone.service", "cpu.idle=1"]).fails(0, &["CPUWeight=idle"]);
    daemon_reload(&witness);
    assert_eq!(unit.read("cpu.idle"), "1");
    set(&["lone.service", "cpu.idle=0", "cpu.weight=200"]).fails(0, &["CPUWeight=200"]);
    daemon_reload(&witness);
    assert_eq!(
        (unit.read("cpu.idle"), unit.read("cpu.weight")),
        ("0".into(), "200".into())
    );
    set(&["lone.service", "cpu.idle=1"]);
    set(&["lone.service", "cpu.idle=0"]).fails(0, &["CPUWeight=100"]);
    daemon_reload(&witness);
    assert_eq!(unit.read("cpu.idle"), "0");
}

/// `/run` is what a boot forgets.
#[test]
fn persist_outlives_a_boot_and_the_default_does_not() {
    let witness = Unit::service("witness.service");
    let file = "/etc/systemd/system/installed.service";
    fs::write(file, "[Service]\nExecStart=/bin/sleep infinity\n").unwrap();
    call(&["systemctl", "daemon-reload"]);
    call(&["systemctl", "start", "installed.service"]);
    let unit = Unit::started("installed.service");

    set(&[
        "installed.service",
        "memory.max=96m",
        "cpu.weight=300",
        "--persist",
    ])
    .fails(
        0,
        &["was told: systemctl set-property -- installed.service"],
    );
    set(&["installed.service", "pids.max=9"])
        .fails(0, &["--runtime -- installed.service 'TasksMax=9'"]);
    let drop_in = read(Path::new(ETC).join("installed.service.d/50-MemoryMax.conf"));
    assert!(drop_in.contains("MemoryMax=100663296"), "{drop_in}");
    daemon_reload(&witness);
    let all = || ["memory.max", "cpu.weight", "pids.max"].map(|file| unit.read(file));
    assert_eq!(all(), ["100663296", "300", "9"]);

    fs::remove_dir_all(Path::new(RUN).join("installed.service.d")).unwrap();
    call(&["systemctl", "daemon-reload"]);
    call(&["systemctl", "restart", "installed.service"]);
    let [memory_max, cpu_weight, pids_max] = all();
    assert_eq!([memory_max, cpu_weight], ["100663296", "300"]);
    assert_ne!(pids_max, "9");
    drop(unit);
    fs::remove_file(file).unwrap();
    call(&["systemctl", "daemon-reload"]);
    assert!(!Path::new(ETC).join("installed.service.d").exists());
}

#[test]
fn what_is_advised_as_a_drop_in_holds_from_the_next_reload_on() {
    const DROP_IN: &str = "/etc/systemd/system/careless.service.d/50-ringfence.conf";
    let witness = Unit::service("witness.service");
    let unit = Unit::service("careless.service");
    assert_eq!(unit.read("memory.max"), "max");
    let lines = call(&[
        binary().to_str().unwrap(),
        "advise",
        "careless.service",
        "--for=2",
        "--systemd",
    ]);
    let file = format!("# {DROP_IN}, then: systemctl daemon-reload\n[Service]\n");
    assert!(lines.starts_with(&file), "{lines}");
    let limit = lines
        .lines()
        .find_map(|line| line.strip_prefix("MemoryMax="))
        .unwrap_or_else(|| panic!("{lines}"));

    fs::create_dir_all(Path::new(DROP_IN).parent().unwrap()).unwrap();
    fs::write(DROP_IN, &lines).unwrap();
    daemon_reload(&witness);
    assert_eq!(unit.read("memory.max"), limit, "{lines}");
    drop(unit);
    assert!(!Path::new(DROP_IN).exists());
}

#[test]
fn where_systemd_and_the_kernel_disagree_is_shown() {
    let unit = Unit::service("rf-drift.service");
    set(&[
        unit.target(),
        "memory.max=64m",
        "pids.max=40",
        "cpu.max=50%",
    ])
    .fails(0, &["was told"]);
    let get = || {
        let mut get = Command::new(binary());
        let get = get.args(["get", unit.target(), "memory.max", "pids.max", "cpu.max"]);
        Done::from(get.output().unwrap()).ok()
    };
    assert!(!get().contains("takes it to be"), "{}", get());
    unit.write("memory.max", "50331648");
    unit.write("cpu.max", "20000");
    let text = get();
    for takes in ["64M", "0.5 cpu"] {
        let line = format!(
            "    systemd takes it to be {takes}, and brings that back at `systemctl daemon-reload`\n"
        );
        assert!(text.contains(&line), "{text}");
    }
    assert_eq!(text.matches("takes it to be").count(), 2, "{text}");
    daemon_reload(&unit);
    assert!(!get().contains("takes it to be"), "{}", get());
}

#[test]
fn what_was_on_trial_is_systemds_no_more() {
    let unit = Unit::service("rf-trial.service");
    set(&[unit.target(), "memory.max=64m"]).fails(0, &["which was told"]);
    let property = || call(&["systemctl", "show", "-P", "MemoryMax", &unit.name]);
    let done = set(&[unit.target(), "memory.max=48m", "--try", "2s"]);
    done.fails(
        1,
        &["taken back after 2s: its time is up; memory.max is 64M again"],
    );
    done.fails(1, &["which was told: systemctl set-property --runtime"]);
    assert_eq!(property().trim(), (64 << 20).to_string());
    daemon_reload(&unit);
    assert_eq!(unit.read("memory.max"), (64 << 20).to_string());
    // A controller that only systemd turns on.
    let off = Unit::service("rf-trial-off.service");
    let done = set(&[off.target(), "cpuset.cpus=0", "--try", "2s"]);
    done.fails(1, &["its time is up; cpuset.cpus is the parent's again"]);
    daemon_reload(&off);
    // All that there are, as the kernel takes no empty list where processes are; or systemd has turned it off again.
    let cpus = fs::read_to_string(off.file("cpuset.cpus"));
    assert!(cpus.is_err() || cpus.is_ok_and(|cpus| cpus == "0-1\n"));
}

#[test]
fn an_ordinary_user_is_told_what_is_needed() {
    let unit = Unit::service("roots.service");
    let before = unit.read("memory.max");
    let done = set_as_user("roots.service memory.max=64m");
    let line = done.fails(
        125,
        &[
            "/sys/fs/cgroup/system.slice/roots.service/memory.max may only be written by its owner",
            "type sudo in front",
            "nothing was changed",
        ],
    );
    assert!(
        !line.contains("EACCES") && !line.contains("Permission denied"),
        "{line}"
    );
    assert_eq!(
        (done.stderr.lines().count(), &*done.stdout),
        (1, ""),
        "{done:?}"
    );
    assert_eq!(unit.read("memory.max"), before);
}

#[test]
fn a_users_own_manager_is_told_by_the_user_and_by_root() {
    let user = |command: &str| {
        let command = format!("XDG_RUNTIME_DIR=/run/user/1000 {command}");
        call(&["su", "user", "-c", &command])
    };
    user("systemd-run --quiet --user --unit=mine.service sleep infinity");
    let manager = "user.slice/user-1000.slice/user@1000.service";
    let dir = Path::new(MOUNT)
        .join(manager)
        .join("app.slice/mine.service");
    wait_until("the service", || dir.is_dir());
    let own = |file: &str| read(dir.join(file));

    set_as_user("mine.service pids.max=7 cpu.weight=300").fails(
        0,
        &["was told: systemctl --user set-property --runtime -- mine.service"],
    );
    assert_eq!(
        (own("pids.max"), own("cpu.weight")),
        ("7".into(), "300".into())
    );
    let told = "systemctl --user '--machine=1000@' set-property --runtime -- mine.service";
    set(&["mine.service", "memory.max=64m"]).fails(0, &["was told", told]);
    // What the user wrote past their manager tells when it has applied all.
    fs::write(dir.join("memory.high"), "50331648").unwrap();
    user("systemctl --user daemon-reload");
    wait_until("the reload", || own("memory.high") == "max");
    assert_eq!(
        ["pids.max", "cpu.weight", "memory.max"].map(own),
        ["7", "300", "67108864"]
    );
    // No manager can turn on what it was not handed down itself.
    for done in [
        set_as_user("mine.service io.weight=200 pids.max=5"),
        set(&["mine.service", "io.weight=200", "pids.max=5"]),
    ] {
        done.fails(
            125,
            &["the io controller is not on in", "nothing was changed"],
        );
    }
    assert_eq!(own("pids.max"), "7");
    user("systemctl --user stop mine.service");
}

/// Whoever may make cgroups chooses their names. No name leads to a unit that is another's.
#[test]
fn a_directory_that_is_named_like_a_users_manager_leads_to_no_unit() {
    let victim = Unit::service("victim.service");
    let before = victim.read("memory.max");
    let users = "user.slice/user-1000.slice/user@1000.service";
    for above in ["fake/user@0.service", &format!("{users}/user@0.service")] {
        let path = format!("{above}/victim.service");
        let dir = Path::new(MOUNT).join(&path);
        fs::create_dir_all(&dir).unwrap();
        for wish in [&["memory.max=64m"][..], &["memory.max=64m", "--persist"]] {
            let done = set(&[&[&*path], wish].concat());
            assert!(!done.stderr.contains("was told"), "{done:?}");
        }
        for dir in dir
            .ancestors()
            .take(if above == "fake/user@0.service" { 3 } else { 2 })
        {
            fs::remove_dir(dir).unwrap();
        }
    }
    assert_eq!(victim.read("memory.max"), before);
    assert_eq!(
        call(&["systemctl", "is-active", "victim.service"]),
        "active"
    );
}

#[test]
fn every_cgroup_of_this_host_has_an_owner_a_kind_and_a_name_without_escapes() {
    let _template = Unit::service(r"foo@a\x2db.service");
    let _scope = Unit::scope(r"esc\x2daped.scope", r"my\x2dslice.slice");
    let mut unknown = Vec::new();
    let mut told = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(format!("{MOUNT}{at}")).unwrap().flatten() {
            if !entry.file_type().unwrap().is_dir() {
                continue;
            }
            let path = format!("{at}/{}", entry.file_name().to_str().unwrap());
            let identity = identify(&path);
            if identity.owner == Owner::Unknown {
                unknown.push(path.clone());
            }
            told.push((
                path.clone(),
                identity.owner,
                identity.role,
                identity.label.to_string(),
            ));
            pending.push(path);
        }
    }
    for (path, role, label) in [
        ("/init.scope", Role::Unit, "init.scope"),
        ("/system.slice", Role::Group, "system.slice"),
        ("/system.slice/dbus.service", Role::Unit, "dbus.service"),
        (
            "/sys-fs-fuse-connections.mount",
            Role::Unit,
            "/sys/fs/fuse/connections",
        ),
        ("/system.slice/system-foo.slice", Role::Group, "foo.slice"),
        (
            r"/system.slice/system-foo.slice/foo@a\x2db.service",
            Role::Unit,
            "foo@a-b.service",
        ),
        (r"/my\x2dslice.slice", Role::Group, "my-slice.slice"),
        (
            r"/my\x2dslice.slice/esc\x2daped.scope",
            Role::Unit,
            "esc-aped.scope",
        ),
        ("/user.slice/user-1000.slice", Role::Group, "user 1000"),
        (
            "/user.slice/user-1000.slice/user@1000.service",
            Role::Unit,
            "user@1000.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            Role::Unit,
            "init.scope",
        ),
    ] {
        let expected = (path.to_owned(), Owner::Systemd, role, label.to_owned());
        assert!(told.contains(&expected), "{expected:?}:\n{told:#?}");
    }
    // What a service makes below itself.
    assert!(
        unknown.iter().all(|path| path.contains(".service/")),
        "{unknown:?}"
    );
    println!(
        "{} cgroups of systemd's, {} made by a service below itself: {unknown:?}",
        told.len() - unknown.len(),
        unknown.len()
    );
}

#[test]
fn the_dashboard_shows_names_without_escapes_and_they_can_be_typed() {
    let _template = Unit::service(r"foo@a\x2db.service");
    let _scope = Unit::scope(r"esc\x2daped.scope", r"my\x2dslice.slice");
    for (target, shown) in [
        ("foo@a-b.service", "foo@a-b.service"),
        ("my-slice.slice", "esc-aped.scope"),
        ("user user", "user@user.service"),
    ] {
        let mut dashboard = Dashboard::start(&["top", target]);
        dashboard.wait_for(shown);
        let screen = dashboard.contents();
        dashboard.keys("q");
        assert!(dashboard.end().success(), "{screen}");
    }
    let done = set(&["esc-aped.scope", "pids.max=7"]);
    done.fails(
        0,
        &[
            r"esc\x2daped.scope is a unit",
            r#"--runtime -- "esc\\x2daped.scope" 'TasksMax=7'"#,
        ],
    );
    let scope = Path::new(MOUNT).join(r"my\x2dslice.slice/esc\x2daped.scope");
    assert_eq!(read(scope.join("pids.max")), "7");
}

#[test]
fn a_workloads_limits_outlive_a_reload_in_a_scope_of_its_own() {
    let witness = Unit::service("witness.service");
    let mut run = Command::new(binary());
    run.args(["run", "-n", "kept", "-m", "32m", "--cpus", "0.5"]);
    run.args(["--pids-limit", "7", "--device-write-bps", "/dev/vda:2m"]);
    let mut launcher = run.args(["--", "sleep", "99"]).spawn().unwrap();
    let scope = Path::new(MOUNT).join("ringfence.slice/ringfence-kept.scope");
    let leaf = scope.join("kept");
    wait_until("a workload", || {
        fs::read_to_string(leaf.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty())
    });
    let limits = [
        ("memory.max", "33554432"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "7"),
        ("io.max", IO_MAX),
    ];
    for _ in 0..2 {
        for (file, text) in limits {
            assert_eq!(read(leaf.join(file)), text, "{file}");
        }
        daemon_reload(&witness);
    }
    for (file, text) in limits {
        assert_eq!(read(leaf.join(file)), text, "{file} after a reload");
    }
    // What keeps the scope is beside it, while the launcher is where it was started; and it is found by its name.
    let keeper = read(scope.join("launcher/cgroup.procs"));
    assert_eq!(read(format!("/proc/{keeper}/comm")), "ringfence-scope");
    let own = |pid: &str| read(format!("/proc/{pid}/cgroup"));
    assert_eq!(own(&launcher.id().to_string()), own("self"));
    assert_eq!(read(scope.join("cgroup.procs")), "");
    assert!(set(&["kept", "pids.max=8"]).ok().contains("7 → 8"));
    assert_eq!(read(leaf.join("pids.max")), "8");
    fs::write(leaf.join("cgroup.kill"), "1").unwrap();
    launcher.wait().unwrap();
    wait_until("the scope to go", || !scope.exists());
    // The name is free again, also after a launcher that was killed.
    let mut again = Command::new(binary());
    again.args(["run", "-n", "kept", "--", "sh", "-c"]);
    let mut killed = again.args(["echo ready; exec sleep 99"]).spawn().unwrap();
    wait_until("another one", || {
        fs::read_to_string(leaf.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until("its scope to go", || !scope.exists());
    let mut last = Command::new(binary());
    let last = last.args(["run", "-n", "kept", "--", "cat", "/proc/self/cgroup"]);
    let last = Done::from(last.output().unwrap());
    last.fails(0, &["kept: its supervisor was killed"]);
    assert_eq!(last.stdout, "0::/\n");
}

/// A reaper at PID 1 holds TERM back and looks for it: that is a way to handle it.
#[test]
fn a_pid_1_that_holds_term_back_gets_it() {
    let reaper = "$SIG{CHLD} = 'IGNORE'; my $term = POSIX::SigSet->new(SIGTERM); sigprocmask(SIG_BLOCK, $term); \
                  $| = 1; print \"ready\\n\"; while (1) { my $told = POSIX::SigSet->new; sigpending($told); \
                  exit 7 if $told->ismember(SIGTERM); select(undef, undef, undef, 0.2) }";
    let mut launcher = Command::new(binary());
    launcher.args(["run", "-n", "reaper", "--stop-timeout", "60", "--"]);
    launcher.args(["perl", "-MPOSIX", "-e", reaper]);
    let mut launcher = launcher
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    launcher
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(launcher.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let done = Done::from(launcher.wait_with_output().unwrap());
    assert_eq!((done.code, &*done.stderr), (7, ""), "{done:?}");
}

#[test]
fn what_a_workload_of_a_unit_says_is_the_units() {
    let script = "echo plain; echo again >/dev/stdout; echo wrong >&2";
    call(
        &[
            &["systemd-run", "--quiet", "--collect", "-u", "told"][..],
            &[
                binary().to_str().unwrap(),
                "run",
                "-n",
                "told",
                "--",
                "sh",
                "-c",
                script,
            ],
        ]
        .concat(),
    );
    let said = || {
        let lines = Command::new("journalctl")
            .args(["-u", "told", "-o", "cat", "--no-pager"])
            .output();
        Done::from(lines.unwrap()).stdout
    };
    wait_until("its lines", || {
        let said = said();
        ["plain\n", "again\n", "wrong\n"]
            .iter()
            .all(|line| said.contains(line))
    });
}

#[test]
fn a_scope_that_is_stopped_stops_its_workload_as_ringfence_would() {
    let mut run = Command::new(binary());
    run.args(["run", "-n", "asked", "--", "sleep", "1000"]);
    run.stdout(Stdio::null()).stderr(Stdio::piped());
    let launcher = run.spawn().unwrap();
    let leaf = Path::new(MOUNT).join("ringfence.slice/ringfence-asked.scope/asked");
    wait_until("a workload", || {
        fs::read_to_string(leaf.join("cgroup.procs")).is_ok_and(|pids| {
            let comm = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm"));
            pids.lines()
                .any(|pid| comm(pid).is_ok_and(|comm| comm == "sleep\n"))
        })
    });
    // PID 1 cannot notice the signal, for which systemd would wait a minute and a half.
    call(&["systemctl", "stop", "ringfence-asked.scope"]);
    let done = Done::from(launcher.wait_with_output().unwrap());
    done.fails(137, &["sleep is PID 1 and has no handler for SIGTERM"]);
}

#[test]
fn asking_for_a_scope_is_quicker_than_systemd_run() {
    let median = |once: &dyn Fn(u32)| {
        let mut times = [0; 20].map(|_: u32| Duration::ZERO);
        for (number, time) in (0..).zip(&mut times) {
            let begin = Instant::now();
            once(number);
            *time = begin.elapsed();
        }
        times.sort_unstable();
        times[times.len() / 2]
    };
    let run = median(&|_| {
        call(&[
            "systemd-run",
            "--quiet",
            "--scope",
            "-p",
            "Delegate=yes",
            "true",
        ]);
    });
    let start = median(&|_| drop(call(&["true"])));
    let socket = bus::socket().unwrap();
    let before = fs::read_to_string("/proc/self/cgroup").unwrap();
    let asked = median(&|number| {
        let unit = format!("asked-{number}.scope");
        bus::delegated_scope(&socket, &unit, "asked.slice", getpid()).unwrap();
    });
    let home = Path::new(MOUNT).join(before.trim().trim_start_matches("0::/"));
    fs::write(home.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    println!("asked {asked:?}, systemd-run {run:?}, of which a program's start {start:?}");
    assert!(asked < run, "{asked:?} {run:?}");
}
