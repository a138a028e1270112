//! What `/proc/PID` tells about a process.

pub mod held;

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use procfs::process::{Process, StatFlags, Status};

use crate::kernel::error::{Error, Result};

/// One line of a user namespace's id map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// How many.
    pub count: u32,
}

/// Whether it has a handler for the signal (`SigCgt`). Without one, PID 1 of a pid namespace never
/// notices the signal. `None` where the process is gone.
pub fn catches(proc: &Path, pid: u32, signal: Signal) -> Option<bool> {
    let caught = status(proc, pid)?.sigcgt;
    Some(caught & (1 << (signal as i32 - 1)) != 0)
}

/// Whether a signal surely passes it by: there is no handler for it, and no thread of it holds it back or
/// waits for it, as the reapers of containers do. True of the PID 1 of a pid namespace; any other process,
/// the signal's default action may end. `false` where it cannot be told: it may not be read, or is running
/// and so perhaps on its way from a wait.
pub fn is_deaf(proc: &Path, pid: u32, signal: Signal) -> bool {
    // While a thread waits in sigtimedwait, the kernel shows what it waits for as not held back.
    let waits = format!("{} ", libc::SYS_rt_sigtimedwait);
    let deaf = |task: &Path| {
        let holds_back = || {
            let status = Process::new_with_root(task.to_owned()).and_then(|task| task.status());
            status.map_or(true, |status| {
                (status.sigcgt | status.sigblk) & (1 << (signal as i32 - 1)) != 0
            })
        };
        let rests = || {
            let call = std::fs::read_to_string(task.join("syscall")).unwrap_or_default();
            call.starts_with(|char: char| char.is_ascii_digit()) && !call.starts_with(&waits)
        };
        // Around the look at its call, as it may be on its way from or to it.
        !holds_back() && rests() && !holds_back()
    };
    let tasks = std::fs::read_dir(proc.join(pid.to_string()).join("task"));
    tasks.is_ok_and(|tasks| tasks.flatten().all(|task| deaf(&task.path())))
}

/// Whether it was forked and never came to its exec. Readable also while it is a zombie.
pub fn is_forked_without_exec(proc: &Path, pid: u32) -> bool {
    open(proc, pid)
        .and_then(|process| process.stat().ok())
        .and_then(|stat| stat.flags().ok())
        .is_some_and(|flags| flags.contains(StatFlags::PF_FORKNOEXEC))
}

/// The file systems that are mounted beneath the root: their mount points, those of the kernel's own
/// (`/proc`, `/sys`, `/dev`) and what is below these left out.
pub fn mounts_beneath_root() -> Vec<PathBuf> {
    let own = |path: &Path| {
        ["/proc", "/sys", "/dev"]
            .iter()
            .any(|dir| path.starts_with(dir))
    };
    Process::myself()
        .and_then(|me| me.mountinfo())
        .into_iter()
        .flatten()
        .map(|mount| mount.mount_point)
        .filter(|path| path != Path::new("/") && !own(path))
        .collect()
}

/// Maps the ids of its new user namespace to themselves, as far as the writer's own namespace has them.
pub fn write_identity_maps(proc: &Path, pid: u32) -> Result<()> {
    for map in ["gid_map", "uid_map"] {
        let own = proc.join("self").join(map);
        let text = std::fs::read_to_string(&own).map_err(|error| Error::new("read", own, error))?;
        let identity: Vec<String> = text
            .lines()
            .filter_map(IdRange::parse)
            .map(|range| format!("{0} {0} {1}", range.inside, range.count))
            .collect();
        // One write is all that the kernel takes.
        let identity = identity.join("\n");
        let path = proc.join(pid.to_string()).join(map);
        std::fs::write(&path, identity).map_err(|error| Error::new("write", path, error))?;
    }
    Ok(())
}

/// Makes it as likely a victim of the OOM killer as any other, where it inherited protection from it:
/// a protected process inside a memory limit can be stopped by nothing.
pub fn drop_oom_protection(proc: &Path, pid: u32) -> Result<()> {
    let path = proc.join(pid.to_string()).join("oom_score_adj");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::new("read", &path, error))?;
    if text.trim().parse::<i32>().is_ok_and(|adjust| adjust < 0) {
        std::fs::write(&path, "0").map_err(|error| Error::new("write", &path, error))?;
    }
    Ok(())
}

impl IdRange {
    /// `INSIDE OUTSIDE COUNT`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let inside = words.next()?.parse().ok()?;
        let count = words.nth(1)?.parse().ok()?;
        Some(Self { inside, count })
    }
}

fn open(proc: &Path, pid: u32) -> Option<Process> {
    Process::new_with_root(proc.join(pid.to_string())).ok()
}

fn status(proc: &Path, pid: u32) -> Option<Status> {
    open(proc, pid)?.status().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn only_who_surely_takes_no_notice_is_deaf() {
        let proc = Path::new("/proc");
        assert!(!is_deaf(proc, u32::MAX, Signal::SIGUSR2));
        // It is running, and may be on its way from anything.
        assert!(!is_deaf(proc, std::process::id(), Signal::SIGUSR2));
        let mut sleep = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while !is_deaf(proc, sleep.id(), Signal::SIGUSR2) {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
}
