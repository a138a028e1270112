//! What starting a program costs, side by side: the floor, ringfence and its peers, to the first instruction of the
//! program and to the end of its launcher. `cargo xtask bench launch [-- ROUNDS]`: on this host, and in the virtual
//! machine.
//!
//! The program is a few instructions (`launch/first.rs`), which read the clock and report that. The floor
//! (`launch/floor.rs`) is what a launcher cannot do without, in bare system calls; it is a program of its own like the
//! others, and once more without an exec of its own. In each round everybody has a turn. Limits are on where cgroup v2
//! has the controllers.

#[path = "launch/floor.rs"]
mod floor;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{dup, dup2_stdout};
use ringfence::kernel::cgroup::hierarchy::Hierarchy;
use serde_json::{Value, json};

/// Written by everybody who knows limits; none of them is met.
const MEMORY: u64 = 256 << 20;
const PIDS: u64 = 64;
const CPUS: u64 = 1;

/// Where a program may be slow, each round takes seconds.
const ROUNDS: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, program, leaf, scratch, limits] = &*arguments
        && role == "floor"
    {
        let [program, leaf, scratch] = [program, leaf, scratch].map(Path::new);
        floor::run(program, leaf, scratch, limits_of_floor(limits == "limits"));
        return;
    }
    let rounds = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(ROUNDS);
    let Some(program) = std::env::var_os("FIRST").map(PathBuf::from) else {
        println!("skipped: `cargo xtask bench launch` makes what this measures");
        return;
    };
    let hierarchy = Hierarchy::discover(Path::new("/proc")).expect("discover cgroups");
    let limits = ["memory", "cpu", "pids"]
        .iter()
        .all(|name| hierarchy.has(name));
    let Some(mount) = hierarchy.mount else {
        println!("skipped: this host has no cgroup v2 hierarchy");
        return;
    };
    let bench = Bench::new(program, &mount, limits);
    let mut rows = bench.rows();
    for row in &mut rows {
        // Everything is in memory after that, or cannot be measured.
        for _ in 0..2 {
            if let Start::Command(start) = &row.start
                && let Err(why) = bench.measure(&Start::Command(start.clone()), "warm")
            {
                row.start = Start::No(why);
            }
        }
    }
    for round in 0..rounds {
        for row in &mut rows {
            if matches!(row.start, Start::No(_)) {
                continue;
            }
            match bench.measure(&row.start, &round.to_string()) {
                Ok(times) => row.times.push(times),
                Err(why) => row.start = Start::No(why),
            }
        }
    }
    table(&rows, rounds, limits);
}

fn limits_of_floor(limits: bool) -> &'static [(&'static str, &'static str)] {
    if limits {
        &[
            ("memory.oom.group", "1"),
            ("memory.max", "268435456"),
            ("cpu.max", "100000 100000"),
            ("pids.max", "64"),
        ]
    } else {
        &[]
    }
}

/// How one of them is started.
#[derive(Clone)]
enum Start {
    /// In this process.
    Floor,
    /// As a program; `{}` is the number of the round.
    Command(Vec<String>),
    /// Not, and why.
    No(String),
}

struct Row {
    name: &'static str,
    start: Start,
    times: Vec<Times>,
}

/// From the launcher's start.
struct Times {
    first: Duration,
    exit: Duration,
}

/// The bench's own places.
struct Bench {
    program: PathBuf,
    /// Directory of scratch directories, bundles and what launchers complain of.
    dir: PathBuf,
    /// Above the floor's leaves.
    slice: PathBuf,
    limits: bool,
}

impl Bench {
    fn new(program: PathBuf, mount: &Path, limits: bool) -> Self {
        let name = format!("ringfence-bench-{}", std::process::id());
        let bench = Self {
            program,
            // On disk, as ringfence's own.
            dir: Path::new("/var/lib").join(&name),
            slice: mount.join(&name),
            limits,
        };
        fs::create_dir(&bench.dir).expect("make a directory below /var/lib");
        fs::create_dir(&bench.slice).expect("make a cgroup");
        if limits {
            for cgroup in [mount, &bench.slice] {
                for controller in ["+memory", "+cpu", "+io", "+pids"] {
                    fs::write(cgroup.join("cgroup.subtree_control"), controller).expect(controller);
                }
            }
        }
        bench
    }

    fn rows(&self) -> Vec<Row> {
        let program = self.program.display().to_string();
        let words = |line: &str| {
            let words = line.split_whitespace().map(str::to_owned);
            Start::Command(words.collect())
        };
        let own = std::env::current_exe().expect("this program");
        let floor = format!(
            "{} floor {program} {}/floor-{{}} {}/floor-{{}} {}",
            own.display(),
            self.slice.display(),
            self.dir.display(),
            if self.limits { "limits" } else { "no-limits" }
        );
        let ringfence = std::env::var("RINGFENCE").expect("RINGFENCE");
        let flags = if self.limits {
            format!("-m {MEMORY} --cpus {CPUS} --pids-limit {PIDS}")
        } else {
            String::new()
        };
        let bwrap =
            format!("bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev -- {program}");
        let bundle = self.bundle();
        let manager = if self.limits { "cgroupfs" } else { "disabled" };
        let crun = format!("crun --cgroup-manager={manager} run --bundle {bundle} bench-{{}}");
        let runc = if self.limits {
            words(&format!("runc run --bundle {bundle} bench-{{}}"))
        } else {
            Start::No("it would make cgroups in the v1 hierarchies".to_owned())
        };
        [
            ("floor", words(&floor)),
            ("floor, without an exec of its own", Start::Floor),
            (
                "`ringfence run`",
                words(&format!("{ringfence} run {flags} -- {program}")),
            ),
            (
                "`ringfence run --privileged`",
                words(&format!(
                    "{ringfence} run --privileged {flags} -- {program}"
                )),
            ),
            ("`bwrap --unshare-all`", words(&bwrap)),
            ("`crun run`", words(&crun)),
            ("`runc run`", runc),
        ]
        .map(|(name, start)| Row {
            name,
            start,
            times: Vec::new(),
        })
        .into()
    }

    /// What crun and runc start from: their own default, but with this program and these limits.
    fn bundle(&self) -> String {
        let bundle = self.dir.join("bundle");
        let rootfs = bundle.join("rootfs");
        fs::create_dir_all(&rootfs).expect("make a bundle");
        fs::copy(&self.program, rootfs.join("first")).expect("copy the program");
        let spec = |tool: &&str| {
            let made = Command::new(tool).arg("spec").current_dir(&bundle).status();
            made.is_ok_and(|status| status.success())
        };
        ["crun", "runc"].iter().find(|tool| spec(tool));
        let file = bundle.join("config.json");
        if let Ok(text) = fs::read(&file) {
            let mut config: Value = serde_json::from_slice(&text).expect("config.json");
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(["/first"]);
            if self.limits {
                config["linux"]["resources"]["memory"] = json!({"limit": MEMORY});
                config["linux"]["resources"]["cpu"] =
                    json!({"quota": CPUS * 100_000, "period": 100_000});
                config["linux"]["resources"]["pids"] = json!({"limit": PIDS});
            }
            fs::write(&file, config.to_string()).expect("write config.json");
        }
        bundle.display().to_string()
    }

    fn measure(&self, start: &Start, round: &str) -> Result<Times, String> {
        match start {
            Start::No(why) => Err(why.clone()),
            Start::Floor => Ok(self.measure_here(round)),
            Start::Command(words) => self.measure_command(words, round),
        }
    }

    fn measure_command(&self, words: &[String], round: &str) -> Result<Times, String> {
        let words: Vec<String> = words.iter().map(|word| word.replace("{}", round)).collect();
        let said = self.dir.join("stderr");
        let stderr = File::create(&said).expect("make a file");
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let begin = now();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let first = first_instruction(child.stdout.take().expect("piped").into());
        let status = child.wait().expect("wait");
        let end = now();
        if let Some(first) = first
            && status.success()
        {
            return Ok(Times {
                first: first.saturating_sub(begin),
                exit: end.saturating_sub(begin),
            });
        }
        let said = fs::read_to_string(said).unwrap_or_default();
        Err(said.lines().last().unwrap_or("it failed").to_owned())
    }

    fn measure_here(&self, round: &str) -> Times {
        let (read, write) = nix::unistd::pipe().expect("make a pipe");
        let stdout = dup(std::io::stdout()).expect("keep stdout");
        dup2_stdout(&write).expect("set stdout");
        drop(write);
        let name = format!("floor-here-{round}");
        let begin = now();
        floor::run(
            &self.program,
            &self.slice.join(&name),
            &self.dir.join(&name),
            limits_of_floor(self.limits),
        );
        let end = now();
        dup2_stdout(stdout.as_fd()).expect("set stdout back");
        Times {
            first: first_instruction(read)
                .expect("the program's clock")
                .saturating_sub(begin),
            exit: end.saturating_sub(begin),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_dir(&self.slice);
    }
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .expect("read the clock")
        .into()
}

/// What the program reports: its `timespec`.
fn first_instruction(pipe: OwnedFd) -> Option<Duration> {
    let mut report = [0; 16];
    File::from(pipe).read_exact(&mut report).ok()?;
    let [seconds, nanos] =
        [&report[..8], &report[8..]].map(|half| half.try_into().map(u64::from_ne_bytes));
    Some(Duration::new(seconds.ok()?, nanos.ok()?.try_into().ok()?))
}

/// As it can go into the README.
fn table(rows: &[Row], rounds: usize, limits: bool) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model.trim())
        .collect();
    println!(
        "{} × {}, Linux {}; {rounds} rounds, {}; ms (× the floor)\n",
        models.len(),
        models.first().unwrap_or(&"unknown processor"),
        read("/proc/sys/kernel/osrelease").trim(),
        if limits {
            "limits on"
        } else {
            "without limits"
        },
    );
    println!("| launcher | first instruction, median | p95 | to exit, median | p95 |");
    println!("|---|---|---|---|---|");
    let floor = rows.first().and_then(Row::figures);
    for row in rows {
        match (row.figures(), floor, &row.start) {
            (Some(own), Some(floor), _) => {
                let cells: Vec<String> = own
                    .iter()
                    .zip(floor)
                    .map(|(own, floor)| format!("{own:.2} ({:.2}×)", own / floor))
                    .collect();
                println!("| {} | {} |", row.name, cells.join(" | "));
            }
            (_, _, Start::No(why)) => {
                println!("| {} | not measured: {why} | | | |", row.name);
            }
            _ => println!("| {} | not measured | | | |", row.name),
        }
    }
}

impl Row {
    /// Median and 95th percentile to the first instruction, and both to exit, in milliseconds.
    fn figures(&self) -> Option<[f64; 4]> {
        let of = |time: fn(&Times) -> Duration, share: f64| {
            let mut sorted: Vec<Duration> = self.times.iter().map(time).collect();
            sorted.sort();
            // The smallest that so many are not above.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let at = (sorted.len() as f64 * share).ceil() as usize;
            let found = sorted.get(at.saturating_sub(1))?;
            Some(found.as_secs_f64() * 1e3)
        };
        Some([
            of(|times| times.first, 0.5)?,
            of(|times| times.first, 0.95)?,
            of(|times| times.exit, 0.5)?,
            of(|times| times.exit, 0.95)?,
        ])
    }
}
