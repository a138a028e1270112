//! `cargo xtask pictures`: the README's pictures, taken by the dashboard itself while the demo runs on a
//! real kernel.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guest::Added;
use crate::kernel::Kernel;
use crate::session::Streams;
use crate::vm::{self, Ended, MachineArgs};
use crate::{cargo, host, setup};

const SUITE: &str = "vm_pictures";
const TIMEOUT: Duration = Duration::from_mins(15);
/// How often the leaker is killed before: about once in ten seconds.
const KILLS: &str = "RINGFENCE_KILLS=12";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boot this kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    kernel: Kernel,
}

pub fn run(args: &Args) -> Result<i32> {
    setup::ensure(args.kernel)?;
    let selection = ["--test".to_owned(), SUITE.to_owned()];
    let built = cargo::build_for_guest("test", &selection)?;
    let program = built
        .into_iter()
        .find(|built| built.name == SUITE)
        .context("cargo built no such suite")?;
    let guest = format!("/tests/{SUITE}");
    let mut machine = MachineArgs::with_kernel(args.kernel);
    machine.added = vec![Added {
        host: program.path,
        guest: guest.clone().into(),
    }];
    let command: Vec<OsString> = [
        "env",
        "RINGFENCE=/bin/ringfence",
        KILLS,
        &guest,
        "--nocapture",
    ]
    .map(OsString::from)
    .to_vec();
    let printed = Printed::default();
    let streams = Streams::Pipes {
        stdin: None,
        stdout: Box::new(printed.clone()),
        stderr: Box::new(io::stderr()),
    };
    match vm::boot(&machine, &command, Some(TIMEOUT), streams)? {
        Ended::Exited(0) => {}
        Ended::Exited(code) => bail!("no pictures were taken: the guest ended with {code}"),
        Ended::Interrupted(code) => return Ok(code),
        Ended::TimedOut => bail!("no pictures were taken in {TIMEOUT:?}"),
    }
    let printed = printed.0.lock().unwrap_or_else(PoisonError::into_inner);
    let printed = String::from_utf8_lossy(&printed);
    let pictures = pictures(&printed);
    if pictures.is_empty() {
        bail!("no picture in what the guest printed");
    }
    for (name, picture) in pictures {
        let path = host::workspace_dir()
            .join("assets")
            .join(format!("{name}.svg"));
        fs::write(&path, picture).with_context(|| format!("write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(0)
}

/// What the guest prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names and pictures: `PICTURE name`, the picture, `END OF PICTURE`.
fn pictures(printed: &str) -> Vec<(&str, &str)> {
    let parts = printed.split("PICTURE ").skip(1);
    parts
        .filter_map(|part| {
            let (name, rest) = part.split_once('\n')?;
            let (picture, _) = rest.split_once("END OF PICTURE")?;
            Some((name.trim(), picture.trim_start()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_in_what_is_printed() {
        let printed = "test a ... PICTURE one\n<svg>1</svg>\n\nEND OF PICTURE\nPICTURE two\n<svg/>\nEND OF PICTURE\nok\n";
        assert_eq!(
            pictures(printed),
            [("one", "<svg>1</svg>\n\n"), ("two", "<svg/>\n")]
        );
        assert!(pictures("PICTURE one\n<svg>").is_empty());
    }
}
