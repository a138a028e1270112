//! Acting from the dashboard, on a real terminal and real workloads: `cargo xtask test vm_dashboard_actions`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;
use std::path::Path;

use ringfence::kernel::cgroup::tree::Cgroup;
use support::dashboard::Dashboard;
use support::{Host, Workload, wait_until};

const WAIT: &str = "echo ready; while :; do sleep 0.05; done";
/// PID 1 and one child that stays.
const TWO: &str = "sleep 1000 & echo ready; wait";

/// A dashboard in which this cgroup is selected.
fn dashboard(name: &str) -> Dashboard {
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.select(name);
    dashboard
}

fn alive(workload: &Workload) -> bool {
    workload.read("cgroup.events").contains("populated 1")
}

fn quit(mut dashboard: Dashboard) {
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn a_kill_names_who_dies_and_waits_for_a_yes() {
    let host = Host::new();
    let victim = host.start("victim", &[], TWO);
    let pids = victim.pids();
    assert_eq!(pids.len(), 2);
    let mut dashboard = dashboard("victim");
    for key in ["x", "\x1b[20~"] {
        dashboard.keys(key);
        dashboard.wait_for("kill the cgroup: 2 processes");
        dashboard.keys("j\r");
        dashboard.wait("the question", |contents| {
            contents.contains("kill /ringfence.slice/victim")
                && contents.contains("Kill 2 processes? (y / n)")
                && pids
                    .iter()
                    .zip(1..)
                    .all(|(pid, inside)| contents.contains(&format!(" {pid} ({inside} inside) s")))
        });
        eprintln!("{}", dashboard.contents());
        dashboard.keys("n");
        dashboard.wait("no question", |contents| !contents.contains("(y / n)"));
        assert!(alive(&victim));
    }
    dashboard.keys("x");
    dashboard.wait_for("kill the cgroup");
    dashboard.keys("j\r");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    assert_eq!(victim.finish().code, 137);
    dashboard.wait_for("killed 2 processes of /ringfence.slice/victim");
    quit(dashboard);
}

#[test]
fn a_stop_tells_of_term_and_of_the_end() {
    let host = Host::new();
    let script = format!("trap 'echo bye; exit 0' TERM; {WAIT}");
    let polite = host.start("polite", &[], &script);
    let mut dashboard = dashboard("polite");
    dashboard.keys("s");
    dashboard.wait_for("stop /ringfence.slice/polite");
    dashboard.wait_for("what still runs after 10 s is killed.");
    dashboard.keys("n");
    dashboard.wait("no question", |contents| !contents.contains("(y / n)"));
    assert!(alive(&polite));
    dashboard.keys("s");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    let done = polite.finish();
    assert_eq!((done.code, &*done.stdout), (0, "bye\n"), "{done:?}");
    dashboard.wait_for("TERM sent to 1 process of /ringfence.slice/polite");
    dashboard.wait_for("/ringfence.slice/polite has ended, ");
    quit(dashboard);
}

/// A workload that does not heed TERM, which was just told to stop.
fn stop_the_deaf(host: &Host) -> (Workload, Dashboard) {
    let busy = host.start("busy", &[], &format!("trap : TERM; {WAIT}"));
    let mut dashboard = dashboard("busy");
    dashboard.keys("s");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    dashboard.wait_for("TERM sent to 1 process of /ringfence.slice/busy");
    (busy, dashboard)
}

#[test]
fn others_are_served_while_one_waits_for_its_grace() {
    let host = Host::new();
    let (busy, mut dashboard) = stop_the_deaf(&host);
    dashboard.keys("f");
    dashboard.wait_for("❄ busy");
    assert!(alive(&busy));
    assert_eq!(busy.finish().code, 137);
    dashboard.wait_for("after 10 s: killed");
    quit(dashboard);
}

/// Leaving does not leave a stop without its kill.
#[test]
fn a_stop_is_finished_by_who_leaves() {
    let host = Host::new();
    let (busy, mut dashboard) = stop_the_deaf(&host);
    dashboard.keys("q");
    dashboard.wait_for("ringfence: finishing what was begun");
    assert!(alive(&busy));
    assert!(dashboard.end().success());
    assert_eq!(busy.finish().code, 137);
}

#[test]
fn a_cgroup_freezes_and_thaws_by_one_key() {
    let host = Host::new();
    let still = host.start("still", &[], WAIT);
    let mut dashboard = dashboard("still");
    dashboard.keys("f");
    dashboard.wait_for("❄ still");
    dashboard.wait_for("froze /ringfence.slice/still: ");
    assert!(still.read("cgroup.events").contains("frozen 1"));
    dashboard.keys("f");
    dashboard.wait_for("○ still");
    dashboard.wait_for("thawed /ringfence.slice/still");
    assert!(still.read("cgroup.events").contains("frozen 0"));
    quit(dashboard);
    still.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(still.finish().code, 137);
}

#[test]
fn one_process_gets_one_signal() {
    let host = Host::new();
    let mut heard = host.start(
        "heard",
        &[],
        "trap 'echo got it' USR1; sleep 1000 & echo ready; while :; do wait; done",
    );
    let pids = heard.pids();
    let mut dashboard = dashboard("heard");
    dashboard.keys("3");
    dashboard.wait_for(&format!("namespaces of {}", pids[0]));
    dashboard.keys("x");
    dashboard.wait_for("signal USR1");
    dashboard.keys("jjjjjj\r");
    dashboard.wait_for(&format!(
        "Send USR1 to pid {} (1 inside) sh? (y / n)",
        pids[0]
    ));
    eprintln!("{}", dashboard.contents());
    dashboard.keys("y");
    assert_eq!(heard.next_line(), "got it");
    dashboard.wait_for(&format!("USR1 sent to pid {} (1 inside) sh", pids[0]));
    // The child alone.
    dashboard.keys("j");
    dashboard.wait_for(&format!("namespaces of {}", pids[1]));
    dashboard.keys("x");
    dashboard.wait_for("signal KILL");
    dashboard.keys("j\r");
    dashboard.wait_for(&format!(
        "Send KILL to pid {} (2 inside) sleep? (y / n)",
        pids[1]
    ));
    dashboard.keys("y");
    wait_until("the child is gone", || heard.pids() == pids[..1]);
    // Its PID 1, of which the question says that others would die with it.
    dashboard.keys("g");
    dashboard.wait_for(&format!("namespaces of {}", pids[0]));
    dashboard.keys("x");
    dashboard.wait_for("signal KILL");
    dashboard.keys("j\r");
    dashboard.wait_for("Send KILL to pid");
    dashboard.keys("y");
    assert_eq!(heard.finish().code, 137);
    quit(dashboard);
}

#[test]
fn memory_is_reclaimed_by_the_amount() {
    let host = Host::new();
    let script = format!("dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; sync; {WAIT}");
    let cache = host.start("cache", &["-m", "96m"], &script);
    let mut dashboard = dashboard("cache");
    let now = || cache.read("memory.current").parse::<u64>().expect("a size");
    let before = now();
    dashboard.keys("R");
    dashboard.wait_for("reclaim memory of /ringfence.slice/cache");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("16m\r");
    dashboard.wait_for("of 16M came back from /ringfence.slice/cache: ");
    assert!(now() + (12 << 20) <= before, "{before} → {}", now());
    quit(dashboard);
    cache.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(cache.finish().code, 137);
}

/// A cgroup of the test's own, removed at its end.
struct Own(Cgroup);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

#[test]
fn ringfences_own_cgroup_is_refused_and_what_is_moved_loses_its_limits() {
    let _host = Host::new();
    let own = Own(Cgroup::create("/sys/fs/cgroup/inhabited").expect("a cgroup"));
    let below = Cgroup::create("/sys/fs/cgroup/inhabited/leaf").expect("a cgroup");
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("sleep");
    let pid = child.id().to_string();
    below.write("cgroup.procs", &pid).expect("moved");
    let mut dashboard = dashboard("leaf");
    dashboard.keys("M");
    dashboard.wait_for("Move 1 process to /inhabited? (y / n)");
    dashboard.wait_for(&format!(" {pid} sleep"));
    dashboard.keys("n");
    dashboard.wait("no question", |contents| !contents.contains("(y / n)"));
    assert_eq!(below.processes().expect("pids").len(), 1);
    dashboard.keys("M");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    dashboard.wait_for("moved 1 process from /inhabited/leaf to /inhabited");
    assert!(below.processes().expect("pids").is_empty());

    let inhabitant = dashboard.child.id();
    own.0
        .write("cgroup.procs", &inhabitant.to_string())
        .expect("moved");
    dashboard.keys("h");
    dashboard.wait_for("├ inhabited ─");
    let refusal = format!("/inhabited holds ringfence itself (pid {inhabitant} ringfence)");
    let holds = |dashboard: &Dashboard| {
        dashboard.wait("the refusal", |contents| {
            let words: Vec<&str> = contents
                .split(|char: char| char.is_whitespace() || char == '│')
                .filter(|word| !word.is_empty())
                .collect();
            words.join(" ").contains(&refusal) && !contents.contains("(y / n)")
        })
    };
    for key in ["s", "M"] {
        dashboard.keys(key);
        holds(&dashboard);
        eprintln!("{}", dashboard.contents());
        // It is no question: a yes only closes it.
        dashboard.keys("y");
        // These words are on one line, however long the pid is.
        dashboard.wait("the tree", |contents| {
            !contents.contains("holds ringfence itself")
        });
    }
    dashboard.keys("x");
    dashboard.wait_for("kill the cgroup: 2 processes");
    dashboard.keys("j\r");
    holds(&dashboard);
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("kill the cgroup"));
    dashboard.keys("f");
    holds(&dashboard);
    let procs = fs::read_to_string(Path::new("/sys/fs/cgroup/inhabited/cgroup.procs"));
    assert_eq!(procs.expect("pids").lines().count(), 2);
    quit(dashboard);
    child.kill().expect("killed");
    child.wait().expect("waited for");
    drop(own);
}

/// What `ringfence` says, without the last line's end.
fn ringfence(arguments: &[&str]) -> String {
    let output = std::process::Command::new(support::binary())
        .args(arguments)
        .output()
        .expect("ringfence");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said + &String::from_utf8_lossy(&output.stderr)
}

/// How a workload is, as its record says.
fn status(name: &str) -> String {
    let all = ringfence(&["ps", "-a"]);
    let line = all
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_default().to_owned()
}

/// The whole life of one: typed wrongly, mended, started, followed, restarted, stopped for good, started from the list
/// of the ended, killed, removed.
#[test]
fn a_workload_lives_and_dies_in_the_dashboard() {
    let _host = Host::new();
    let mut dashboard = Dashboard::start(&["top", "--interval", "1"]);
    dashboard.wait_for(" live ┐");
    // A mistake stays, with clap's words for it, and is mended where it is.
    dashboard.keys("N");
    dashboard.wait_for("├ new workload ─");
    let script =
        "n=0; echo begin; echo oops >&2; while :; do n=$((n+1)); echo said $n; sleep 0.2; done";
    dashboard.keys(&format!(
        "-n phoenix -m 64q --stop-timeout 1 --restart always -- sh -c 'trap \"echo bye; exit 0\" TERM; {script}'\r"
    ));
    dashboard.wait("the mistake", |contents| {
        contents.contains("▲ invalid value '64q' for '--memory <SIZE>'")
            && !contents.contains("Usage")
            && !contents.contains("For more information")
    });
    eprintln!("{}", dashboard.contents());
    // Home, and right to behind the q.
    dashboard.keys("\x1b[H");
    dashboard.keys(&"\x1b[C".repeat("-n phoenix -m 64q".len()));
    dashboard.keys("\x7fm\r");
    dashboard.wait_for("started phoenix");
    // It is selected as soon as it is there.
    dashboard.wait_for("├ ringfence.slice › phoenix ─");
    dashboard.wait_for("● phoenix");
    // What it says is followed.
    dashboard.keys("L");
    dashboard.wait("its log", |contents| {
        contents.contains("log of phoenix · following")
            && contents.contains("   begin")
            && contents.contains(" ! oops")
            && contents.contains("   said 1")
    });
    dashboard.wait_for("   said 12");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("g\x1b[B");
    dashboard.wait_for("log of phoenix · ");
    dashboard.keys("\x1b");
    dashboard.wait_for("├ ringfence.slice › phoenix ─");
    // A restart, which is asked for.
    let restarted = |dashboard: &mut Dashboard| {
        dashboard.keys("x");
        dashboard.wait_for("restart phoenix");
        dashboard.keys("jj\r");
        dashboard.wait_for("Restart phoenix? (y / n)");
        dashboard.keys("y");
        dashboard.wait_for("restarted phoenix");
    };
    restarted(&mut dashboard);
    dashboard.keys("L");
    dashboard.wait("its log, with the end and the beginning", |contents| {
        contents.contains("   bye") && contents.matches("   begin").count() == 2
    });
    dashboard.keys("L");
    // The restart policy would bring it back within a second. Until the next sample, it is not there.
    for _ in 0..20 {
        dashboard.keys("s");
        std::thread::sleep(std::time::Duration::from_secs(1));
        if dashboard.contents().contains("(y / n)") {
            break;
        }
    }
    dashboard.wait_for("does not start it again");
    dashboard.keys("y");
    dashboard.wait_for("/ringfence.slice/phoenix has ended, ");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let how = status("phoenix");
    assert!(how.contains("ended (0)"), "{how}");
    assert!(!Path::new("/sys/fs/cgroup/ringfence.slice/phoenix").exists());
    // From the list of the ended, its log can be read, and it is started again.
    dashboard.keys("E");
    dashboard.wait_for("phoenix  exit 0 · ");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("L");
    dashboard.wait("what it said", |contents| {
        contents.contains("it has ended") && contents.contains("   bye")
    });
    dashboard.keys("\x1b");
    dashboard.wait_for("phoenix  exit 0 · ");
    dashboard.keys("\r");
    dashboard.wait_for("none is kept");
    dashboard.keys("\x1b");
    dashboard.wait("the list to close", |contents| {
        contents.contains("● phoenix") && !contents.contains("none is kept")
    });
    // A kill is for good, too.
    dashboard.select("phoenix");
    dashboard.keys("x");
    dashboard.wait_for("kill the cgroup");
    dashboard.keys("j\r");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    dashboard.wait_for(" of /ringfence.slice/phoenix");
    wait_until("it is over", || status("phoenix").contains("ended (137)"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(status("phoenix").contains("ended (137)"));
    dashboard.keys("E");
    dashboard.wait_for("phoenix  exit 137 · ");
    dashboard.keys("d");
    dashboard.wait_for("Remove phoenix? (y / n)");
    dashboard.keys("y");
    dashboard.wait_for("none is kept");
    assert_eq!(status("phoenix"), "");
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("none is kept"));
    quit(dashboard);
}

/// One that was started in the foreground has no log, and is stopped although it would be started again.
#[test]
fn a_workload_in_the_foreground_stays_stopped_and_has_no_log() {
    let host = Host::new();
    let script = format!("trap 'exit 0' TERM; {WAIT}");
    let fore = host.start("fore", &["--restart", "always"], &script);
    let mut dashboard = dashboard("fore");
    dashboard.keys("L");
    dashboard.wait_for("fore is not detached: what it says goes to where it was started");
    dashboard.keys("\x1b");
    dashboard.wait_for("├ ringfence.slice › fore ─");
    dashboard.keys("x");
    dashboard.wait_for("restart fore");
    dashboard.keys("jj");
    dashboard.wait_for("whoever started it must start it again");
    dashboard.keys("\x1b");
    dashboard.wait("the tree", |contents| !contents.contains("restart fore"));
    dashboard.keys("s");
    dashboard.wait_for("(y / n)");
    dashboard.keys("y");
    assert_eq!(fore.finish().code, 0);
    dashboard.wait_for("/ringfence.slice/fore has ended, ");
    quit(dashboard);
}

/// What is said faster than a screen can show it holds nothing up, and is seen to its end.
#[test]
fn a_torrent_of_lines_leaves_the_keys_heard() {
    let _host = Host::new();
    let script = "i=0; while [ $i -lt 60000 ]; do echo torrent $i; i=$((i+1)); done; echo that was all; sleep 1000";
    let said = ringfence(&["run", "-d", "-n", "torrent", "--", "sh", "-c", script]);
    assert_eq!(said, "torrent\n");
    let mut dashboard = dashboard("torrent");
    dashboard.keys("L");
    dashboard.wait_for("   torrent ");
    // Nothing that is shown keeps a key waiting.
    dashboard.keys("g");
    dashboard.wait_for("log of torrent · line ");
    dashboard.keys("G");
    dashboard.wait_for("log of torrent · following");
    let start = std::time::Instant::now();
    while !dashboard.contents().contains("   that was all") {
        assert!(start.elapsed().as_secs() < 120, "{}", dashboard.contents());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    dashboard.keys("\x1b");
    dashboard.wait_for("├ ringfence.slice › torrent ─");
    quit(dashboard);
    ringfence(&["rm", "-f", "torrent"]);
}
