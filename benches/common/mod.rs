//! What the benches share.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What the live source reads of every cgroup at every sweep, where it exists.
const HOT: [&str; 9] = [
    "cpu.stat",
    "memory.events",
    "memory.current",
    "memory.swap.current",
    "io.stat",
    "pids.current",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
];

/// CPU time of this process so far.
pub fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .expect("read the CPU clock")
        .into()
}

/// The bench's own subtree.
pub struct Forest {
    pub name: PathBuf,
    pub directories: Vec<PathBuf>,
}

impl Forest {
    pub fn plant(mount: &Path, cgroups: usize) -> Option<Self> {
        let name = PathBuf::from(format!("ringfence-bench-{}", std::process::id()));
        let top = mount.join(&name);
        fs::create_dir(&top).ok()?;
        let mut forest = Self {
            name,
            directories: vec![top.clone()],
        };
        for controller in ["+cpu", "+io", "+memory", "+pids"] {
            let _ = fs::write(top.join("cgroup.subtree_control"), controller);
        }
        for n in 1..cgroups {
            let path = top.join(format!("c{n:04}"));
            fs::create_dir(&path).ok()?;
            forest.directories.push(path);
        }
        Some(forest)
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.directories
            .iter()
            .flat_map(|directory| HOT.map(|name| directory.join(name)))
            .filter(|path| path.exists())
            .collect()
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        for path in self.directories.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}
