//! The files of a cgroup that are read, and how dearly their fds are held.

use std::ffi::CStr;

/// A readable file of a cgroup directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the kernel's files")]
pub enum File {
    MemoryEvents,
    CgroupEvents,
    PidsEvents,
    CpuStat,
    MemoryCurrent,
    SwapCurrent,
    MemoryEventsLocal,
    IoStat,
    PidsCurrent,
    CpuPressure,
    MemoryPressure,
    IoPressure,
    MemoryStat,
    MemoryPeak,
    MemoryOomGroup,
    CpuMax,
    CpuWeight,
    CpusEffective,
    MemoryMax,
    MemoryHigh,
    SwapMax,
    IoMax,
    PidsMax,
    PidsEventsLocal,
    Type,
    Threads,
    Procs,
}

/// How dearly the fd of a file is held once it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Opened for each reading: a kept fd costs the kernel more than 4 KiB, too much for a file that is
    /// read every few seconds.
    No,
    /// Kept while there is plenty: read at every sweep.
    Hot,
    /// Kept as long as any fd is left: the kernel notifies changes only while an fd is open.
    Notify,
}

impl File {
    /// How many there are.
    pub const COUNT: usize = File::Procs as usize + 1;

    /// Those that notify.
    pub const NOTIFYING: [File; 3] = [File::MemoryEvents, File::CgroupEvents, File::PidsEvents];

    /// The file's name.
    pub fn name(self) -> &'static CStr {
        match self {
            Self::MemoryEvents => c"memory.events",
            Self::CgroupEvents => c"cgroup.events",
            Self::PidsEvents => c"pids.events",
            Self::CpuStat => c"cpu.stat",
            Self::MemoryCurrent => c"memory.current",
            Self::SwapCurrent => c"memory.swap.current",
            Self::MemoryEventsLocal => c"memory.events.local",
            Self::IoStat => c"io.stat",
            Self::PidsCurrent => c"pids.current",
            Self::CpuPressure => c"cpu.pressure",
            Self::MemoryPressure => c"memory.pressure",
            Self::IoPressure => c"io.pressure",
            Self::MemoryStat => c"memory.stat",
            Self::MemoryPeak => c"memory.peak",
            Self::MemoryOomGroup => c"memory.oom.group",
            Self::CpuMax => c"cpu.max",
            Self::CpuWeight => c"cpu.weight",
            Self::CpusEffective => c"cpuset.cpus.effective",
            Self::MemoryMax => c"memory.max",
            Self::MemoryHigh => c"memory.high",
            Self::SwapMax => c"memory.swap.max",
            Self::IoMax => c"io.max",
            Self::PidsMax => c"pids.max",
            Self::PidsEventsLocal => c"pids.events.local",
            Self::Type => c"cgroup.type",
            Self::Threads => c"cgroup.threads",
            Self::Procs => c"cgroup.procs",
        }
    }

    /// How dearly its fd is held.
    pub fn keep(self) -> Keep {
        match self {
            Self::MemoryEvents | Self::CgroupEvents | Self::PidsEvents => Keep::Notify,
            Self::CpuStat
            | Self::MemoryCurrent
            | Self::SwapCurrent
            | Self::IoStat
            | Self::PidsCurrent
            | Self::CpuPressure
            | Self::MemoryPressure
            | Self::IoPressure => Keep::Hot,
            Self::MemoryEventsLocal
            | Self::MemoryStat
            | Self::MemoryPeak
            | Self::MemoryOomGroup
            | Self::CpuMax
            | Self::CpuWeight
            | Self::CpusEffective
            | Self::MemoryMax
            | Self::MemoryHigh
            | Self::SwapMax
            | Self::IoMax
            | Self::PidsMax
            | Self::PidsEventsLocal
            | Self::Type
            | Self::Threads
            | Self::Procs => Keep::No,
        }
    }
}
