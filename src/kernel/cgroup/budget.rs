//! How many fds may be kept open.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::file::Keep;
use crate::kernel::host::memory;

/// What a kept fd costs the kernel in bytes, without being charged to anybody: a page for its text, and what leads to it.
const COST: u64 = 4608;
/// All of them may cost one in so many bytes of the host's memory, and no more than that.
const SHARE: u64 = 32;
const MOST: u64 = 128 << 20;

/// Counts the fds that the handles of one tree keep.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    /// Raises `RLIMIT_NOFILE` to its hard limit and keeps an eighth of it (at least 64) for everybody
    /// else in this process. Programs started later inherit the raised limit unless the launcher sets
    /// their own. Of a host's memory, a thirty-second may be spent, and 128 MiB at most: whoever may make cgroups makes
    /// tens of thousands in seconds.
    pub fn raise() -> Self {
        let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard => {
                if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
                    hard
                } else {
                    soft
                }
            }
            Ok((soft, _)) => soft,
            Err(_) => 1024,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let memory = memory(Path::new("/proc"));
        let memory = memory.value().map_or(1 << 30, |memory| memory.total.0);
        Self::of(affordable(memory).min(limit.saturating_sub((limit / 8).max(64))))
    }

    /// A budget of so many fds.
    pub fn of(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Fds kept at present.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes one, if this class may have it: hot files leave a third to the notifying ones.
    pub(super) fn take(&mut self, keep: Keep) -> bool {
        let ceiling = match keep {
            Keep::No => 0,
            Keep::Hot => self.limit / 3 * 2,
            Keep::Notify => self.limit,
        };
        let granted = self.used < ceiling;
        self.used += usize::from(granted);
        granted
    }

    pub(super) fn give_back(&mut self, fds: usize) {
        self.used = self.used.saturating_sub(fds);
    }
}

/// So many may be kept on a host with so many bytes of memory.
fn affordable(memory: u64) -> usize {
    usize::try_from((memory / SHARE).min(MOST) / COST).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_what_is_kept() {
        assert_eq!(affordable(1 << 30), 7281);
        assert_eq!(affordable(8 << 30), 29_127);
        assert_eq!(affordable(1 << 40), affordable(4 << 30));
    }

    #[test]
    fn hot_files_leave_a_third_to_those_that_notify() {
        let mut budget = Budget::of(9);
        let taken = (0..9).filter(|_| budget.take(Keep::Hot)).count();
        assert_eq!(taken, 6);
        let taken = (0..9).filter(|_| budget.take(Keep::Notify)).count();
        assert_eq!((taken, budget.used()), (3, 9));
        assert!(!budget.take(Keep::No));
    }
}
