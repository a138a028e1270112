//! Capabilities and the filter of system calls.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::Host;

/// The sets in `/proc/self/status`, as numbers in hexadecimal.
const SETS: &str = "sed -n 's/^Cap\\(Inh\\|Prm\\|Eff\\|Bnd\\|Amb\\):\\t//p' /proc/self/status";

/// docker's default set: `capsh --decode=a80425fb` has the names.
const DOCKERS: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

fn sets(host: &Host, flags: &[&str]) -> Vec<String> {
    let done = host.sh(flags, SETS).ok();
    done.lines().map(str::to_owned).collect()
}

#[test]
fn b53_capabilities_are_dockers_and_exact_on_request() {
    let host = Host::new();
    assert_eq!(sets(&host, &[]), [NONE, DOCKERS, DOCKERS, DOCKERS, NONE]);
    let net_admin = "0000000000001000";
    assert_eq!(
        sets(&host, &["--cap-drop", "all", "--cap-add", "CAP_NET_ADMIN"]),
        [NONE, net_admin, net_admin, net_admin, NONE]
    );
    assert_eq!(sets(&host, &["--cap-drop", "ALL"]), [NONE; 5]);
    let no_raw = "00000000a80405fb";
    assert_eq!(
        sets(&host, &["--init", "--cap-drop", "net_raw"]),
        [NONE, no_raw, no_raw, no_raw, NONE]
    );
    // They are what it takes, and without them it is not done.
    let link = "ip link set lo mtu 1400 2>&1 && echo made; true";
    assert!(!host.sh(&[], link).ok().contains("made"));
    assert!(
        host.sh(&["--cap-add", "NET_ADMIN"], link)
            .ok()
            .contains("made")
    );
}

#[test]
fn b54_an_unknown_capability_is_refused() {
    let host = Host::new();
    for flag in ["--cap-add", "--cap-drop"] {
        host.run(&[flag, "CAP_EVERYTHING"], &["true"])
            .fails(2, &["`CAP_EVERYTHING` is no capability"]);
    }
}

#[test]
fn b56_a_filter_is_on_and_what_it_denies_gives_eperm() {
    let host = Host::new();
    let mode =
        "grep -E '^(Seccomp|Seccomp_filters):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";
    assert_eq!(host.sh(&[], mode).ok(), "Seccomp:2 Seccomp_filters:2");
    assert_eq!(
        host.sh(&["--init"], mode).ok(),
        "Seccomp:2 Seccomp_filters:2"
    );
    let off = ["--security-opt", "seccomp=unconfined"];
    assert_eq!(host.sh(&off, mode).ok(), "Seccomp:0 Seccomp_filters:0");
    // Not for lack of a capability: any process may leave its uts namespace's host name alone and have a new one.
    let unshare = "unshare -U true && echo had";
    let denied = host.sh(&[], unshare);
    assert!(
        denied.stderr.contains("Operation not permitted"),
        "{denied:?}"
    );
    assert_eq!(host.sh(&off, unshare).ok(), "had");
    // PID 1 with --init is fenced as well.
    let init = "sed -n 's/^Seccomp:\\t//p' /proc/1/status";
    assert_eq!(host.sh(&["--init"], init).ok(), "2");
}

#[test]
fn b56_a_profile_of_ones_own() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("profile.json");
    let option = format!("seccomp={}", path.display());
    let flags = ["--security-opt", &*option];
    fs::write(
        &path,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}]}"#,
    )
    .unwrap();
    let done = host.sh(&flags, "mkdir /d");
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
    fs::write(&path, r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#).unwrap();
    host.run(&flags, &["true"])
        .fails(125, &["cannot use the seccomp profile", "SCMP_ACT_MAYBE"]);
    fs::write(&path, b"\x7fELF\0\xff").unwrap();
    host.run(&flags, &["true"])
        .fails(125, &["the seccomp profile", "UTF-8"]);
    // Whoever may execute nothing cannot become the program.
    fs::write(
        &path,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"}]}"#,
    )
    .unwrap();
    host.run(&flags, &["true"])
        .fails(126, &["true: cannot be executed: Operation not permitted"]);
    host.run(&["--security-opt", "apparmor=x"], &["true"])
        .fails(2, &["`apparmor=x` is no security option"]);
    host.run(&["--security-opt", "seccomp=/no/such"], &["true"])
        .fails(
            125,
            &["cannot read the seccomp profile /no/such: No such file"],
        );
}

#[test]
fn b58_nested_user_namespaces_are_blocked_unless_asked_for() {
    let host = Host::new();
    let nest = "unshare -U cat /proc/self/uid_map >/dev/null && echo nested";
    for flags in [&[][..], &["--cap-drop", "ALL"]] {
        assert_eq!(host.sh(flags, nest).stdout, "", "{flags:?}");
    }
    // clone3 hides its flags from a filter, so it is not there, and nobody misses it.
    assert_eq!(host.sh(&["--cap-add", "SYS_ADMIN"], nest).ok(), "nested");
}

#[test]
fn a_device_can_be_used_but_its_node_stays_the_hosts() {
    const NODES: &str = "null zero full random urandom tty";
    let host = Host::new();
    let nodes = || {
        NODES.split(' ').map(|node| {
            let meta = fs::metadata(format!("/dev/{node}")).unwrap();
            (node, meta.mode(), meta.uid(), meta.gid())
        })
    };
    let before: Vec<_> = nodes().collect();
    let script = format!(
        "cd /dev; for node in {NODES}; do chmod 604 $node && echo mode of $node; chown 7:7 $node && echo owner of $node; \
         touch $node && echo times of $node; done 2>/dev/null; \
         chmod 604 /proc/kcore 2>/dev/null && echo mode of a mask; echo x >null; head -c 4 zero | wc -c"
    );
    for flags in [&[][..], &["--userns", "host"], &["--privileged"]] {
        let done = host.sh(flags, &script);
        assert_eq!((done.code, &*done.stdout), (0, "4\n"), "{done:?}");
        assert!(nodes().eq(before.iter().copied()), "{flags:?}");
    }
}

#[test]
fn privileged_says_what_it_gives_up() {
    let host = Host::new();
    let script = format!("{SETS} | sed -n 4p; grep -q ' /proc/' /proc/self/mountinfo || echo bare");
    let done = host.sh(&["--privileged"], &script);
    done.fails(
        0,
        &["privileged: every capability", "no filter of system calls"],
    );
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[1..], ["bare"]);
    assert!(lines[0].ends_with("1ffffffffff"), "{lines:?}");
}

#[test]
fn the_hosts_network_reaches_a_server_on_its_loopback() {
    let host = Host::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(b"hello\n").unwrap();
    });
    let ask = format!("nc 127.0.0.1 {port} </dev/null");
    assert_ne!(host.sh(&[], &ask).code, 0);
    let done = host.sh(
        &["--net", "host"],
        &format!("{ask}; ls /sys/class/net; ls /sys/fs/cgroup | grep -c slice"),
    );
    assert!(done.stdout.starts_with("hello\n"), "{done:?}");
    assert!(
        done.stdout.contains("lo\n") && done.stdout.ends_with("\n0\n"),
        "{done:?}"
    );
    answer.join().unwrap();
    // Its /sys is the host's, and cannot be written.
    let done = host.sh(
        &["--net", "host"],
        "echo 1 >/sys/kernel/mm/ksm/run; touch /sys/fs/cgroup/x",
    );
    assert_eq!(
        done.stderr.matches("Read-only file system").count(),
        2,
        "{done:?}"
    );
}
