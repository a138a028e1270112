//! `ringfence wait`: until workloads have ended.

use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::Result;

use super::{each, say, shelf};
use crate::kernel::process::held::Held;
use crate::kernel::watch::Folder;
use crate::launch::state::Shelf;

/// How often is looked where nothing is heard.
const LOOK: Duration = Duration::from_secs(5);

/// Waits for each, and prints its exit code, a line each.
pub fn run(names: &[String]) -> Result<u8> {
    let shelf = shelf()?;
    let (_, code) = each(names, |name| {
        println!("{}", ended(&shelf, name)?);
        Ok(())
    });
    Ok(code)
}

/// Waits for the end of one; gives its exit code.
fn ended(shelf: &Shelf, name: &str) -> Result<u8> {
    let record = shelf.get(name)?;
    let reading = shelf.reading(name)?;
    let folder = Folder::watch(reading.dir());
    let supervisor = record.supervisor.hold();
    loop {
        // Its last record stays until it has been read.
        let Some(record) = reading.record() else {
            anyhow::bail!("{name} was removed meanwhile");
        };
        if let Some(code) = record.exit_code() {
            return Ok(code);
        }
        if supervisor.as_ref().is_none_or(Held::is_over) {
            for told in shelf.sweep() {
                say(&told);
            }
            let code = shelf.get(name).ok().and_then(|record| record.exit_code());
            return Ok(code.unwrap_or(128 + 9));
        }
        let ended: Vec<_> = supervisor.iter().map(|held| held.as_fd()).collect();
        folder.wait(&ended, LOOK);
    }
}
