//! `ringfence run` on a real kernel, as root: `cargo xtask test vm_launch`. The numbers in the tests'
//! names are those of the list of behaviours that the launcher keeps.
//!
//! Every test ends with the check that no cgroup, mount, process or scratch directory is left.

#[path = "vm_launch/budget.rs"]
mod budget;
#[path = "vm_launch/mask.rs"]
mod mask;
#[path = "vm_launch/process.rs"]
mod process;
#[path = "vm_launch/refused.rs"]
mod refused;
#[path = "vm_launch/root.rs"]
mod root;
#[path = "vm_launch/security.rs"]
mod security;
#[path = "vm_launch/stdio.rs"]
mod stdio;
#[path = "vm_launch/storage.rs"]
mod storage;
#[allow(dead_code, reason = "each suite uses its part")]
mod support;
#[path = "vm_launch/terminal.rs"]
mod terminal;
#[path = "vm_launch/user.rs"]
mod user;
