//! Arguments of `ringfence doctor`.

/// doctor
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        anyhow::bail!("not built yet")
    }
}
