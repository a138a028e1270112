//! Limits over the whole ancestry: which one is the smallest, and which one will be hit first.
//!
//! A cgroup is stopped by its own limit or by that of any cgroup above it, and a limit above is shared
//! with all its other descendants. Two answers follow:
//!
//! - the **effective** limit is the smallest one up the tree: no more can ever be had;
//! - the **binding** limit is the one with the least *headroom*, where the headroom of a level is its
//!   limit less what that level's cgroup as a whole uses. With an own limit of 64M at 10M, under a
//!   parent's limit of 100M at 95M, the effective limit is the own one and the parent's binds: 5M are left.
//!
//! What the kernel drops before it kills (page cache, slabs that it gives back) is no use of a memory limit. A limit that
//! is full of it binds nobody.
//!
//! On a tie the nearest level wins. A level whose usage cannot be read counts as using nothing (its
//! headroom is then at most its limit). Without any limit up the tree, the host is the last ceiling.
//!
//! The host takes part in the contest for memory (`MemTotal` less `MemAvailable`, so page cache does not
//! count). For CPU it does not: a busy host shares by weight and stops nobody, so it is a ceiling only
//! where it has fewer CPUs than a limit allows.

use std::borrow::Cow;
use std::sync::Arc;

use crate::kernel::cgroup::knob::Knob;
use crate::kernel::unit::Bytes;
use crate::names;

/// Something that is limited: bytes, CPUs, processes, bytes per second.
pub trait Quantity: Copy + PartialOrd {
    /// As a number, for shares and headroom.
    fn amount(self) -> f64;
}

impl Quantity for Bytes {
    fn amount(self) -> f64 {
        self.0 as f64
    }
}
impl Quantity for u64 {
    fn amount(self) -> f64 {
        self as f64
    }
}
impl Quantity for f64 {
    fn amount(self) -> f64 {
        self
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The cgroup's own.
    Own,
    /// That of an ancestor, by its path. Foreign text.
    Ancestor(Arc<str>),
    /// The host has no more.
    Host,
}

impl Of {
    /// The same for who is right below the cgroup at `path`.
    #[must_use]
    pub fn seen_below(&self, path: &Arc<str>) -> Self {
        match self {
            Self::Own => Self::Ancestor(Arc::clone(path)),
            of => of.clone(),
        }
    }

    /// What to call whose limit it is, as far as its path tells: `None` for the own one. Foreign text.
    pub fn label(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Own => None,
            Self::Ancestor(path) => Some(names::identify(path).label),
            Self::Host => Some(Cow::Borrowed("host")),
        }
    }

    /// The last part of the name of whose limit it is: `None` for the own one.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Own => None,
            Self::Ancestor(path) => Some(super::row::last_part(path)),
            Self::Host => Some("host"),
        }
    }
}

/// One limit up the tree, and how much of it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Level<T> {
    /// Whose limit.
    pub of: Of,
    /// Which file has it; of the host, the one of which it is the end.
    pub knob: Knob,
    /// The limit.
    pub limit: T,
    /// What is charged to the cgroup that has the limit, with all that is below it.
    pub used: Option<T>,
    /// Of that, what the kernel drops before it kills (memory only).
    pub droppable: Option<T>,
}

impl<T: Quantity> Level<T> {
    /// What is used and not dropped, not below 0.
    fn firm(&self) -> Option<f64> {
        let droppable = self.droppable.map_or(0.0, Quantity::amount);
        Some((self.used?.amount() - droppable).max(0.0))
    }

    /// What tells it from the limit that is usually meant: `high` of memory that slows down, `cpuset` of CPUs.
    pub fn qualifier(&self) -> Option<&'static str> {
        match self.knob {
            Knob::MemoryHigh => Some("high"),
            Knob::CpusetCpus => Some("cpuset"),
            _ => None,
        }
    }

    /// The same as plain numbers.
    pub fn in_numbers(&self) -> Level<f64> {
        Level {
            of: self.of.clone(),
            knob: self.knob,
            limit: self.limit.amount(),
            used: self.used.map(Quantity::amount),
            droppable: self.droppable.map(Quantity::amount),
        }
    }

    /// How much is left; below 0 where the limit was lowered under the usage.
    pub fn headroom(&self) -> f64 {
        self.limit.amount() - self.firm().unwrap_or(0.0)
    }

    /// The used share, 1 is the whole, without what is dropped; `None` where the usage is not known. A limit of 0 is
    /// always full.
    pub fn share(&self) -> Option<f64> {
        Some(self.share_of(self.firm()?))
    }

    /// The same with what is dropped.
    pub fn charged_share(&self) -> Option<f64> {
        Some(self.share_of(self.used?.amount()))
    }

    fn share_of(&self, amount: f64) -> f64 {
        let limit = self.limit.amount();
        if limit > 0.0 { amount / limit } else { 1.0 }
    }
}

/// What stops a cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Ceiling<T> {
    /// The smallest limit up the tree.
    pub effective: Level<T>,
    /// The limit with the least headroom.
    pub binding: Level<T>,
    /// Of the limits that slow down and do not stop (`memory.high`), the one with the least headroom.
    pub slowing: Option<Level<T>>,
    /// Whether any cgroup up the tree has a limit that stops; otherwise both are the host.
    pub limited: bool,
}

impl<T: Quantity> Ceiling<T> {
    /// What is met first, be it that it stops or that it slows down; `None` where only the host is above.
    pub fn first(&self) -> Option<&Level<T>> {
        match &self.slowing {
            Some(slowing) if self.is_slowed_first() => Some(slowing),
            _ => self.limited.then_some(&self.binding),
        }
    }

    /// Whether what is met first slows down. On a tie it does: a limit that stops is beyond.
    pub fn is_slowed_first(&self) -> bool {
        self.slowing
            .as_ref()
            .is_some_and(|slowing| !self.limited || slowing.headroom() <= self.binding.headroom())
    }

    /// Whether any cgroup up the tree stops or slows it down.
    pub fn is_bounded(&self) -> bool {
        self.limited || self.slowing.is_some()
    }
}

/// Both answers from all levels, nearest first; `None` where there is no level at all.
/// `limited` is taken from whether one of them is a cgroup's.
pub fn ceiling<T: Quantity>(levels: impl IntoIterator<Item = Level<T>>) -> Option<Ceiling<T>> {
    levels.into_iter().fold(None, |found, level| {
        let limited = level.of != Of::Host;
        Some(match found {
            None => Ceiling {
                effective: level.clone(),
                binding: level,
                slowing: None,
                limited,
            },
            Some(mut found) => {
                found.limited |= limited;
                if level.limit < found.effective.limit {
                    found.effective = level.clone();
                }
                if level.headroom() < found.binding.headroom() {
                    found.binding = level;
                }
                found
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(of: Of, limit: u64, used: u64) -> Level<u64> {
        Level {
            of,
            knob: Knob::PidsMax,
            limit,
            used: Some(used),
            droppable: None,
        }
    }

    #[test]
    fn the_smallest_is_effective_and_the_fullest_binds() {
        let parent = Of::Ancestor("/a".into());
        let ceiling = ceiling([level(Of::Own, 64, 10), level(parent.clone(), 100, 95)]).unwrap();
        assert_eq!(ceiling.effective.of, Of::Own);
        assert_eq!(ceiling.binding.of, parent);
        assert_eq!(ceiling.binding.of.owner(), Some("a"));
        assert!(ceiling.limited);
    }

    #[test]
    fn what_is_dropped_is_no_use() {
        let full = Level {
            droppable: Some(90),
            ..level(Of::Ancestor("/a".into()), 100, 100)
        };
        assert_eq!((full.share(), full.charged_share()), (Some(0.1), Some(1.0)));
        let ceiling = ceiling([level(Of::Own, 64, 10), full]).unwrap();
        assert_eq!(ceiling.binding.of, Of::Own);
    }

    #[test]
    fn the_nearest_wins_a_tie() {
        let ceiling = ceiling([
            level(Of::Own, 64, 10),
            level(Of::Ancestor("/a".into()), 64, 10),
        ])
        .unwrap();
        assert_eq!(
            (ceiling.effective.of, ceiling.binding.of),
            (Of::Own, Of::Own)
        );
    }

    #[test]
    fn the_host_alone_is_no_limit() {
        assert!(!ceiling([level(Of::Host, 64, 10)]).unwrap().limited);
        assert!(ceiling::<u64>([]).is_none());
    }
}
