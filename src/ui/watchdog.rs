//! Ends the process on a signal where the loop that should do so is stuck in a write: a terminal may be stopped, and a
//! pipe's reader asleep, for ever.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::terminal::disable_raw_mode;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::exit;

/// How long a loop that goes on may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches over a loop until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    signals: Handle,
    /// Dropped to say that the loop has ended.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to watch for these signals.
    pub fn start(signals: &[i32]) -> io::Result<Self> {
        let mut signals = Signals::new(signals)?;
        let handle = signals.handle();
        let (over, ended) = channel();
        let thread = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&mut signals, &ended))?;
        Ok(Self {
            signals: handle,
            over: Some(over),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over = None;
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(signals: &mut Signals, ended: &Receiver<()>) {
    let Some(signal) = signals.forever().next() else {
        return;
    };
    if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        // A shell that cannot be typed into would be left. The screen itself takes nothing now.
        let _ = disable_raw_mode();
        exit(128 + signal);
    }
}
