//! Having the kernel take memory back.

use anyhow::bail;
use nix::errno::Errno;

use super::survey::current;
use super::{Ground, Target, rules};
use crate::kernel::unit::Bytes;
use crate::text;

/// Writes `memory.reclaim` and says how much came back. The kernel may take back more or less than was
/// asked; less is `EAGAIN`.
///
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
pub fn reclaim(ground: &Ground, target: &Target, amount: Bytes) -> anyhow::Result<String> {
    let cgroup = ground.open(target)?;
    let path = &target.path;
    if let Some(why) = rules::reclaim(&cgroup, path) {
        bail!("{why}");
    }
    let before = current(&cgroup);
    let asked = text::bytes(amount);
    let less = match cgroup.write("memory.reclaim", &amount.0.to_string()) {
        Ok(()) => "",
        Err(error) if error.errno() == Errno::EAGAIN => {
            ", as the kernel found no more that it can take back"
        }
        Err(error) => return Err(error.into()),
    };
    let (Some(before), Some(after)) = (before, current(&cgroup)) else {
        return Ok(format!("asked for {asked} of {path}{less}"));
    };
    let back = Bytes(before.0.saturating_sub(after.0));
    Ok(format!(
        "{} of {asked} came back from {path}{less}: {} → {}",
        text::bytes(back),
        text::bytes(before),
        text::bytes(after)
    ))
}
