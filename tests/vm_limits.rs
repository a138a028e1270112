//! `ringfence set` on a real kernel, as root: `cargo xtask test vm_limits`.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ringfence::control::sheet::Sheet;
use ringfence::kernel::cgroup::apply::{Write, apply};
use ringfence::kernel::cgroup::knob::{Address, Knob, KnobValue};
use ringfence::kernel::cgroup::tree::Cgroup;
use ringfence::kernel::io::IoMax;
use ringfence::kernel::unit::Limit;

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use serde_json::Value;
use support::own::{MOUNT, Own};
use support::{Done, Host, as_user, binary, read, wait_until};

fn command(arguments: &[&str]) -> Command {
    let mut set = Command::new(binary());
    set.arg("set").args(arguments);
    set
}

fn set(arguments: &[&str]) -> Done {
    Done::from(command(arguments).output().unwrap())
}

/// The numbers of a disk.
fn device(disk: &str) -> String {
    read(format!("/sys/block/{disk}/dev"))
}

#[test]
fn every_knob_reads_back_byte_for_byte() {
    let _host = Host::new();
    let own = Own::new();
    let vda = device("vda");
    fs::write(
        Path::new(MOUNT).join("io.cost.qos"),
        format!("{vda} enable=1"),
    )
    .unwrap();
    let rates = format!("{vda} rbps=1048576 wbps=2097152 riops=30 wiops=max");
    let knobs = [
        ("memory.max=64m", "memory.max", "67108864"),
        ("memory.high=48m", "memory.high", "50331648"),
        ("memory.low=16m", "memory.low", "16777216"),
        ("memory.min=8m", "memory.min", "8388608"),
        ("memory.swap.max=1m", "memory.swap.max", "1048576"),
        ("memory.oom.group=1", "memory.oom.group", "1"),
        ("cpu.max=75%", "cpu.max", "75000 100000"),
        ("cpu.weight=250", "cpu.weight", "250"),
        ("cpuset.cpus=0", "cpuset.cpus", "0"),
        ("io.max=/dev/vda:rbps=1m,wbps=2m,riops=30", "io.max", &rates),
        ("io.weight=300", "io.weight", "default 300"),
        ("pids.max=17", "pids.max", "17"),
    ];
    let before = knobs.map(|(_, file, _)| own.read(file));
    for (wish, file, text) in knobs {
        let done = set(&["above/own", wish]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(own.read(file), text, "{wish}");
    }
    // All at once, back to what was.
    let back = [
        "memory.max=max",
        "memory.high=max",
        "memory.low=0",
        "memory.min=0",
        "memory.swap.max=max",
        "memory.oom.group=0",
        "cpu.max=max",
        "cpu.weight=default",
        "cpuset.cpus=",
        "io.max=/dev/vda:max",
        "io.weight=100",
        "pids.max=max",
    ];
    let done = set(&[&["above/own"][..], &back].concat());
    assert_eq!(
        (done.code, done.stdout.lines().count()),
        (0, 13),
        "{done:?}"
    );
    assert_eq!(knobs.map(|(_, file, _)| own.read(file)), before);

    let weight = format!("io.weight={vda}:400");
    set(&["above/own", &weight]).ok();
    assert_eq!(own.read("io.weight"), format!("default 100\n{vda} 400"));
    set(&["above/own", "io.weight=/dev/vda:default"]).ok();
    assert_eq!(own.read("io.weight"), "default 100");
    fs::write(
        Path::new(MOUNT).join("io.cost.qos"),
        format!("{vda} enable=0"),
    )
    .unwrap();

    assert_eq!(set(&["above/own", "cpu.idle=1"]).code, 0);
    assert_eq!(own.read("cpu.idle"), "1");
    // 6.12 reads the least weight there is.
    assert!(["0", "1"].contains(&&*own.read("cpu.weight")));
    set(&["above/own", "cpu.weight=200"]).fails(125, &["cpu.weight of /above/own is refused"]);
    let line = set(&["above/own", "cpu.weight=200", "cpu.idle=0"]).ok();
    assert!(
        line.starts_with("/above/own\ncpu.idle  1 → 0\ncpu.weight  "),
        "{line}"
    );
    assert_eq!(own.read("cpu.weight"), "200");
}

#[test]
fn get_says_what_is_in_force() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("memory.max"), "48M").unwrap();
    own.write("memory.max", "64M");
    own.write("cpuset.cpus", "1");
    let get = |arguments: &[&str]| {
        let mut get = Command::new(binary());
        Done::from(get.arg("get").args(arguments).output().unwrap())
    };
    let text = get(&["above/own", "memory.max", "cpuset.cpus"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "/above/own");
    assert!(
        lines[1].starts_with("memory.max  64M  (effective 48M of /above; "),
        "{text}"
    );
    assert_eq!(
        lines[2..=5],
        [
            "    0 or more bytes, in pages; max for none; a new cgroup has max; since Linux 4.5",
            "    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files",
            "cpuset.cpus  1",
            "    CPUs of the host; empty for the parent's; a new cgroup has nothing; since Linux 5.0",
        ]
    );
    // All of them, each as the kernel has it.
    let mut seen = Vec::new();
    for line in get(&["above/own", "--json"]).ok().lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["schema"], 1);
        assert_eq!(object["cgroup"], "/above/own");
        let knob = object["knob"].as_str().unwrap().to_owned();
        if object["device"].is_null() && object["missing"].is_null() {
            assert_eq!(object["value"], own.read(&knob), "{line}");
        }
        if knob == "memory.max" {
            assert_eq!(object["effective"], (48 << 20).to_string());
            assert_eq!(object["effective_of"], "/above");
        }
        seen.push(knob);
    }
    seen.dedup();
    assert_eq!(seen.len(), 13, "{seen:?}");
    // Why there is none.
    fs::create_dir(own.dir.join("below")).unwrap();
    let text = get(&["above/own/below", "pids.max"]).ok();
    assert!(
        text.contains("pids.max  - (the pids controller is not on"),
        "{text}"
    );
    get(&["above/own", "pids.min"]).fails(2, &["there is no knob `pids.min`"]);
    get(&["/"]).fails(125, &["the root cgroup is the host itself"]);
    get(&["nobody"]).fails(125, &["there is no cgroup `nobody`"]);
    fs::remove_dir(own.dir.join("below")).unwrap();
}

#[test]
fn the_cpus_of_who_runs_are_the_parents_again() {
    let _host = Host::new();
    let own = Own::new();
    let shell = own.start("sleep 1000");
    wait_until("the shell", || !own.read("cgroup.procs").is_empty());
    set(&["above/own", "cpuset.cpus=0"]).ok();
    // The kernel takes no empty list there.
    set(&["above/own", "cpuset.cpus="]).fails(0, &["cpuset.cpus: the kernel made it 0-1"]);
    assert_eq!(own.read("cpuset.cpus"), "0-1");
    own.kill(shell);
}

#[test]
fn a_dry_run_says_all_and_writes_nothing() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("pids.max"), "50").unwrap();
    let done = set(&[
        "above/own",
        "memory.max=67108865",
        "pids.max=64",
        "--dry-run",
    ]);
    assert_eq!(done.code, 0);
    assert_eq!(
        done.stdout,
        "/above/own\n\
         pids.max  max → 64  (0 in use; bound by pids.max 50 of /above)\n\
         memory.max  max → 64M  (0B in use; binding)\n"
    );
    done.fails(
        0,
        &["rounded down to whole pages of memory: 67108864 bytes"],
    );
    assert_eq!(
        (own.read("memory.max"), own.read("pids.max")),
        ("max".into(), "max".into())
    );
    set(&["above/own", "pids.max=0", "--dry-run"])
        .fails(125, &["pids.max of /above/own is refused"]);
}

#[test]
fn b32_a_limit_below_usage_is_refused_unless_forced() {
    let host = Host::new();
    let load = "echo ready; exec ringfence load memory --size 48m";
    let workload = host.start("leaker", &["-m", "128m"], load);
    wait_until("48m", || {
        workload.read("memory.current").parse::<u64>().unwrap() > 48 << 20
    });
    let wishes = ["leaker", "pids.max=100", "memory.max=16m"];
    let done = set(&wishes);
    done.fails(
        125,
        &[
            "memory.max: ",
            "below usage: the kernel will reclaim, then OOM-kill",
        ],
    );
    done.fails(
        125,
        &[
            "memory.max of /ringfence.slice/leaker is refused",
            "nothing was changed",
            "--force",
        ],
    );
    assert_eq!(workload.read("memory.max"), "134217728");
    assert_eq!(workload.read("pids.max"), "max");
    let done = set(&[&wishes[..], &["--force"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("memory.max  128M → 16M"), "{done:?}");
    workload
        .finish()
        .fails(137, &["· limit memory.max 16M of leaker"]);
}

#[test]
fn limits_take_effect() {
    let _host = Host::new();
    let own = Own::new();
    set(&["above/own", "pids.max=1"]).ok();
    let mut forker = own.start("for i in 1 2 3; do sleep 0 & done 2>/dev/null");
    wait_until("a refused fork", || own.count("pids.events", "max") > 0);
    forker.wait().unwrap();
    set(&["above/own", "pids.max=max"]).ok();

    let mut spinner = own.start("exec ringfence load cpu");
    let before = own.count("cpu.stat", "nr_throttled");
    assert_eq!(set(&["above/own", "cpu.max=10%"]).code, 0);
    wait_until("throttling", || {
        own.count("cpu.stat", "nr_throttled") > before + 5
    });
    spinner.kill().unwrap();
    spinner.wait().unwrap();
    set(&["above/own", "cpu.max=max"]).ok();

    set(&["above/own", "io.max=/dev/vda:wbps=1m"]).ok();
    let start = Instant::now();
    let mut writer =
        own.start("dd if=/dev/zero of=/limits-io bs=64k count=48 conv=fsync 2>/dev/null");
    assert!(writer.wait().unwrap().success());
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    fs::remove_file("/limits-io").unwrap();
}

#[test]
fn all_or_none() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.high", "33554432");
    own.write("cpu.max", "50000 100000");
    own.write("cpu.max.burst", "40000");
    // The kernel's refusal of the second is not foreseen.
    let wishes = ["memory.high=64m", "cpu.max=20%", "pids.max=9"];
    let done = set(&[&["above/own"][..], &wishes].concat());
    done.fails(
        125,
        &[
            "the kernel refused `20000 100000` for cpu.max",
            "cpu.max.burst",
            "nothing was changed",
        ],
    );
    for (file, text) in [
        ("memory.high", "33554432"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "max"),
    ] {
        assert_eq!(own.read(file), text, "{file}");
    }
    // Being idle for a moment must not cost the weight.
    own.write("cpu.weight", "300");
    set(&["above/own", "cpu.idle=1", "io.weight=/dev/vda:200"]).fails(
        125,
        &[
            "weights are not in force",
            "enable=1",
            "nothing was changed",
        ],
    );
    assert_eq!(
        (own.read("cpu.idle"), own.read("cpu.weight")),
        ("0".into(), "300".into())
    );
}

#[test]
fn disks_are_found_or_named() {
    let _host = Host::new();
    let own = Own::new();
    let vdb = device("vdb");
    let done = set(&["above/own", "io.max=/dev/vdb1:wbps=1m"]);
    done.fails(0, &["/dev/vdb1 is a partition", "the limit is on vdb"]);
    assert_eq!(done.stdout, "/above/own\nio.max vdb  wbps=max → wbps=1M\n");
    let rates = format!("io.max={vdb}:riops=10");
    set(&["above/own", &rates]).ok();
    assert_eq!(
        own.read("io.max"),
        format!("{vdb} rbps=max wbps=1048576 riops=10 wiops=max")
    );
    for (disk, why) in [
        ("/dev/nosuch", "no device /dev/nosuch"),
        ("/dev/null", "neither a block device"),
        ("99:9", "the kernel knows no block device 99:9"),
    ] {
        let rates = format!("io.max={disk}:wbps=1m");
        set(&["above/own", &rates, "pids.max=5"]).fails(125, &["nothing was changed", why]);
        assert_eq!(own.read("pids.max"), "max");
    }
}

#[test]
fn what_cannot_be_is_one_sentence() {
    let host = Host::new();
    let own = Own::new();
    let fails = |done: Done, code, words: &[&str]| {
        done.fails(code, words);
        assert_eq!(
            (&*done.stdout, done.stderr.lines().count()),
            ("", 1),
            "{done:?}"
        );
    };
    fails(
        set(&["/", "pids.max=5"]),
        125,
        &["the root cgroup is the host itself"],
    );
    fails(set(&["nosuch", "pids.max=5"]), 125, &["no cgroup `nosuch`"]);
    fails(
        set(&["own", "pids.max=5", "pids.max=6"]),
        125,
        &["pids.max is given twice"],
    );
    fails(
        set(&["own", "pids.max=5", "--persist"]),
        125,
        &["no unit of systemd's"],
    );
    let mut user = command(&["own", "pids.max=5"]);
    user.env("HOME", "/");
    fails(
        as_user(user),
        125,
        &["owner, root mostly", "nothing was changed"],
    );
    // Controllers that are not handed down: both places are named.
    fs::create_dir_all(own.dir.join("a/b")).unwrap();
    let words = [
        "write +memory to /sys/fs/cgroup/above/own/cgroup.subtree_control",
        "then to /sys/fs/cgroup/above/own/a/cgroup.subtree_control",
    ];
    fails(set(&["above/own/a/b", "memory.max=64m"]), 125, &words);
    let done = set(&["own", "cpuset.cpus=0,77"]);
    done.fails(125, &["this host has no CPU 77"]);
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", how, MOUNT]).status().unwrap().success());
    };
    remount("remount,ro");
    let done = set(&["own", "pids.max=5"]);
    remount("remount,rw");
    fails(done, 125, &["mounted read-only", "nothing was changed"]);
    assert_eq!(own.read("pids.max"), "max");
    drop(own);
    host.assert_clean("refusals");
}

#[test]
fn a_cgroup_that_vanishes_is_told() {
    let _host = Host::new();
    let own = Own::new();
    let cgroup = Cgroup::open(&own.dir).unwrap();
    fs::remove_dir(&own.dir).unwrap();
    // One of the same name is another.
    fs::create_dir(&own.dir).unwrap();
    let write = Write {
        address: Knob::PidsMax.into(),
        old: KnobValue::from_words(Knob::PidsMax, "max").unwrap(),
        new: KnobValue::from_words(Knob::PidsMax, "5").unwrap(),
    };
    let refused = apply(&cgroup, Path::new(MOUNT), &[write]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/sys/fs/cgroup/above/own vanished meanwhile; nothing was changed"
    );
    assert_eq!(own.read("pids.max"), "max");
    fs::remove_dir(&own.dir).unwrap();
    let knobs = [(Knob::PidsMax.into(), None)];
    let refused = Sheet::read(Path::new(MOUNT), Path::new("above/own"), knobs).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/above/own vanished meanwhile; nothing was changed"
    );
}

#[test]
fn a_workloads_new_limit_outlives_its_restarts() {
    let host = Host::new();
    let spec = r#"{"name": "phoenix", "memory": "32m", "restart": "on-failure", "stop-timeout": 1,
        "command": ["sh", "-c", "sleep 1; tail /dev/zero"]}"#;
    let mut supervisor = host.supervise(spec);
    let leaf = Path::new(MOUNT).join("ringfence.slice/phoenix");
    let mut next = |report: &str| loop {
        let line = supervisor.next_report();
        if line.starts_with(&format!("{{\"report\":\"{report}\"")) {
            break line;
        }
    };
    let first = next("oom-kill");
    assert!(first.contains(&(32 << 20).to_string()), "{first}");
    next("restarting");
    set(&["phoenix", "memory.max=24m"]).ok();
    for _ in 0..2 {
        let later = next("oom-kill");
        assert!(later.contains(&(24 << 20).to_string()), "{later}");
        next("restarting");
        assert_eq!(read(leaf.join("memory.max")), (24 << 20).to_string());
    }
    supervisor.stop();
}

/// What is not foreseen: each leaves the old value, and the errno is in words.
#[test]
fn the_kernels_own_refusals_are_said_in_words() {
    let _host = Host::new();
    let own = Own::new();
    let cgroup = Cgroup::open(&own.dir).unwrap();
    let mount = Path::new(MOUNT);
    let write = |address: Address, old: &str, new: KnobValue| Write {
        address,
        old: KnobValue::parse(address, old.as_bytes()).unwrap(),
        new,
    };
    let refused = |write: Write| apply(&cgroup, mount, &[write]).unwrap_err().to_string();
    own.write("cpu.idle", "1");
    let weight = KnobValue::from_words(Knob::CpuWeight, "300").unwrap();
    let why = refused(write(Knob::CpuWeight.into(), "100", weight));
    assert!(
        why.contains("an idle cgroup (cpu.idle is 1) has no weight"),
        "{why}"
    );
    let disk = |device: &str| Address {
        knob: Knob::IoMax,
        device: Some(device.parse().unwrap()),
    };
    let rates = |wbps| {
        KnobValue::IoMax(IoMax {
            wbps: Limit::At(wbps),
            ..IoMax::default()
        })
    };
    let why = refused(write(disk("99:7"), "", rates(1 << 20)));
    assert!(why.contains("it knows no whole disk 99:7"), "{why}");
    let why = refused(write(disk(&device("vda")), "", rates(0)));
    assert!(why.contains("out of its range"), "{why}");
    assert!(
        why.contains("nothing was changed") && !why.contains('\n'),
        "{why}"
    );
    assert_eq!(
        (own.read("io.max"), own.read("cpu.idle")),
        (String::new(), "1".into())
    );
}

/// A process with nine tenths of a CPU reserved, in the cgroup at `dir`.
fn reserve_a_cpu(dir: &Path) -> Child {
    const SECOND: u64 = 1_000_000_000;
    let procs = dir.join("cgroup.procs");
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let enter = move || {
        fs::write(&procs, "0")?;
        // SAFETY: all zeroes is a valid `sched_attr`, which is numbers only.
        let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
        attr.size = u32::try_from(size_of::<libc::sched_attr>()).unwrap();
        attr.sched_policy = u32::try_from(libc::SCHED_DEADLINE).unwrap();
        attr.sched_runtime = SECOND / 10 * 9;
        attr.sched_deadline = SECOND;
        attr.sched_period = SECOND;
        // SAFETY: the kernel reads as much as `size` says.
        match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: two system calls, between fork and exec of a test.
    unsafe { sleep.pre_exec(enter) };
    sleep.spawn().unwrap()
}

/// EBUSY: two CPUs of a cgroup's own, two tasks that have reserved nearly all of them, and one CPU to be
/// taken away.
#[test]
fn a_cpu_that_is_reserved_cannot_be_taken_away() {
    let _host = Host::new();
    let third = Path::new("/sys/devices/system/cpu/cpu2/online");
    fs::write(third, "1").unwrap();
    fs::write(Path::new(MOUNT).join("cgroup.subtree_control"), "+cpuset").unwrap();
    let dir = Path::new(MOUNT).join("reserved");
    fs::create_dir(&dir).unwrap();
    for (file, text) in [("cpuset.cpus", "1-2"), ("cpuset.cpus.partition", "root")] {
        fs::write(dir.join(file), text).unwrap();
    }
    assert_eq!(read(dir.join("cpuset.cpus.partition")), "root");
    let mut tasks = [reserve_a_cpu(&dir), reserve_a_cpu(&dir)];
    let done = set(&["/reserved", "cpuset.cpus=1"]);
    let dry = set(&["/reserved", "cpuset.cpus=1", "--dry-run"]);
    let cpus = read(dir.join("cpuset.cpus"));
    for task in &mut tasks {
        task.kill().unwrap();
        task.wait().unwrap();
    }
    // Once nobody holds it, it can.
    let after = set(&["/reserved", "cpuset.cpus=1"]);
    let taken = read(dir.join("cpuset.cpus"));
    fs::write(dir.join("cpuset.cpus.partition"), "member").unwrap();
    fs::remove_dir(&dir).unwrap();
    fs::write(third, "0").unwrap();
    done.fails(
        125,
        &[
            "the kernel refused `1` for cpuset.cpus: it is in use",
            "SCHED_DEADLINE",
            "nothing was changed",
        ],
    );
    assert_eq!((cpus.as_str(), dry.code), ("1-2", 0));
    assert_eq!((after.code, taken.as_str()), (0, "1"), "{after:?}");
}
