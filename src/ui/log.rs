//! The log of a workload, as it is followed.

use std::sync::Arc;

use super::state::Screen;
use crate::control::follow::Lines;
use crate::control::worker::Order;

/// Columns that a step to the side goes.
const STEP: usize = 8;
/// The longest that one may go to the side.
const WIDEST: usize = 2048;

/// What is seen of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Of which order this is the answer.
    pub number: u64,
    /// The workload's cgroup, from the v2 root. Foreign text.
    pub path: Arc<str>,
    /// What is known of it; `None` until something is; or why there is none. Foreign text.
    pub lines: Option<Result<Arc<Lines>, String>>,
    /// The number of the first line on the screen; `None` where the end is followed.
    pub top: Option<u64>,
    /// So many columns are passed over on the left.
    pub shift: usize,
    /// Where keys go afterwards.
    pub back: Screen,
}

impl Log {
    /// Begins to follow, and says what is to be ordered for it.
    pub fn open(number: u64, path: Arc<str>, back: Screen) -> (Self, Order) {
        let order = Order::Follow {
            number,
            path: Arc::clone(&path),
        };
        let log = Self {
            number,
            path,
            lines: None,
            top: None,
            shift: 0,
            back,
        };
        (log, order)
    }

    /// Takes in what was said, and says whether there may be more.
    pub fn take_in(&mut self, said: &Result<Lines, String>) -> bool {
        match (said, &mut self.lines) {
            (Err(why), None) => self.lines = Some(Err(why.clone())),
            // What is known stays on the screen.
            (Err(_), Some(_)) => {}
            (Ok(more), Some(Ok(lines))) => {
                Arc::make_mut(lines).extend(more.clone());
            }
            (Ok(first), _) => self.lines = Some(Ok(Arc::new(first.clone()))),
        }
        said.is_ok()
    }

    /// The lines, where there are any.
    pub fn lines(&self) -> Option<&Lines> {
        match &self.lines {
            Some(Ok(lines)) => Some(lines),
            _ => None,
        }
    }

    /// The number of the first line on a screen that so many fit on.
    pub fn first(&self, page: usize) -> u64 {
        let (first, end) = self.lines().map_or((0, 0), Lines::range);
        let last = end.saturating_sub(page as u64).max(first);
        self.top.map_or(last, |top| top.clamp(first, last))
    }

    /// Goes so many lines up or down; at the end, it follows again.
    pub fn scroll(&mut self, by: i64, page: usize) {
        let (first, end) = self.lines().map_or((0, 0), Lines::range);
        let last = end.saturating_sub(page as u64).max(first);
        let to = self.first(page).saturating_add_signed(by).max(first);
        self.top = (to < last).then_some(to);
    }

    /// A step to the side.
    pub fn sideways(&mut self, right: bool) {
        self.shift = if right {
            (self.shift + STEP).min(WIDEST)
        } else {
            self.shift.saturating_sub(STEP)
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::control::follow::{LINES, Said};
    use crate::launch::log::Stream;

    fn lines(count: usize) -> Lines {
        let mut lines = Lines::default();
        lines.extend((0..count).map(|n| Said {
            at: SystemTime::UNIX_EPOCH,
            stream: Stream::Stdout,
            complete: true,
            text: n.to_string(),
        }));
        lines
    }

    #[test]
    fn it_follows_until_somebody_scrolls_and_again_at_the_end() {
        let (mut log, _) = Log::open(1, "/a".into(), Screen::View);
        assert_eq!(log.first(10), 0);
        log.take_in(&Ok(lines(100)));
        assert_eq!(log.first(10), 90);
        log.scroll(-5, 10);
        log.take_in(&Ok(lines(100)));
        assert_eq!((log.top, log.first(10)), (Some(85), 85));
        log.scroll(i64::MIN, 10);
        assert_eq!(log.first(10), 0);
        // What is looked at goes once it is too old.
        log.take_in(&Ok(lines(LINES)));
        assert_eq!(log.first(10), 200);
        log.scroll(i64::MAX, 10);
        assert_eq!((log.top, log.first(10)), (None, 200 + LINES as u64 - 10));
        log.take_in(&Err("gone".to_owned()));
        assert_eq!(log.lines().map(Lines::len), Some(LINES));
    }
}
