//! Arguments of `ringfence events`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::value::{duration, moment};
use crate::command;

/// Print OOM kills as they happen, what becomes of each, and what warns of them before, one line each.
///
/// Like `docker events`, it goes on until it is interrupted, and says only what is new where not told otherwise by
/// --since.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this cgroup and what is below it: a path from the v2 root (`system.slice`), or the name of a workload,
    /// a container or a unit.
    target: Option<String>,
    /// Print JSON, an object a line; the README has the fields.
    #[arg(long)]
    json: bool,
    /// Go on until interrupted. That is so anyway.
    #[arg(short, long, conflicts_with_all = ["duration", "until"])]
    follow: bool,
    /// Tell first of the OOM kills since then that the kernel log still has: 10m, 2h, or a time,
    /// 2026-07-01T12:03:41Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// End at this time, or at once where it has passed: 10m ago, or a time.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "duration")]
    until: Option<SystemTime>,
    /// End by itself after this time: 20, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Run this shell command for every OOM incident, with what is known of it in RINGFENCE_… variables; the README
    /// has them.
    #[arg(long, value_name = "COMMAND")]
    on_oom: Option<String>,
    /// Time between two samples: 0.5, 2s. A second where the configuration does not say otherwise. Kills are told at
    /// once, whatever it is.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
    /// Read this configuration in place of ~/.config/ringfence/config.toml: its interval, and what it warns of.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        let config = command::config::load(self.config.as_deref())?;
        let interval = self.interval.or(config.interval);
        command::events::run(&command::events::Options {
            target: self.target,
            json: self.json,
            duration: self.duration,
            since: self.since,
            until: self.until,
            on_oom: self.on_oom,
            interval: interval.unwrap_or(command::config::INTERVAL),
            warnings: config.settings.warnings,
        })
    }
}
