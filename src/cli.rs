//! The command line: clap only. Turns arguments into the rooms' own option types, once.

mod advise;
mod config;
mod doctor;
mod events;
mod get;
mod life;
mod load;
mod run;
mod set;
mod streams;
mod top;
mod up;
mod value;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::control::trial;
use crate::{command, text};

/// What is this container using, what will stop it, and why did it die?
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// The same, as far as `run` needs it: to describe all the other verbs first would be a good part of its start.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, about, propagate_version = true)]
struct OnlyRun {
    #[command(subcommand)]
    verb: RunVerb,
}

#[derive(Debug, Subcommand)]
enum RunVerb {
    Run(Box<run::Args>),
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Args>),
    Up(up::UpArgs),
    #[command(flatten)]
    Life(life::Verb),
    Top(top::Args),
    Events(events::Args),
    Why(why::Args),
    Advise(advise::Args),
    Get(get::Args),
    Set(set::Args),
    Demo(up::DemoArgs),
    Load(load::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    /// See to one workload: its order comes on stdin, what happens to it goes to stdout.
    #[command(hide = true)]
    Supervise,
    /// Guard one change on trial: its order comes on stdin, what becomes of it goes to stdout.
    #[command(hide = true)]
    TrialGuard,
}

/// Parses the command line, runs the verb, prints its error once, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    let verb = if std::env::args_os().nth(1).is_some_and(|verb| verb == "run") {
        let RunVerb::Run(args) = OnlyRun::parse().verb;
        Verb::Run(args)
    } else {
        Cli::parse().verb.unwrap_or(Verb::Top(top::Args::default()))
    };
    let (outcome, own_failure) = match verb {
        Verb::Run(args) => (args.run(), 125),
        Verb::Up(args) => (args.run(), 125),
        Verb::Life(verb) => (verb.run(), 125),
        Verb::Demo(args) => (args.run(), 125),
        Verb::Get(args) => (args.run(), 125),
        Verb::Set(args) => (args.run(), 125),
        Verb::Supervise => (command::supervise::run(), 125),
        Verb::TrialGuard => (trial::guard(), 125),
        Verb::Top(args) => (args.run(), 2),
        Verb::Events(args) => (args.run(), 2),
        Verb::Why(args) => (args.run(), 2),
        Verb::Advise(args) => (args.run(), 2),
        Verb::Load(args) => (args.run(), 2),
        Verb::Doctor(args) => (args.run(), 2),
        Verb::Config(args) => (args.run(), 2),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| {
        // Foreign names may be part of an error, and the terminal must not obey them.
        eprintln!("ringfence: {}", text::to_terminal(&format!("{error:#}")));
        // What cannot be understood is 2 with every verb, as for the arguments.
        if error.is::<command::config::Broken>() {
            2
        } else {
            own_failure
        }
    }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn run_has_the_same_help_however_it_is_read() {
        let help = |arguments: &[&str], mut all: clap::Command| {
            all.try_get_matches_from_mut(arguments)
                .unwrap_err()
                .to_string()
        };
        for arguments in [
            &["ringfence", "run", "--help"][..],
            &["ringfence", "run", "--version"],
            &["ringfence", "run", "--memory", "x", "true"],
            &["ringfence", "run"],
        ] {
            let full = help(arguments, Cli::command());
            assert_eq!(help(arguments, OnlyRun::command()), full);
            assert!(!full.is_empty());
        }
    }
}
