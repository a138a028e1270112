//! docker and podman: told of a limit of one of their containers, so that `inspect` agrees and a restart keeps it; and asked
//! what they take the limits to be.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;
use serde::Deserialize;

use crate::kernel::cgroup::knob::{Address, Knob, KnobValue};
use crate::kernel::cpu::CpuMax;
use crate::kernel::process::bounded::{self, Ended};
use crate::kernel::systemd;
use crate::kernel::unit::{Bytes, Limit, Micros};
use crate::names::owner::short;
use crate::names::{Owner, Role, identify};

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container, and the engine that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// `docker` or `podman`, which is the name of its command, too.
    pub program: &'static str,
    /// The container's id.
    id: String,
    /// Whose engine it is, where it is not the host's.
    of_user: Option<u32>,
}

/// A limit that a container is to have.
pub type New<'a> = (Address, &'a KnobValue);

/// What an engine takes the limits of a container to be, as `inspect` says it.
///
/// <https://docs.docker.com/reference/api/engine/version/v1.47/#tag/Container/operation/ContainerInspect>
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Belief {
    memory: i64,
    memory_swap: i64,
    memory_reservation: i64,
    nano_cpus: i64,
    cpu_quota: i64,
    cpu_period: u64,
    cpuset_cpus: String,
    pids_limit: Option<i64>,
}

impl Engine {
    /// The engine of the container whose cgroup this is; `path` is relative to the mount.
    pub fn of(path: &Path) -> Option<Self> {
        let text = Path::new("/").join(path);
        let text = text.to_string_lossy();
        let identity = identify(&text);
        let program = match (identity.owner, identity.role) {
            (Owner::Docker, Role::Container) => "docker",
            (Owner::Podman, Role::Container) => "podman",
            _ => return None,
        };
        Some(Self {
            program,
            id: identity.id?.into_owned(),
            of_user: systemd::user_of(path),
        })
    }

    /// The engine's command; why it cannot be run, where another user's engine is meant.
    fn command(&self) -> Result<Command, String> {
        let own = geteuid();
        match self.of_user {
            Some(user) if user != own.as_raw() => Err(format!("it is the engine of uid {user}")),
            _ => Ok(Command::new(self.program)),
        }
    }

    /// Runs it; gives its answer, or why there is none.
    fn ask(&self, words: &[String]) -> Result<Vec<u8>, String> {
        let mut command = self.command()?;
        command.args(words);
        let output = bounded::output(command, PATIENCE).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "its command is not here".to_owned(),
            _ => error.to_string(),
        })?;
        match output.ended {
            Ended::Itself(status) if status.success() => Ok(output.stdout),
            Ended::Itself(_) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().find(|line| !line.trim().is_empty());
                Err(line.unwrap_or("it failed without a word").to_owned())
            }
            Ended::Overdue => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// What it takes the container's limits to be.
    pub fn believes(&self) -> Result<Belief, String> {
        let words = ["container", "inspect", "--format", "{{json .HostConfig}}"];
        let words = words.into_iter().chain([&*self.id]).map(str::to_owned);
        let answer = self.ask(&words.collect::<Vec<_>>())?;
        serde_json::from_slice(&answer)
            .map_err(|error| format!("its answer is not understood: {error}"))
    }

    /// Has it know new limits, and says what came of it, a sentence each. `swap` is the container's `memory.max` and
    /// `memory.swap.max` as they are with the new limits.
    pub fn tell(
        &self,
        new: &[New<'_>],
        memory: Limit<Bytes>,
        swap: Option<Limit<Bytes>>,
    ) -> Vec<String> {
        let program = self.program;
        let mut remarks = Vec::new();
        // One after the other: an older engine does not know all flags.
        let mut orders: Vec<Vec<String>> = Vec::new();
        for (address, value) in new {
            match flags(address.knob, value, memory, swap) {
                Some(flags) if orders.contains(&flags) => {}
                Some(flags) => orders.push(flags),
                None => remarks.push(format!(
                    "{address}: {program} cannot be told, and brings its own back when it starts the container again"
                )),
            }
        }
        let mut is_told = false;
        for flags in orders {
            let mut words = vec!["update".to_owned()];
            words.extend(flags);
            words.push(short(&self.id).to_owned());
            let typed = format!("{program} {}", words.join(" "));
            remarks.push(match self.ask(&words) {
                Ok(_) => {
                    is_told = true;
                    format!("{program} was told: {typed}")
                }
                Err(why) => format!(
                    "{program} could not be told, and brings its own back when it starts the container again: {why} ({typed})"
                ),
            });
        }
        if !is_told {
            return remarks;
        }
        match self.believes() {
            Ok(belief) => {
                let disagrees = |(address, value): &&New<'_>| {
                    belief
                        .of(address.knob)
                        .is_some_and(|believed| believed != **value)
                };
                for (address, _) in new.iter().filter(disagrees) {
                    remarks.push(format!(
                        "{address}: {program} inspect does not agree all the same, and the container's next start brings back what it says"
                    ));
                }
            }
            Err(why) => remarks.push(format!("{program} does not say what it has kept: {why}")),
        }
        remarks
    }
}

/// The flags of `update` that mean the same; `None` where there are none: with docker and podman, 0 is not "no limit" but
/// "as it is".
///
/// <https://docs.docker.com/reference/cli/docker/container/update/>
fn flags(
    knob: Knob,
    value: &KnobValue,
    memory: Limit<Bytes>,
    swap: Option<Limit<Bytes>>,
) -> Option<Vec<String>> {
    // Both count memory and swap together, and want both at once.
    let both = |memory: Limit<Bytes>, swap: Option<Limit<Bytes>>| {
        let memory = memory.value()?.0;
        let total = match swap? {
            Limit::At(swap) => (memory + swap.0).to_string(),
            Limit::Max => "-1".to_owned(),
        };
        Some(vec![
            format!("--memory={memory}"),
            format!("--memory-swap={total}"),
        ])
    };
    match (knob, value) {
        (Knob::MemoryMax, KnobValue::Size(max)) => both(*max, swap),
        (Knob::SwapMax, KnobValue::Size(max)) => both(memory, Some(*max)),
        (Knob::MemoryLow, KnobValue::Size(Limit::At(Bytes(low @ 1..)))) => {
            Some(vec![format!("--memory-reservation={low}")])
        }
        (Knob::CpuMax, KnobValue::CpuMax(max)) => {
            let cpus = max
                .cpus()
                .value()
                .filter(|_| max.period == CpuMax::PERIOD)?;
            Some(vec![format!("--cpus={cpus}")])
        }
        (Knob::CpusetCpus, KnobValue::Cpus(cpus)) if !cpus.is_empty() => {
            Some(vec![format!("--cpuset-cpus={cpus}")])
        }
        (Knob::PidsMax, KnobValue::Count(max)) => {
            let max = max.value().map_or("-1".to_owned(), |max| max.to_string());
            Some(vec![format!("--pids-limit={max}")])
        }
        _ => None,
    }
}

impl Belief {
    /// What a knob is taken to be; `None` where nothing is.
    pub fn of(&self, knob: Knob) -> Option<KnobValue> {
        let at = |size: i64| u64::try_from(size).ok().filter(|size| *size > 0);
        let size = |size: i64| at(size).map_or(Limit::Max, |size| Limit::At(Bytes(size)));
        Some(match knob {
            Knob::MemoryMax => KnobValue::Size(size(self.memory)),
            Knob::SwapMax if self.memory_swap == -1 => KnobValue::Size(Limit::Max),
            Knob::SwapMax => {
                let total = at(self.memory_swap)?;
                KnobValue::Size(Limit::At(Bytes(total.saturating_sub(at(self.memory)?))))
            }
            Knob::MemoryLow => {
                let low = at(self.memory_reservation).unwrap_or_default();
                KnobValue::Size(Limit::At(Bytes(low)))
            }
            Knob::CpuMax => KnobValue::CpuMax(match (at(self.nano_cpus), at(self.cpu_quota)) {
                (Some(nano), _) => CpuMax::of_cpus(nano as f64 / 1e9)?,
                (None, Some(quota)) => CpuMax {
                    quota: Limit::At(Micros(quota)),
                    period: match self.cpu_period {
                        0 => CpuMax::PERIOD,
                        period => Micros(period),
                    },
                },
                (None, None) => CpuMax::UNLIMITED,
            }),
            Knob::CpusetCpus => KnobValue::Cpus(self.cpuset_cpus.parse().ok()?),
            Knob::PidsMax => {
                let max = self.pids_limit.and_then(at);
                KnobValue::Count(max.map_or(Limit::Max, Limit::At))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_container_has_an_engine_and_nothing_else_has() {
        let of = |path: &str| {
            let path = path.replace("ID", ID);
            Engine::of(Path::new(path.trim_start_matches('/'))).map(|engine| engine.program)
        };
        assert_eq!(of("docker/ID"), Some("docker"));
        assert_eq!(
            of("machine.slice/libpod-ID.scope/container"),
            Some("podman")
        );
        for path in [
            "ringfence.slice/a",
            "docker",
            "docker/ID/init.scope",
            "system.slice/cron.service",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn what_inspect_says_is_understood() {
        let text = r#"{"Memory":67108864,"MemorySwap":134217728,"NanoCpus":500000000,"CpuQuota":50000,
            "CpuPeriod":100000,"CpusetCpus":"0-1","PidsLimit":40,"Other":{}}"#;
        let belief: Belief = serde_json::from_str(text).unwrap();
        let of =
            |belief: &Belief, knob: Knob| belief.of(knob).map(|value| value.to_text(knob.into()));
        for (knob, value) in [
            (Knob::MemoryMax, "67108864"),
            (Knob::SwapMax, "67108864"),
            (Knob::MemoryLow, "0"),
            (Knob::CpuMax, "50000 100000"),
            (Knob::CpusetCpus, "0-1"),
            (Knob::PidsMax, "40"),
        ] {
            assert_eq!(of(&belief, knob).as_deref(), Some(value), "{knob}");
        }
        assert_eq!(of(&belief, Knob::MemoryHigh), None);
        let none: Belief = serde_json::from_str(r#"{"PidsLimit":null,"MemorySwap":-1}"#).unwrap();
        let all = [Knob::MemoryMax, Knob::SwapMax, Knob::CpuMax, Knob::PidsMax];
        let all = all.map(|knob| of(&none, knob).unwrap());
        assert_eq!(all, ["max", "max", "max 100000", "max"]);
        let quota: Belief =
            serde_json::from_str(r#"{"CpuQuota":20000,"CpuPeriod":50000}"#).unwrap();
        assert_eq!(of(&quota, Knob::CpuMax).as_deref(), Some("20000 50000"));
    }

    #[test]
    fn flags_are_those_of_update() {
        let of = |knob: Knob, value: &str, swap: &str| {
            let value = KnobValue::from_words(knob, value).unwrap();
            let KnobValue::Size(swap) = KnobValue::from_words(Knob::SwapMax, swap).unwrap() else {
                unreachable!()
            };
            let memory = Limit::At(Bytes(64 << 20));
            flags(knob, &value, memory, Some(swap)).map(|flags| flags.join(" "))
        };
        for (knob, value, swap, flags) in [
            (
                Knob::MemoryMax,
                "32m",
                "0",
                Some("--memory=33554432 --memory-swap=33554432"),
            ),
            (
                Knob::MemoryMax,
                "32m",
                "max",
                Some("--memory=33554432 --memory-swap=-1"),
            ),
            (Knob::MemoryMax, "max", "0", None),
            (
                Knob::SwapMax,
                "1m",
                "0",
                Some("--memory=67108864 --memory-swap=68157440"),
            ),
            (
                Knob::MemoryLow,
                "8m",
                "0",
                Some("--memory-reservation=8388608"),
            ),
            (Knob::CpuMax, "50%", "0", Some("--cpus=0.5")),
            (Knob::CpuMax, "max", "0", None),
            (Knob::CpusetCpus, "0-1", "0", Some("--cpuset-cpus=0-1")),
            (Knob::CpusetCpus, "", "0", None),
            (Knob::PidsMax, "40", "0", Some("--pids-limit=40")),
            (Knob::PidsMax, "max", "0", Some("--pids-limit=-1")),
            (Knob::MemoryHigh, "8m", "0", None),
            (Knob::OomGroup, "1", "0", None),
        ] {
            assert_eq!(of(knob, value, swap).as_deref(), flags, "{knob}={value}");
        }
    }
}
