//! Why a workload could not be started.

use nix::errno::Errno;

use crate::kernel;
use crate::kernel::obstacle::Obstacle;

/// A failure of the launcher itself, before the program ran: exit code 125.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be had; one sentence, with what to do.
    #[error("{0}")]
    Refused(String),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::error::Error),
    /// It failed for a reason outside the workload.
    #[error("{}: {obstacle}", without_hint(error))]
    Blocked {
        /// What failed.
        error: Box<Error>,
        /// What stands in the way.
        obstacle: Obstacle,
    },
    /// A step of the child's set-up failed.
    #[error("setting the workload up failed: {step}: {}{}", errno.desc(), hint(step, *errno))]
    Step {
        /// Which one.
        step: String,
        /// The kernel's answer.
        errno: Errno,
    },
}

/// A result of the launch room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// One sentence.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self::Refused(sentence.into())
    }

    /// The same, with what it is about before it.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        match self {
            Self::Kernel(mut error) => {
                error.operation = format!("{what}: {}", error.operation);
                Self::Kernel(error)
            }
            Self::Refused(sentence) => Self::Refused(format!("{what}: {sentence}")),
            other @ (Self::Step { .. } | Self::Blocked { .. }) => other,
        }
    }
}

/// What failed, without a guess why.
fn without_hint(error: &Error) -> String {
    match error {
        Error::Step { step, errno } => {
            format!("setting the workload up failed: {step}: {}", errno.desc())
        }
        other => other.to_string(),
    }
}

/// The step that fails on a kernel without seccomp.
pub(super) const FILTER: &str = "filter system calls";

fn hint(step: &str, errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSYS | Errno::EINVAL if step == FILTER => {
            "; has this kernel no seccomp? `--security-opt seccomp=unconfined` does without"
        }
        Errno::ENOMEM => "; is the memory limit too small?",
        Errno::EAGAIN => "; is the pids limit too small?",
        _ => "",
    }
}
