//! Changing what is: limits of any cgroup, judged before they are written, and the life of a cgroup.
//!
//! [`sheet`] is what a cgroup's knobs stand at, and judges wishes without touching anything; [`make`]
//! writes them, all or none, and sees to it that they last; [`act`] freezes, stops, kills, reclaims and
//! moves; [`worker`] does all of it for a screen, on a thread of its own.

pub mod act;
pub mod make;
pub mod sheet;
pub mod worker;
