//! Arguments of `ringfence get`.

use crate::command::get::{Options, run};
use crate::kernel::cgroup::knob::Knob;

/// Show limits and weights of any cgroup: each with its value, the one in force, its range, since which kernel it is there,
/// and the kernel's document.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose: a path from the v2 root (`system.slice`), or the name of a workload, a container or a unit.
    target: String,
    /// Which: memory.max, cpu.max, … All where none is named.
    #[arg(value_name = "KEY", value_parser = knob)]
    knobs: Vec<Knob>,
    /// Print JSON, an object a knob.
    #[arg(long)]
    json: bool,
}

fn knob(text: &str) -> Result<Knob, String> {
    Knob::named(text).ok_or_else(|| {
        let known = Knob::ALL.map(Knob::name);
        format!("there is no knob `{text}`; there are {}", known.join(", "))
    })
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        run(&Options {
            target: self.target,
            knobs: self.knobs,
            json: self.json,
        })
    }
}
