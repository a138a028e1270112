//! One file per verb; each reads as the story of that verb.

pub mod config;
pub mod demo;
pub mod doctor;
pub mod load;
mod place;
pub mod run;
pub mod set;
pub mod supervise;
pub mod target;
pub mod top;
pub mod up;
