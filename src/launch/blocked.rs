//! Why the kernel refused a start, where the reason is outside the workload: the errno alone does not say.

use std::path::Path;

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::error::Error;
use crate::kernel::cgroup::hierarchy::of_process;
use crate::kernel::obstacle::{self, Obstacle};

/// The same error with what stands in the way, where that can be found. `leaf` is the workload's cgroup, in the file system,
/// that is there or was to be made.
pub fn with_obstacle(error: Error, mount: &Path, leaf: &Path) -> Error {
    let found = match &error {
        Error::Kernel(kernel) => find(
            &kernel.operation,
            &kernel.object,
            kernel.errno(),
            mount,
            leaf,
        ),
        Error::Step { step, errno } => find(step, Path::new("/"), *errno, mount, leaf),
        Error::Refused(_) | Error::Blocked { .. } => None,
    };
    match found {
        Some(obstacle) => Error::Blocked {
            error: Box::new(error),
            obstacle,
        },
        None => error,
    }
}

fn find(
    operation: &str,
    object: &Path,
    errno: Errno,
    mount: &Path,
    leaf: &Path,
) -> Option<Obstacle> {
    let proc = Path::new("/proc");
    match errno {
        Errno::EMFILE => obstacle::descriptors(proc, false),
        Errno::ENFILE => obstacle::descriptors(proc, true),
        Errno::ENOSPC => {
            obstacle::full_disk(object).or_else(|| obstacle::namespaces(proc, CloneFlags::all()))
        }
        Errno::EAGAIN if operation == "create cgroup" => {
            obstacle::new_cgroup(mount, object.parent()?)
        }
        Errno::EAGAIN => obstacle::forks(mount, leaf).or_else(|| {
            // What is started in the launcher's own: its guard, for one.
            let own = of_process(proc, "self").ok()??;
            obstacle::forks(mount, &mount.join(own.strip_prefix("/").ok()?))
        }),
        Errno::EPERM if operation.starts_with("mount proc ") => obstacle::covered_proc(proc),
        _ => None,
    }
}
