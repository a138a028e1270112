//! `cargo xtask demo`: the main job, on this host where it can, in a guest where it cannot.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo;
use crate::host::{self, Native};
use crate::kernel::Kernel;
use crate::session::Streams;
use crate::vm::{self, MachineArgs};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// In the virtual machine: boot this kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    kernel: Kernel,
    /// Passed on to `ringfence demo`: --plain, --duration SECONDS, …
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    arguments: Vec<OsString>,
}

pub fn run(args: Args) -> Result<i32> {
    match host::native_cgroup() {
        Ok(native) => {
            eprintln!("demo: on this host, which has cgroup v2");
            natively(native, &args.arguments)
        }
        Err(why) => {
            eprintln!(
                "demo: in the virtual machine (kernel {}): {why}",
                args.kernel
            );
            let mut command = vec!["ringfence".into(), "demo".into()];
            command.extend(args.arguments);
            let machine = MachineArgs::with_kernel(args.kernel);
            Ok(vm::boot(&machine, &command, None, Streams::inherited()?)?.code())
        }
    }
}

fn natively(native: Native, arguments: &[OsString]) -> Result<i32> {
    let binary = cargo::build_ringfence()?;
    let status = native
        .command(&binary)
        .arg("demo")
        .args(arguments)
        .status()
        .with_context(|| format!("start {}", binary.display()))?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

impl Native {
    /// A command that runs a program with the rights that cgroups take.
    pub fn command(self, program: &std::path::Path) -> Command {
        match self {
            Self::AsRoot => Command::new(program),
            Self::ThroughSudo => {
                let mut sudo = Command::new("sudo");
                sudo.arg("--preserve-env=RINGFENCE,RINGFENCE_FULL,TERM,COLORTERM,COLORFGBG,NO_COLOR,LANG,LC_ALL,LC_CTYPE")
                    .arg(program);
                sudo
            }
        }
    }
}
