//! Attacks on the host from within a workload, as root in it: `cargo xtask test escapes`. Each is tried within every
//! combination of flags that gives something up, and judged by what changed outside where that can be seen, else by
//! whether the kernel did it. `cargo xtask test escapes -- --nocapture` prints the table.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

#[path = "vm_escapes/attack.rs"]
mod attack;
#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use attack::{ATTACKS, Attack, Outside};
use support::dashboard::Dashboard;
use support::{Host, binary, read, wait_until};

/// What gives something up, and what it is called in the table.
const FLAGS: [(&str, &[&str]); 8] = [
    ("default", &[]),
    ("userns-host", &["--userns", "host"]),
    ("sys-admin", &["--cap-add", "SYS_ADMIN"]),
    ("unconfined", &["--security-opt", "seccomp=unconfined"]),
    ("net-host", &["--net", "host"]),
    ("inherit", &["--stdio", "inherit"]),
    ("privileged", &["--privileged"]),
    ("all", &["--privileged", "--userns", "host"]),
];

/// Runs all attacks in one workload, and gives those that succeeded.
fn succeeded(host: &Host, flags: &[&str]) -> BTreeSet<&'static str> {
    let before: Vec<Option<String>> = ATTACKS.iter().map(Attack::look).collect();
    let myself = std::env::current_exe().unwrap();
    let flags = [
        flags,
        &["--name", "attacker", "-m", "64m", "-e", "ATTACK=1"],
    ]
    .concat();
    let command = [
        myself.to_str().unwrap(),
        "attacker",
        "--exact",
        "--nocapture",
    ];
    let mut run = host.command(&flags, &command);
    let mut child = run
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told: BTreeSet<String> = BTreeSet::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        println!("    {line}");
        if line == "done" {
            break;
        }
        told.extend(line.strip_suffix(": succeeded").map(str::to_owned));
    }
    // While it is there.
    let after: Vec<Option<String>> = ATTACKS.iter().map(Attack::look).collect();
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    let mut succeeded = BTreeSet::new();
    for ((attack, before), after) in ATTACKS.iter().zip(before).zip(after) {
        let has = match &attack.outside {
            Outside::State { .. } => before != after,
            Outside::Unseen => told.contains(attack.name),
        };
        if has {
            succeeded.insert(attack.name);
        }
        if let (Outside::State { restore, .. }, Some(before)) = (&attack.outside, before) {
            restore(&before);
        }
    }
    succeeded
}

/// What runs inside; on its own it does nothing.
#[test]
fn attacker() {
    if std::env::var_os("ATTACK").is_none() {
        return;
    }
    // The first line is libtest's, which ends where it likes.
    println!();
    for attack in &ATTACKS {
        match (attack.run)() {
            Ok(()) => println!("{}: succeeded", attack.name),
            Err(error) => println!("{}: {error}", attack.name),
        }
    }
    println!("done");
    let _ = io::stdin().read(&mut [0]);
}

#[test]
fn nothing_gets_out_and_each_opt_out_opens_only_what_it_says() {
    let host = Host::new();
    let server = attack::Loopback::listen();
    let mut wrong = Vec::new();
    for (name, flags) in FLAGS {
        println!("{name}:");
        let found = succeeded(&host, flags);
        let expected: BTreeSet<&str> = ATTACKS
            .iter()
            .filter(|attack| attack.opened_by.contains(&name))
            .map(|attack| attack.name)
            .collect();
        for attack in found.symmetric_difference(&expected) {
            let verb = if found.contains(attack) {
                "gets out"
            } else {
                "does not work"
            };
            wrong.push(format!("{attack} {verb} with {name}"));
        }
    }
    drop(server);
    println!("{:24} {}", "", FLAGS.map(|(name, _)| name).join(" "));
    for attack in &ATTACKS {
        let cells = FLAGS.map(|(name, _)| {
            let word = if attack.opened_by.contains(&name) {
                "OPEN"
            } else {
                "-"
            };
            format!("{word:^width$}", width = name.len())
        });
        println!("{:24} {}", attack.name, cells.join(" "));
    }
    assert_eq!(wrong, [""; 0], "{wrong:#?}");
}

/// A host's own copy may lack it; then ids are what holds.
#[test]
fn limits_hold_without_nsdelegate_where_root_is_not_the_hosts() {
    let host = Host::new();
    // Not by mount(8), which adds the options that were there.
    let remount = |options: &str| {
        let (at, none) = ("/sys/fs/cgroup", None::<&str>);
        mount(none, at, none, MsFlags::MS_REMOUNT, Some(options)).unwrap();
    };
    remount("memory_recursiveprot");
    let doctor = host.verb(&["doctor"]).stdout;
    let found = FLAGS.map(|(name, flags)| (name, succeeded(&host, flags)));
    remount("nsdelegate,memory_recursiveprot");
    assert!(doctor.contains("without nsdelegate"), "{doctor}");
    assert!(!host.verb(&["doctor"]).stdout.contains("without nsdelegate"));
    for (name, found) in found {
        let lifted = found.contains("own memory.max");
        assert_eq!(lifted, name == "all", "{name}");
    }
}

/// CVE-2019-5736: what an exec starts is a script whose interpreter is whoever starts it, so that the launcher's binary
/// is at hand inside. Where ids are the host's, what holds is that nobody may write to a program that runs, as its
/// supervisor does for as long as the workload.
#[test]
fn the_binary_cannot_be_overwritten_through_who_joins() {
    let host = Host::new();
    let ringfence = fs::canonicalize(binary()).unwrap();
    let before = fs::read(&ringfence).unwrap();
    let myself = std::env::current_exe().unwrap();
    let mut held = 0;
    for flags in [
        &[][..],
        &["--userns", "host"],
        &["--privileged"],
        &["--privileged", "--userns", "host"],
    ] {
        let script = format!(
            "printf '#!/proc/self/exe\\n' >/bin/trap; chmod 755 /bin/trap; exec {} overwriter --exact --nocapture",
            myself.display()
        );
        let flags = [&["-d", "--name", "owner", "-e", "OVERWRITE=1"], flags].concat();
        assert_eq!(host.sh(&flags, &script).code, 0);
        for _ in 0..10 {
            let mut exec = Command::new(binary());
            exec.args(["exec", "owner", "/bin/trap"]);
            // It ends in some failure or other: a help text, a program that cannot be executed.
            let exec = exec
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            exec.status().unwrap();
        }
        let said = host.verb(&["logs", "owner"]).stdout;
        held += said.matches("held").count();
        assert!(fs::read(&ringfence).unwrap() == before, "{flags:?}: {said}");
        println!("{flags:?}: {said}");
        host.verb(&["rm", "-f", "owner"]);
    }
    assert!(held > 0, "the attack was never near");
}

/// What runs inside.
#[test]
fn overwriter() {
    if std::env::var_os("OVERWRITE").is_none() {
        return;
    }
    let own = fs::read_link("/proc/self/exe").unwrap();
    loop {
        for pid in 1..200 {
            let path = format!("/proc/{pid}/exe");
            let other = fs::read_link(&path).is_ok_and(|exe| exe != own);
            let Some(file) = other.then(|| File::open(&path).ok()).flatten() else {
                continue;
            };
            let name = fs::read_link(&path).unwrap_or_default();
            if !name.ends_with("ringfence") {
                continue;
            }
            println!("held {}", name.display());
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            // Nobody may write to what is being executed.
            let mut told = String::new();
            for _ in 0..50 {
                match OpenOptions::new().write(true).open(&again) {
                    Ok(mut open) => {
                        let written = open.write_all(b"overwritten");
                        told = format!("opened: {written:?}");
                        break;
                    }
                    Err(error) => told = error.to_string(),
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            println!("{told}");
        }
    }
}

/// What whoever started ringfence had open.
#[test]
fn no_descriptor_comes_in() {
    let host = Host::new();
    let open: Vec<File> = ["/proc/1/ns/mnt", "/proc/1/ns/pid", "/", "/etc/passwd"]
        .iter()
        .map(|path| File::open(path).unwrap())
        .collect();
    let fds: Vec<i32> = open.iter().map(File::as_raw_fd).collect();
    let keep = move || {
        for fd in &fds {
            // SAFETY: it is open; the flag is cleared for exec.
            let flag = unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) };
            Errno::result(flag)?;
        }
        Ok(())
    };
    let mut run = host.command(
        &["--init"],
        &[
            "sh",
            "-c",
            "cd /proc/1/fd 2>/dev/null && ls; ls /proc/self/fd; ls /proc/$$/fd",
        ],
    );
    // SAFETY: between fork and exec only descriptors are touched.
    unsafe { run.pre_exec(keep) };
    let told = support::Done::from(run.output().unwrap());
    // `ls` has the directory open that it lists, too.
    assert_eq!(
        told.stdout.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3", "0", "1", "2", "3"],
        "{told:?}"
    );
}

#[test]
fn links_in_a_root_lead_nowhere() {
    let host = Host::new();
    let victim = tempfile::tempdir_in("/root").unwrap();
    for name in ["proc", "sys", "dev"] {
        let root = tempfile::tempdir_in("/root").unwrap();
        for dir in ["bin", "etc", "proc", "sys", "dev"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        fs::copy("/bin/busybox", root.path().join("bin/busybox")).unwrap();
        fs::remove_dir(root.path().join(name)).unwrap();
        std::os::unix::fs::symlink(victim.path(), root.path().join(name)).unwrap();
        let flags = ["--rootfs", root.path().to_str().unwrap()];
        let done = host.run(&flags, &["/bin/busybox", "true"]);
        done.fails(125, &[&format!("/{name} of the root file system")]);
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }
}

/// Even where the kernel lets a program type for its user, it is its own terminal that it types on.
#[test]
fn nothing_can_be_typed_on_the_terminal_outside() {
    let _host = Host::new();
    let myself = std::env::current_exe().unwrap();
    let _ = fs::write("/proc/sys/dev/tty/legacy_tiocsti", "1");
    for flags in ["", "-T", "--privileged --userns host"] {
        let script = format!(
            "{} run {flags} -e TYPE=1 -- {} typist --exact --nocapture; read -t 2 line; echo \"typed <$line>\"",
            binary().display(),
            myself.display()
        );
        let terminal = Dashboard::run("/bin/sh", &["-c", &script]);
        terminal.wait_for("typed <");
        let screen = terminal.contents();
        assert!(screen.contains("typed <>"), "{flags}: {screen}");
        assert!(screen.contains("typist:"), "{flags}: {screen}");
        terminal.end();
    }
}

/// What runs inside.
#[test]
fn typist() {
    if std::env::var_os("TYPE").is_none() {
        return;
    }
    for path in [
        "/dev/tty",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
    ] {
        let done = attack::type_on(path, "echo owned\n");
        println!("typist: {path} {done:?}");
    }
}

/// The kernel clears the parent-death signal of a process that changes its user. It ends with its launcher all the same.
#[test]
fn nothing_outlives_a_killed_launcher() {
    let host = Host::new();
    let script = "echo ready; exec su -s /bin/sh user -c 'echo changed; exec sleep 1000'";
    for (name, flags) in FLAGS {
        let mut workload = host.start("survivor", flags, script);
        assert_eq!(workload.next_line(), "changed", "{name}");
        assert_eq!(workload.pids().len(), 1, "{name}");
        workload.signal(Signal::SIGKILL);
        wait_until("the end of all", || {
            workload.read("cgroup.procs").is_empty()
        });
        assert_eq!(workload.finish().code, 137, "{name}");
        let next = host.run(&[], &["true"]);
        next.fails(0, &["survivor: its supervisor was killed"]);
        host.assert_clean(name);
    }
}

/// Setting a user id gains nothing outside, and other users' processes are not theirs.
#[test]
fn processes_outside_are_out_of_reach() {
    let host = Host::new();
    let mut outside = Command::new("sleep").arg("1000").spawn().unwrap();
    let script = "kill -9 -1; kill -9 1; sleep 0.1; ls -d /proc/[0-9]* | wc -l; \
                  for at in /proc/[0-9]*; do readlink $at/root; done | sort -u";
    for (name, flags) in FLAGS {
        let done = host.sh(flags, script);
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines.last(), Some(&"/"), "{name}: {done:?}");
        let seen: u32 = lines[0].parse().unwrap();
        assert!(seen <= 4, "{name}: {done:?}");
        assert!(outside.try_wait().unwrap().is_none(), "{name}");
    }
    outside.kill().unwrap();
    outside.wait().unwrap();
}

/// Files that a workload makes set-user-ID are no way up for a user outside.
#[test]
fn what_is_kept_of_a_workload_has_its_ids_where_they_are_thrown_away() {
    let host = Host::new();
    let mut workload = host.start(
        "maker",
        &[],
        "cp /bin/busybox /bin/up; chmod 6755 /bin/up; echo made; exec sleep 99",
    );
    assert_eq!(workload.line, "made");
    let upper = Path::new("/var/lib/ringfence/scratch/maker/upper/bin/up");
    if let Ok(made) = fs::metadata(upper) {
        assert!(made.uid() >= 65536, "{}", made.uid());
    }
    let scratch = fs::metadata("/var/lib/ringfence/scratch/maker").unwrap();
    assert_eq!(scratch.permissions().mode() & 0o77, 0);
    workload.write("cgroup.kill", "1");
    let _ = workload.next_line();
    workload.finish();
}

/// The kernel's files are as they were: this suite would be worth nothing on a host that it has changed.
#[test]
fn zz_the_host_is_as_it_was() {
    assert_eq!(read("/proc/sys/kernel/core_pattern"), "core");
    let null = fs::metadata("/dev/null").unwrap();
    assert_eq!((null.mode() & 0o777, null.uid()), (0o666, 0));
    let mut file = OpenOptions::new().write(true).open("/dev/null").unwrap();
    file.write_all(b"x").unwrap();
}
