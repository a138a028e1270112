//! How many fds may be kept open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::file::Keep;

/// Counts the fds that the handles of one tree keep.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    /// Raises `RLIMIT_NOFILE` to its hard limit and keeps an eighth of it (at least 64) for everybody
    /// else in this process. Programs started later inherit the raised limit unless the launcher sets
    /// their own.
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
        Self::of(limit.saturating_sub((limit / 8).max(64)))
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
