//! What systemd-oomd noted at the cgroups in which it killed: `user.oomd_kill`, how often. It is gone with the cgroup.

use std::path::Path;

use super::{Cause, Death, Findings, Origin, Statement};
use crate::kernel::cgroup::subtree::{cgroups, oomd_kills};
use crate::names::local::Names;

/// Looks at every cgroup below `mount`.
pub fn read(mount: &Path, names: &mut Names) -> Findings {
    let marked = cgroups(mount).into_iter().filter_map(|cgroup| {
        let kills = oomd_kills(&cgroup)?;
        let path = Path::new("/").join(cgroup.strip_prefix(mount).ok()?);
        Some(death(&path.to_string_lossy(), kills, names))
    });
    marked.collect()
}

fn death(path: &str, kills: u64, names: &mut Names) -> Death {
    let cause = Cause::Killer("systemd-oomd");
    let evidence = Statement {
        source: Origin::OomdMark,
        text: format!("user.oomd_kill {kills}"),
    };
    Death {
        cgroup: Some(path.into()),
        ..Death::of_unit(path, names, None, cause, evidence)
    }
}
