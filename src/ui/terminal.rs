//! The terminal, and its way back: raw mode, alternate screen and mouse are undone on return, error and
//! panic alike. Signals are for the loop: it returns, and then the same happens.

pub mod signals;

use std::io::{self, BufWriter, Stdout};
use std::ops::{Deref, DerefMut};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Context as _;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpid, getsid};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Rect, Size};

use signals::Told;

use crate::text;

/// A whole screen goes out in one write: half a screen is never seen.
type Backend = CrosstermBackend<BufWriter<Stdout>>;
const SCREEN: usize = 1 << 16;

/// What panics run through.
type Hook = Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// A terminal in the dashboard's hands; dropping it gives it back.
pub struct Terminal {
    inner: ratatui::Terminal<Backend>,
    /// Dropped after `inner`.
    _guard: Guard,
}

impl Terminal {
    /// Draws one screen, where the terminal can, all at once.
    pub fn show(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.inner.backend_mut(), BeginSynchronizedUpdate)?;
        self.inner.draw(render)?;
        execute!(self.inner.backend_mut(), EndSynchronizedUpdate)
    }

    /// Takes the terminal, with the mouse or without. A panic gives it back before its message is printed.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        // From here on, whatever fails, `Drop` gives the terminal back.
        let guard = Guard::new();
        take(mouse)?;
        Ok(Self {
            inner: ratatui::Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(
                SCREEN,
                io::stdout(),
            )))?,
            _guard: guard,
        })
    }

    /// Does what a signal says; the size where all has to be drawn anew.
    pub fn heed(&mut self, told: Told, mouse: bool) -> anyhow::Result<Option<Size>> {
        match told {
            // Who leads a session was started by nobody who would continue it.
            Told::Stop if getsid(None)? == getpid() => return Ok(None),
            Told::Stop => {
                restore();
                raise(Signal::SIGSTOP).context("cannot stop")?;
                return Ok(None);
            }
            // Another size in between may have cost what was there.
            Told::Resized => {}
            Told::Continued => {
                // What it was before the stop is no matter: another one may have been set since.
                let taken = disable_raw_mode().and_then(|()| take(mouse));
                taken.context("cannot take the terminal again")?;
            }
        }
        let size = self.size().context("cannot ask the terminal's size")?;
        self.resize(Rect::new(0, 0, size.width, size.height))
            .context("cannot clear the terminal")?;
        Ok(Some(size))
    }

    /// Has all stop that are in front, as a terminal does it that is not in raw mode.
    pub fn ask_for_stop() -> anyhow::Result<()> {
        kill(Pid::from_raw(0), Signal::SIGTSTP).context("cannot stop")
    }

    /// Takes the mouse, or leaves it to the terminal, by which text is selected.
    pub fn capture_mouse(&mut self, on: bool) -> anyhow::Result<()> {
        let done = if on {
            execute!(self.inner.backend_mut(), EnableMouseCapture)
        } else {
            execute!(self.inner.backend_mut(), DisableMouseCapture)
        };
        done.context("cannot take or leave the mouse")
    }
}

fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        cursor::Hide
    )?;
    if mouse {
        execute!(io::stdout(), EnableMouseCapture)?;
    }
    Ok(())
}

impl Deref for Terminal {
    type Target = ratatui::Terminal<Backend>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Terminal {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

/// Gives the terminal back, and with it the panic hook.
struct Guard {
    hook: Hook,
    elsewhere: Arc<Mutex<Vec<String>>>,
}

impl Guard {
    fn new() -> Self {
        let hook: Hook = Arc::from(panic::take_hook());
        let elsewhere = Arc::new(Mutex::new(Vec::new()));
        let (then, later, owner) = (
            Arc::clone(&hook),
            Arc::clone(&elsewhere),
            thread::current().id(),
        );
        panic::set_hook(Box::new(move |panic| {
            if thread::current().id() == owner {
                restore();
                then(panic);
            } else if let Ok(mut later) = later.lock() {
                // Another thread's panic may be caught there, and the dashboard goes on: its message
                // waits until the screen is not in the way.
                later.push(panic.to_string());
            }
        }));
        Self { hook, elsewhere }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            // The hook has given it back before the message; what was half drawn has come after it.
            let _ = execute!(io::stdout(), EndSynchronizedUpdate);
            return;
        }
        restore();
        if let Ok(messages) = self.elsewhere.lock() {
            for message in messages.iter() {
                eprintln!("ringfence: {}", text::sanitise(message));
            }
        }
        let hook = Arc::clone(&self.hook);
        panic::set_hook(Box::new(move |panic| hook(panic)));
    }
}

/// Best effort: the terminal may be gone, and there is nobody left to tell.
fn restore() {
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}
