//! Signals that come before anybody listens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::low_level::{raise, unregister};

/// What asks a program to end.
const ENDS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Notes signals that ask this program to end, until somebody listens who knows what to do.
#[derive(Debug)]
pub struct EarlySignals {
    /// The last one, 0 for none.
    last: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

impl EarlySignals {
    /// From now on, until it is dropped.
    pub fn note() -> io::Result<Self> {
        let mut early = Self {
            last: Arc::default(),
            registered: Vec::new(),
        };
        for signal in ENDS {
            let number = usize::try_from(signal).unwrap_or_default();
            let registered = register_usize(signal, Arc::clone(&early.last), number)?;
            early.registered.push(registered);
        }
        Ok(early)
    }

    /// The one that came, if any did.
    pub fn came(&self) -> Option<i32> {
        let last = i32::try_from(self.last.load(Ordering::Relaxed)).ok();
        last.filter(|signal| *signal != 0)
    }

    /// Raises again what came: somebody listens by now.
    pub fn repeat(self) -> io::Result<()> {
        self.came().map_or(Ok(()), raise)
    }
}

impl Drop for EarlySignals {
    fn drop(&mut self) {
        for registered in self.registered.drain(..) {
            unregister(registered);
        }
    }
}
