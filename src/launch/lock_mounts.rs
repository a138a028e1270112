//! A second user namespace for a workload that may mount: what was mounted before, over `/proc` for one, is locked, as it
//! belongs to the first one.
//!
//! <https://man7.org/linux/man-pages/man7/mount_namespaces.7.html>, "Restrictions on mount namespaces"

use std::ffi::{CStr, CString, NulError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, write};

use super::ids::Ids;
use crate::kernel::ids::{IdMaps, IdRange};
use crate::kernel::syscall::clone::{Forked, fork, wait_for_errno};

/// The second user namespace, with the same ids, and what belongs to it, so that capabilities count in all of that.
#[derive(Debug)]
pub struct LockMounts {
    namespaces: CloneFlags,
    uid_map: CString,
    gid_map: CString,
}

impl LockMounts {
    /// Prepares it, `None` where there is no first one. `own_net` says whether the network is the workload's.
    pub fn new(ids: &Ids, own_net: bool) -> Result<Option<Self>, NulError> {
        let Ok(Some(IdMaps { uid, gid })) = ids.maps() else {
            return Ok(None);
        };
        let mut namespaces = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWCGROUP;
        namespaces.set(CloneFlags::CLONE_NEWNET, own_net);
        Ok(Some(Self {
            namespaces,
            uid_map: same(&uid)?,
            gid_map: same(&gid)?,
        }))
    }

    /// Enters it. Called in the child: no allocation, no locks. Somebody who stays in the first one has to give the maps.
    pub fn enter(&self, forked: &Forked) -> nix::Result<()> {
        let (made, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let helper = fork(forked, |_| {
            let told = read(&made, &mut [0]);
            let given = match told {
                Ok(1) => write_map(c"/proc/1/gid_map", &self.gid_map)
                    .and_then(|()| write_map(c"/proc/1/uid_map", &self.uid_map)),
                _ => Err(Errno::ECHILD),
            };
            given.err().map_or(0, |errno| errno as u8)
        })?;
        // The files in /proc of who is not dumpable are the host's root's. Nobody else is here yet.
        let entered = prctl::set_dumpable(true)
            .and_then(|()| unshare(self.namespaces))
            .and_then(|()| write(&tell, b"m").map(drop));
        drop(tell);
        let given = wait_for_errno(helper);
        entered?;
        prctl::set_dumpable(false)?;
        given
    }
}

/// The ids of the first namespace, to themselves.
fn same(ranges: &[IdRange]) -> Result<CString, NulError> {
    let lines = ranges
        .iter()
        .map(|range| format!("{0} {0} {1}\n", range.inside, range.count));
    CString::new(lines.collect::<String>())
}

fn write_map(path: &CStr, map: &CStr) -> nix::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(&file, map.to_bytes()).map(drop)
}
