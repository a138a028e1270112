//! What is known of each workload, for every other command: one directory per workload, below `/run/ringfence`
//! (for an ordinary user below `$XDG_RUNTIME_DIR`).
//!
//! ```text
//! /run/ringfence/workloads/        locked (flock) by who looks or makes
//!     web/                         locked by web's supervisor, for as long as it lives
//!         state.json               the record, replaced as a whole
//!         readers                  locked, shared, by who waits for web's end
//! ```
//!
//! A directory that can be locked, but whose record says that the workload runs, was left by a supervisor that was
//! killed: the next command of any kind sees to what is left and says so.

mod record;
mod shelf;

pub use record::{Identity, Record, Status, Terms};
pub use shelf::{Keeper, Reading, Shelf, base};
