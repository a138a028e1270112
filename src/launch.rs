//! Starting workloads: spec → plan → clone → supervised workload → nothing left behind.
//!
//! * [`spec`]: what a user asked for, from flags, TOML or JSON; every value is checked where it is read.
//! * [`plan`]: the spec against this host: limit files, devices, C strings. Everything that can be
//!   refused is refused here, before anything is made.
//! * [`place`]: the leaf cgroup with its limits, and the scratch directory; both go when it is dropped.
//! * `lock`: what keeps launchers out of each other's way.
//! * [`home`]: the cgroup above the leaf: a slice, or a scope that systemd leaves alone.
//! * [`root`]: what the root file system is made of. [`image`]: one that comes from an OCI image.
//! * `lock_mounts`: a second user namespace, so that mounts cannot be taken off.
//! * `mask`: what of the host's root does not show.
//! * [`ids`]: whom the users inside are outside. [`account`]: who runs the program.
//! * [`step`]: what the child does between clone and exec, as a list that was made before.
//! * [`fence`]: capabilities and the filter of system calls, which the child puts up last.
//! * [`start`]: overlay, clone3, handshake, and the child's reading of that list.
//! * `pasta`: a network that reaches the host's.
//! * [`stdio`]: pipes for its streams, and their relay to the launcher's.
//! * `terminal`: a terminal inside, and the relay between it and the launcher's.
//! * [`supervise`]: watches one workload, stops it, starts it again, and cleans up.
//! * [`state`]: what every other command knows of a workload. [`log`]: what a detached one says.
//! * [`join`]: a further program within a workload.
//! * [`report`]: what a supervisor tells, with the OOM kills that [`oom`](crate::oom) has evidence of.
//!
//! ## What a workload sees
//!
//! A fresh pid, mount, net (with `lo` up), uts, ipc, user (root inside is an id outside that nobody else has) and
//! cgroup namespace. Its root is the host's root file system, or directories that it was given, read-only, below an
//! overlay that takes the writes and is thrown away at its end; a restart begins with a clean one too. An overlay
//! shows one file system: what else of the host's disks is mounted beneath its root (a `/home` or `/usr` of its own)
//! is there too, read-only; what is in memory only (a tmpfs on `/tmp`) is an empty directory inside. `/proc`, `/sys` and `/sys/fs/cgroup` (both read-only) and `/dev` are its own.

pub mod account;
mod blocked;
pub mod error;
pub mod fence;
mod guard;
mod helper;
pub mod home;
pub mod ids;
pub mod image;
pub mod join;
pub mod lock;
mod lock_mounts;
pub mod log;
mod mask;
mod not_executed;
mod pasta;
pub mod place;
pub mod plan;
pub mod report;
pub mod root;
pub mod spec;
pub mod start;
pub mod state;
pub mod stdio;
pub mod step;
pub mod storage;
pub mod supervise;
mod terminal;
mod ulimits;

pub use error::{Error, Result};
pub use plan::Plan;
pub use report::Report;
pub use spec::Spec;
