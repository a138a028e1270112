//! The command line: clap only. Turns arguments into the rooms' own option types, once.

mod config;
mod doctor;
mod load;
mod run;
mod set;
mod top;
mod up;
mod value;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{command, text};

/// What is this container using, what will stop it, and why did it die?
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Args>),
    Up(up::UpArgs),
    Top(top::Args),
    Set(set::Args),
    Demo(up::DemoArgs),
    Load(load::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    /// Run one workload of `up`: its spec comes on stdin, what happens to it goes to stdout.
    #[command(hide = true)]
    Supervise,
}

/// Parses the command line, runs the verb, prints its error once, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    let verb = Cli::parse().verb.unwrap_or(Verb::Top(top::Args::default()));
    let (outcome, own_failure) = match verb {
        Verb::Run(args) => (args.run(), 125),
        Verb::Up(args) => (args.run(), 125),
        Verb::Demo(args) => (args.run(), 125),
        Verb::Set(args) => (args.run(), 125),
        Verb::Supervise => (command::supervise::run(), 125),
        Verb::Top(args) => (args.run(), 2),
        Verb::Load(args) => (args.run(), 2),
        Verb::Doctor(args) => (args.run(), 2),
        Verb::Config(args) => (args.run(), 2),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| {
        // Foreign names may be part of an error, and the terminal must not obey them.
        eprintln!("ringfence: {}", text::sanitise(&format!("{error:#}")));
        // What cannot be understood is 2 with every verb, as for the arguments.
        if error.is::<command::config::Broken>() {
            2
        } else {
            own_failure
        }
    }))
}
