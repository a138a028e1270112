//! How many fds may be kept open, and how many directories watched.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::file::Keep;
use crate::kernel::host::memory;

/// What something that is held costs the kernel, without being charged to anybody, and how much all of it may.
struct Price {
    /// In bytes.
    each: u64,
    /// All together: one in so many bytes of the host's memory …
    share: u64,
    /// … and so many bytes at most.
    most: u64,
}

/// A kept fd: a page for its text, and what leads to it.
const FD: Price = Price {
    each: 4608,
    share: 64,
    most: 128 << 20,
};
/// A watched directory: its inode, its name, and the watch.
const WATCH: Price = Price {
    each: 1536,
    share: 128,
    most: 64 << 20,
};

impl Price {
    /// So many may be held on a host with so many bytes of memory.
    fn affordable(&self, memory: u64) -> usize {
        usize::try_from((memory / self.share).min(self.most) / self.each).unwrap_or(usize::MAX)
    }
}

/// Counts the fds that the handles of one tree keep.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: usize,
    /// How many directories may be watched.
    pub watches: usize,
}

impl Budget {
    /// Raises `RLIMIT_NOFILE` to its hard limit and keeps an eighth of it (at least 64) for everybody
    /// else in this process. Programs started later inherit the raised limit unless the launcher sets
    /// their own. What all of them may cost is a share of the host's memory: whoever may make cgroups makes tens of
    /// thousands in seconds.
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
        let left = limit.saturating_sub((limit / 8).max(64));
        Self {
            watches: WATCH.affordable(memory),
            ..Self::of(FD.affordable(memory).min(left))
        }
    }

    /// A budget of so many fds, and of as many watches.
    pub fn of(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            watches: limit,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_what_is_held() {
        assert_eq!(FD.affordable(1 << 30), 3640);
        assert_eq!(FD.affordable(8 << 30), 29_127);
        assert_eq!(FD.affordable(1 << 40), FD.affordable(8 << 30));
        assert_eq!(WATCH.affordable(1 << 30), 5461);
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
