//! OOM kills in full, on the screen of the dashboard: who, why, what went before and what came after.
//! `cargo xtask test vm_oom_story`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fs;

use support::dashboard::Dashboard;
use support::own::{Own, survivor};
use support::{Host, Sysctl, binary};

/// Opens the time line and waits until the newest kill is told so.
fn wait_for_story(dashboard: &mut Dashboard, words: &[&str]) {
    dashboard.wait(&format!("{words:?}"), |contents| {
        words.iter().all(|words| contents.contains(words))
    });
    eprintln!("{}", dashboard.contents());
}

fn leave(mut dashboard: Dashboard) {
    dashboard.keys("q");
    assert!(dashboard.end().success());
}

#[test]
fn a_workload_that_grew_died_at_its_own_limit_and_was_started_again() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let mut dashboard = Dashboard::start_in(folder.path(), &["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    let spec = r#"{"name": "leaker", "memory": "32m", "restart": "on-failure", "stop-timeout": 1,
        "command": ["BINARY", "load", "memory", "--size", "64m", "--rate", "6m"]}"#;
    let binary = binary();
    let supervisor = host.supervise(&spec.replace("BINARY", &binary.to_string_lossy()));
    dashboard.wait_for("✖ OOM kill  leaker");
    // Chosen, it stays so, however many follow.
    dashboard.keys("4jk");
    wait_for_story(
        &mut dashboard,
        &[
            "killed   1 process at ",
            "cgroup   /ringfence.slice/leaker",
            "why      limit memory.max 32M of leaker, its own",
            " (1 inside) ringfence · rss ",
            "+ shmem 0B · oom_score_adj 0 · uid",
            "after    PID 1 inside was killed (exit 137); started again within ",
            "before   grew ",
            "memory   anon ",
            "┄✖",
        ],
    );
    // The same as a page for a ticket, with the curve.
    dashboard.keys("P");
    let saved = || -> String {
        let files = fs::read_dir(folder.path()).unwrap().flatten();
        let pages = files.filter(|file| file.path().extension().is_some_and(|end| end == "html"));
        let mut pages = pages.map(|file| fs::read_to_string(file.path()).unwrap());
        pages.next().unwrap_or_default()
    };
    dashboard.wait("a page", |_| saved().ends_with("</html>"));
    let page = saved();
    for part in [
        "Why leaker died",
        "<polyline points=",
        "<td>/ringfence.slice/leaker</td>",
        "<td class=\"number\">32M</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    leave(dashboard);
    supervisor.stop();
}

#[test]
fn a_child_that_died_at_an_ancestors_limit_leaves_its_parent_behind() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("memory.max"), "24M").unwrap();
    own.write("memory.max", "64M");
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for(" own ");
    let shell = own.start(&survivor("while :; do sleep 1; done"));
    dashboard.wait_for("✖ OOM kill  own");
    dashboard.keys("4");
    wait_for_story(
        &mut dashboard,
        &[
            "killed   1 process at ",
            "why      limit memory.max 24M of above, an ancestor: /above",
            " tail · rss ",
            "after    survived: ",
        ],
    );
    leave(dashboard);
    own.kill(shell);
}

#[test]
fn kills_of_before_the_dashboard_was_opened_are_listed_below_those_that_follow() {
    let host = Host::new();
    let leak = |name: &str| {
        let flags = ["--name", name, "--memory", "16m"];
        let done = host.run(&flags, &["tail", "/dev/zero"]);
        assert_eq!(done.code, 137, "{done:?}");
    };
    leak("early");
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    assert!(!dashboard.contents().contains("✖ OOM kill  early"));
    dashboard.keys("4");
    wait_for_story(
        &mut dashboard,
        &[
            "✖ early ",
            "cgroup   /ringfence.slice/early  (kernel log)",
            "why      limit memory.max 16M of early, its own",
            "after    what came then was not watched",
            "not seen before it was killed",
        ],
    );
    leak("late");
    dashboard.wait_for("✖ late ");
    let screen = dashboard.contents();
    let line = |name: &str| {
        let name = format!("✖ {name} ");
        let lines = screen.lines().enumerate();
        let found: Vec<usize> = lines
            .filter(|(_, line)| line.contains(&name))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(found.len(), 1, "{name}: {screen}");
        found[0]
    };
    assert_eq!(line("early"), line("late") + 1);
    leave(dashboard);
}

#[test]
fn who_may_not_read_the_kernel_log_is_told_who_may_know_of_kills_before() {
    let _restricted = Sysctl::set("kernel.dmesg_restrict", "1");
    let mut dashboard = Dashboard::start_as_user(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    dashboard.keys("4");
    dashboard.wait_for(
        "no OOM kill since the dashboard was opened; the kernel log cannot be read: `ringfence why` may know of older",
    );
    leave(dashboard);
}
