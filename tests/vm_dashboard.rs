//! The dashboard on a real terminal, while real workloads die: `cargo xtask test vm_dashboard`.
fn main() {}
