//! How the screen is split.
//!
//! ```text
//! ┌ ringfence ── header ──────────────────┐  header
//! │ why columns are empty                 │  notice, on hosts without some controllers
//! │ NAME       CPU  OF LIMIT   …          │  titles
//! │ ▾ ringfence.slice                     │  tree: what the others leave
//! ├ leaker ───────────────────────────────┤  selected: title, then its area
//! │ memory …             │ host pid …     │
//! ├ events ───────────────────────────────┤  events: title, then its area
//! │ 12:03:41 ✖ OOM kill …                 │
//! └ ? help ───────────────────────────────┘  footer
//! ```
//!
//! What is short of room goes in this order: the selected panel (unless it was asked for), the events,
//! the notice. The tree keeps three lines.

use ratatui::layout::Rect;

use super::state::Detail;

/// How high the user made the panels, in lines without their titles; `None` for what suits the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// The selected cgroup, 3 or more.
    pub selected: Option<u16>,
    /// The event log, 1 or more.
    pub events: Option<u16>,
}

/// The smallest terminal that is drawn on: below, one sentence has to do.
pub const SMALLEST: (u16, u16) = (20, 5);

/// An edge that the mouse can move: the title line of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Above the selected cgroup.
    Selected,
    /// Above the event log.
    Events,
}

/// A panel with its title line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// The line that separates it from what is above, frame included.
    pub title: Rect,
    /// What is inside.
    pub area: Rect,
}

/// The parts of the screen. Areas of content leave out the frame and one column on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The top of the frame.
    pub header: Rect,
    /// Why columns are empty.
    pub notice: Option<Rect>,
    /// The titles of the columns.
    pub titles: Rect,
    /// The tree.
    pub tree: Rect,
    /// The selected cgroup.
    pub selected: Option<Panel>,
    /// The event log.
    pub events: Option<Panel>,
    /// The bottom of the frame.
    pub footer: Rect,
}

/// The parts of a screen that is about one thing:
///
/// ```text
/// ┌ ringfence ── header ──────────────────┐  header
/// │ why columns are empty                 │  notice
/// ├ detail ── ringfence.slice › leaker ───┤  title
/// │ …                                     │  area
/// └ 1 tree  2 detail ─────────────────────┘  footer
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The top of the frame.
    pub header: Rect,
    /// Why something is empty.
    pub notice: Option<Rect>,
    /// What it is about.
    pub title: Rect,
    /// The content, without the frame and one column on each side.
    pub area: Rect,
    /// The bottom of the frame.
    pub footer: Rect,
}

/// Splits the screen for one thing; `None` where it is too small.
pub fn page(area: Rect, notice: bool) -> Option<Page> {
    let plan = plan(area, Detail::Closed, notice)?;
    let top = plan.titles.y;
    Some(Page {
        header: plan.header,
        notice: plan.notice,
        title: Rect::new(area.x, top, area.width, 1),
        area: inside(Rect::new(
            area.x,
            top + 1,
            area.width,
            plan.footer.y - top - 1,
        )),
        footer: plan.footer,
    })
}

/// Lines that the tree keeps.
pub(super) const TREE: u16 = 3;
/// Content lines of the selected panel: with less than the first the others shrink only on request.
const SELECTED: (u16, u16) = (8, 14);
pub(super) const SELECTED_LEAST: u16 = 3;
const EVENTS: (u16, u16) = (3, 8);

/// Splits the screen; `None` where it is too small.
pub fn plan(area: Rect, detail: Detail, notice: bool) -> Option<Plan> {
    plan_with(area, detail, notice, Split::default())
}

/// Splits the screen as the user wants it, as far as there is room; `None` where it is too small.
pub fn plan_with(area: Rect, detail: Detail, notice: bool, split: Split) -> Option<Plan> {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return None;
    }
    let notice = u16::from(notice && area.height >= 8);
    let rest = area.height - 3 - notice;

    let most = rest.saturating_sub(TREE + 1).max(1);
    let wanted = match split.events {
        Some(lines) => lines.clamp(1, most),
        None => (rest / 5).clamp(EVENTS.0, EVENTS.1),
    };
    let mut events = if rest >= TREE + 1 + EVENTS.0 {
        wanted + 1
    } else {
        0
    };
    let most = rest.saturating_sub(TREE + 1 + events);
    let third = match split.selected {
        Some(lines) if most >= SELECTED_LEAST => lines.clamp(SELECTED_LEAST, most),
        _ => ((rest - events) / 3).clamp(SELECTED.0, SELECTED.1),
    };
    let spare = u16::from(split.selected.is_none()) * 2;
    let fits = |content: u16, events: u16| rest > TREE + spare + events + content;
    let selected = match detail {
        Detail::Closed => 0,
        _ if fits(third, events) => third + 1,
        Detail::Auto => 0,
        Detail::Open => {
            events = 0;
            let content = (rest - TREE.min(rest)).saturating_sub(1).min(SELECTED.0);
            if content >= SELECTED_LEAST {
                content + 1
            } else {
                0
            }
        }
    };

    let mut y = area.y;
    let mut take = |height: u16| {
        let part = Rect::new(area.x, y, area.width, height);
        y += height;
        part
    };
    let header = take(1);
    let notice = (notice > 0).then(|| inside(take(1)));
    let titles = inside(take(1));
    let tree = inside(take(rest - events - selected));
    let mut panel = |height: u16| {
        (height > 0).then(|| Panel {
            title: take(1),
            area: inside(take(height - 1)),
        })
    };
    let selected = panel(selected);
    let events = panel(events);
    Some(Plan {
        header,
        notice,
        titles,
        tree,
        selected,
        events,
        footer: take(1),
    })
}

fn inside(area: Rect) -> Rect {
    Rect::new(
        area.x + 2,
        area.y,
        area.width.saturating_sub(4),
        area.height,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits() -> impl Iterator<Item = Split> {
        let heights = [None, Some(0), Some(1), Some(9), Some(u16::MAX)];
        heights.into_iter().flat_map(move |selected| {
            heights
                .into_iter()
                .map(move |events| Split { selected, events })
        })
    }

    #[test]
    fn the_parts_cover_every_screen_without_overlap() {
        for width in [20, 40, 200] {
            for height in 5..=80 {
                for detail in [Detail::Auto, Detail::Open, Detail::Closed] {
                    for (notice, split) in [false, true]
                        .into_iter()
                        .flat_map(|notice| splits().map(move |split| (notice, split)))
                    {
                        let area = Rect::new(0, 0, width, height);
                        let plan = plan_with(area, detail, notice, split).unwrap();
                        let panels = [plan.selected, plan.events].into_iter().flatten();
                        let lines = plan.notice.map_or(0, |notice| notice.height)
                            + 3
                            + plan.tree.height
                            + panels.map(|panel| 1 + panel.area.height).sum::<u16>();
                        assert_eq!(lines, height, "{plan:?}");
                        assert_eq!(plan.footer.y, height - 1);
                        let page = page(area, notice).unwrap();
                        assert!(page.area.height >= 1 && page.area.bottom() == page.footer.y);
                        assert!(plan.tree.height >= 1.max(TREE.min(height - 4)), "{plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_terminal_has_no_plan() {
        assert_eq!(plan(Rect::new(0, 0, 10, 5), Detail::Auto, false), None);
        assert_eq!(plan(Rect::new(0, 0, 20, 4), Detail::Auto, false), None);
    }
}
