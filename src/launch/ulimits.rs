//! What each process of a workload may have, whatever the launcher's own processes may.

use nix::errno::Errno;
use rustix::process::{Pid, Resource, getrlimit, prlimit};

use super::error::{Error, Result};
use super::spec::Ulimit;
use crate::kernel::error::{Error as KernelError, errno_from};

/// Open files, where nothing is said of them: as systemd has it for its services. Some programs cannot use more than the
/// soft limit (`select`), others walk through all that there could be.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// Sets the limits of a process that has not begun to be the program.
pub fn set(pid: nix::unistd::Pid, ulimits: &[Ulimit]) -> Result<()> {
    let Some(pid) = Pid::from_raw(pid.as_raw()) else {
        return Ok(());
    };
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let open_files = Ulimit {
        resource: Resource::Nofile,
        soft: Some(OPEN_FILES.0.min(most)),
        hard: Some(OPEN_FILES.1.min(most)),
    };
    // Of a limit that is given twice, the last one holds.
    for ulimit in std::iter::once(&open_files).chain(ulimits) {
        let set = prlimit(Some(pid), ulimit.resource, ulimit.rlimit());
        match set.map_err(errno_from) {
            Ok(_) => {}
            Err(Errno::EPERM) => {
                return Err(Error::refused(format!(
                    "ulimit {ulimit} is more than this user may allow; type sudo in front, or lower it (fs.nr_open is the \
                     most for nofile)"
                )));
            }
            Err(errno) => return Err(KernelError::new("limit", ulimit.to_string(), errno).into()),
        }
    }
    Ok(())
}
