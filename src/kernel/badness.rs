//! By what the kernel chooses a victim when memory has run out: `oom_badness`.
//!
//! <https://github.com/torvalds/linux/blob/master/mm/oom_kill.c>

use procfs::process::Process;
use serde::Serialize;

use super::host::page_size;
use super::process::read_status;
use super::unit::Bytes;

/// The `oom_score_adj` of what is never killed: `OOM_SCORE_ADJ_MIN`.
pub const NEVER: i32 = -1000;

/// What counts of a process when a victim is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Badness {
    /// Resident memory.
    pub rss: Bytes,
    /// What it has in swap.
    pub swap: Bytes,
    /// Its page tables.
    pub page_tables: Bytes,
    /// Its `oom_score_adj`, from -1000 (never killed) to 1000.
    pub oom_score_adj: i32,
}

impl Badness {
    /// Of a living process; `None` where it is gone, or has no memory of its own: a kernel thread, a zombie.
    pub(super) fn read(process: &Process) -> Option<Self> {
        let status = read_status(process)?;
        let kib = |size: Option<u64>| Bytes(size.unwrap_or(0).saturating_mul(1024));
        Some(Self {
            rss: kib(Some(status.vmrss?)),
            swap: kib(status.vmswap),
            page_tables: kib(status.vmpte),
            oom_score_adj: process.oom_score_adj().ok()?.into(),
        })
    }

    /// All its memory: resident, in swap, and page tables.
    pub fn size(&self) -> Bytes {
        let sizes = [self.rss, self.swap, self.page_tables];
        Bytes(sizes.iter().fold(0, |sum, size| sum.saturating_add(size.0)))
    }

    /// In pages, the highest is killed: its memory, and for each point of `oom_score_adj` a thousandth of `whole`, the
    /// memory and swap that may be had where it ran out. `None` for one that is never killed.
    pub fn points(&self, whole: Bytes) -> Option<i64> {
        let pages = |bytes: Bytes| i64::try_from(bytes.0 / page_size()).unwrap_or(i64::MAX);
        let sizes = [self.rss, self.swap, self.page_tables].map(pages);
        let size = sizes.into_iter().fold(0_i64, i64::saturating_add);
        let adjusted = (pages(whole) / 1000).saturating_mul(self.oom_score_adj.into());
        (self.oom_score_adj > NEVER).then(|| size.saturating_add(adjusted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_kernels() {
        let page = page_size();
        let of = |oom_score_adj| Badness {
            rss: Bytes(1000 * page),
            swap: Bytes(3 * page),
            page_tables: Bytes(21 * page + page / 2),
            oom_score_adj,
        };
        let whole = Bytes(16_384 * page);
        assert_eq!(of(0).points(whole), Some(1024));
        // 16384 / 1000 is 16 to the kernel.
        assert_eq!(of(1000).points(whole), Some(1024 + 16_000));
        assert_eq!(of(-500).points(whole), Some(1024 - 8000));
        assert_eq!(of(NEVER).points(whole), None);
        assert_eq!(of(1).size(), Bytes(1024 * page + page / 2));
    }

    #[test]
    fn of_this_very_process_and_of_none() {
        let own = Badness::read(&Process::myself().unwrap()).unwrap();
        assert!(own.rss.0 > 0 && own.page_tables.0 > 0);
        assert!((-1000..=1000).contains(&own.oom_score_adj));
    }
}
