//! A network through Debian's pasta, as root, in the Debian guest: `cargo xtask test vm_pasta`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Host, wait_until};

/// Answers each connection to port 80 with a word.
const SERVER: &str = "echo ready; exec perl -MIO::Socket::INET -e '
    my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die \"$!\";
    while (my $client = $server->accept) { print $client \"inside\\n\"; close $client }'";

/// The guest has no network. Pasta wants one to copy: an interface with a way out, which leads nowhere.
struct Uplink;

impl Uplink {
    const GATEWAY: &str = "10.0.9.1";

    fn new() -> Self {
        for line in [
            "link add up0 type veth peer name up1",
            "addr add 10.0.9.2/24 dev up0",
            "link set up0 up",
            "link set up1 up",
            "route add default via 10.0.9.1",
        ] {
            let status = Command::new("ip").args(line.split(' ')).status().unwrap();
            assert!(status.success(), "ip {line}");
        }
        Self
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", "up0"]).status();
    }
}

/// A server on the host's loopback that says one word to whoever comes.
fn server_on_loopback() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.and_then(|mut client| client.write_all(b"outside\n"));
        }
    });
    port
}

fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn inspect(host: &Host, name: &str) -> serde_json::Value {
    let all = host.verb(&["inspect", "--json", name]).ok();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    all[0].clone()
}

fn carriers() -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("passt"))
    })
    .collect()
}

#[test]
fn b60_pasta_reaches_a_server_on_the_hosts_loopback() {
    let _uplink = Uplink::new();
    let host = Host::new();
    let port = server_on_loopback();
    let gateway = Uplink::GATEWAY;
    let script = format!("exec 3<>/dev/tcp/{gateway}/{port}; cat <&3");
    let pasta = ["--net", "pasta"];
    assert_eq!(host.run(&pasta, &["bash", "-c", &script]).ok(), "outside");
    // Its own network all the same: the host's loopback is not its own.
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    assert_ne!(host.run(&pasta, &["bash", "-c", &script]).code, 0);
    let links = host.run(&pasta, &["ip", "-brief", "link"]).ok();
    assert!(
        links.contains("lo ") && links.contains("up0 ") && !links.contains("up1"),
        "{links}"
    );
    // And without it, nothing is reached.
    let script = format!("exec 3<>/dev/tcp/{gateway}/{port}; cat <&3");
    assert_ne!(host.run(&[], &["bash", "-c", &script]).code, 0);
    assert_eq!(carriers(), [0; 0]);
}

#[test]
fn a_published_port_leads_inside() {
    let _uplink = Uplink::new();
    let host = Host::new();
    let flags = [
        "--net",
        "pasta",
        "-p",
        "127.0.0.1:8081:80",
        "-p",
        "8082:80",
        "-p",
        "5353:53/udp",
        "-m",
        "64m",
    ];
    host.detach("web", &flags, SERVER);
    for port in [8081, 8082] {
        wait_until("an answer", || ask(port).as_deref() == Some("inside\n"));
    }
    // Datagrams arrive too.
    let receive = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => q(udp)) or die; \
                   print qq(bound\n); $| = 1; $s->recv(my $word, 100); print $word";
    let inner = Command::new(support::binary())
        .args(["exec", "web", "perl", "-e", receive])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listens = || {
        let sockets = host.verb(&["exec", "web", "cat", "/proc/net/udp"]).stdout;
        sockets.contains(":0035 ")
    };
    wait_until("the listener", listens);
    socket
        .send_to(b"datagram", (Ipv4Addr::LOCALHOST, 5353))
        .unwrap();
    let heard = inner.wait_with_output().unwrap();
    assert!(
        String::from_utf8_lossy(&heard.stdout).contains("datagram"),
        "{heard:?}"
    );
    // It counts against none of the workload's limits.
    let leaf = inspect(&host, "web")["cgroup"].as_str().unwrap().to_owned();
    let leaf = fs::read_to_string(format!("/sys/fs/cgroup{leaf}/cgroup.procs")).unwrap();
    assert_eq!(leaf.lines().count(), 1);
    let carrier = carriers();
    assert_eq!(carrier.len(), 1);
    assert!(!leaf.lines().any(|pid| pid == carrier[0].to_string()));
    assert!(
        host.verb(&["inspect", "web"])
            .ok()
            .contains("ports 127.0.0.1:8081:80 8082:80 5353:53/udp")
    );
    // A restart connects it again.
    host.verb(&["restart", "-t", "0", "web"]).ok();
    wait_until("an answer", || ask(8082).as_deref() == Some("inside\n"));
    // Another one cannot have the port, and says so.
    let taken = host.run(&["--net", "pasta", "-p", "8082:80"], &["true"]);
    taken.fails(125, &["no network: pasta says:", "8082"]);
    host.verb(&["rm", "-f", "web"]).ok();
    assert_eq!(carriers(), [0; 0]);
}

#[test]
fn it_ends_with_a_supervisor_that_was_killed() {
    let _uplink = Uplink::new();
    let host = Host::new();
    host.detach("web", &["--net", "pasta", "--rm"], "sleep 1000");
    assert_eq!(carriers().len(), 1);
    let supervisor = inspect(&host, "web")["supervisor"]["pid"].as_i64().unwrap();
    kill(
        Pid::from_raw(supervisor.try_into().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    host.verb(&["ps"]).fails(0, &["its supervisor was killed"]);
    assert_eq!(carriers(), [0; 0]);
}

#[test]
fn what_it_needs_is_said() {
    let host = Host::new();
    // The guest has no network of its own.
    host.run(&["--net", "pasta"], &["true"])
        .fails(125, &["no network: pasta says:"]);
    host.run(&["-p", "80:80"], &["true"])
        .fails(125, &["port 80:80", "--net pasta"]);
    host.run(&["--net", "pasta", "-p", "80"], &["true"])
        .fails(2, &["lacks one of its ports"]);
    let mut without = host.command(&["--net", "pasta"], &["true"]);
    without.env("PATH", "/nowhere");
    let kept = support::mount(&["--bind", "/dev/null", "/usr/bin/pasta"]);
    let done: support::Done = without.output().unwrap().into();
    drop(kept);
    done.fails(125, &["pasta", "apt install passt"]);
}
