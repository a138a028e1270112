//! The host as a whole, for the header.

use std::collections::VecDeque;

use super::rate;
use crate::kernel::cgroup::hierarchy::Mode;
use crate::kernel::unit::{Bytes, Percent, Reading};
use crate::sample::HostSample;

/// How many past values of the host's CPU are kept.
const PAST: usize = 120;

/// The controllers without which columns stay empty.
const CONTROLLERS: [&str; 4] = ["memory", "cpu", "io", "pids"];

/// The host as a whole.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// CPU used, 100 is one core.
    pub cpu: Reading<Percent>,
    /// Memory that is not available: `MemTotal` less `MemAvailable`.
    pub memory_used: Reading<Bytes>,
    /// Past shares of all CPUs, 0 to 1, oldest first.
    pub cpu_past: VecDeque<f64>,
    /// On a hybrid host: the controllers that are bound to v1, so that their columns stay empty.
    pub missing: Vec<&'static str>,
    mode: Option<Mode>,
}

impl Host {
    /// Takes in the next sample's host.
    pub(super) fn fold(
        &mut self,
        now: &HostSample,
        then: Option<&HostSample>,
        seconds: Option<f64>,
    ) {
        self.cpu = rate::between(then.map(|then| &then.cpu_usage), &now.cpu_usage, |a, b| {
            rate::cpu(*a, *b, seconds?)
        });
        self.memory_used = now.memory_used();
        if let Reading::Value(Percent(cpu)) = self.cpu {
            if self.cpu_past.len() == PAST {
                self.cpu_past.pop_front();
            }
            self.cpu_past
                .push_back(cpu / 100.0 / now.cpus.max(1) as f64);
        }
        self.mode = Some(now.mode);
        self.missing = CONTROLLERS
            .into_iter()
            .filter(|wanted| !now.controllers.iter().any(|name| name == wanted))
            .collect();
    }

    /// Why columns stay empty, in one sentence; `None` where everything is there.
    pub fn missing_because(&self) -> Option<String> {
        if self.missing.is_empty() {
            return None;
        }
        let missing = self.missing.join(", ");
        let verb = if self.missing.len() == 1 { "is" } else { "are" };
        Some(match self.mode {
            Some(Mode::Hybrid) => {
                format!("hybrid: {missing} {verb} bound to v1; see ringfence doctor")
            }
            _ => format!("{missing} {verb} not offered by this host; see ringfence doctor"),
        })
    }
}
