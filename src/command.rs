//! One file per verb; each reads as the story of that verb.

pub mod advise;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod get;
pub mod life;
pub mod load;
mod oom_hook;
mod place;
pub mod run;
pub mod set;
pub mod supervise;
pub mod target;
pub mod top;
pub mod up;
pub mod why;
