//! `ringfence freeze` and `thaw`: of any cgroup.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::each;
use crate::command::target::{find, v2_mount};
use crate::control::act::{Act, Ground, Target};
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::text::ascii::in_locale;

/// Holds cgroups still.
pub fn freeze(targets: &[String]) -> Result<u8> {
    act(targets, Act::Freeze)
}

/// Lets them go on.
pub fn thaw(targets: &[String]) -> Result<u8> {
    act(targets, Act::Thaw)
}

fn act(targets: &[String], act: fn(Target) -> Act) -> Result<u8> {
    let mount = v2_mount(&Hierarchy::discover(Path::new("/proc"))?)?;
    let (_, code) = each(targets, |target| {
        let path = find(&mount, target)?;
        let metadata = mount.join(&path).metadata();
        let id = CgroupId(metadata.with_context(|| format!("{target} is gone"))?.ino());
        let path = Path::new("/").join(path).to_string_lossy().into();
        let done = act(Target { path, id }).carry_out(&Ground::new(&mount), &|told| {
            println!("{}", in_locale(&told));
        })?;
        println!("{}", in_locale(&done));
        Ok(())
    });
    Ok(code)
}
