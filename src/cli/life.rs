//! Arguments of the verbs for workloads that are there already.

use std::time::SystemTime;

use nix::sys::signal::Signal;

use super::streams::StreamArgs;
use super::value::{moment, signal};
use crate::command::life;
use crate::launch::join::Request;
use crate::launch::spec::{EnvVar, User, Workdir};

/// One of those verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List workloads: how they are, what they use, against their limits.
    Ps {
        /// Also those that have ended.
        #[arg(short, long)]
        all: bool,
        /// Names only.
        #[arg(short, long)]
        quiet: bool,
        /// All that is known, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what a detached workload said.
    Logs {
        /// Go on until it has ended.
        #[arg(short, long)]
        follow: bool,
        /// Only so many of the last lines.
        #[arg(short = 'n', long, value_name = "LINES")]
        tail: Option<usize>,
        /// Only what came since then: 10m for ten minutes ago, or 2026-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<SystemTime>,
        /// With the time of each line.
        #[arg(short, long)]
        timestamps: bool,
        /// Whose.
        name: String,
    },
    /// Run a further program within a workload: in its namespaces, its cgroup, behind its fences.
    Exec {
        #[command(flatten)]
        streams: StreamArgs,
        /// Set a variable, or copy one by its bare name. May be given more than once.
        #[arg(short, long, value_name = "KEY[=VALUE]")]
        env: Vec<EnvVar>,
        /// Working directory inside, in place of the workload's.
        #[arg(short, long, value_name = "DIR")]
        workdir: Option<Workdir>,
        /// Run it as this user, in place of the workload's.
        #[arg(short, long, value_name = "USER[:GROUP]")]
        user: Option<User>,
        /// Within whom.
        name: String,
        /// The program and its arguments.
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "COMMAND"
        )]
        command: Vec<String>,
    },
    /// Say all that is known of workloads, and layer by layer what fences them.
    Inspect {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop workloads: TERM, a grace, then the kill.
    Stop {
        /// So many seconds of grace, in place of the workload's --stop-timeout.
        #[arg(short = 't', long, visible_alias = "time", value_name = "SECONDS")]
        timeout: Option<u32>,
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// End workloads at once, or send their first process another signal.
    Kill {
        /// HUP, USR1, 10; without it, all of it is killed.
        #[arg(short, long, default_value = "KILL", value_parser = signal)]
        signal: Signal,
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Wait until workloads have ended, and print their exit codes.
    Wait {
        /// For whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Start detached workloads again that have ended.
    Start {
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop detached workloads, and start them again.
    Restart {
        /// So many seconds of grace, in place of the workload's --stop-timeout.
        #[arg(short = 't', long, visible_alias = "time", value_name = "SECONDS")]
        timeout: Option<u32>,
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove what is known of workloads that have ended, and their logs.
    Rm {
        /// End those that run.
        #[arg(short, long)]
        force: bool,
        /// Whom.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Hold all processes of cgroups still.
    #[command(visible_alias = "pause")]
    Freeze {
        /// Whom: a workload's name, or any cgroup.
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// Let frozen cgroups go on.
    #[command(visible_alias = "unpause")]
    Thaw {
        /// Whom: a workload's name, or any cgroup.
        #[arg(required = true)]
        targets: Vec<String>,
    },
}

impl Verb {
    pub fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Ps { all, quiet, json } => life::ps::run(life::ps::Options { all, quiet, json }),
            Self::Logs {
                follow,
                tail,
                since,
                timestamps,
                name,
            } => life::logs::run(&life::logs::Options {
                name,
                follow,
                tail,
                since,
                timestamps,
            }),
            Self::Exec {
                streams,
                env,
                workdir,
                user,
                name,
                command,
                ..
            } => life::exec::run(
                &name,
                &Request {
                    command,
                    env,
                    workdir,
                    user,
                    tty: streams.tty(true),
                    interactive: streams.interactive,
                    stdio: streams.stdio,
                },
            ),
            Self::Inspect { json, names } => life::inspect::run(&names, json),
            Self::Stop { timeout, names } => life::end::stop(&names, timeout),
            Self::Kill { signal, names } => life::end::kill(&names, signal),
            Self::Wait { names } => life::wait::run(&names),
            Self::Start { names } => life::start::start(&names),
            Self::Restart { timeout, names } => life::start::restart(&names, timeout),
            Self::Rm { force, names } => life::end::remove(&names, force),
            Self::Freeze { targets } => life::freeze::freeze(&targets),
            Self::Thaw { targets } => life::freeze::thaw(&targets),
        }
    }
}
