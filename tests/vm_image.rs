//! Images on a real kernel, as root: `cargo xtask test vm_image`. They are built here, layer by layer, the good ones
//! and the bad ones; those that other programs write are in `vm_skopeo`.

#[path = "vm_image/build.rs"]
mod build;
#[path = "vm_image/refused.rs"]
mod refused;
#[path = "vm_image/run.rs"]
mod run;
#[path = "vm_image/store.rs"]
mod store;
#[allow(dead_code, reason = "each suite uses its part")]
mod support;
