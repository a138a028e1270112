//! A spec against this host: everything that can be refused is refused here, before anything is made.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, geteuid, sysconf};

use super::error::{Error, Result};
use super::fence::Ready;
use super::home::SLICE;
use super::ids::Ids;
use super::image::Image;
use super::lock_mounts::LockMounts;
use super::pasta::Pasta;
use super::root::Root;
use super::spec::{Clock, EnvVar, Net, OomPolicy, Restart, Spec, Stdio, TimeOffset, User, Workdir};
use super::step::{self, Walk};
use crate::kernel::block;
use crate::kernel::cgroup::hierarchy::{Hierarchy, Mode, of_process};
use crate::kernel::error::Error as KernelError;
use crate::kernel::io::{Device, IoMax};
use crate::kernel::syscall::exec::Program;
use crate::kernel::syscall::random;
use crate::kernel::unit::Limit;

/// Where programs are looked up if the launcher has no `PATH`; docker's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a user gives up by it.
const PRIVILEGED: &str = "privileged: every capability in its user namespace, no filter of system calls, nothing of \
     /proc and /sys masked or read-only";

/// What lets the host's root lift limits from within a cgroup namespace.
const NO_NSDELEGATE: &str =
    "cgroup v2 is mounted without nsdelegate, so root inside can lift its own limits";
/// What a host without the memory controller cannot do.
const NO_MEMORY: &str = "cgroup v2 has no memory controller here, so an OOM kill goes unnoticed; `ringfence doctor` \
     says what would mend it";

/// A checked workload: plain data, ready to be started.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Plan {
    /// Its name, and its leaf's.
    pub name: String,
    /// The program's name as it was typed, for messages.
    pub command: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The host name inside.
    pub hostname: String,
    /// Its environment, as `KEY=VALUE`.
    pub environment: Vec<String>,
    /// The v2 mount.
    pub mount: PathBuf,
    /// Whether root inside may make cgroups below its own.
    pub delegate: bool,
    /// Controllers to enable; each is offered by the host.
    pub controllers: Vec<&'static str>,
    /// Limit files and their text, in the order in which to write them.
    pub limits: Vec<(&'static str, String)>,
    /// Whether the limit of swap was asked for, or else follows from that of memory and may be missing.
    pub swap_was_asked_for: bool,
    /// Whether all are killed where one is for lack of memory.
    pub oom_group: bool,
    /// The root file system.
    pub root: Root,
    /// Whom the ids inside are outside.
    pub ids: Ids,
    /// Where they are shifted, the user namespace that file systems are mapped by.
    pub mapping: Option<OwnedFd>,
    /// The image that it comes from, whose layers may have to be unpacked.
    pub image: Option<Image>,
    /// Who runs the program, where that is not root.
    pub user: Option<User>,
    /// Whether the user's own directory is to be its `HOME`.
    pub home_is_users: bool,
    /// Where it starts.
    pub workdir: Option<Workdir>,
    /// What asks it to end.
    pub stop_signal: Signal,
    /// What the child does.
    pub walk: Walk,
    /// Which network it has.
    pub net: Net,
    /// What carries its packets to the host's, if anything does.
    pub pasta: Option<Pasta>,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Whether it is handed what is typed on a terminal, although its output goes elsewhere.
    pub interactive: bool,
    /// What its streams are, where it has none.
    pub stdio: Stdio,
    /// Grace between TERM and the kill.
    pub stop_timeout: Duration,
    /// Whether to start again.
    pub restart: Restart,
    /// What the user should know: a partition that became its disk, for one.
    pub notices: Vec<String>,
}

impl Plan {
    /// Checks a spec against this host.
    pub fn new(spec: &Spec) -> Result<Self> {
        let image = spec.image.as_ref().map(Image::open).transpose()?;
        let completed = match &image {
            Some(image) => image.complete(spec)?,
            None if spec.entrypoint.is_some() => {
                return Err(Error::refused(
                    "entrypoint is about an image, so it needs one",
                ));
            }
            None => spec.clone(),
        };
        let spec = &completed;
        let mut notices: Vec<String> = image.iter().filter_map(Image::notice).collect();
        let stop_signal = image.as_ref().map(Image::stop_signal);
        let (stop_signal, notice) = stop_signal.unwrap_or((Signal::SIGTERM, None));
        notices.extend(notice);
        if spec.privileged {
            notices.push(PRIVILEGED.to_owned());
        }
        let limits = limits(spec, &mut notices)?;
        spec.time_offset.iter().try_for_each(can_run)?;
        let found = Hierarchy::discover(Path::new("/proc"))?;
        let nsdelegate = found.nsdelegate;
        let (mount, controllers) = hierarchy(found, &limits)?;
        may_start(&mount)?;
        if !controllers.contains(&"memory") {
            notices.push(NO_MEMORY.to_owned());
        }
        let hostname = match &spec.hostname {
            Some(hostname) => hostname.to_string(),
            None => random_hex(),
        };
        let environment = environment(spec, &hostname);
        let Some(command) = spec.command.first().filter(|command| !command.is_empty()) else {
            return Err(Error::refused("no command to run; write it behind `--`"));
        };
        let root = Root::new(spec, image.as_ref())?;
        let program = Program::new(&spec.command, &environment)
            .map_err(|_| Error::refused("the command holds a NUL byte"))?;
        let name = spec.name.as_ref();
        let name = name.map_or_else(random_hex, ToString::to_string);
        let (ids, mapping) = Ids::new(spec.userns, &name, &root, &mount.join(SLICE));
        notices.extend(ids.notice());
        if spec.privileged && ids.root().is_none() && !nsdelegate {
            notices.push(NO_NSDELEGATE.to_owned());
        }
        let fences = Ready::new(spec)?;
        let nul = |_| Error::refused("a path holds a NUL byte");
        // Who may not mount takes nothing off either. What carries packets is told of the network before.
        let may_mount = !spec.privileged && fences.capabilities.has("SYS_ADMIN");
        let lock = (may_mount && spec.net != Net::Pasta)
            .then(|| LockMounts::new(&ids, spec.net != Net::Host))
            .transpose()
            .map_err(nul)?
            .flatten();
        Ok(Self {
            name,
            command: command.clone(),
            argv: spec.command.clone(),
            mount,
            delegate: spec.privileged,
            controllers,
            limits,
            swap_was_asked_for: spec.memory_swap.is_some(),
            oom_group: spec.oom_policy == OomPolicy::Kill,
            walk: Walk {
                steps: step::list(&hostname, spec, &root, lock).map_err(nul)?,
                fences: step::fences(fences, spec.user.is_some()),
                program,
                init: spec.init,
                ulimits: spec.ulimit.clone(),
            },
            root,
            hostname,
            environment,
            ids,
            mapping,
            image,
            home_is_users: spec.user.is_some() && !spec.env.iter().any(|it| it.key == "HOME"),
            user: spec.user.clone(),
            workdir: spec.workdir.clone(),
            stop_signal,
            net: spec.net,
            pasta: Pasta::new(spec)?,
            tty: spec.tty,
            interactive: spec.interactive,
            stdio: spec.stdio,
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
    if let Some(swap) = swap_limit(spec)? {
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

/// How much may be swapped out: as docker does it, as much again as its memory where nothing is said of swap.
fn swap_limit(spec: &Spec) -> Result<Option<Limit<u64>>> {
    let memory = spec.memory.map(|memory| memory.bytes().0);
    match (
        memory,
        spec.memory_swap
            .map(|total| total.limit().map(|total| total.0)),
    ) {
        (memory, None) => Ok(memory.map(Limit::At)),
        (None, Some(_)) => Err(Error::refused(
            "memory-swap is memory and swap together, so it needs memory (-m) beside it",
        )),
        (Some(_), Some(Limit::Max)) => Ok(Some(Limit::Max)),
        (Some(memory), Some(Limit::At(total))) => match total.checked_sub(memory) {
            Some(swap) => Ok(Some(Limit::At(swap))),
            None => Err(Error::refused(
                "memory-swap is memory and swap together, so it cannot be less than memory",
            )),
        },
    }
}

/// One `io.max` line per whole disk.
fn io_limits(spec: &Spec, notices: &mut Vec<String>) -> Result<BTreeMap<Device, IoMax>> {
    let mut limits = BTreeMap::<Device, IoMax>::new();
    let mut entry = |node: &str, set: &dyn Fn(&mut IoMax)| -> Result<()> {
        let disk = block::whole_disk(Path::new("/sys"), node)
            .map_err(|error| Error::refused(error.to_string()))?;
        if disk.asked_by_partition {
            let notice = disk.notice(node);
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

/// The kernel's clocks go from 0 to half of what it can count.
fn can_run(offset: &TimeOffset) -> Result<()> {
    const AT_MOST: i64 = i64::MAX / 1_000_000_000 / 2;
    let clock = match offset.clock {
        Clock::Monotonic => ClockId::CLOCK_MONOTONIC,
        Clock::Boottime => ClockId::CLOCK_BOOTTIME,
    };
    let now = clock_gettime(clock)
        .map_err(|errno| KernelError::new("read", "a clock", errno))?
        .tv_sec();
    match now.checked_add(offset.seconds) {
        Some(0..=AT_MOST) => Ok(()),
        Some(..0) => Err(Error::refused(format!(
            "time-offset {offset} would set the clock to before 0: it is at {now} s"
        ))),
        _ => Err(Error::refused(format!(
            "time-offset {offset} is more than the kernel's clocks can count"
        ))),
    }
}

/// Where the v2 hierarchy is, and which controllers to enable: all of the four that it offers, as the
/// dashboard shows them, limited or not. Those that limits need must be there.
fn hierarchy(
    hierarchy: Hierarchy,
    limits: &[(&'static str, String)],
) -> Result<(PathBuf, Vec<&'static str>)> {
    let needed = |controller: &str| {
        let prefix = |file: &str| file.split('.').next() == Some(controller);
        limits.iter().any(|(file, _)| prefix(file))
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
    // Those of another root are where they always are.
    let is_hosts = spec.has_hosts_root();
    let own = is_hosts.then(|| std::env::var("PATH").ok());
    let path = own.flatten().unwrap_or_else(|| PATH.to_owned());
    let mut env = vec![
        format!("PATH={path}"),
        format!("HOSTNAME={hostname}"),
        "HOME=/root".to_owned(),
    ];
    if spec.tty {
        env.push(terminal_variable());
    }
    set_variables(&mut env, &spec.env);
    env
}

/// What kind of terminal a workload's own is: as the launcher's.
pub(super) fn terminal_variable() -> String {
    let kind = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    format!("TERM={kind}")
}

/// Adds what was asked for; the last of a name wins.
pub(super) fn set_variables(env: &mut Vec<String>, variables: &[EnvVar]) {
    for variable in variables {
        let value = variable
            .value
            .clone()
            .or_else(|| std::env::var(&variable.key).ok());
        let Some(value) = value else { continue };
        let key = format!("{}=", variable.key);
        env.retain(|other| !other.starts_with(&key));
        env.push(key + &value);
    }
}

fn online_cpus() -> f64 {
    match sysconf(SysconfVar::_NPROCESSORS_ONLN) {
        Ok(Some(count)) if count > 0 => count as f64,
        _ => f64::MAX,
    }
}

/// Twelve hexadecimal digits, as docker names what has no name.
pub fn random_hex() -> String {
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
    fn a_controller_is_needed_for_its_limits_only() {
        let host = |mode, controllers: &[&str]| Hierarchy {
            mode,
            mount: matches!(mode, Mode::V2 | Mode::Hybrid).then(|| "/cg".into()),
            nsdelegate: true,
            controllers: controllers.iter().map(ToString::to_string).collect(),
            v1: Vec::new(),
        };
        let memory = [("memory.max", "1".to_owned())];
        let all = ["cpuset", "cpu", "io", "memory", "pids"];
        let (mount, offered) = hierarchy(host(Mode::V2, &all), &memory).unwrap();
        assert_eq!(mount, Path::new("/cg"));
        assert_eq!(offered, ["memory", "cpu", "io", "pids"]);

        let (_, offered) = hierarchy(host(Mode::Hybrid, &["hugetlb"]), &[]).unwrap();
        assert!(offered.is_empty());
        for (host, limits, says) in [
            (
                host(Mode::Hybrid, &["pids"]),
                &memory[..],
                "v2 lacks the memory controller",
            ),
            (
                host(Mode::V2, &[]),
                &memory,
                "lacks the memory controller in cgroup v2",
            ),
            (host(Mode::V1, &[]), &[], "has cgroup v1 only"),
            (host(Mode::None, &[]), &[], "has no cgroup file system"),
        ] {
            let error = hierarchy(host, limits).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
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
        spec.memory_swap = None;
        let files = limits(&spec, &mut Vec::new()).unwrap();
        assert_eq!(files[1], ("memory.swap.max", "33554432".to_owned()));
        spec.memory_swap = Some("16m".parse().unwrap());
        assert!(limits(&spec, &mut Vec::new()).is_err());
        spec.memory = None;
        assert!(limits(&spec, &mut Vec::new()).is_err());
    }
}
