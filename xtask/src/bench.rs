//! `cargo xtask bench`: the measurements, each where it belongs. Timings are never asserted.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guest::Added;
use crate::kernel::Kernel;
use crate::session::Streams;
use crate::vm::{self, MachineArgs};
use crate::{cargo, host};

const GUEST_TIMEOUT: Duration = Duration::from_mins(30);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only benches whose name begins so: a file in benches/ (with or without its `vm_`)
    name: Option<String>,
    /// In the virtual machine: boot this kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    kernel: Kernel,
    /// Passed on to the benches
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    let folder = host::workspace_dir().join("benches");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| {
            let short = name.strip_prefix("vm_").unwrap_or(name);
            args.name.as_ref().is_none_or(|wanted| {
                name.starts_with(wanted.as_str()) || short.starts_with(wanted.as_str())
            })
        })
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("no such bench; they are in {}", folder.display());
    }
    let mut worst = 0;
    for name in names {
        let code = if name.starts_with("vm_") {
            in_guest(&name, args)?
        } else {
            let status = cargo::cargo("bench")
                .args(["--quiet", "--package", "ringfence", "--bench", &name, "--"])
                .args(&args.arguments)
                .status()
                .context("start cargo")?;
            status.code().unwrap_or(1)
        };
        worst = worst.max(code);
    }
    Ok(worst)
}

fn in_guest(name: &str, args: &Args) -> Result<i32> {
    eprintln!(
        "bench {name}: in the virtual machine (kernel {}): only ratios within this run count",
        args.kernel
    );
    let built = cargo::build_for_guest("bench", &["--bench".to_owned(), name.to_owned()])?;
    let program = built
        .into_iter()
        .next()
        .context("cargo built no such bench")?;
    let mut machine = MachineArgs::with_kernel(args.kernel);
    let guest = format!("/benches/{name}");
    machine.added = vec![Added {
        host: program.path,
        guest: guest.clone().into(),
    }];
    let mut command: Vec<OsString> = vec![
        "env".into(),
        "RINGFENCE=/bin/ringfence".into(),
        guest.into(),
    ];
    command.extend(args.arguments.iter().cloned());
    let streams = Streams::inherited()?;
    Ok(vm::boot(&machine, &command, Some(GUEST_TIMEOUT), streams)?.code())
}
