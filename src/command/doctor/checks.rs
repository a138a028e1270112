//! Every check of the doctor, in the order in which it is read.

use std::path::Path;

use nix::errno::Errno;

use super::{Finding, State};
use crate::kernel::cgroup::hierarchy::{self, Hierarchy, Mode};
use crate::kernel::error::Error;
use crate::kernel::obstacle::{self, Obstacle};
use crate::kernel::probe;
use crate::launch::storage;
use crate::text;

/// Controllers that limits need, and those that are merely good to have.
const NEEDED: [&str; 4] = ["memory", "cpu", "io", "pids"];
const WELCOME: [&str; 1] = ["cpuset"];

/// How a Debian or Fedora host is booted into the unified hierarchy.
const MEND_MODE: &str = "add `systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all` to the kernel command line \
     (GRUB_CMDLINE_LINUX in /etc/default/grub, then `update-grub`) and reboot";

/// Looks at everything.
pub fn all(proc: &Path, hierarchy: &Hierarchy) -> Vec<Finding> {
    let mut findings = vec![mode(hierarchy)];
    findings.extend(
        NEEDED
            .iter()
            .map(|name| controller(proc, hierarchy, name, State::Lacking)),
    );
    findings.extend(
        WELCOME
            .iter()
            .map(|name| controller(proc, hierarchy, name, State::Less)),
    );
    findings.extend(delegation(proc, hierarchy));
    findings.extend(limits_hold(hierarchy));
    findings.push(user_namespaces(proc));
    findings.push(namespaces(proc));
    findings.push(covered_proc(proc));
    findings.push(system_call_filters(proc));
    findings.push(overlay(proc));
    findings.push(quotas());
    findings.push(pressure(proc));
    findings.push(kernel_log(proc));
    findings.push(open_files());
    findings.push(inotify(proc));
    findings
}

/// That cgroups cannot be looked at: nothing else can be said then.
pub fn unreachable(error: &Error) -> Finding {
    let remedy = "ringfence needs /proc, and cgroup v2 where it can be reached";
    bad("cgroup mode", State::Lacking, error.to_string(), remedy)
}

fn good(name: &str, detail: impl Into<String>) -> Finding {
    Finding {
        name: name.into(),
        state: State::Good,
        detail: detail.into(),
        mend: None,
    }
}

fn bad(name: &str, state: State, detail: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        name: name.into(),
        state,
        detail: detail.into(),
        mend: Some(mend.into()),
    }
}

fn mode(hierarchy: &Hierarchy) -> Finding {
    const NAME: &str = "cgroup mode";
    let at = hierarchy
        .mount
        .as_deref()
        .unwrap_or(Path::new(""))
        .display();
    match hierarchy.mode {
        Mode::V2 => good(NAME, format!("v2, at {at}")),
        Mode::Hybrid if NEEDED.iter().all(|name| hierarchy.has(name)) => good(
            NAME,
            format!("hybrid, with all that limits need on v2 at {at}"),
        ),
        Mode::Hybrid => bad(
            NAME,
            State::Lacking,
            format!("hybrid: v2 at {at}, but controllers are bound to v1 hierarchies"),
            MEND_MODE,
        ),
        Mode::V1 => bad(NAME, State::Lacking, "v1 only", MEND_MODE),
        Mode::None => bad(
            NAME,
            State::Lacking,
            "no cgroup file system is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
    }
}

fn controller(proc: &Path, hierarchy: &Hierarchy, controller: &str, severity: State) -> Finding {
    let name = format!("controller {controller}");
    if hierarchy.has(controller) {
        return good(&name, "offered by the v2 root");
    }
    // v1 calls the io controller blkio.
    let v1_name = if controller == "io" {
        "blkio"
    } else {
        controller
    };
    if let Some((_, at)) = hierarchy.v1.iter().find(|(bound, _)| bound == v1_name) {
        return bad(
            &name,
            severity,
            format!("bound to v1 at {}", at.display()),
            MEND_MODE,
        );
    }
    match probe::controller_enabled(proc, controller) {
        Some(false) => bad(
            &name,
            severity,
            "switched off on the kernel command line",
            format!(
                "take `cgroup_disable={controller}` off the kernel command line \
                 (a Raspberry Pi wants `cgroup_enable={controller}`) and reboot"
            ),
        ),
        Some(true) => bad(
            &name,
            severity,
            "known to the kernel, but not offered here (a container or a delegated subtree?)",
            format!(
                "ask whoever made this subtree for +{controller} in its cgroup.subtree_control"
            ),
        ),
        None => bad(
            &name,
            severity,
            "not built into this kernel",
            format!("use a kernel with CONFIG_{}", config_of(controller)),
        ),
    }
}

fn config_of(controller: &str) -> &'static str {
    match controller {
        "memory" => "MEMCG",
        "cpu" => "CGROUP_SCHED and CONFIG_CFS_BANDWIDTH",
        "io" => "BLK_CGROUP and CONFIG_BLK_DEV_THROTTLING",
        "pids" => "CGROUP_PIDS",
        _ => "CPUSETS",
    }
}

/// Whether the root of a cgroup namespace keeps its limits whatever root in it may do.
fn limits_hold(hierarchy: &Hierarchy) -> Option<Finding> {
    const NAME: &str = "limits hold inside";
    let at = hierarchy.mount.as_deref()?.display();
    Some(if hierarchy.nsdelegate {
        good(NAME, "cgroup v2 is mounted with nsdelegate")
    } else {
        bad(
            NAME,
            State::Less,
            "cgroup v2 is mounted without nsdelegate: a workload with --privileged and --userns host can lift its own \
             limits",
            format!("mount -o remount,nsdelegate {at}"),
        )
    })
}

/// How an ordinary user gets a subtree.
const MEND_DELEGATION: &str = "sudo ringfence …, or, where systemd runs: \
     systemd-run --user --scope -p Delegate=yes ringfence …";

/// Whether this user may make cgroups with limits: root may anywhere, others need a delegated subtree.
fn delegation(proc: &Path, hierarchy: &Hierarchy) -> Option<Finding> {
    const NAME: &str = "delegation";
    let mount = hierarchy.mount.as_ref()?;
    if nix::unistd::geteuid().is_root() {
        return Some(match probe::writable(mount) {
            Ok(()) => good(NAME, "root: the whole tree is writable"),
            Err(Errno::EROFS) => bad(
                NAME,
                State::Lacking,
                format!("{} is mounted read-only", mount.display()),
                format!("mount -o remount,rw {}", mount.display()),
            ),
            Err(errno) => bad(
                NAME,
                State::Lacking,
                format!("{} is not writable: {}", mount.display(), errno.desc()),
                "run ringfence outside of this container, or with a writable cgroup mount",
            ),
        });
    }
    let own = hierarchy::of_process(proc, "self").ok()??;
    let dir = mount.join(own.strip_prefix("/").unwrap_or(&own));
    if probe::writable(&dir).is_err() || probe::writable(&dir.join("cgroup.procs")).is_err() {
        let detail = format!("{} belongs to somebody else", own.display());
        return Some(bad(NAME, State::Lacking, detail, MEND_DELEGATION));
    }
    let offered = hierarchy::read_words(&dir.join("cgroup.controllers")).unwrap_or_default();
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|name| !offered.iter().any(|has| has == name))
        .collect();
    Some(if missing.is_empty() {
        good(NAME, format!("{} is delegated to this user", own.display()))
    } else {
        bad(
            NAME,
            State::Lacking,
            format!(
                "{} is delegated, without {}",
                own.display(),
                missing.join(", ")
            ),
            "as root: mkdir -p /etc/systemd/system/user@.service.d && printf \
             '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf \
             && systemctl daemon-reload, then log in anew",
        )
    })
}

/// Whether all that a workload needs may be made. One that is at its limit shows only when one more is made.
fn namespaces(proc: &Path) -> Finding {
    const NAME: &str = "namespaces";
    match obstacle::no_namespaces(proc) {
        Some(Obstacle { what, remedy }) => bad(NAME, State::Lacking, what, remedy),
        None => good(NAME, "of every kind may be made"),
    }
}

/// Whether `/proc` can be mounted in a user namespace.
fn covered_proc(proc: &Path) -> Finding {
    const NAME: &str = "/proc";
    match obstacle::covered_proc(proc) {
        Some(Obstacle { what, remedy }) => bad(NAME, State::Less, what, remedy),
        None => good(NAME, "nothing of it is covered"),
    }
}

fn user_namespaces(proc: &Path) -> Finding {
    const NAME: &str = "user namespaces";
    if probe::readable(&proc.join("self/ns/user")).is_err() {
        return bad(
            NAME,
            State::Lacking,
            "not built into this kernel",
            "use a kernel with CONFIG_USER_NS",
        );
    }
    // These two stop ordinary users only.
    for (sysctl, stops, mend) in [
        (
            "kernel.unprivileged_userns_clone",
            0,
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            1,
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ] {
        if probe::sysctl(proc, sysctl) == Some(stops) {
            let root = nix::unistd::geteuid().is_root();
            let state = if root { State::Less } else { State::Lacking };
            return bad(
                NAME,
                state,
                format!("{sysctl} is {stops}: for root only"),
                mend,
            );
        }
    }
    good(NAME, "available")
}

fn system_call_filters(proc: &Path) -> Finding {
    const NAME: &str = "system call filters";
    // Since 4.14, where `CONFIG_SECCOMP_FILTER` is set.
    match probe::readable(&proc.join("sys/kernel/seccomp/actions_avail")) {
        Ok(()) => good(NAME, "seccomp is available"),
        Err(_) => bad(
            NAME,
            State::Lacking,
            "no seccomp in this kernel: nothing starts with the default profile",
            "use a kernel with CONFIG_SECCOMP_FILTER, or run --security-opt seccomp=unconfined",
        ),
    }
}

fn overlay(proc: &Path) -> Finding {
    const NAME: &str = "overlay";
    if probe::knows_filesystem(proc, "overlay") {
        good(NAME, "known to the kernel")
    } else {
        // The kernel loads it by itself at the first mount by root, where modules can be loaded.
        bad(NAME, State::Less, "not loaded (yet)", "modprobe overlay")
    }
}

fn pressure(proc: &Path) -> Finding {
    const NAME: &str = "pressure (PSI)";
    match probe::readable(&proc.join("pressure/memory")) {
        Ok(()) => good(NAME, "available"),
        Err(Errno::ENOENT) => bad(
            NAME,
            State::Less,
            "not built into this kernel",
            "use a kernel with CONFIG_PSI",
        ),
        Err(_) => bad(
            NAME,
            State::Less,
            "switched off",
            "add `psi=1` to the kernel command line and reboot",
        ),
    }
}

fn kernel_log(proc: &Path) -> Finding {
    const NAME: &str = "kernel log";
    match probe::readable(Path::new("/dev/kmsg")) {
        Ok(()) => good(NAME, "/dev/kmsg is readable: OOM victims can be named"),
        Err(Errno::EPERM) if probe::sysctl(proc, "kernel.dmesg_restrict") == Some(1) => bad(
            NAME,
            State::Less,
            "kernel.dmesg_restrict is 1: OOM kills are counted, victims not named",
            "sudo ringfence …, or: sysctl kernel.dmesg_restrict=0",
        ),
        Err(errno) => bad(
            NAME,
            State::Less,
            format!(
                "/dev/kmsg: {}: OOM kills are counted, victims not named",
                errno.desc()
            ),
            "sudo ringfence …",
        ),
    }
}

/// About twenty files are kept open for each cgroup; a busy host has a few hundred of those.
fn open_files() -> Finding {
    const NAME: &str = "open files";
    const ENOUGH: u64 = 16_384;
    match probe::open_files() {
        Ok((soft, hard)) if hard >= ENOUGH => good(
            NAME,
            format!("soft limit {soft}, hard {hard} (ringfence raises it to the hard one)"),
        ),
        Ok((_, hard)) => bad(
            NAME,
            State::Less,
            format!(
                "hard limit {hard}: from about {} cgroups on, files are reopened at each sweep",
                hard / 20
            ),
            format!(
                "ulimit -Hn {ENOUGH} (as root), or `* hard nofile {ENOUGH}` in /etc/security/limits.conf"
            ),
        ),
        Err(errno) => bad(
            NAME,
            State::Less,
            errno.desc(),
            format!("ulimit -Hn {ENOUGH} (as root)"),
        ),
    }
}

fn quotas() -> Finding {
    const NAME: &str = "disk quotas";
    let (dir, is_enforced) = storage::look();
    let dir = dir.display();
    if is_enforced {
        let most = text::bytes(storage::DEFAULT);
        return good(
            NAME,
            format!("{dir} enforces project quotas: a workload writes {most} at most"),
        );
    }
    bad(
        NAME,
        State::Less,
        format!("{dir} has no project quotas: a workload's writes end where the disk does"),
        "ringfence run --storage-opt size=1g … (it keeps them in memory), or mount that file system with `prjquota` \
         (ext4 needs `tune2fs -O project,quota` before)",
    )
}

fn inotify(proc: &Path) -> Finding {
    const NAME: &str = "inotify";
    const ENOUGH: i64 = 8_192;
    let watches = probe::sysctl(proc, "fs.inotify.max_user_watches");
    let instances = probe::sysctl(proc, "fs.inotify.max_user_instances");
    match (watches, instances) {
        (Some(watches), _) if watches < ENOUGH => bad(
            NAME,
            State::Less,
            format!(
                "max_user_watches {watches}: from so many cgroups on, changes are found by polling"
            ),
            format!("sysctl fs.inotify.max_user_watches={ENOUGH}"),
        ),
        (Some(watches), Some(instances)) => good(
            NAME,
            format!("max_user_watches {watches}, max_user_instances {instances}"),
        ),
        _ => bad(
            NAME,
            State::Lacking,
            "not built into this kernel",
            "use a kernel with CONFIG_INOTIFY_USER",
        ),
    }
}
