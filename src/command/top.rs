//! `ringfence top`: the live tree of every cgroup.

use std::time::Duration;

/// What `top` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// One subtree: a cgroup path or a workload's name.
    pub target: Option<String>,
    /// How to show it.
    pub watch: Watch,
}

/// How a dashboard is shown.
#[derive(Debug, Clone)]
pub struct Watch {
    /// A text table every interval instead of the dashboard.
    pub plain: bool,
    /// Time between two samples.
    pub interval: Duration,
    /// End by itself after this long.
    pub duration: Option<Duration>,
}

/// Shows the tree until the user quits or the duration is over.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let _ = options;
    anyhow::bail!("not built yet")
}
