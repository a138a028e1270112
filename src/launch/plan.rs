//! A spec against this host: everything that can be refused is refused here, before anything is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{SysconfVar, geteuid, sysconf};

use super::error::{Error, Result};
use super::spec::{Restart, Spec};
use super::step::{self, Step};
use crate::kernel::block;
use crate::kernel::cgroup::hierarchy::{Hierarchy, Mode, of_process};
use crate::kernel::io::{Device, IoMax};
use crate::kernel::syscall::exec::Program;
use crate::kernel::syscall::random;
use crate::kernel::unit::Limit;

/// Where programs are looked up if the launcher has no `PATH`; docker's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The cgroup above all workloads, below the v2 mount.
pub const SLICE: &str = "ringfence.slice";

/// A checked workload: plain data, ready to be started.
#[derive(Debug)]
pub struct Plan {
    /// Its name, and its leaf's.
    pub name: String,
    /// The program's name as it was typed, for messages.
    pub command: String,
    /// The v2 mount.
    pub mount: PathBuf,
    /// Controllers to enable; each is offered by the host.
    pub controllers: Vec<&'static str>,
    /// Limit files and their text, in the order in which to write them.
    pub limits: Vec<(&'static str, String)>,
    /// What the child does before exec.
    pub steps: Vec<Step>,
    /// The program.
    pub program: Program,
    /// Whether a reaper is PID 1.
    pub init: bool,
    /// Grace between TERM and the kill.
    pub stop_timeout: Duration,
    /// Whether to start again after a failure.
    pub restart: Restart,
    /// What the user should know: a partition that became its disk, for one.
    pub notices: Vec<String>,
}

impl Plan {
    /// Checks a spec against this host.
    pub fn new(spec: &Spec) -> Result<Self> {
        let mut notices = Vec::new();
        let limits = limits(spec, &mut notices)?;
        let (mount, controllers) = hierarchy(&limits)?;
        let hostname = match &spec.hostname {
            Some(hostname) => hostname.to_string(),
            None => random_hex(),
        };
        let env = environment(spec, &hostname);
        let Some(command) = spec.command.first().filter(|command| !command.is_empty()) else {
            return Err(Error::refused("no command to run; write it behind `--`"));
        };
        let program = Program::new(&spec.command, &env)
            .map_err(|_| Error::refused("the command holds a NUL byte"))?;
        Ok(Self {
            name: spec
                .name
                .as_ref()
                .map_or_else(random_hex, ToString::to_string),
            command: command.clone(),
            mount,
            controllers,
            limits,
            steps: step::list(&hostname, spec.workdir.as_ref().map(ToString::to_string))
                .map_err(|_| Error::refused("a path holds a NUL byte"))?,
            program,
            init: spec.init,
            stop_timeout: spec.stop_timeout.duration(),
            restart: spec.restart,
            notices,
        })
    }
}

/// The limit files in writing order.
fn limits(spec: &Spec, notices: &mut Vec<String>) -> Result<Vec<(&'static str, String)>> {
    let mut files = Vec::new();
    if let Some(memory) = spec.memory {
        files.push(("memory.max", memory.to_string()));
    }
    if let Some(high) = spec.memory_high {
        if spec.memory.is_some_and(|max| high > max) {
            return Err(Error::refused(
                "memory-high is above memory, so it would never be reached; lower it or leave it out",
            ));
        }
        files.push(("memory.high", high.to_string()));
    }
    if let Some(total) = spec.memory_swap {
        let Some(memory) = spec.memory else {
            return Err(Error::refused(
                "memory-swap is memory and swap together, so it needs memory (-m) beside it",
            ));
        };
        let swap = match total.limit() {
            Limit::Max => Limit::Max,
            Limit::At(total) => match total.0.checked_sub(memory.bytes().0) {
                Some(swap) => Limit::At(swap),
                None => {
                    return Err(Error::refused(
                        "memory-swap is memory and swap together, so it cannot be less than memory",
                    ));
                }
            },
        };
        files.push(("memory.swap.max", swap.to_string()));
    }
    if let Some(cpus) = spec.cpus {
        let online = online_cpus();
        if cpus.count() > online {
            return Err(Error::refused(format!(
                "{cpus} cpus are more than this host has; write 0.01 to {online}"
            )));
        }
        files.push(("cpu.max", cpus.max().to_string()));
    }
    if let Some(weight) = spec.cpu_weight {
        files.push(("cpu.weight", weight.to_string()));
    }
    if let Some(pids) = spec.pids_limit {
        files.push(("pids.max", pids.limit().to_string()));
    }
    for (device, max) in io_limits(spec, notices)? {
        files.push(("io.max", format!("{device} {max}")));
    }
    Ok(files)
}

/// One `io.max` line per whole disk.
fn io_limits(spec: &Spec, notices: &mut Vec<String>) -> Result<BTreeMap<Device, IoMax>> {
    let mut limits = BTreeMap::<Device, IoMax>::new();
    let mut entry = |node: &str, set: &dyn Fn(&mut IoMax)| -> Result<()> {
        let disk = block::whole_disk(Path::new("/sys"), node)
            .map_err(|error| Error::refused(error.to_string()))?;
        if disk.asked_by_partition {
            let notice = format!(
                "{node} is a partition, and the kernel limits whole disks only: the limit is on {} ({})",
                disk.name, disk.device
            );
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
        set(limits.entry(disk.device).or_default());
        Ok(())
    };
    for limit in &spec.device_read_bps {
        entry(&limit.device, &|max| {
            max.rbps = Limit::At(limit.rate.get());
        })?;
    }
    for limit in &spec.device_write_bps {
        entry(&limit.device, &|max| {
            max.wbps = Limit::At(limit.rate.get());
        })?;
    }
    for limit in &spec.device_read_iops {
        entry(&limit.device, &|max| {
            max.riops = Limit::At(limit.rate.get());
        })?;
    }
    for limit in &spec.device_write_iops {
        entry(&limit.device, &|max| {
            max.wiops = Limit::At(limit.rate.get());
        })?;
    }
    Ok(limits)
}

/// Where the v2 hierarchy is, and which controllers to enable: all of the four that it offers, as the
/// dashboard shows them, limited or not.
fn hierarchy(limits: &[(&'static str, String)]) -> Result<(PathBuf, Vec<&'static str>)> {
    let hierarchy = Hierarchy::discover(Path::new("/proc"))?;
    let needed = |controller: &str| {
        let prefix = |file: &str| file.split('.').next() == Some(controller);
        // An OOM kill is noticed, and reported, through the memory controller.
        controller == "memory" || limits.iter().any(|(file, _)| prefix(file))
    };
    let (offered, missing): (Vec<_>, Vec<_>) = ["memory", "cpu", "io", "pids"]
        .into_iter()
        .partition(|controller| hierarchy.has(controller));
    let lacking: Vec<&str> = missing.into_iter().filter(|name| needed(name)).collect();
    let Some(mount) = hierarchy.mount.filter(|_| lacking.is_empty()) else {
        let has = match hierarchy.mode {
            Mode::V2 => format!("lacks the {} controller in cgroup v2", lacking.join(", ")),
            Mode::Hybrid => format!(
                "is a hybrid of cgroup v1 and v2, and v2 lacks the {} controller",
                lacking.join(", ")
            ),
            Mode::V1 => "has cgroup v1 only".to_owned(),
            Mode::None => "has no cgroup file system mounted".to_owned(),
        };
        return Err(Error::refused(format!(
            "this host {has}; `ringfence doctor` says what would mend it"
        )));
    };
    may_start(&mount)?;
    Ok((mount, offered))
}

/// Starting a workload makes a cgroup and an overlay of the host's root, which takes root.
fn may_start(mount: &Path) -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let own = of_process(Path::new("/proc"), "self")?.unwrap_or_default();
    let own = mount.join(own.strip_prefix("/").unwrap_or(&own));
    let delegated = nix::unistd::access(
        &own.join("cgroup.subtree_control"),
        nix::unistd::AccessFlags::W_OK,
    )
    .is_ok();
    let why = if delegated {
        "its root file system takes more rights than a delegated cgroup gives"
    } else {
        "no cgroup is delegated to you"
    };
    Err(Error::refused(format!(
        "user {} may not start a workload here, {why}; type `sudo ringfence run ...`",
        geteuid()
    )))
}

/// docker's defaults, but the launcher's own `PATH`, as the programs are the host's; then what was asked
/// for. The last of a name wins.
fn environment(spec: &Spec, hostname: &str) -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let mut env = vec![
        format!("PATH={path}"),
        format!("HOSTNAME={hostname}"),
        "HOME=/root".to_owned(),
    ];
    for variable in &spec.env {
        let value = variable
            .value
            .clone()
            .or_else(|| std::env::var(&variable.key).ok());
        let Some(value) = value else { continue };
        let key = format!("{}=", variable.key);
        env.retain(|other| !other.starts_with(&key));
        env.push(key + &value);
    }
    env
}

fn online_cpus() -> f64 {
    match sysconf(SysconfVar::_NPROCESSORS_ONLN) {
        Ok(Some(count)) if count > 0 => count as f64,
        _ => f64::MAX,
    }
}

/// Twelve hexadecimal digits, as docker names what has no name.
fn random_hex() -> String {
    random::<6>()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_wins() {
        let mut spec = Spec::new(["true"]);
        spec.env = ["A=1", "PATH=/x", "A=2", "NO_SUCH_VARIABLE"]
            .map(|variable| variable.parse().unwrap())
            .to_vec();
        assert_eq!(
            environment(&spec, "box"),
            ["HOSTNAME=box", "HOME=/root", "PATH=/x", "A=2"]
        );
    }

    #[test]
    fn memory_swap_is_the_total() {
        let mut spec = Spec::new(["true"]);
        spec.memory = Some("32m".parse().unwrap());
        for (total, swap) in [("32m", "0"), ("48m", "16777216"), ("-1", "max")] {
            spec.memory_swap = Some(total.parse().unwrap());
            let files = limits(&spec, &mut Vec::new()).unwrap();
            assert_eq!(files[1], ("memory.swap.max", swap.to_owned()));
        }
        spec.memory_swap = Some("16m".parse().unwrap());
        assert!(limits(&spec, &mut Vec::new()).is_err());
        spec.memory = None;
        assert!(limits(&spec, &mut Vec::new()).is_err());
    }
}
