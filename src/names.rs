//! Who owns a cgroup, and what people call it.
//!
//! Two questions, two files. [`owner`] reads the *path* alone, does no I/O and always has an answer:
//! `docker-0123…scope` is a docker container whatever daemon runs. [`local`] asks the *state files* that
//! docker, podman, the kubelet and machined keep on disk for the name that people gave it. No socket, no
//! daemon, no command is ever asked: what is not readable has no name, and the label from the path stays.
//!
//! Everything here is foreign text: it is made harmless where it is drawn.

pub mod local;
pub mod owner;
pub mod systemd;

pub use local::Names;
pub use owner::{Identity, Owner, PAYLOAD, Role, identify, named_level, payload};
