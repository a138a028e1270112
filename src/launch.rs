//! Starting workloads.
