//! `ringfence demo`: five workloads that meet their limits.

use std::time::Duration;

use anyhow::{Context, Result};

use super::top::Watch;
use super::up::{file, start_and_watch};

/// The workloads.
const FILE: &str = include_str!("../../assets/demo.toml");

/// How long the demo takes where nobody can press a key: long enough for the leaker to die twice.
const WITHOUT_A_SCREEN: Duration = Duration::from_secs(30);

/// Runs the demo.
pub fn run(mut watch: Watch) -> Result<u8> {
    let mut specs = file::parse("assets/demo.toml", FILE)?;
    let myself = std::env::current_exe().context("find this very program")?;
    for spec in &mut specs {
        // This very program, whatever is on the workloads' PATH.
        if let Some(program) = spec
            .command
            .first_mut()
            .filter(|program| *program == "ringfence")
        {
            *program = myself.to_string_lossy().into_owned();
        }
    }
    if !watch.on_screen() {
        watch.duration.get_or_insert(WITHOUT_A_SCREEN);
    }
    start_and_watch(&specs, &watch)
}
