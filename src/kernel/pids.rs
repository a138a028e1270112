//! The pids controller: `pids.events`.

use super::parse;
use super::unit::Malformed;

/// `pids.events` (hierarchical since 6.11, this cgroup's own limit before). Since 4.5.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#pid-interface-files>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PidsEvents {
    /// How often a fork was refused because of `pids.max`.
    pub max: u64,
}

impl PidsEvents {
    /// Parses `pids.events`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut events = Self::default();
        for pair in parse::flat_keyed(text, "pids.events") {
            if let (b"max", value) = pair? {
                events.max = value;
            }
        }
        Ok(events)
    }
}
