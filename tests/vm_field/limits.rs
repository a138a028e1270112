//! Limits that bind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::support::own::{Own, start_in};
use super::support::{Host, Workload, count, load, read, wait_until};
use super::{bytes, cells, end, has_word, ringfence, table};

/// A file of 256 MiB to swap to, for as long as this lives.
struct Swap;

impl Swap {
    fn on() -> Self {
        let script = "dd if=/dev/zero of=/tmp/swap bs=1M count=256 2>/dev/null && chmod 600 /tmp/swap \
                    && mkswap /tmp/swap >/dev/null && swapon /tmp/swap";
        let made = Command::new("sh").args(["-c", script]).status().unwrap();
        assert!(made.success());
        Self
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let off = "swapoff /tmp/swap; rm /tmp/swap";
        let _ = Command::new("sh").args(["-c", off]).status();
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
    let cells = cells(&table(), "/ringfence.slice/hi");
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
    let cells = cells(&table(), "/above/own");
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
    let table = table();
    let [of_own, of_cache] = ["/above/own", "/above/cache"].map(|path| cells(&table, path));
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

/// A limit on processes above is shared with siblings. Since 6.11 its file counts, before that of who forked.
#[test]
fn case_04_a_limit_on_processes_above_refuses_forks() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("pids.max"), "12").unwrap();
    own.write("pids.max", "10");
    let other = own.above.join("other");
    fs::create_dir(&other).unwrap();
    let idle = start_in(&other, "exec ringfence load forks --count 7");
    let pids = |path: &Path| read(path.join("pids.current"));
    wait_until("eight processes", || pids(&other) == "8");
    let forker = own.start("exec ringfence load forks --count 100");
    wait_until("the limit", || pids(&own.above) == "12");
    let since_6_11 = own.dir.join("pids.events.local").exists();
    let table = table();
    let [above, of_own, of_other] =
        ["/above", "/above/own", "/above/other"].map(|path| cells(&table, path));
    let counted = [&own.above, &own.dir].map(|path| count(path.join("pids.events"), "max"));
    end(&own, [idle, forker]);
    wait_until("its end", || fs::remove_dir(&other).is_ok());
    // It is so: where it is counted.
    eprintln!("refused: {counted:?}, counted where the limit is: {since_6_11}");
    assert_eq!(
        counted.map(|refused| refused > 0),
        [since_6_11, !since_6_11]
    );
    assert_eq!(above["PIDS"], "12/12!", "{table}");
    assert_eq!(of_own["PIDS"], "4/12@above!", "{table}");
    assert_eq!(of_other["PIDS"], "8/12@above!", "{table}");
    assert!(has_word(&above, "forks-refused"), "{table}");
    assert!(has_word(&of_own, "forks-refused@above"), "{table}");
    assert!(has_word(&of_other, "forks-refused@above"), "{table}");
}

/// A cgroup has no more CPUs than its cpuset, or that of one above.
#[test]
fn case_05_a_cpuset_is_a_cpu_ceiling() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("cpuset.cpus"), "0").unwrap();
    let burner = own.start("exec ringfence load cpu --percent 200");
    let usage = || own.count("cpu.stat", "usage_usec");
    // With the share of a CPU that it had meanwhile.
    let watch = || {
        let (start, before) = (Instant::now(), usage());
        let table = table();
        let microseconds = start.elapsed().as_micros() as f64;
        (table, 100.0 * (usage() - before) as f64 / microseconds)
    };
    let inherited = watch();
    // Its own, with all CPUs above.
    fs::write(own.above.join("cpuset.cpus"), "0-1").unwrap();
    own.write("cpuset.cpus", "0");
    let direct = watch();
    end(&own, [burner]);
    for ((table, measured), limit) in [(&inherited, "/1(cpuset)@above"), (&direct, "/1(cpuset)")] {
        let of_own = cells(table, "/above/own");
        let shown = of_own["OF-CPUS"].strip_suffix(limit);
        let shown = shown.unwrap_or_else(|| panic!("no {limit}:\n{table}"));
        let shown: f64 = shown.strip_suffix('%').unwrap().parse().unwrap();
        eprintln!("{shown}% of {limit}, {measured:.0}% as the kernel counts");
        assert!((shown - measured).abs() <= 25.0, "{measured}: {table}");
        assert!(*measured < 110.0, "{measured}: {table}");
    }
    let above = |table: &str| cells(table, "/above")["OF-CPUS"].clone();
    assert!(
        above(&inherited.0).ends_with("/1(cpuset)"),
        "{}",
        inherited.0
    );
    assert_eq!(above(&direct.0), "max", "{}", direct.0);
}

/// What is in swap, and of which limit: as docker does it, as much again as the memory.
#[test]
fn case_06_swap_is_shown_against_its_limit() {
    let swap = Swap::on();
    let host = Host::new();
    let both = host.start("both", &["-m", "32m"], &load("memory --size 48m"));
    let free = host.start(
        "free",
        &["-m", "32m", "--memory-swap", "-1"],
        &load("memory --size 80m"),
    );
    let swapped = |workload: &Workload| bytes(&workload.read("memory.swap.current"));
    wait_until("16M in swap", || swapped(&both) > 14e6);
    wait_until("48M in swap", || swapped(&free) > 46e6);
    assert_eq!(both.read("memory.swap.max"), (32 << 20).to_string());
    assert_eq!(free.read("memory.swap.max"), "max");
    let table = table();
    let (of_both, of_free) = (swapped(&both), swapped(&free));
    for (name, measured, limit) in [("both", of_both, "32M"), ("free", of_free, "max")] {
        let cells = cells(&table, &format!("/ringfence.slice/{name}"));
        let shown = bytes(&cells["SWAP"]);
        assert!((shown - measured).abs() < 4e6, "{measured}: {table}");
        let of_swap = &cells["OF-SWAP"];
        assert_eq!(of_swap.rsplit('/').next().unwrap(), limit, "{table}");
        assert!(bytes(&cells["MEMORY"]) < 34e6, "{table}");
    }
    // More than both are killed.
    let over = host.sh(&["-m", "32m"], &load("memory --size 80m"));
    over.fails(137, &["OOM"]);
    for workload in [both, free] {
        workload.kill();
    }
    drop(swap);
    let without = ringfence(&["top", "--plain", "--duration", "1"]).ok();
    assert!(!without.contains("SWAP"), "{without}");
}

/// Who waits for memory all the time is said to, although it is never killed.
#[test]
fn case_07_thrashing_is_a_state() {
    let host = Host::new();
    // What it reads over and over does not fit, by little.
    let script = "dd if=/dev/zero of=/tmp/big bs=1M count=32 2>/dev/null; sync; echo ready; \
                  while :; do cat /tmp/big >/dev/null; done";
    let reader = host.start(
        "reader",
        &["-m", "24m", "--device-read-bps", "/dev/vda:4m"],
        script,
    );
    let waiting = |file: &str| -> f64 {
        let text = reader.read(file);
        let average = text.split("avg10=").nth(1).unwrap();
        average.split(' ').next().unwrap().parse().unwrap()
    };
    wait_until("a stall", || {
        waiting("memory.pressure") > 20.0 || waiting("io.pressure") > 20.0
    });
    let table = table();
    let waits = ["memory.pressure", "io.pressure"].map(waiting);
    let kills = reader.count("memory.events", "oom_kill");
    reader.kill();
    eprintln!("waiting for memory {}%, for I/O {}%", waits[0], waits[1]);
    assert_eq!(kills, 0);
    let cells = cells(&table, "/ringfence.slice/reader");
    for (word, waits) in ["stalled-memory", "stalled-io"].into_iter().zip(waits) {
        // In between is a matter of when it was read.
        if !(6.0..15.0).contains(&waits) {
            assert_eq!(has_word(&cells, word), waits > 10.0, "{waits}: {table}");
        }
    }
}
