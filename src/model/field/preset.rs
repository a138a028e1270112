//! Which columns stand together: each preset shows more of one resource.

use super::{Field, FieldId};

/// A choice of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// A little of everything.
    #[default]
    All,
    /// More of CPU.
    Cpu,
    /// More of memory.
    Memory,
    /// More of I/O.
    Io,
    /// The pressures.
    Psi,
}

impl Preset {
    /// All of them, in the order in which one key goes through them.
    pub const ALL: [Self; 5] = [Self::All, Self::Cpu, Self::Memory, Self::Io, Self::Psi];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
            Self::Psi => "psi",
        }
    }

    /// The next one; after the last the first.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Its columns, in order. The first is the name.
    pub fn columns(self) -> impl ExactSizeIterator<Item = &'static Field> {
        self.ids().iter().map(|id| id.field())
    }

    /// The columns of the plain table: a little of everything, what memory is made of, and what people call it, as the name is
    /// the path; with swap where there is any.
    pub fn plain(has_swap: bool) -> impl Iterator<Item = &'static Field> {
        let memory = [
            FieldId::File,
            FieldId::Kernel,
            FieldId::Swap,
            FieldId::SwapLimit,
        ];
        let memory = memory.into_iter().take(if has_swap { 4 } else { 2 });
        Self::All.ids().iter().flat_map(move |&id| {
            let beside = memory.clone().filter(move |_| id == FieldId::MemoryLimit);
            let label = (id == FieldId::State).then_some(FieldId::Label);
            let all = label.into_iter().chain([id]).chain(beside);
            all.map(FieldId::field)
        })
    }

    fn ids(self) -> &'static [FieldId] {
        use FieldId as Id;
        match self {
            Self::All => &[
                Id::Name,
                Id::Cpu,
                Id::CpuLimit,
                Id::Throttled,
                Id::Memory,
                Id::MemoryLimit,
                Id::OomIn,
                Id::Io,
                Id::Pids,
                Id::Stall,
                Id::OomKills,
                Id::State,
            ],
            Self::Cpu => &[
                Id::Name,
                Id::Cpu,
                Id::CpuLimit,
                Id::Throttled,
                Id::HeldBack,
                Id::CpuUser,
                Id::CpuSystem,
                Id::CpuWeight,
                Id::CpuPressure,
                Id::CpuPressure60,
                Id::Pids,
            ],
            Self::Memory => &[
                Id::Name,
                Id::Memory,
                Id::MemoryLimit,
                Id::OomIn,
                Id::OomNext,
                Id::Reclaimable,
                Id::Anon,
                Id::File,
                Id::Shmem,
                Id::Kernel,
                Id::Swap,
                Id::SwapLimit,
                Id::High,
                Id::Max,
                Id::Peak,
                Id::OomKills,
            ],
            Self::Io => &[
                Id::Name,
                Id::Read,
                Id::ReadCap,
                Id::Written,
                Id::WriteCap,
                Id::ReadOps,
                Id::WriteOps,
                Id::IoPressure,
                Id::IoPressure60,
            ],
            Self::Psi => &[
                Id::Name,
                Id::Stall,
                Id::CpuPressure,
                Id::CpuPressure60,
                Id::MemoryPressure,
                Id::MemoryPressure60,
                Id::IoPressure,
                Id::IoPressure60,
            ],
        }
    }
}
