//! `cargo xtask`: everything around ringfence that cargo itself does not do.

mod apt;
mod bench;
mod cargo;
mod ci;
mod debian;
mod demo;
mod emulator;
mod guest;
mod host;
mod interrupt;
mod kernel;
mod pictures;
mod qemu;
mod session;
mod setup;
mod stream;
mod test;
mod tty;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code of a failure that is ours and not the command's, as docker has it.
const OWN_FAILURE: u8 = 125;

/// Set up, run, test and measure ringfence, in a small virtual machine where the host has no usable cgroup v2
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install and download what the virtual machine needs; offline once done
    Setup(setup::Args),
    /// Run a command, or a shell, in a fresh virtual machine with ringfence on PATH
    Vm(vm::Args),
    /// Run `ringfence demo`, on this host where its cgroup v2 is usable, else in the virtual machine
    Demo(demo::Args),
    /// Run the tests, those that limit and kill on real kernels
    Test(test::Args),
    /// Do what CI does, in a fresh clone
    Ci(ci::Args),
    /// Take the README's pictures anew, from a run in the virtual machine
    Pictures(pictures::Args),
    /// Measure
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::run(&args).map(|()| 0),
        Task::Vm(args) => vm::run(&args),
        Task::Demo(args) => demo::run(args),
        Task::Test(args) => test::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Pictures(args) => pictures::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(OWN_FAILURE)),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}
