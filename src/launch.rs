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
