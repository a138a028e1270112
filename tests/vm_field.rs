//! Faults that users of container monitors, limit editors and launchers report in public, each by its number, with the
//! right value on a real kernel: `cargo xtask test field`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use support::own::{Own, start_in};
use support::{Done, Host, binary, count, load, read, wait_until};

fn ringfence(arguments: &[&str]) -> Done {
    Done::from(Command::new(binary()).args(arguments).output().unwrap())
}

/// What the plain table says of one cgroup, by the titles of its columns.
fn cells(path: &str) -> BTreeMap<String, String> {
    let table = ringfence(&["top", "--plain", "--interval", "1", "--duration", "3.5"]).ok();
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let mut lines = table.lines().rev();
    let row = lines.find(|line| line.starts_with(&format!("{path} ")));
    let row = row.unwrap_or_else(|| panic!("no {path}:\n{table}"));
    let titles = lines.find(|line| line.starts_with("NAME "));
    let titles = titles.unwrap_or_else(|| panic!("no titles:\n{table}"));
    words(titles).into_iter().zip(words(row)).collect()
}

/// Ends what a test has started in its cgroup.
fn end(own: &Own, children: impl IntoIterator<Item = Child>) {
    fs::write(own.above.join("cgroup.kill"), "1").unwrap();
    for mut child in children {
        child.wait().unwrap();
    }
}

/// `memory.high` is a limit that binds, and who crawls under it is slowed down.
#[test]
fn case_01_memory_high_is_a_limit() {
    let host = Host::new();
    let hi = host.start(
        "hi",
        &["--memory-high", "32m"],
        &load("memory --size 64m --rate 8m"),
    );
    wait_until("memory.high to hold back", || {
        hi.count("memory.events", "high") > 50
    });
    let percent =
        || hi.read("memory.current").parse::<f64>().unwrap() / f64::from(32 << 20) * 100.0;
    let before = percent();
    let cells = cells("/ringfence.slice/hi");
    let after = percent();
    hi.kill();
    let (share, limit) = cells["OF-MEMORY"].split_once('/').unwrap();
    assert_eq!(limit, "32M(high)", "{cells:#?}");
    let share: f64 = share.strip_suffix('%').unwrap().parse().unwrap();
    // It crawls on, and little of it is page cache.
    assert!(
        (before - 5.0..=after + 2.0).contains(&share),
        "{before} {share} {after}"
    );
    assert!(
        cells["STATE"].starts_with("running,slowed,stalled-memory"),
        "{cells:#?}"
    );
}

/// A quota above shows in the `cpu.stat` of the cgroup that has it.
#[test]
fn case_02_a_quota_above_throttles_although_the_own_one_does_not() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("cpu.max"), "30000 100000").unwrap();
    own.write("cpu.max", "100000 100000");
    let burner = own.start("exec ringfence load cpu --percent 100");
    let count = |key: &str| count(own.above.join("cpu.stat"), key);
    wait_until("throttling", || count("nr_throttled") > 5);
    let before = (count("nr_periods"), count("nr_throttled"));
    let cells = cells("/above/own");
    let periods = count("nr_periods") - before.0;
    let throttled = count("nr_throttled") - before.1;
    let own_throttled = own.count("cpu.stat", "nr_throttled");
    end(&own, [burner]);
    eprintln!("{throttled} of {periods} periods, by its own quota {own_throttled}: {cells:#?}");
    let said = &cells["THROTTLED"];
    let share: f64 = said.strip_suffix("%@above").unwrap().parse().unwrap();
    let measured = 100.0 * throttled as f64 / periods as f64;
    assert!((share - measured).abs() <= 25.0, "{said} for {measured}%");
    assert!(cells["OF-CPUS"].ends_with("/.3@above"), "{cells:#?}");
    assert_eq!(cells["STATE"], "running,throttled@above");
}

/// Page cache, also that which was read twice, is dropped before anybody is killed.
#[test]
fn case_03_what_is_dropped_is_no_use_of_a_limit() {
    let _host = Host::new();
    let own = Own::new();
    let cache = own.above.join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(own.above.join("memory.max"), "160M").unwrap();
    own.write("memory.max", "64M");
    let fill = "dd if=/dev/zero of=/tmp/big bs=1M count=150 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches";
    let made = Command::new("sh").args(["-c", fill]).status().unwrap();
    assert!(made.success());
    // Twice: it is on the list of what is in use, too.
    let reader = start_in(
        &cache,
        "for i in 1 2; do cat /tmp/big >/dev/null; done; sleep 1000",
    );
    let heap = own.start("exec ringfence load memory --size 45m");
    let current = || -> u64 { read(own.above.join("memory.current")).parse().unwrap() };
    wait_until("heap and a limit that is full of page cache", || {
        own.count("memory.stat", "anon") > 40 << 20 && current() > 150 << 20
    });
    let active = read(cache.join("memory.stat"));
    let (of_own, of_cache) = (cells("/above/own"), cells("/above/cache"));
    fs::remove_file("/tmp/big").unwrap();

    // It is so: what is too much for its own limit is killed there, and the limit above kills nobody.
    let more = own.start("exec tail /dev/zero");
    wait_until("a kill", || {
        own.count("memory.events.local", "oom_kill") > 0
    });
    let above = read(own.above.join("memory.events.local"));
    end(&own, [reader, heap, more]);
    eprintln!("{active}\n{of_own:#?}\n{of_cache:#?}");
    assert!(above.contains("oom 0\n"), "{above}");
    let (share, limit) = of_own["OF-MEMORY"].split_once('/').unwrap();
    assert_eq!(limit, "64M", "{of_own:#?}");
    let share: f64 = share.strip_suffix('%').unwrap().parse().unwrap();
    assert!((65.0..=90.0).contains(&share), "{share}");
    let (share, limit) = of_cache["OF-MEMORY"].split_once('/').unwrap();
    assert_eq!(limit, "160M@above", "{of_cache:#?}");
    let share: f64 = share.strip_suffix('%').unwrap().parse().unwrap();
    assert!(share < 60.0, "{share}");
}

/// Below a frozen cgroup nothing would so much as begin.
#[test]
fn case_13_a_frozen_slice_is_named() {
    const FREEZE: &str = "/sys/fs/cgroup/ringfence.slice/cgroup.freeze";
    let host = Host::new();
    let other = host.start("other", &[], "echo ready; sleep 1000");
    fs::write(FREEZE, "1").unwrap();
    let begin = Instant::now();
    let done = host.run(&[], &["echo", "hi"]);
    let took = begin.elapsed();
    let words = [
        "/ringfence.slice is frozen",
        &format!("`echo 0 >{FREEZE}` thaws it"),
    ];
    done.fails(125, &words);
    assert!(took < Duration::from_secs(5), "{took:?}");
    fs::write(FREEZE, "0").unwrap();
    assert_eq!(host.run(&[], &["echo", "hi"]).ok(), "hi");
    other.kill();
    host.assert_clean("case 13");
}

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
    done.fails(125, &["memory.max is refused", "nothing was changed"]);
    assert_eq!(own.read("memory.max"), "max");
    end(&own, [heap]);
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
