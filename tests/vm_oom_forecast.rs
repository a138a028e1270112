//! The countdown to an OOM kill, on the screen and beside the kill itself: `cargo xtask test oom-forecast`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::dashboard::Dashboard;
use support::events::Events;
use support::{Host, PAGE_CACHE, binary, load};

/// Whether `events` tells of something that was foretold.
fn is_foretold(line: &Value) -> bool {
    line["kind"] == "warning" && line["sign"] == "oom_forecast"
}

/// When it tells of it, in seconds.
fn time(line: &Value) -> f64 {
    let time = humantime::parse_rfc3339(line["time"].as_str().expect("a time")).expect("a time");
    let since = time.duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

/// What a row says of the time that is left, in seconds: `14 s`, `~14 s`, `>2 min`.
fn time_left(contents: &str, name: &str) -> Option<f64> {
    let row = format!(" {name} ");
    // The tree is above the log.
    let mut lines = contents
        .lines()
        .take_while(|line| !line.contains("events ──"));
    let words: Vec<&str> = lines
        .find(|line| line.contains(&row))?
        .split_whitespace()
        .collect();
    words.windows(2).find_map(|pair| {
        let unit = match pair[1] {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number = pair[0].trim_start_matches(['~', '>']).parse::<f64>();
        number.ok().map(|number| number * unit)
    })
}

#[test]
fn the_countdown_reaches_the_kill() {
    let host = Host::new();
    let mut events = Events::start(&["--json", "--interval", "0.5"]);
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for("● live");
    let load = load("memory --size 96m --rate 2m");
    let leaker = host.start("leaker", &["-m", "48m"], &load);
    let began = Instant::now();
    // When what was said.
    let mut said: Vec<(Instant, f64)> = Vec::new();
    let killed = loop {
        let contents = dashboard.contents();
        let now = Instant::now();
        if contents.contains("✖ OOM kill  leaker") {
            break now;
        }
        if let Some(left) = time_left(&contents, "leaker") {
            said.push((now, left));
        }
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "no kill:\n{contents}"
        );
        sleep(Duration::from_millis(100));
    };
    dashboard.keys("q");
    assert!(dashboard.end().success());
    assert_eq!(leaker.finish().code, 137);
    // How much too late, or too early where below 0, a kill was foretold that was so far away.
    let errors: Vec<(f64, f64)> = said
        .iter()
        .map(|(at, left)| {
            let away = killed.duration_since(*at).as_secs_f64();
            (away, left - away)
        })
        .collect();
    let ten = errors
        .iter()
        .min_by(|a, b| (a.0 - 10.0).abs().total_cmp(&(b.0 - 10.0).abs()));
    let (away, error) = *ten.expect("a forecast");
    eprintln!(
        "foretold {:.1} s ahead for the first time; {away:.1} s ahead it was off by {error:+.1} s",
        errors[0].0
    );
    // The load itself has no steady hand on an emulated machine.
    assert!(
        errors[0].0 > 8.0 && (away - 10.0).abs() < 3.0,
        "late: {errors:?}"
    );
    assert!(error.abs() < 4.0, "wrong: {errors:?}");
    let (_, last) = said[said.len() - 1];
    assert!(last <= 4.0, "it did not count down: {last} s");

    // The same for programs.
    let warning = events.object("a warning", is_foretold);
    let kill = events.object("the kill", |line| line["kind"] == "oom_kill");
    assert_eq!(
        (&warning["name"], &warning["limit"]),
        (&kill["name"], &(48 << 20).into())
    );
    let of = |field: &str| warning[field].as_f64().expect("a number");
    let away = time(&kill) - time(&warning);
    let error = of("oom_in") - away;
    eprintln!("events foretold it {away:.1} s ahead, off by {error:+.1} s: {warning}");
    assert!(away > 4.0 && error.abs() < 4.0, "{away} {warning}");
    assert!(
        of("soonest") <= of("oom_in") && of("oom_in") <= of("latest"),
        "{warning}"
    );
    events.interrupt();
}

#[test]
fn neither_a_sawtooth_nor_page_cache_has_a_countdown() {
    let host = Host::new();
    let ringfence = binary();
    let ringfence = ringfence.display();
    let saw = format!(
        "echo ready; while :; do {ringfence} load memory --size 16m --rate 8m --for 3s; done"
    );
    let saw = host.start("sawtooth", &["-m", "48m"], &saw);
    let cache = host.start("pagecache", &["-m", "32m", "--cpus", "0.3"], PAGE_CACHE);
    let events = Events::start(&["--json", "--interval", "0.5"]);
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.wait_for(" sawtooth ");
    dashboard.wait_for(" pagecache ");
    let began = Instant::now();
    let mut alarms = Vec::new();
    let mut teeth = Vec::new();
    let met = cache.count("memory.events", "max");
    while began.elapsed() < Duration::from_secs(25) {
        let contents = dashboard.contents();
        teeth.push(saw.count("memory.stat", "anon") >> 20);
        for name in ["sawtooth", "pagecache"] {
            if let Some(left) = time_left(&contents, name) {
                alarms.push((name, began.elapsed(), left));
            }
        }
        sleep(Duration::from_millis(200));
    }
    let contents = dashboard.contents();
    // Both are what they say.
    let met = cache.count("memory.events", "max") - met;
    assert!(met > 10, "page cache met its limit {met} times");
    let falls = teeth
        .windows(2)
        .filter(|pair| pair[1] + 8 < pair[0])
        .count();
    assert!(falls >= 3, "no sawtooth: {teeth:?}");
    dashboard.keys("q");
    assert!(dashboard.end().success());
    saw.kill();
    cache.kill();
    // Its first tooth grows as a leak does: nobody can know.
    let late: Vec<_> = alarms
        .iter()
        .filter(|(_, at, _)| *at > Duration::from_secs(6))
        .collect();
    eprintln!(
        "{} alarms in the first seconds, {} later",
        alarms.len() - late.len(),
        late.len()
    );
    assert!(late.is_empty(), "{late:?}\n{contents}");
    let warnings = events.interrupt();
    let foretold = |line: &&String| is_foretold(&serde_json::from_str(line).expect("JSON"));
    assert_eq!(warnings.iter().find(foretold), None);
}
