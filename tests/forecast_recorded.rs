//! Forecasts of growth that was recorded on real kernels (`tests/fixtures/capture_growth.sh`), against what
//! came of it. The table is in the documentation of `model::forecast`.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringfence::kernel::cgroup::CgroupId;
use ringfence::kernel::memory::MemoryStat;
use ringfence::kernel::unit::{Bytes, Limit, Reading};
use ringfence::model::Model;
use ringfence::sample::{CgroupSample, Sample};

const KERNELS: [&str; 2] = ["6.12", "6.1"];
const SHAPES: [&str; 9] = [
    "linear",
    "slow",
    "stepped",
    "leak-under-page-cache",
    "leak-under-high",
    "sawtooth",
    "page-cache",
    "warm-up",
    "flat",
];

/// A cgroup over time.
struct Recording {
    samples: Vec<Sample>,
    /// When the kernel said that it killed, in seconds since boot.
    killed: Option<f64>,
}

fn read(kernel: &str, shape: &str) -> Recording {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = root
        .join(kernel)
        .join("growth")
        .join(shape)
        .with_extension("csv");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    let limits: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let ["#", "max", max, "high", high] = limits[..] else {
        panic!("{limits:?}");
    };
    let limit = |text: &str| Reading::Value(Limit::parse(text.as_bytes(), "a limit").unwrap());
    let keys: Vec<&str> = lines.next().unwrap().split(',').collect();
    let host = common::scenario("forecast").play()[0].0.clone();
    let mut recording = Recording {
        samples: Vec::new(),
        killed: None,
    };
    for line in lines {
        if let Some(at) = line.strip_prefix("# killed ") {
            recording.killed = Some(at.parse().unwrap());
            continue;
        }
        let values: Vec<&str> = line.split(',').collect();
        let at = Duration::from_secs_f64(values[0].parse().unwrap());
        let size = |n: usize| Reading::Value(Bytes(values[n].parse().unwrap()));
        let stat =
            keys.iter()
                .zip(&values)
                .skip(3)
                .fold(String::new(), |mut stat, (key, value)| {
                    writeln!(stat, "{key} {value}").unwrap();
                    stat
                });
        let id = CgroupId(2);
        let top = CgroupSample::unread(CgroupId(1), None, "/".into());
        let job = CgroupSample {
            memory_current: size(1),
            swap_current: size(2),
            memory_stat: Reading::Value(MemoryStat::parse(stat.as_bytes()).unwrap().into()),
            memory_max: limit(max),
            memory_high: limit(high),
            ..CgroupSample::unread(id, Some(CgroupId(1)), "/job".into())
        };
        let mut host = host.host.clone();
        host.swap_free = Reading::Value(Bytes(0));
        recording.samples.push(Sample {
            time: std::time::UNIX_EPOCH + at,
            since_boot: at,
            host,
            cgroups: vec![top.into(), job.into()],
        });
    }
    recording
}

/// What was foretold at one moment: how long before the kill, where there was one, and in how long.
struct Foretold {
    before: Option<f64>,
    likely: f64,
    /// Whether people should drop everything.
    alarm: bool,
}

fn foretell(recording: &Recording) -> Vec<Option<Foretold>> {
    let mut model = Model::new(0);
    let samples = recording.samples.iter();
    samples
        .map(|sample| {
            model.fold(Arc::new(sample.clone()));
            let at = sample.since_boot.as_secs_f64();
            let forecast = model.row("/job").unwrap().forecast.value().cloned()?;
            Some(Foretold {
                before: recording.killed.map(|killed| killed - at),
                likely: forecast.likely.as_secs_f64(),
                alarm: forecast.is_near(),
            })
        })
        .collect()
}

/// What matters of one recording.
struct Result {
    killed: bool,
    /// How long before the kill it was said for the first time when it will be, and when the first alarm came.
    first: [Option<f64>; 2],
    /// How much too late (below 0: too early) the kill was foretold ten seconds before it.
    error: Option<f64>,
    /// Of so many samples, so many had an alarm.
    alarms: (usize, usize),
}

fn result(kernel: &str, shape: &str) -> Result {
    let recording = read(kernel, shape);
    let foretold = foretell(&recording);
    let said = || foretold.iter().flatten();
    let alarms = said().filter(|one| one.alarm);
    let ten = said()
        .filter_map(|one| Some((one.before?, one.likely)))
        .min_by(|a, b| (a.0 - 10.0).abs().total_cmp(&(b.0 - 10.0).abs()))
        .filter(|(before, _)| (before - 10.0).abs() < 1.0);
    Result {
        killed: recording.killed.is_some(),
        first: [
            said().next().and_then(|one| one.before),
            said().find(|one| one.alarm).and_then(|one| one.before),
        ],
        error: ten.map(|(before, likely)| likely - before),
        alarms: (alarms.count(), foretold.len()),
    }
}

fn table() -> String {
    let mut table = String::from(
        "| growth | kernel | killed | first said, before it | first alarm, before it | error 10 s before | samples with an alarm |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for shape in SHAPES {
        for kernel in KERNELS {
            let result = result(kernel, shape);
            let seconds =
                |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0} s"));
            let error = result
                .error
                .map_or("-".to_owned(), |error| format!("{error:+.1} s"));
            let killed = if result.killed { "yes" } else { "no" };
            let (alarms, samples) = result.alarms;
            let [said, alarm] = result.first.map(seconds);
            let shape = shape.replace('-', " ");
            writeln!(
                table,
                "| {shape} | {kernel} | {killed} | {said} | {alarm} | {error} | {alarms} of {samples} |"
            )
            .unwrap();
        }
    }
    table
}

#[test]
fn the_table_of_the_documentation_is_what_comes_out() {
    let documentation = include_str!("../src/model/forecast/measured.md");
    let table = table();
    assert!(documentation.contains(&table), "the table is now:\n{table}");
}

#[test]
fn a_leak_is_foretold_within_two_seconds_ten_seconds_ahead() {
    for kernel in KERNELS {
        for shape in ["linear", "slow"] {
            let result = result(kernel, shape);
            assert!(result.killed);
            let error = result.error.expect("a forecast ten seconds ahead");
            assert!(error.abs() <= 2.0, "{shape} on {kernel}: {error:+.1} s");
        }
    }
}

#[test]
fn neither_page_cache_nor_a_sawtooth_nor_memory_high_raises_an_alarm() {
    for kernel in KERNELS {
        for shape in ["page-cache", "sawtooth", "leak-under-high"] {
            let result = result(kernel, shape);
            assert!(!result.killed);
            assert_eq!(result.alarms.0, 0, "{shape} on {kernel}");
        }
    }
}

#[test]
fn what_has_all_that_it_wants_raises_no_alarm() {
    for kernel in KERNELS {
        for shape in ["warm-up", "flat"] {
            let recording = read(kernel, shape);
            let foretold = foretell(&recording);
            let most = |sample: &Sample| sample.cgroups[1].memory_current.value().copied();
            let full = recording.samples.iter().map(most).max().unwrap().unwrap();
            let mut alarms = recording
                .samples
                .iter()
                .zip(&foretold)
                .filter(|(sample, said)| {
                    // It is full to a MiB, and some seconds have gone by.
                    most(sample).unwrap().0 + (1 << 20) >= full.0
                        && said.as_ref().is_some_and(|said| said.alarm)
                });
            // For so long it may only pause.
            let last = alarms.by_ref().nth(8);
            assert!(last.is_none(), "{shape} on {kernel}");
        }
    }
}
