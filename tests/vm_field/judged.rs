//! Changes that are judged.

use std::fs;
use std::path::Path;

use super::support::dashboard::Dashboard;
use super::support::own::Own;
use super::support::{Host, load, read, wait_until};
use super::{cells, end, has_word, ringfence, table};

/// A limit below what is only page cache is allowed.
#[test]
fn case_08_a_limit_that_drops_page_cache_is_not_refused() {
    let _host = Host::new();
    let own = Own::new();
    let fill = "dd if=/dev/zero of=/tmp/big bs=1M count=150 2>/dev/null; sync; cat /tmp/big >/dev/null; sleep 1000";
    let reader = own.start(fill);
    wait_until("page cache", || {
        own.count("memory.stat", "file") > 140 << 20
    });
    wait_until("it to be written", || {
        own.count("memory.stat", "file_dirty") == 0
    });
    let done = ringfence(&["set", "above/own", "memory.max=64m"]);
    done.fails(0, &["below usage: as much page cache will be dropped"]);
    assert_eq!(own.read("memory.max"), (64 << 20).to_string());
    assert_eq!(own.count("memory.events", "oom"), 0);
    end(&own, [reader]);
    fs::remove_file("/tmp/big").unwrap();

    // What cannot be dropped is another matter.
    own.write("memory.max", "max");
    let heap = own.start("exec ringfence load memory --size 48m");
    wait_until("heap", || own.count("memory.stat", "anon") > 46 << 20);
    let done = ringfence(&["set", "above/own", "memory.max=32m"]);
    done.fails(
        125,
        &["below usage: the kernel will reclaim, then OOM-kill"],
    );
    done.fails(
        125,
        &["memory.max of /above/own is refused", "nothing was changed"],
    );
    assert_eq!(own.read("memory.max"), "max");
    end(&own, [heap]);
}

/// A name that two have is no name: both are told, and nothing is changed.
#[test]
fn case_09_a_name_of_two_is_refused() {
    let host = Host::new();
    let web = host.start("web", &[], &load("sleep"));
    let top = Path::new("/sys/fs/cgroup/web");
    fs::create_dir(top).unwrap();
    let before = read(top.join("pids.max"));
    ringfence(&["set", "web", "pids.max=40"]).fails(
        125,
        &["2 cgroups are called `web`: give a path, one of /web and /ringfence.slice/web"],
    );
    assert_eq!(read(top.join("pids.max")), before);
    assert_eq!(web.read("pids.max"), "max");
    // Each change names what it has changed.
    for (path, limit) in [("/web", "41"), ("/ringfence.slice/web", "42")] {
        let lines = ringfence(&["set", path, &format!("pids.max={limit}")]).ok();
        assert!(
            lines.starts_with(&format!("{path}\npids.max  max → {limit}")),
            "{lines}"
        );
    }
    assert_eq!(read(top.join("pids.max")), "41");
    assert_eq!(web.read("pids.max"), "42");
    web.kill();
    fs::remove_dir(top).unwrap();
}

/// Who asks for half a CPU says nothing of the period.
#[test]
fn case_10_a_period_stays_unless_it_is_given() {
    let _host = Host::new();
    let own = Own::new();
    let set = |value: &str| ringfence(&["set", "above/own", &format!("cpu.max={value}")]);
    own.write("cpu.max", "20000 50000");
    set("50%").ok();
    assert_eq!(own.read("cpu.max"), "25000 50000");
    set("1.5").ok();
    assert_eq!(own.read("cpu.max"), "75000 50000");
    set("max").ok();
    assert_eq!(own.read("cpu.max"), "max 50000");
    let changes = "its period changes from 50000 µs to 100000 µs";
    set("30000 100000").fails(0, &[changes]);
    assert_eq!(own.read("cpu.max"), "30000 100000");
    // The least quota is 1 ms: in so short a period, a tenth of a CPU is less.
    own.write("cpu.max", "5000 5000");
    let changes = "its period changes from 5000 µs to 100000 µs";
    set("0.1").fails(0, &[changes]);
    assert_eq!(own.read("cpu.max"), "10000 100000");
}

/// Of a threaded cgroup, memory belongs to the domain above; its threads are listed.
#[test]
fn case_12_a_threaded_cgroup_is_told_as_one() {
    let _host = Host::new();
    let own = Own::new();
    let threads = own.dir.join("threads");
    fs::create_dir(&threads).unwrap();
    fs::write(threads.join("cgroup.type"), "threaded").unwrap();
    let burner = own.start("exec ringfence load cpu --percent 200");
    let list = |path: &Path| -> Vec<String> {
        let text = read(path.join("cgroup.threads"));
        text.lines().map(str::to_owned).collect()
    };
    wait_until("its threads", || list(&own.dir).len() >= 2);
    let process = burner.id().to_string();
    let others = list(&own.dir);
    let thread = others.iter().find(|tid| **tid != process).unwrap();
    fs::write(threads.join("cgroup.threads"), thread).unwrap();

    let done = ringfence(&["set", "above/own/threads", "memory.max=64m"]);
    done.fails(
        125,
        &[
            "/above/own/threads is threaded",
            "those of its domain /above/own; set it there",
        ],
    );
    assert!(!done.stderr.contains("+memory"), "{done:?}");
    ringfence(&["set", "above/own", "memory.max=64m"]).ok();
    let table = table();
    let of_threads = cells(&table, "/above/own/threads");
    assert!(has_word(&of_threads, "threaded"), "{table}");
    assert!(
        !has_word(&cells(&table, "/above/own"), "threaded"),
        "{table}"
    );

    let mut dashboard = Dashboard::start(&["top", "above/own", "--interval", "1"]);
    dashboard.select("threads");
    dashboard.wait("the thread", |contents| {
        let mut lines = contents.lines();
        contents.contains("host tid")
            && lines.any(|line| line.contains(thread) && line.contains("ringfence load"))
    });
    eprintln!("{}", dashboard.contents());
    drop(dashboard);
    end(&own, [burner]);
    fs::remove_dir(&threads).unwrap();
}
