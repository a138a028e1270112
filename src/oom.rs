//! OOM kills: the evidence of each, from the counters of `memory.events`, the kernel log and the tracepoint, and what it
//! says about the cgroup, the limit and the victims.
//!
//! Whoever watches feeds it: the launcher for the leaf of its workload ([`leaf`]), the sampler for the whole tree.
//! [`past`] is what the kernel log still has of before, and [`journal`] what systemd's journal has, also of programs that
//! kill before the kernel must. [`words`] is how all of them tell it.

mod counters;
mod fact;
pub mod journal;
mod kill;
pub mod leaf;
mod log;
pub mod past;
pub mod words;

pub(crate) use counters::Counters;
pub use fact::{Fact, Means};
pub use kill::{Fired, Killer, OomKill, Victim};
pub(crate) use log::{Log, Told, choice, exhausted, fired};
