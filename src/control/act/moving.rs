//! Moving processes to the parent of their cgroup, where its limits no longer hold.

use anyhow::{Context as _, bail};

use super::{Chosen, Ground, Target, processes, rules, signal};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error;
use crate::kernel::process::held::Held;
use crate::kernel::task;

/// Processes may fork while they are moved; after so many rounds there is no catching up with them.
const ROUNDS: usize = 50;

/// Moves all that are in the cgroup itself.
pub fn all(ground: &Ground, target: &Target) -> anyhow::Result<String> {
    let cgroup = ground.open_unless_spared(target)?;
    let path = &*target.path;
    let (to, above) = parent(ground, path)?;
    let mut moved = 0;
    for _ in 0..ROUNDS {
        let pids = cgroup.processes()?;
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            if pid == 0 {
                bail!("what runs in {path} is outside our pid namespace and cannot be moved");
            }
            // Held, so that no later process of the same pid is meant.
            let Some(held) = Held::open(&ground.proc, pid)? else {
                continue;
            };
            let is_here = task::cgroup(&ground.proc, pid).is_some_and(|now| now == path);
            if !is_here || held.is_over() {
                continue;
            }
            match above.write("cgroup.procs", &pid.to_string()) {
                Ok(()) => moved += 1,
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    let so_far = match moved {
                        0 => "nothing was moved".to_owned(),
                        moved => format!("{} moved before", processes(moved)),
                    };
                    bail!("pid {pid} of {path}: {}; {so_far}", why(&to, &error));
                }
            }
        }
    }
    let left = cgroup.processes().map_or(0, |left| left.len());
    if left > 0 {
        bail!(
            "{} of {path} moved to {to}, and {left} came anew: it forks faster than it can be moved; freeze \
             it first",
            processes(moved)
        );
    }
    if moved == 0 {
        bail!("no process is in {path} itself any more; nothing was moved");
    }
    Ok(format!("moved {} from {path} to {to}", processes(moved)))
}

/// Moves one, if it is still where it was.
pub fn one(ground: &Ground, chosen: &Chosen, from: &Target) -> anyhow::Result<String> {
    let held = signal::hold(ground, chosen)?;
    let name = held.brief.name();
    let path = &*from.path;
    ground.open(from)?;
    let is_here = || task::cgroup(&ground.proc, chosen.pid).is_some_and(|now| now == path);
    if !is_here() {
        bail!("pid {name} is not in {path} any more; nothing was moved");
    }
    let (to, above) = parent(ground, path)?;
    if held.is_over() {
        bail!("pid {name} has ended meanwhile; nothing was moved");
    }
    match above.write("cgroup.procs", &chosen.pid.to_string()) {
        Ok(()) => Ok(format!("moved pid {name} from {path} to {to}")),
        Err(error) => bail!("pid {name} was not moved: {}", why(&to, &error)),
    }
}

fn parent(ground: &Ground, path: &str) -> anyhow::Result<(String, Cgroup)> {
    if let Some(why) = rules::move_up(ground, path) {
        bail!("{why}");
    }
    let to = rules::parent(path).context("the root cgroup has no parent")?;
    Ok((to.to_owned(), Cgroup::open(ground.dir(to))?))
}

fn why(to: &str, error: &Error) -> String {
    rules::refused_move(to, error.errno())
}
