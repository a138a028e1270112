//! `ringfence run`: one workload in the foreground.

use crate::launch::supervise::supervise;
use crate::launch::{Plan, Report, Spec};
use crate::text::sanitise;

/// Runs the workload to its end and says on stderr what is worth a line. Gives its exit code.
pub fn run(spec: &Spec) -> anyhow::Result<u8> {
    let plan = Plan::new(spec)?;
    let code = supervise(&plan, &mut |report| match report {
        Report::Notice { .. } | Report::Oom(_) | Report::Failed { .. } => {
            eprintln!("ringfence: {}", sanitise(&report.to_string()));
        }
        Report::Started { .. } | Report::Exited { .. } | Report::Restarting { .. } => {}
    })?;
    Ok(code)
}
