//! What kills a workload whose launcher is gone, whatever the workload has done to its parent-death signal: it may clear it,
//! and the kernel does where a process changes its user, as entrypoints do.

use std::os::fd::AsFd as _;
use std::thread::sleep;
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::write;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::helper::Helper;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::{Error, Result};

/// Where it cannot wait for the launcher's end, it tries again after so long.
const AGAIN: Duration = Duration::from_millis(100);

/// Starts a process that waits for the end of this one, and then kills what is in a cgroup.
pub fn start(leaf: &Cgroup) -> Result<Helper> {
    let launcher = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|errno| Error::new("open", "the launcher's own pidfd", errno))?;
    let kept = [launcher.as_fd(), leaf.as_fd()];
    Helper::start(c"ringfence-guard", kept, || {
        let mut ended = [PollFd::new(launcher.as_fd(), PollFlags::POLLIN)];
        // Lack of memory, for one, is no reason to kill.
        while poll(&mut ended, PollTimeout::NONE).is_err() {
            sleep(AGAIN);
        }
        let kill = openat(leaf, c"cgroup.kill", OFlag::O_WRONLY, Mode::empty());
        let _ = kill.and_then(|kill| write(&kill, b"1"));
    })
}
