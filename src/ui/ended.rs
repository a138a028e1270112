//! The workloads that are over, as a list: what of it is known, and which one is chosen.

use std::sync::Arc;

use crate::control::workload::Ended;

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Those that are over, the last one first; `None` until they are known; or why they are not. Foreign text.
    pub ended: Option<Result<Arc<Vec<Ended>>, String>>,
    /// Which one is chosen.
    pub at: usize,
    /// Whether it is being read.
    pub busy: bool,
}

impl List {
    /// All of them.
    pub fn all(&self) -> &[Ended] {
        match &self.ended {
            Some(Ok(ended)) => ended,
            _ => &[],
        }
    }

    /// The chosen one.
    pub fn chosen(&self) -> Option<&Ended> {
        self.all().get(self.at)
    }

    /// Chooses one, or the last one.
    pub fn choose(&mut self, at: usize) {
        self.at = at.min(self.all().len().saturating_sub(1));
    }

    /// What was read; the chosen one stays so, wherever it is now.
    pub fn take_in(&mut self, ended: Result<Arc<Vec<Ended>>, String>) {
        let chosen = self.chosen().map(|ended| ended.name.clone());
        self.ended = Some(ended);
        self.busy = false;
        let at = chosen.and_then(|name| self.all().iter().position(|ended| ended.name == name));
        self.choose(at.unwrap_or(self.at));
    }
}
