//! What is seen and told.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::dashboard::Dashboard;
use super::support::own::Own;
use super::support::{Host, binary, load, read, wait_until};
use super::{bytes, cells, end, ringfence, table};

/// The kernel cuts names after 15 bytes, also within a character.
#[test]
fn case_23_names_are_bytes() {
    let host = Host::new();
    let program = Path::new("/root/process-name-töööö");
    fs::copy(binary(), program).unwrap();
    let script = format!("echo ready; exec {} load sleep", program.display());
    let odd = host.start("odd", &["--unmask", "ALL"], &script);
    let leaf = |file: &str| odd.read(file);
    wait_until("its own name", || {
        let pid = leaf("cgroup.procs");
        fs::read(format!("/proc/{pid}/comm")).unwrap() == b"process-name-t\xc3\n"
    });
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.select("odd");
    let pid = leaf("cgroup.procs");
    dashboard.wait("its pids", |contents| {
        let mut lines = contents.lines();
        lines.any(|line| {
            line.contains(&format!("{pid}       1 ")) && line.contains("/root/process-nam")
        })
    });
    eprintln!("{}", dashboard.contents());
    let inside = ringfence(&["inspect", "odd"]).ok();
    odd.kill();
    fs::remove_file(program).unwrap();
    assert!(inside.contains("capabilities"), "{inside}");
}

/// Lines are ASCII where the locale is.
#[test]
fn case_26_lines_are_ascii_where_the_locale_is() {
    let host = Host::new();
    let _own = Own::new();
    let say = |locale: &str, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.env("LC_ALL", locale).args(arguments);
        let done = command.output().unwrap();
        String::from_utf8([done.stdout, done.stderr].concat()).unwrap()
    };
    let killed = host.run(
        &["-n", "killed", "-m", "16m", "--memory-swap", "16m"],
        &["tail", "/dev/zero"],
    );
    killed.fails(137, &["·"]);
    for arguments in [
        &["set", "above/own", "pids.max=9"][..],
        &["set", "above/own", "memory.max=0"],
        &["get", "above/own"],
        &["doctor"],
        &["events", "--since", "1h", "--duration", "1"],
        &["why", "killed"],
        &["top", "--plain", "--duration", "1"],
        &["top", "nobody…"],
    ] {
        let said = say("C", arguments);
        assert!(!said.is_empty() && said.is_ascii(), "{arguments:?}: {said}");
    }
    assert!(say("C.UTF-8", &["set", "above/own", "pids.max=8"]).contains("9 → 8"));
    assert!(say("C", &["set", "above/own", "pids.max=7"]).contains("8 > 7"));
}

/// Docker's short ids, of any length.
#[test]
fn case_27_the_beginning_of_an_id_will_do() {
    let _host = Host::new();
    let docker = Path::new("/sys/fs/cgroup/docker");
    let id = |start: &str| docker.join(format!("{start}{}", "0".repeat(64 - start.len())));
    let [one, other] = ["abcd12345", "abcd98765"].map(id);
    for path in [&one, &other] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(docker.join("cgroup.subtree_control"), "+pids").unwrap();
    for (short, limit) in [("abcd1", "5"), ("abcd123450000", "6"), ("abcd12", "7")] {
        let done = ringfence(&["set", short, &format!("pids.max={limit}")]);
        assert!(done.stdout.contains("/docker/abcd12345"), "{done:?}");
        // Who would bring the old one back.
        done.fails(0, &["docker could not be told", "its command is not here"]);
        assert_eq!(read(one.join("pids.max")), limit);
    }
    ringfence(&["set", "abcd", "pids.max=8"]).fails(125, &["2 cgroups are called `abcd`"]);
    ringfence(&["set", "abc", "pids.max=8"]).fails(125, &["there is no cgroup `abc`"]);
    for path in [&one, &other, docker] {
        fs::remove_dir(path).unwrap();
    }
}

/// PSI that is switched on again is back at the next look.
#[test]
fn case_28_psi_comes_back() {
    let _host = Host::new();
    let own = Own::new();
    let burner = own.start("exec ringfence load cpu --percent 20");
    own.write("cgroup.pressure", "0");
    let mut top = Command::new(binary());
    top.args(["top", "/above/own", "--plain", "--interval", "1"]);
    let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let mut titles: Vec<String> = Vec::new();
    // What each table says of it.
    let mut pressures = lines.map_while(Result::ok).filter_map(|line| {
        let words = || line.split_whitespace().map(str::to_owned);
        if line.starts_with("NAME ") {
            titles = words().collect();
        }
        let at = titles.iter().position(|title| title == "PSI")?;
        line.starts_with("/above/own ")
            .then(|| words().nth(at).unwrap())
    });
    assert_eq!(pressures.by_ref().take(3).collect::<Vec<_>>(), ["-"; 3]);
    own.write("cgroup.pressure", "1");
    let back = pressures.by_ref().position(|psi| psi != "-").unwrap();
    own.write("cgroup.pressure", "0");
    let off = pressures.by_ref().position(|psi| psi == "-").unwrap();
    top.kill().unwrap();
    top.wait().unwrap();
    end(&own, [burner]);
    eprintln!("back after {back} tables, off after {off}");
    // The one that was on its way, and one more for a busy machine.
    assert!(back <= 2 && off <= 2, "{back} {off}");
}

/// The plain table says what memory is made of, and the host's; of an option that is given twice, the last one holds.
#[test]
fn case_35_plain_says_what_memory_is_made_of() {
    let host = Host::new();
    let twice = host.start(
        "twice",
        &["-m", "16m", "-m", "32m"],
        &load("memory --size 8m"),
    );
    assert_eq!(twice.read("memory.max"), (32 << 20).to_string());
    let used = || -> f64 {
        let text = read("/proc/meminfo");
        let size = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
            kib.parse::<f64>().unwrap() * 1024.0
        };
        size("MemTotal:") - size("MemAvailable:")
    };
    let before = used();
    let table = table();
    let after = used();
    let (root, of_twice) = (cells(&table, "/"), cells(&table, "/ringfence.slice/twice"));
    let stat = |key: &str| twice.count("memory.stat", key) as f64;
    let (file, kernel) = (stat("file"), stat("kernel"));
    twice.kill();
    let shown = bytes(&root["MEMORY"]);
    let range = before.min(after) * 0.9..=before.max(after) * 1.1;
    assert!(range.contains(&shown), "{range:?}: {table}");
    for (title, measured) in [("FILE", file), ("KERNEL", kernel)] {
        let shown = bytes(&of_twice[title]);
        assert!(
            (shown - measured).abs() < 1e6,
            "{title} {measured}: {table}"
        );
    }
}

/// What filled the limit is said, also where it is in no process.
#[test]
fn case_22_what_filled_the_limit_is_said() {
    let host = Host::new();
    let done = host.run(
        &["-m", "48m"],
        &["dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=60"],
    );
    let line = done.fails(137, &["OOM", "shmem"]).to_owned();
    let shmem = line.split("shmem ").nth(1).unwrap();
    let size = bytes(shmem.split([' ', ',', ')', ';']).next().unwrap());
    assert!((40e6..51e6).contains(&size), "{line}");
}

/// The terminal is given back for a stop, and taken again after it, whoever asks for it.
#[test]
fn case_24_the_dashboard_is_stopped_and_continued() {
    let _host = Host::new();
    let mut shell = Dashboard::run("sh", &["-i"]);
    shell.keys("exec 2>&1; ringfence top --interval 1\r");
    shell.wait_for("q quit");
    let listed = Command::new("pidof").arg("ringfence").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let pid = Pid::from_raw(listed.trim().parse().expect(&listed));
    for stop in [None, Some(Signal::SIGTSTP), Some(Signal::SIGSTOP)] {
        match stop {
            None => shell.keys("\u{1a}"),
            Some(signal) => kill(pid, signal).unwrap(),
        }
        shell.wait("the shell", |contents| contents.contains("Stopped"));
        if stop != Some(Signal::SIGSTOP) {
            assert!(!shell.ask(vt100::Screen::alternate_screen), "{stop:?}");
        }
        // It echoes, and reads lines.
        shell.keys("echo $((40+2))=42\r");
        shell.wait_for("42=42");
        shell.keys("fg\r");
        shell.wait("the dashboard", |contents| {
            contents.contains("q quit") && !contents.contains("42=42")
        });
        assert!(shell.ask(vt100::Screen::alternate_screen), "{stop:?}");
        // Keys are heard one by one.
        shell.keys("?");
        shell.wait_for("│ KEYS ");
        shell.keys("?");
        shell.wait("the tree", |contents| !contents.contains("│ KEYS "));
    }
    shell.keys("q");
    shell.wait("the shell", |contents| !contents.contains("q quit"));
    shell.keys("exit\r");
    shell.end();
}

/// The mouse can be left to the terminal, so that text can be selected.
#[test]
fn case_25_the_mouse_is_left_to_the_terminal() {
    let _host = Host::new();
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for("q quit");
    let is_taken = |dashboard: &Dashboard| {
        dashboard.ask(|screen| screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None)
    };
    assert!(is_taken(&dashboard));
    dashboard.keys("v");
    wait_until("the mouse to be left", || !is_taken(&dashboard));
    dashboard.keys("v");
    wait_until("the mouse to be taken", || is_taken(&dashboard));
    dashboard.keys("q");
    dashboard.end();
}
