//! What fences a workload besides its namespaces and its budget: capabilities and a filter of system calls.

mod capability;
mod seccomp;

pub use capability::{Capabilities, Capability};
pub use seccomp::{Filter, SecurityOpt};

use super::error::Result;
use super::spec::Spec;

/// What is asked for, ready to be put up.
#[derive(Debug)]
pub struct Ready {
    /// The capabilities.
    pub capabilities: Capabilities,
    /// Filters of system calls, the first one first.
    pub filters: Vec<Filter>,
}

impl Ready {
    /// Reads the profile and makes the filters.
    pub fn new(spec: &Spec) -> Result<Self> {
        if spec.privileged {
            return Ok(Self {
                capabilities: Capabilities::all(),
                filters: Vec::new(),
            });
        }
        let capabilities = Capabilities::new(&spec.cap_add, &spec.cap_drop);
        Ok(Self {
            capabilities,
            filters: seccomp::filters(spec.security_opt.last(), capabilities)?,
        })
    }
}
