//! The memory controller: `memory.stat` and `memory.events`.

use serde::{Deserialize, Serialize};

use super::parse;
use super::unit::{Bytes, Malformed};

/// The parts of `memory.stat` that ringfence shows, in bytes unless said otherwise. A key that a kernel
/// does not have reads 0 (all of these exist since 4.5, except [`kernel`](Self::kernel), since 5.18).
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryStat {
    /// Anonymous memory: heaps, stacks.
    pub anon: Bytes,
    /// Page cache, tmpfs and shared memory included.
    pub file: Bytes,
    /// All kernel memory charged here. Since 5.18.
    pub kernel: Bytes,
    /// Swap-backed file memory: tmpfs, shared memory. Not given back without swap.
    pub shmem: Bytes,
    /// Page cache that must be written before it can be dropped.
    pub file_dirty: Bytes,
    /// Page cache being written right now.
    pub file_writeback: Bytes,
    /// Anonymous memory not used of late.
    pub inactive_anon: Bytes,
    /// Anonymous memory in use.
    pub active_anon: Bytes,
    /// Page cache not used of late: the first to be dropped.
    pub inactive_file: Bytes,
    /// Page cache in use.
    pub active_file: Bytes,
    /// Memory that may not be reclaimed: locked (`mlock`), ramfs.
    pub unevictable: Bytes,
    /// Kernel slabs that can be given back (dentries, inodes).
    pub slab_reclaimable: Bytes,
    /// Kernel slabs that cannot.
    pub slab_unreclaimable: Bytes,
    /// Socket buffers.
    pub sock: Bytes,
    /// Major page faults, a count.
    pub pgmajfault: u64,
}

impl MemoryStat {
    /// Parses `memory.stat`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut stat = Self::default();
        for pair in parse::flat_keyed(text, "memory.stat") {
            let (key, value) = pair?;
            let field = match key {
                b"anon" => &mut stat.anon.0,
                b"file" => &mut stat.file.0,
                b"kernel" => &mut stat.kernel.0,
                b"shmem" => &mut stat.shmem.0,
                b"file_dirty" => &mut stat.file_dirty.0,
                b"file_writeback" => &mut stat.file_writeback.0,
                b"inactive_anon" => &mut stat.inactive_anon.0,
                b"active_anon" => &mut stat.active_anon.0,
                b"inactive_file" => &mut stat.inactive_file.0,
                b"active_file" => &mut stat.active_file.0,
                b"unevictable" => &mut stat.unevictable.0,
                b"slab_reclaimable" => &mut stat.slab_reclaimable.0,
                b"slab_unreclaimable" => &mut stat.slab_unreclaimable.0,
                b"sock" => &mut stat.sock.0,
                b"pgmajfault" => &mut stat.pgmajfault,
                _ => continue,
            };
            *field = value;
        }
        Ok(stat)
    }

    /// What it is made of, in parts that add up to about `memory.current`: heaps and stacks, page cache without shared
    /// memory, shared memory, and the kernel's own.
    pub fn composition(&self) -> [(&'static str, Bytes); 4] {
        let cache = Bytes(self.file.0.saturating_sub(self.shmem.0));
        [
            ("anon", self.anon),
            ("file", cache),
            ("shmem", self.shmem),
            ("kernel", self.kernel),
        ]
    }

    /// What the kernel drops before it kills: page cache, used of late or not, and the slabs that it gives back.
    pub fn droppable(&self) -> Bytes {
        Bytes(self.inactive_file.0 + self.active_file.0 + self.slab_reclaimable.0)
    }

    /// What the kernel cannot drop when it runs out: heaps, shared memory, locked pages, its own memory less
    /// the slabs that it gives back, socket buffers. Without swap, a cgroup in which this reaches the limit
    /// is killed.
    pub fn firm(&self) -> Bytes {
        let swappable = self.anon.0 + self.shmem.0;
        // Locked heaps and shared memory are in `unevictable` as well; then they are on no other list.
        let listed = self.inactive_anon.0 + self.active_anon.0;
        let locked = self.unevictable.0;
        let locked_file = locked.saturating_sub(swappable.saturating_sub(listed));
        let kernel = self.kernel.0.saturating_sub(self.slab_reclaimable.0);
        Bytes(swappable + locked_file + kernel + self.sock.0)
    }
}

/// `memory.events` (this cgroup and all below it, since 4.5) or `memory.events.local` (this one alone,
/// since 5.2): how often each thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryEvents {
    /// Reclaimed although under `memory.low`.
    pub low: u64,
    /// Throttled and sent to reclaim because of `memory.high`.
    pub high: u64,
    /// Was about to go over `memory.max`.
    pub max: u64,
    /// Hit the limit and could not reclaim: allocation failed or the OOM killer was called.
    pub oom: u64,
    /// Processes killed by any OOM killer, as the kernel counts: see [`kills`](Self::kills).
    pub oom_kill: u64,
    /// Whole-group kills (`memory.oom.group`). Since 5.17; 0 before.
    pub oom_group_kill: u64,
}

impl MemoryEvents {
    /// Processes killed. A whole-group kill counts its first victim twice in `oom_kill` (and logs it
    /// twice; measured on 6.1 and 6.12), so each group kill is one process less.
    pub fn kills(&self) -> u64 {
        self.oom_kill.saturating_sub(self.oom_group_kill)
    }

    /// Parses `memory.events` or `memory.events.local`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut events = Self::default();
        for pair in parse::flat_keyed(text, "memory.events") {
            let (key, value) = pair?;
            let field = match key {
                b"low" => &mut events.low,
                b"high" => &mut events.high,
                b"max" => &mut events.max,
                b"oom" => &mut events.oom,
                b"oom_kill" => &mut events.oom_kill,
                b"oom_group_kill" => &mut events.oom_group_kill,
                _ => continue,
            };
            *field = value;
        }
        Ok(events)
    }
}
