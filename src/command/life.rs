//! The life of workloads that are there already: one module per verb, and what they share.

pub mod end;
pub mod exec;
pub mod freeze;
pub mod inspect;
pub mod logs;
pub mod ps;
pub mod start;
pub mod wait;

use anyhow::Result;

use crate::launch::state::Shelf;
use crate::text::to_terminal;

/// The records. What killed supervisors left is seen to first, and told.
fn shelf() -> Result<Shelf> {
    let shelf = Shelf::own()?;
    for told in shelf.sweep() {
        say(&told);
    }
    Ok(shelf)
}

fn say(text: &str) {
    eprintln!("ringfence: {}", to_terminal(text));
}

/// A grace as a supervisor is told it.
fn seconds(grace: u32) -> i32 {
    i32::try_from(grace).unwrap_or(i32::MAX)
}

/// Does something with each of several workloads; what fails with one does not keep the others. Gives the exit code.
fn each<T>(names: &[String], mut act: impl FnMut(&str) -> Result<T>) -> (Vec<T>, u8) {
    let mut done = Vec::new();
    let mut code = 0;
    for name in names {
        match act(name) {
            Ok(answer) => done.push(answer),
            Err(error) => {
                say(&format!("{error:#}"));
                code = 125;
            }
        }
    }
    (done, code)
}
