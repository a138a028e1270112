//! What comes from the terminal: keys, the mouse and pasted text.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use futures_util::stream::Peekable;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::kernel::watch::{is_over, is_readable};

/// Events of the terminal on stdin, one after the other.
pub struct Input(Peekable<EventStream>);

impl Default for Input {
    fn default() -> Self {
        Self(EventStream::new().peekable())
    }
}

impl Input {
    /// Waits for the next event; `None` where the terminal is gone: crossterm would read for ever from it.
    pub async fn next(&mut self) -> Option<io::Result<Event>> {
        poll_fn(|context| {
            if is_over(io::stdin().as_fd()) {
                return Poll::Ready(None);
            }
            ready!(self.poll_waiting(context));
            self.0.poll_next_unpin(context)
        })
        .await
    }

    /// Whether the next event is there already.
    pub async fn has_more(&mut self) -> bool {
        let stdin = io::stdin();
        let has_more = poll_fn(|context| {
            let waits = !is_over(stdin.as_fd()) && self.poll_waiting(context).is_ready();
            Poll::Ready(waits)
        })
        .await;
        // Of more than 1024 bytes crossterm leaves the rest unread until another byte comes
        // (https://github.com/crossterm-rs/crossterm/pull/1057, in no release yet). Settings of a terminal that are set
        // again wake whoever polls it.
        if !has_more && is_readable(stdin.as_fd()) {
            let _ = tcgetattr(&stdin)
                .and_then(|settings| tcsetattr(&stdin, OptionalActions::Now, &settings));
        }
        has_more
    }

    /// Ready once an event waits. Another size is left to SIGWINCH: crossterm loses it where it comes together with keys.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(Event::Resize(..))) = ready!(Pin::new(&mut self.0).poll_peek(context)) {
            let _ = self.0.poll_next_unpin(context);
        }
        Poll::Ready(())
    }
}
