//! Arguments of `ringfence set`.

use std::time::Duration;

use super::value;
use crate::command::set::{Options, run};
use crate::control::trial::Terms;
use crate::kernel::cgroup::knob::Wish;

/// Change limits of any cgroup: checked first, and all of them or none.
///
/// The exit code is 0 where all were set (and kept, with --try), 1 where they were on trial and taken back, 125 where they
/// were refused and nothing was changed, and 2 for what cannot be understood.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose: a path from the v2 root (`system.slice`), or the name of a workload, a container or a unit.
    target: String,
    /// What: memory.max=64m, cpu.max=50%, pids.max=max, io.max=/dev/vda:wbps=2m,rbps=max, …
    #[arg(required = true, value_name = "KEY=VALUE")]
    wishes: Vec<Wish>,
    /// Say what would change and what would come of it, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do what is likely to break the workload too, such as a memory.max below its usage.
    #[arg(long)]
    force: bool,
    /// For a unit of systemd's: keep it over the next boot.
    #[arg(long)]
    persist: bool,
    /// Only try it for so long (5m, 90s): it is taken back then, on an OOM kill, where tasks stall or are throttled more than
    /// before, and however this command ends. Enter, or a line on stdin, keeps it.
    #[arg(long = "try", value_name = "TIME", value_parser = trial_time, conflicts_with = "persist")]
    trial: Option<Duration>,
    /// With --try: so many percentage points more of waiting for memory or I/O, or of throttled periods, are too much.
    #[arg(long, value_name = "POINTS", default_value_t = Terms::default().margin, requires = "trial")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    margin: u32,
}

/// At least a second: what is worse must have time to show.
fn trial_time(text: &str) -> Result<Duration, String> {
    value::duration(text).and_then(|time| {
        let long = time >= Duration::from_secs(1);
        long.then_some(time)
            .ok_or_else(|| "a trial of 1 s or more is wanted".to_owned())
    })
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        run(&Options {
            target: self.target,
            wishes: self.wishes,
            dry_run: self.dry_run,
            force: self.force,
            persist: self.persist,
            trial: self.trial.map(|time| Terms {
                time,
                margin: self.margin,
            }),
        })
    }
}
