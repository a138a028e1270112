//! `ringfence exec`: a further program within a workload.

use anyhow::Result;

use super::{say, shelf};
use crate::launch::join::{Request, exec};

/// Runs it to its end; the exit code is the program's.
pub fn run(name: &str, request: &Request) -> Result<u8> {
    let record = shelf()?.get(name)?;
    Ok(exec(&record, request, &mut say)?)
}
