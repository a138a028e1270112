//! Signals that are about the terminal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What one of them says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It has another size: `SIGWINCH`.
    Resized,
    /// It is to be given back for a stop: `SIGTSTP`.
    Stop,
    /// The stop is over, and somebody else had it: `SIGCONT`.
    Continued,
}

/// Hears them.
#[derive(Debug)]
pub struct Signals {
    resized: Signal,
    stop: Signal,
    continued: Signal,
}

impl Signals {
    /// From now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            stop: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.resized.recv() => Told::Resized,
            _ = self.stop.recv() => Told::Stop,
            _ = self.continued.recv() => Told::Continued,
        }
    }
}
