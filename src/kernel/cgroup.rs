//! Control groups: where the hierarchy is mounted, how one cgroup is read, and how the tree is edited.

pub mod apply;
pub mod budget;
pub mod file;
pub mod handle;
pub mod hierarchy;
pub mod knob;
pub mod standing;
pub mod subtree;
pub mod tree;

use serde::{Deserialize, Serialize};

use super::parse;
use super::unit::Malformed;

/// The identity of a cgroup: the inode of its directory. A name that comes back is a new cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CgroupId(pub u64);

/// Whether a path from the v2 root is this cgroup or below it.
pub fn is_in(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|below| below.is_empty() || below.starts_with('/') || root == "/")
}

/// `cgroup.events`: changes are notified through inotify. Since 4.5.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#core-interface-files>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupEvents {
    /// Whether this cgroup or one below it has a live process.
    pub populated: bool,
    /// Whether it is frozen. Since 5.2.
    pub frozen: bool,
}

impl CgroupEvents {
    /// Parses `cgroup.events`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut events = Self::default();
        for pair in parse::flat_keyed(text, "cgroup.events") {
            match pair? {
                (b"populated", value) => events.populated = value != 0,
                (b"frozen", value) => events.frozen = value != 0,
                _ => {}
            }
        }
        Ok(events)
    }
}
