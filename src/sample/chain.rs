//! One cgroup and all above it, looked at once or, for rates, twice: what stops it, and what it uses.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use super::sweep::{read_limits, read_stat, read_usage};
use super::{CgroupSample, HostSample, Sample};
use crate::kernel::cgroup::budget::Budget;
use crate::kernel::cgroup::handle::{Gone, Handle, Reader};
use crate::kernel::cgroup::hierarchy::Mode;
use crate::kernel::error::{Error, Result};
use crate::kernel::host::since_boot;

/// How long CPU usage is measured.
const MOMENT: Duration = Duration::from_millis(100);
/// So many descriptors are kept meanwhile.
const KEPT: usize = 256;

/// Looks at the cgroup at `path`, relative to the `mount`, and at all above it, the root first. `ENOENT` where it is not
/// there, or not any more.
pub fn look(proc: &Path, mount: &Path, path: &Path) -> Result<Sample> {
    Lineage::open(mount, path)?.sample(proc, mount)
}

/// The same twice, a tenth of a second apart.
pub fn look_twice(proc: &Path, mount: &Path, path: &Path) -> Result<[Sample; 2]> {
    let mut lineage = Lineage::open(mount, path)?;
    let before = lineage.sample(proc, mount)?;
    sleep(MOMENT);
    Ok([before, lineage.sample(proc, mount)?])
}

struct Lineage {
    reader: Reader,
    /// With the path of each, the root first.
    handles: Vec<(Handle, Arc<str>)>,
}

impl Lineage {
    fn open(mount: &Path, path: &Path) -> Result<Self> {
        let mut reader = Reader::open(mount, Budget::of(KEPT))?;
        let root = Handle::root(&mut reader).map_err(|errno| Error::new("open", mount, errno))?;
        let mut handles: Vec<(Handle, Arc<str>)> = vec![(root, "/".into())];
        let mut at = Path::new("/").to_owned();
        for name in path {
            at.push(name);
            let (above, _) = &handles[handles.len() - 1];
            let handle = above.child(&mut reader, name);
            let handle = handle.map_err(|errno| Error::new("open", mount.join(path), errno))?;
            handles.push((handle, at.to_string_lossy().into()));
        }
        Ok(Self { reader, handles })
    }

    fn sample(&mut self, proc: &Path, mount: &Path) -> Result<Sample> {
        let mut parent = None;
        let mut cgroups = Vec::with_capacity(self.handles.len());
        let (time, since_boot) = (SystemTime::now(), since_boot());
        for (handle, path) in &mut self.handles {
            let mut row = CgroupSample::unread(handle.id(), parent, Arc::clone(path));
            parent = Some(handle.id());
            let reader = &mut self.reader;
            read_usage(handle, reader, &mut row)
                .and_then(|()| read_limits(handle, reader, &mut row))
                .and_then(|()| read_stat(handle, reader, &mut row))
                .map_err(|Gone| {
                    let path = mount.join(path.trim_start_matches('/'));
                    Error::new("read", path, Errno::ENOENT)
                })?;
            cgroups.push(Arc::new(row));
        }
        Ok(Sample {
            time,
            since_boot,
            host: HostSample::read(proc, Mode::V2, Arc::from([])),
            cgroups,
        })
    }
}
