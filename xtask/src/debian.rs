//! The Debian guest with systemd.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::host;

/// Where `setup --debian` puts the disk image, which runs share and do not change.
pub fn image() -> Result<PathBuf> {
    Ok(host::cache_dir()?.join("debian.img"))
}

pub fn build() -> Result<()> {
    bail!("not there yet")
}

pub fn write_payload(_tree: &Path) -> Result<()> {
    bail!("not there yet")
}
