//! Starting workloads: spec → plan → clone → supervised workload → nothing left behind.
//!
//! * [`spec`]: what a user asked for, from flags, TOML or JSON; every value is checked where it is read.
//! * [`plan`]: the spec against this host: limit files, devices, C strings. Everything that can be
//!   refused is refused here, before anything is made.
//! * [`place`]: the leaf cgroup with its limits, and the scratch directory; both go when it is dropped.
//! * [`step`]: what the child does between clone and exec, as a list that was made before.
//! * [`start`]: overlay, clone3, handshake, and the child's reading of that list.
//! * [`supervise`]: watches one workload, stops it, starts it again, and cleans up.
//! * [`oom`]: the evidence of an OOM kill. [`report`]: what a supervisor tells.
//!
//! ## What a workload sees
//!
//! A fresh pid, mount, net (with `lo` up), uts, ipc, user (ids mapped to themselves, no rights outside) and
//! cgroup namespace. Its root is the host's root file system, read-only, below an overlay that takes the
//! writes and is thrown away at its end; a restart begins with a clean one too. An overlay shows one file
//! system: what the host has mounted beneath its root (a `/home` or `/usr` of its own, a tmpfs on `/tmp`)
//! is an empty directory inside. `/proc`, `/sys` and `/sys/fs/cgroup` (both read-only) and `/dev` are its own.

pub mod error;
pub mod oom;
pub mod place;
pub mod plan;
pub mod report;
pub mod spec;
pub mod start;
pub mod step;
pub mod supervise;

pub use error::{Error, Result};
pub use plan::Plan;
pub use report::Report;
pub use spec::Spec;
