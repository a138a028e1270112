//! Changing what is: limits of any cgroup, judged before they are written, and the life of a cgroup.
//!
//! [`sheet`] is what a cgroup's knobs stand at, and judges wishes without touching anything; [`make`]
//! writes them, all or none, and sees to it that they last; [`trial`] takes them back by itself; [`engine`] has docker and podman know them, and [`drift`] is where they do not; [`act`] freezes, stops, kills, reclaims and
//! moves; [`workload`] knows ringfence's own, [`again`] starts them, [`follow`] reads their logs; [`worker`] does all of it
//! for a screen, on a thread of its own. [`hook`] runs the user's command when something was killed.

pub mod act;
pub mod again;
pub mod drift;
pub mod engine;
pub mod follow;
pub mod hook;
pub mod make;
pub mod sheet;
pub mod trial;
pub mod worker;
pub mod workload;
