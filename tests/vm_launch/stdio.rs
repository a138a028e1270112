//! What a workload has as stdin, stdout and stderr.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::{Done, Host, binary, end_of, is_full, read, wait_until, with_input};

/// Reads a file through a directory that came in as the input.
fn secret_through_stdin(host: &Host, flags: &[&str]) -> Done {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let script = "ls /proc/self/fd/0/; cat /proc/self/fd/0/secret; true";
    let mut command = host.command(flags, &["sh", "-c", script]);
    command.stdin(File::open(dir.path()).unwrap());
    Done::from(command.output().unwrap())
}

#[test]
fn a_directory_as_input_leads_nowhere() {
    let host = Host::new();
    let done = secret_through_stdin(&host, &[]);
    assert_eq!(done.stdout, "", "{done:?}");
    done.fails(0, &["secret", "Not a directory"]);
    // The launcher's own, for who asks for it: what ids inside may not read, they may not read there either.
    let done = secret_through_stdin(&host, &["--stdio", "inherit"]);
    assert_eq!(done.stdout, "secret\n", "{done:?}");
    done.fails(0, &["secret", "Permission denied"]);
    let done = secret_through_stdin(&host, &["--stdio", "inherit", "--userns", "host"]);
    assert_eq!(done.stdout, "secret\nsecret\n", "{done:?}");
}

#[test]
fn a_file_as_input_is_read_and_never_written() {
    let host = Host::new();
    let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    // Whoever may write to it outside may not inside.
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let script = "read word; echo $word; echo changed >/proc/self/fd/0; chmod 600 /proc/self/fd/0; truncate -s 0 /proc/self/fd/0";
    for (flags, left) in [
        (&[][..], "first\nsecond\n"),
        (&["--userns", "host"], "first\nsecond\n"),
        // The contrast: this is what the pipes are for.
        (&["--stdio", "inherit"], ""),
    ] {
        fs::write(file.path(), "first\nsecond\n").unwrap();
        let mut command = host.command(flags, &["sh", "-c", script]);
        command.stdin(file.reopen().unwrap());
        let done = Done::from(command.output().unwrap());
        assert_eq!(done.stdout, "first\n", "{done:?}");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), left, "{flags:?}");
        let mode = fs::metadata(file.path()).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o666, "{flags:?}");
    }
}

#[test]
fn what_is_not_read_of_a_file_is_left_to_who_reads_next() {
    let host = Host::new();
    let ringfence = binary().display().to_string();
    let script = format!(
        "seq 1 40 >/tmp/lines; while read line; do [ $line -gt 3 ] && break; {ringfence} run -- echo ran $line; done </tmp/lines; \
         {{ {ringfence} run -- sh -c 'read a; echo inside $a'; read b; echo outside $b; }} </tmp/lines"
    );
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    drop(host);
    // `read` takes a byte at a time from a pipe, and gives nothing back.
    let told = Done::from(done).ok();
    assert_eq!(told, "ran 1\nran 2\nran 3\ninside 1\noutside 2");
}

#[test]
fn streams_can_be_opened_again_whatever_they_are_outside() {
    let host = Host::new();
    let script =
        "echo one; echo two >/dev/stdout; echo three; echo four >/dev/stderr; echo five >&2";
    let all = |append: bool, flags: &[&str]| {
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        fs::write(file.path(), "before\n").unwrap();
        let open = OpenOptions::new()
            .write(true)
            .append(append)
            .truncate(!append)
            .open(file.path())
            .unwrap();
        let mut command = host.command(flags, &["sh", "-c", script]);
        command.stdout(open.try_clone().unwrap()).stderr(open);
        assert!(command.status().unwrap().success());
        fs::read_to_string(file.path()).unwrap()
    };
    let said = "one\ntwo\nthree\nfour\nfive\n";
    // Both lead to one file, so the order is kept.
    assert_eq!(all(false, &[]), said);
    assert_eq!(all(true, &["-u", "1000"]), format!("before\n{said}"));
    let done = host.sh(&[], script);
    assert_eq!(
        (&*done.stdout, &*done.stderr),
        ("one\ntwo\nthree\n", "four\nfive\n")
    );
    let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = host.command(&[], &["sh", "-c", script]);
    command
        .stdout(std::os::fd::OwnedFd::from(far))
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut told = String::new();
    near.read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(told, "one\ntwo\nthree\n");
}

#[test]
fn much_goes_in_and_comes_out_whole() {
    let host = Host::new();
    let much: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    fs::write(file.path(), &much).unwrap();
    // From a file, through a pipe, to a pipe, and to a file that is appended to.
    let mut first = host.command(&[], &["cat"]);
    let mut first = first
        .stdin(file.reopen().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let append = OpenOptions::new().append(true).open(out.path()).unwrap();
    let mut second = host.command(&[], &["cat"]);
    second.stdin(first.stdout.take().unwrap()).stdout(append);
    assert!(second.status().unwrap().success());
    assert!(first.wait().unwrap().success());
    assert!(fs::read(out.path()).unwrap() == much);
}

#[test]
fn a_reader_that_leaves_is_a_broken_pipe_inside() {
    let host = Host::new();
    let mut command = host.command(&[], &["sh", "-c", "yes; echo ended with $? >&2"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"y\n");
    assert_eq!(end_of(&mut child), Some(0));
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    // By SIGPIPE.
    assert!(told.contains("ended with 141"), "{told}");
    drop(host);
}

#[test]
fn a_full_disk_is_told_and_is_no_success() {
    let host = Host::new();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = host.command(&[], &["echo", "lost"]);
    let done = Done::from(command.stdout(full()).output().unwrap());
    done.fails(125, &["ringfence: ", "hand on", "No space left"]);
}

#[test]
fn nobody_reads_so_the_workload_waits_and_ringfence_stays_small() {
    let host = Host::new();
    let flags = ["--name", "unread", "-m", "32m"];
    let mut command = host.command(&flags, &["sh", "-c", "trap 'exit 3' TERM; yes & wait"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let procs = "/sys/fs/cgroup/ringfence.slice/unread/cgroup.procs";
    let is_yes = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "yes\n")
    };
    let yes = || {
        let pids = fs::read_to_string(procs).unwrap_or_default();
        pids.lines().find(|pid| is_yes(pid)).map(str::to_owned)
    };
    let unread = child.stdout.as_ref().unwrap();
    // Our pipe first, then the workload's.
    wait_until("full pipes", || {
        is_full(unread)
            && yes().is_some_and(|pid| {
                fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("pipe"))
            })
    });
    let status = read(format!("/proc/{}/status", child.id()));
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(size < 16 * 1024, "{size} kB");
    // And it is stopped although nobody reads what it said.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        Signal::SIGTERM,
    )
    .unwrap();
    wait_until("its end", || {
        !std::path::Path::new(procs).exists() || read(procs).is_empty()
    });
    let mut left = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut left).unwrap();
    // What was in the pipes is not lost.
    assert!(left.len() > 100_000, "{}", left.len());
    assert_eq!(end_of(&mut child), Some(3));
    drop(host);
}

#[test]
fn the_last_words_wait_for_their_reader_and_a_signal_ends_that() {
    let host = Host::new();
    let mut command = host.command(
        &["--name", "talker"],
        &["head", "-c", "120000", "/dev/zero"],
    );
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let launcher = nix::unistd::Pid::from_raw(child.id().cast_signed());
    wait_until("its end", || {
        let procs = fs::read_to_string("/sys/fs/cgroup/ringfence.slice/talker/cgroup.procs");
        let pipe = child
            .stdout
            .as_ref()
            .map(|out| rustix::io::ioctl_fionread(out).unwrap());
        procs.is_ok_and(|pids| pids.is_empty()) && pipe >= Some(60_000)
    });
    nix::sys::signal::kill(launcher, Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    drop(host);
}

#[test]
fn what_was_stopped_does_not_wait_for_a_reader_that_takes_nothing() {
    let host = Host::new();
    // The first pipe holds 65,536 of them, the one to us the rest.
    let script = "trap 'exit 3' TERM; head -c 100000 /dev/zero; while :; do sleep 0.1; done";
    let mut command = host.command(&["--name", "unheard"], &["sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let unread = child.stdout.take().unwrap();
    wait_until("a full pipe", || is_full(&unread));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(end_of(&mut child), Some(3));
    drop(unread);
    drop(host);
}

#[test]
fn the_hosts_null_device_is_never_a_stream() {
    let host = Host::new();
    let script = "for at in 0 1 2; do chmod 600 /proc/self/fd/$at; done; head -c 1 | wc -c >/out; \
                  for at in 0 1 2; do is=$(stat -L -c %t:%T /proc/$$/fd/$at); echo $is >>/out; done";
    for flags in [
        &[][..],
        &["--userns", "host"],
        &["--userns", "host", "--stdio", "inherit"],
    ] {
        let flags = [flags, &["--layer-dir", "/tmp/null-layer"]].concat();
        fs::create_dir_all("/tmp/null-layer").unwrap();
        let mut command = host.command(&flags, &["sh", "-c", script]);
        let status = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let mode = fs::metadata("/dev/null").unwrap().mode() & 0o777;
        assert_eq!(mode, 0o666, "{flags:?}");
        let seen = find("/tmp/null-layer", "out");
        assert_eq!(seen, "0\n1:3\n1:3\n1:3\n", "{flags:?}");
        fs::remove_dir_all("/tmp/null-layer").unwrap();
    }
}

/// The text of the only file of this name.
fn find(dir: &str, name: &str) -> String {
    let found = Command::new("find")
        .args([dir, "-name", name, "-type", "f"])
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    fs::read_to_string(path.trim()).unwrap()
}

#[test]
fn what_joins_has_pipes_too() {
    let host = Host::new();
    host.detach("joined", &[], "exec sleep 1000");
    let exec = |script: &str| {
        let mut exec = Command::new(binary());
        exec.args(["exec", "joined", "sh", "-c", script]);
        exec
    };
    let script = "cat; echo again >/dev/stdout; echo changed >/proc/self/fd/0; exit 4";
    let done = with_input(exec(script), b"in and out\n");
    assert_eq!(
        (&*done.stdout, done.code),
        ("in and out\nagain\n", 4),
        "{done:?}"
    );
    let mut file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    file.write_all(b"kept\n").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = exec("cat; echo changed >/proc/self/fd/0");
    let done = Done::from(command.stdin(file.reopen().unwrap()).output().unwrap());
    assert_eq!(
        (&*done.stdout, &*read(file.path())),
        ("kept\n", "kept"),
        "{done:?}"
    );
    // Who stays behind does not hold it up.
    let done = Done::from(exec("sleep 1000 & echo gone").output().unwrap());
    assert_eq!(done.ok(), "gone");
    host.verb(&["rm", "-f", "joined"]).ok();
}
