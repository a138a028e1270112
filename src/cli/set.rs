//! Arguments of `ringfence set`.

use crate::command::set::{Options, run};
use crate::kernel::cgroup::knob::Wish;

/// Change limits of any cgroup: checked first, and all of them or none.
///
/// The exit code is 0 where all were set, 125 where they were refused and nothing was changed, and 2 for
/// what cannot be understood.
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
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        run(&Options {
            target: self.target,
            wishes: self.wishes,
            dry_run: self.dry_run,
            force: self.force,
            persist: self.persist,
        })
    }
}
