//! What `/proc/PID` tells about a process.

pub mod bounded;
pub mod fenced;
pub mod held;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use procfs::FromRead as _;
use procfs::process::{Process, StatFlags, Status};

use crate::kernel::error::{Error, Result};
use crate::kernel::mountinfo;

/// How often a process is looked at that runs all the time, and the time in between.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// What one look at a thread says of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// It has a handler for it, holds it back or waits for it; or it may not be looked at.
    Hears,
    /// It does not, and rests.
    Deaf,
    /// It does not, and runs: so perhaps on its way from or to a wait.
    Running,
}

/// Whether a signal surely passes it by: there is no handler for it, and no thread of it holds it back or
/// waits for it, as the reapers of containers do. True of the PID 1 of a pid namespace; any other process,
/// the signal's default action may end. `false` where it cannot be told, as it may not be read. Who runs is looked at for a
/// tenth of a second.
pub fn is_deaf(proc: &Path, pid: u32, signal: Signal) -> bool {
    for look in 0..LOOKS {
        if look > 0 {
            sleep(BETWEEN_LOOKS);
        }
        let Ok(tasks) = std::fs::read_dir(proc.join(pid.to_string()).join("task")) else {
            return false;
        };
        let mut rests = true;
        for task in tasks.flatten() {
            match hearing(&task.path(), signal) {
                Hearing::Hears => return false,
                Hearing::Deaf => {}
                Hearing::Running => rests = false,
            }
        }
        if rests {
            return true;
        }
    }
    // Whoever ran at every look was in no wait.
    true
}

fn hearing(task: &Path, signal: Signal) -> Hearing {
    let holds_back = || {
        let status = Process::new_with_root(task.to_owned()).ok();
        let status = status.and_then(|task| read_status(&task));
        status
            .is_none_or(|status| (status.sigcgt | status.sigblk) & (1 << (signal as i32 - 1)) != 0)
    };
    // While a thread waits in sigtimedwait, the kernel shows what it waits for as not held back.
    let waits = format!("{} ", libc::SYS_rt_sigtimedwait);
    if holds_back() {
        return Hearing::Hears;
    }
    let call = std::fs::read_to_string(task.join("syscall"));
    // Around the look at its call, as it may be on its way from or to it.
    match call {
        _ if holds_back() => Hearing::Hears,
        Ok(call) if call.starts_with(&waits) => Hearing::Hears,
        Ok(call) if call.starts_with("running") => Hearing::Running,
        Ok(call) if call.starts_with(|char: char| char.is_ascii_digit() || char == '-') => {
            Hearing::Deaf
        }
        _ => Hearing::Hears,
    }
}

/// Whether it was forked and never came to its exec. Readable also while it is a zombie.
pub fn is_forked_without_exec(proc: &Path, pid: u32) -> bool {
    open(proc, pid)
        .and_then(|process| process.stat().ok())
        .and_then(|stat| stat.flags().ok())
        .is_some_and(|flags| flags.contains(StatFlags::PF_FORKNOEXEC))
}

/// File systems that hold no files of their own: what they show is the kernel's or a daemon's business.
const HOLD_NONE: [&str; 12] = [
    "autofs",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "devpts",
    "devtmpfs",
    "nsfs",
    "overlay",
    "proc",
    "ramfs",
    "sysfs",
    "tmpfs",
];

/// A file system that is mounted beneath the root.
#[derive(Debug)]
pub struct Beneath {
    /// Where.
    pub at: PathBuf,
    /// Whether it holds files of its own that last; else it is in memory, a container's, or the kernel's.
    pub holds_files: bool,
}

/// The file systems that are mounted beneath the root, those that are covered by a later one and those of the kernel's
/// own (`/proc`, `/sys`, `/dev`) and what is below these left out. The outer ones come first.
pub fn mounts_beneath_root() -> Vec<Beneath> {
    let own = |path: &Path| {
        ["/proc", "/sys", "/dev"]
            .iter()
            .any(|dir| path.starts_with(dir))
    };
    let text = mountinfo::read(Path::new("/proc")).unwrap_or_default();
    mountinfo::entries(&text)
        .map(|mount| (mount.mount_point(), mount.fstype))
        .filter(|(at, _)| at != Path::new("/") && !own(at))
        // The last one at a place covers those before.
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .map(|(at, fstype)| Beneath {
            at,
            holds_files: !HOLD_NONE.iter().any(|none| none.as_bytes() == fstype),
        })
        .collect()
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

/// Makes this process an unlikely victim of the OOM killer, as far as it may: who it sees to would die with it. What
/// it starts is protected no more by [`drop_oom_protection`].
pub fn protect_from_oom(proc: &Path) {
    let _ = std::fs::write(proc.join("self/oom_score_adj"), "-998");
}

fn open(proc: &Path, pid: u32) -> Option<Process> {
    Process::new_with_root(proc.join(pid.to_string())).ok()
}

/// `PROC/PID/status`; `None` where the process is gone. The kernel cuts a name after 15 bytes, also within a character: what
/// is not UTF-8 is replaced.
pub fn read_status(process: &Process) -> Option<Status> {
    let mut text = Vec::new();
    let mut file = process.open_relative("status").ok()?;
    file.read_to_end(&mut text).ok()?;
    Status::from_read(String::from_utf8_lossy(&text).as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nix::sys::signal::SigSet;

    use super::*;

    #[test]
    fn only_who_surely_takes_no_notice_is_deaf() {
        let proc = Path::new("/proc");
        assert!(!is_deaf(proc, u32::MAX, Signal::SIGUSR2));
        // It holds it back in one of its threads.
        let mut held = SigSet::empty();
        held.add(Signal::SIGUSR2);
        held.thread_block().unwrap();
        assert!(!is_deaf(proc, std::process::id(), Signal::SIGUSR2));
        held.thread_unblock().unwrap();
        let mut spins = std::process::Command::new("sh")
            .args(["-c", "echo; while :; do :; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        spins.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert!(is_deaf(proc, spins.id(), Signal::SIGUSR2));
        spins.kill().unwrap();
        spins.wait().unwrap();
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
