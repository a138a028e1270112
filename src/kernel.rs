//! The only room that opens `/sys` or `/proc` or makes a syscall.
//!
//! One file per controller: the type, its parser and its `Display` side by side. Parsers are pure
//! (`&[u8]` in) and lenient about keys they do not know (newer kernels add some), strict about values
//! they do. Roots are arguments, so a fixture tree works like the real one.
//!
//! The document every type refers to is the kernel's
//! [Control Group v2](https://docs.kernel.org/admin-guide/cgroup-v2.html).

pub mod badness;
pub mod block;
pub mod cgroup;
pub mod clock;
pub mod cpu;
pub mod cpuset;
pub mod error;
pub mod host;
pub mod ids;
pub mod io;
pub mod kmsg;
pub mod memory;
mod mountinfo;
pub mod obstacle;
mod parse;
pub mod pids;
pub mod pressure;
pub mod probe;
pub mod process;
pub mod remove;
pub mod signals;
pub mod syscall;
pub mod systemd;
pub mod task;
pub mod trace;
pub mod unit;
pub mod watch;
