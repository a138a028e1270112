//! One file per verb; each reads as the story of that verb.

pub mod demo;
pub mod doctor;
pub mod load;
pub mod run;
pub mod supervise;
pub mod top;
pub mod up;
