//! # ringfence
//!
//! *What is this container using, what will stop it, and why did it die?*
//!
//! A container is a process fenced by **namespaces** (what it sees), budgeted by **cgroups** (what it
//! uses) and rooted in a **union mount**. `ringfence` starts such processes and shows, live, how close
//! each one is to the limit that binds it.
//!
//! ## The house
//!
//! Rooms in one-way order: a room may use the rooms below it, never one above. `tests/house.rs` reads
//! the `use` lines and fails when a room looks up.
//!
//! ```text
//! 10 main.rs
//! 9  cli                      clap, turned into the rooms' own option types, once
//! 8  command/                 one file per verb; each reads as the story of that verb
//! 7  ui/                      message → update(state) → effect, and pure views
//! 6  export/                  what is known, for programs (JSON lines) and for tickets (HTML), and in words
//! 5  control/                 changing what is: limits judged and made, cgroups frozen, stopped, killed
//! 4  model/                   rates, effective limits, throttling, history, OOM incidents, the field catalogue
//!    why/                     why something died: what logs and state files still say
//! 3  sample/                  one instant of raw counters; the live source (its own thread)
//!    launch/                  spec → plan → clone → supervised workload → nothing left behind
//! 2  names/                   who owns a cgroup (its path tells), what people call it (state files tell)
//!    oom/                     the evidence of an OOM kill, and what it says
//! 1  kernel/                  the only room that opens /sys or /proc or makes a syscall
//!    text                     numbers for people, sanitising of foreign names
//!    file                     files that others may have made
//! ```
//!
//! Where does a line go? Opens a file or makes a syscall: [`kernel`]. Understands kernel text: that
//! controller's file there. Reads what docker or podman left on disk: [`names`]. Subtracts two counters:
//! [`model`]. Changes a cgroup that somebody else made: [`control`]. Mentions ratatui: [`ui`]. Mentions
//! clap: [`cli`].
//!
//! ## How data travels
//!
//! ```text
//! cgroupfs text ─▶ kernel types ─▶ Sample ─▶ Model ─▶ views, plain tables
//! inotify, kmsg ─▶ kernel events ───────────▶ Model
//! key ─▶ Message ─▶ update ─▶ Effect ─▶ control ─▶ outcome ─▶ Message
//! ```

#![warn(missing_docs)]

pub mod cli;
pub mod command;
pub mod control;
pub mod export;
pub mod file;
pub mod kernel;
pub mod launch;
pub mod model;
pub mod names;
pub mod oom;
pub mod sample;
pub mod text;
pub mod ui;
pub mod why;
