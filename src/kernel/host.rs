//! The host as a whole: its name, its clocks, its CPUs and its memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use procfs::prelude::*;

use super::error::errno_of;
use super::pressure::Pressure;
use super::unit::{Bytes, Micros, Reading};

/// Time since boot, sleep included (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default()
}

/// The size of a page of memory, in bytes.
pub fn page_size() -> u64 {
    procfs::page_size()
}

/// Host name and kernel release. Foreign text.
pub fn names() -> (String, String) {
    nix::sys::utsname::uname().map_or_else(
        |_| Default::default(),
        |names| {
            (
                names.nodename().to_string_lossy().into_owned(),
                names.release().to_string_lossy().into_owned(),
            )
        },
    )
}

/// CPU time of the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTimes {
    /// CPUs online.
    pub cpus: usize,
    /// Time not idle since boot (user, nice, system, irq, softirq, steal), summed over CPUs.
    pub usage: Micros,
}

/// `PROC/stat`. `proc` is `/proc`, or a fixture.
pub fn cpu_times(proc: &Path) -> Reading<CpuTimes> {
    let system = procfs::LocalSystemInfo;
    reading(
        File::open(proc.join("stat"))
            .map_err(Into::into)
            .and_then(|file| procfs::KernelStats::from_read(file, &system)),
    )
    .map(|stat| {
        let total = &stat.total;
        // Guest time is part of user time.
        let ticks = [
            Some(total.user),
            Some(total.nice),
            Some(total.system),
            total.irq,
            total.softirq,
            total.steal,
        ];
        let ticks: u64 = ticks.into_iter().flatten().sum();
        CpuTimes {
            cpus: stat.cpu_time.len().max(1),
            usage: Micros(ticks.saturating_mul(1_000_000 / procfs::ticks_per_second().max(1))),
        }
    })
}

/// Memory of the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// `MemTotal`.
    pub total: Bytes,
    /// `MemAvailable`. Since 3.14.
    pub available: Option<Bytes>,
    /// `SwapTotal`.
    pub swap_total: Bytes,
    /// `SwapFree`.
    pub swap_free: Bytes,
}

/// `PROC/meminfo`.
pub fn memory(proc: &Path) -> Reading<Memory> {
    reading(
        File::open(proc.join("meminfo"))
            .map_err(Into::into)
            .and_then(procfs::Meminfo::from_read),
    )
    .map(|memory| Memory {
        total: Bytes(memory.mem_total),
        available: memory.mem_available.map(Bytes),
        swap_total: Bytes(memory.swap_total),
        swap_free: Bytes(memory.swap_free),
    })
}

/// `PROC/pressure/RESOURCE`: `cpu`, `memory` or `io`. Not available on kernels without PSI, or where it
/// is switched off.
pub fn pressure(proc: &Path, resource: &str) -> Reading<Pressure> {
    let mut text = Vec::with_capacity(256);
    let read = File::open(proc.join("pressure").join(resource))
        .and_then(|mut file| file.read_to_end(&mut text));
    match read.map_err(|error| errno_of(&error)) {
        Ok(_) => Pressure::parse(&text).map_or(Reading::Unreadable(Errno::EIO), Reading::Value),
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) => Reading::NotAvailable,
        Err(errno) => Reading::Unreadable(errno),
    }
}

fn reading<T>(result: procfs::ProcResult<T>) -> Reading<T> {
    match result {
        Ok(value) => Reading::Value(value),
        Err(procfs::ProcError::NotFound(_)) => Reading::NotAvailable,
        Err(procfs::ProcError::PermissionDenied(_)) => Reading::Unreadable(Errno::EACCES),
        Err(procfs::ProcError::Io(error, _)) => match errno_of(&error) {
            Errno::ENOENT => Reading::NotAvailable,
            errno => Reading::Unreadable(errno),
        },
        Err(_) => Reading::Unreadable(Errno::EIO),
    }
}
