//! The host's terminal while a guest program has it.

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Ctrl-]: ends the machine, as with telnet; every other key goes to the guest.
pub const ESCAPE: u8 = 0x1d;

/// What a full-screen program that had no time to tidy up may have left on: the alternate screen, a hidden cursor,
/// mouse reports, bracketed paste, colours.
const RESET: &[u8] =
    b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[0m\r\n";

pub fn is_interactive() -> bool {
    isatty(io::stdin()) && isatty(io::stdout())
}

/// Rows and columns.
pub fn size() -> (u16, u16) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// The terminal in raw mode; as it was again when dropped.
pub struct RawTerminal {
    original: Termios,
}

impl RawTerminal {
    pub fn enter() -> Result<Self> {
        let stdin = io::stdin();
        let original = tcgetattr(stdin.as_fd()).context("read the terminal's modes")?;
        let mut raw = original.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)
            .context("set the terminal to raw mode")?;
        Ok(Self { original })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing to be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.original);
    }
}

/// Brings the screen back after a program that was cut off.
pub fn reset_screen() {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(RESET).and_then(|()| stdout.flush());
}
