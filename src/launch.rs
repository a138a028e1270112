//! Starting workloads: spec → plan → clone → supervised workload → nothing left behind.
//!
//! * [`spec`]: what a user asked for, from flags, TOML or JSON; every value is checked where it is read.

pub mod spec;
