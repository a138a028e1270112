//! What can be done to the selected cgroup, or to the chosen process: offered, asked, or refused with the
//! reason. Nothing here does anything; it ends in an order or in a [`Question`].

mod offer;

use std::sync::Arc;

use super::question::Question;
use super::state::State;
use super::tabs::View;
use crate::control::act::survey::Survey;
use crate::control::act::{Act, Chosen, Target};
use crate::control::worker::Order;
use crate::kernel::unit::Bytes;
use crate::model::Model;
use crate::model::row::Mark;
use crate::text;

/// The smallest step of an amount.
const MIB: u64 = 1 << 20;

/// What was asked for by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To choose among all that can be done.
    Menu,
    /// To stop the cgroup.
    Stop,
    /// To reclaim memory from it.
    Reclaim,
    /// To move its processes up, or the chosen one.
    MoveUp,
}

/// What stands over the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Menu {
    /// The cgroup is being looked at.
    Looking {
        /// Which one.
        target: Target,
        /// What is wanted of it.
        wish: Wish,
    },
    /// Something is to be chosen.
    Choice {
        /// What it is about. Foreign text.
        title: String,
        /// What there is to choose.
        items: Vec<Item>,
        /// Which one is marked.
        at: usize,
    },
    /// An amount is to be given.
    Amount(Amount),
    /// Something is refused; the next key closes it.
    Told {
        /// What it is about. Foreign text.
        title: String,
        /// Why. Foreign text.
        text: String,
    },
}

/// One thing to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// In a few words. Foreign text.
    pub label: String,
    /// What comes of it.
    pub about: String,
    /// What happens when it is chosen, or why it cannot be. Foreign text.
    pub then: Result<Then, String>,
}

/// What happens when something is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// It is asked first.
    Ask(Question),
    /// It is done.
    Do(Order),
    /// More is to be said.
    Show(Menu),
}

/// An amount of memory that is typed, or stepped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// Where it is reclaimed from.
    pub target: Target,
    /// What it holds.
    pub current: Bytes,
    /// How much of that can go right away.
    pub easy: Bytes,
    /// What stands there.
    pub typed: String,
    /// Whether the first key replaces it.
    pub fresh: bool,
}

impl Amount {
    fn new(target: Target, current: Bytes, easy: Bytes) -> Self {
        // What is suggested is what nobody misses; where that is nothing, a small step.
        let first = Bytes(easy.0.max(MIB).min(current.0.max(MIB)));
        Self {
            target,
            current,
            easy,
            typed: text::bytes(first),
            fresh: true,
        }
    }

    /// The amount, or why it is none.
    pub fn value(&self) -> Result<Bytes, String> {
        let size: Bytes = self.typed.parse().map_err(|error| format!("{error}"))?;
        if size.0 == 0 {
            return Err("that is nothing; type a size such as 64M".to_owned());
        }
        Ok(size)
    }

    /// More or less by a sixteenth of what it holds.
    pub fn step(&mut self, up: bool) {
        let step = (self.current.0 / 16).next_multiple_of(MIB).max(MIB);
        let now = self.value().map_or(0, |size| size.0);
        let to = if up {
            now.saturating_add(step).min(self.current.0.max(MIB))
        } else {
            now.saturating_sub(step).max(MIB)
        };
        self.typed = text::bytes(Bytes(to));
        self.fresh = true;
    }

    /// Types one character.
    pub fn push(&mut self, char: char) {
        if std::mem::take(&mut self.fresh) {
            self.typed.clear();
        }
        self.typed.push(char);
    }

    /// Takes the last character back.
    pub fn pop(&mut self) {
        self.fresh = false;
        self.typed.pop();
    }

    /// What is ordered by it.
    pub fn order(&self) -> Result<Order, String> {
        let amount = self.value()?;
        Ok(Order::Act(Act::Reclaim(self.target.clone(), amount)))
    }
}

impl Menu {
    /// Begins with what is wanted of the selected cgroup, or of the chosen process where processes are
    /// listed: gives what must be looked at first. Refused in a sentence where nothing is selected.
    pub fn begin(state: &State, wish: Wish, model: &Model) -> Result<(Self, Order), &'static str> {
        let target = target(state, model)?;
        let chosen = (state.view == View::Processes).then(|| {
            let listed = state.listed(model);
            let process = listed.get(state.processes.at)?;
            Some(Chosen {
                pid: process.sample.pid,
                start_time: process.sample.start_time,
            })
        });
        let menu = Self::Looking {
            target: target.clone(),
            wish,
        };
        Ok((menu, Order::Look(target, chosen.flatten())))
    }

    /// What comes of it once the cgroup was looked at.
    pub fn looked(target: &Target, wish: Wish, survey: &Result<Arc<Survey>, String>) -> Then {
        let told = |text: &str| {
            Then::Show(Self::Told {
                title: target.path.to_string(),
                text: text.to_owned(),
            })
        };
        let survey = match survey {
            Ok(survey) => survey,
            Err(why) => return told(why),
        };
        let item = match (wish, &survey.chosen) {
            (Wish::Menu, _) => {
                return Then::Show(Self::Choice {
                    title: offer::title(survey),
                    items: offer::all(survey),
                    at: 0,
                });
            }
            (Wish::Stop, _) => offer::stop(survey),
            (Wish::Reclaim, _) => offer::reclaim(survey),
            (Wish::MoveUp, None) => offer::move_up(survey),
            (Wish::MoveUp, Some(Ok(one))) => offer::move_one_up(one),
            (Wish::MoveUp, Some(Err(why))) => return told(why),
        };
        item.then.unwrap_or_else(|why| told(&why))
    }
}

/// The selected cgroup, if it is there.
fn target(state: &State, model: &Model) -> Result<Target, &'static str> {
    if state.view == View::Incidents {
        return Err("choose a cgroup in the tree first");
    }
    let row = state
        .selected_row(model)
        .filter(|row| row.mark != Mark::Vanished)
        .ok_or("no cgroup is selected that is still there")?;
    Ok(Target {
        path: Arc::clone(&row.path),
        id: row.id,
    })
}

/// What freezes the selected cgroup, or thaws it if it is frozen.
pub fn freeze_or_thaw(state: &State, model: &Model) -> Result<Order, &'static str> {
    let target = target(state, model)?;
    let frozen = state.selected_row(model).map(|row| row.mark) == Some(Mark::Frozen);
    Ok(Order::Act(if frozen {
        Act::Thaw(target)
    } else {
        Act::Freeze(target)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cgroup::CgroupId;

    #[test]
    fn an_amount_is_typed_or_stepped_to() {
        let target = Target {
            path: "/a".into(),
            id: CgroupId(7),
        };
        let mib = |size| Bytes(size * MIB);
        let mut amount = Amount::new(target.clone(), mib(64), mib(30));
        assert_eq!((&*amount.typed, amount.value()), ("30M", Ok(mib(30))));
        amount.step(true);
        assert_eq!(amount.typed, "34M");
        for _ in 0..20 {
            amount.step(true);
        }
        assert_eq!(amount.typed, "64M");
        for _ in 0..20 {
            amount.step(false);
        }
        assert_eq!(amount.typed, "1M");
        amount.push('2');
        amount.push('m');
        assert_eq!(amount.value(), Ok(mib(2)));
        amount.pop();
        amount.pop();
        amount.pop();
        assert!(amount.value().is_err() && amount.order().is_err());
        amount.push('0');
        assert!(amount.value().is_err());
        // With nothing that could go right away, and with next to nothing at all.
        assert_eq!(Amount::new(target.clone(), mib(9), mib(0)).typed, "1M");
        assert_eq!(Amount::new(target, Bytes(8192), Bytes(0)).typed, "1M");
    }
}
