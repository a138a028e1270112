//! The command of `--on-oom`, for one workload.

use std::collections::VecDeque;
use std::io;

use crate::control::hook::{self, Fields, Says};
use crate::kernel::process::bounded::Bounded;
use crate::oom::OomKill;

/// So many may run at a time.
const AT_ONCE: usize = 4;

/// Runs it for every OOM kill; the workload does not wait for it.
#[derive(Debug)]
pub struct OomHook {
    command: Option<String>,
    says: Says,
    called: VecDeque<io::Result<Bounded>>,
}

impl OomHook {
    /// Of this command, if any.
    pub fn new(command: Option<&str>, says: Says) -> Self {
        Self {
            command: command.map(str::to_owned),
            says,
            called: VecDeque::new(),
        }
    }

    /// Runs it. Gives what went wrong with an earlier one.
    pub fn call(&mut self, kill: &OomKill, name: &str, text: &str) -> Option<String> {
        let command = self.command.as_deref()?;
        let earlier = (self.called.len() >= AT_ONCE)
            .then(|| self.called.pop_front())
            .flatten();
        let fields = Fields::new(kill, name, None, Some(text));
        self.called
            .push_back(hook::start(command, &fields, self.says));
        hook::trouble(earlier?.and_then(Bounded::wait))
    }

    /// Waits for all of them. Gives what went wrong.
    pub fn finish(self) -> impl Iterator<Item = String> {
        let called = self.called.into_iter();
        called.filter_map(|command| hook::trouble(command.and_then(Bounded::wait)))
    }
}
