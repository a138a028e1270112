//! Filters of system calls, from profiles in docker's format.
//!
//! A profile's actions become one BPF program each, as a program knows but two: what matches, and what does not.
//! The kernel obeys the strictest answer, and of answers that are equally strict the one of the newest program.
//!
//! <https://docs.kernel.org/userspace-api/seccomp_filter.html>

mod ranges;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};
use serde::{Deserialize, Serialize};
use syscalls::Sysno;

use super::Capabilities;
use crate::kernel::unit::{BadValue, bad};
use crate::launch::error::{Error, Result};

/// The profile that everybody gets.
const DEFAULT: &str = include_str!("../../../assets/seccomp.json");
/// The programs of that with docker's default capabilities. To make them at every start takes half a millisecond, most
/// of what reading the profile and its code into memory takes; a test sees to it that they are the same.
const DEFAULT_PROGRAMS: &[u8] = include_bytes!("seccomp/default.bin");
/// Below this, no profile asks for a kernel: nothing here runs on an older one.
const OLDEST: (u32, u32) = (5, 14);

/// `seccomp=FILE` or `seccomp=unconfined`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityOpt {
    /// No filter at all.
    Unconfined,
    /// A profile in docker's format.
    Profile(PathBuf),
}

impl FromStr for SecurityOpt {
    type Err = BadValue;
    fn from_str(text: &str) -> std::result::Result<Self, BadValue> {
        match text.split_once('=') {
            Some(("seccomp", "unconfined")) => Ok(Self::Unconfined),
            Some(("seccomp", file)) if !file.is_empty() => Ok(Self::Profile(file.into())),
            _ => bad(format!(
                "`{text}` is no security option; write seccomp=FILE or seccomp=unconfined"
            )),
        }
    }
}

impl fmt::Display for SecurityOpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconfined => out.write_str("seccomp=unconfined"),
            Self::Profile(file) => write!(out, "seccomp={}", file.display()),
        }
    }
}

impl Serialize for SecurityOpt {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecurityOpt {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One program for the kernel.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Puts it up, for good. Called in the child: no allocation, no locks.
    pub fn put_up(&self) -> nix::Result<()> {
        apply_filter(&self.0).map_err(|_| Errno::last())
    }
}

/// The programs of what was asked for, or of the default profile.
pub fn filters(asked: Option<&SecurityOpt>, capabilities: Capabilities) -> Result<Vec<Filter>> {
    match asked {
        None if capabilities == Capabilities::new(&[], &[]) => Ok(unpack(DEFAULT_PROGRAMS)),
        None => compile(DEFAULT, Path::new("the default profile"), capabilities),
        Some(SecurityOpt::Unconfined) => Ok(Vec::new()),
        Some(SecurityOpt::Profile(file)) => {
            let text = fs::read_to_string(file).map_err(|error| {
                Error::refused(format!(
                    "cannot read the seccomp profile {}: {error}",
                    file.display()
                ))
            })?;
            compile(&text, file, capabilities)
        }
    }
}

/// Programs, each as its number of instructions and these, eight bytes each.
fn unpack(packed: &[u8]) -> Vec<Filter> {
    let (words, _) = packed.as_chunks::<8>();
    let mut words = words.iter();
    let mut filters = Vec::new();
    while let Some(count) = words.next() {
        let count = usize::from_le_bytes(*count);
        let program = words.by_ref().take(count);
        let program = program.map(|&[a, b, jt, jf, k @ ..]| sock_filter {
            code: u16::from_le_bytes([a, b]),
            jt,
            jf,
            k: u32::from_le_bytes(k),
        });
        filters.push(Filter(program.collect()));
    }
    filters
}

/// A profile. Fields that matter to other architectures only are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: Action,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Arg>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

/// Where a rule holds; everything that is named must be so.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Op,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_KILL_THREAD", alias = "SCMP_ACT_KILL")]
    KillThread,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Op {
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
}

impl Action {
    fn with(self, errno: Option<u32>) -> SeccompAction {
        match self {
            Self::Allow => SeccompAction::Allow,
            Self::Errno => SeccompAction::Errno(errno.unwrap_or(Errno::EPERM as u32)),
            Self::KillThread => SeccompAction::KillThread,
            Self::KillProcess => SeccompAction::KillProcess,
            Self::Log => SeccompAction::Log,
            Self::Trap => SeccompAction::Trap,
        }
    }
}

impl Arg {
    fn condition(&self) -> std::result::Result<SeccompCondition, seccompiler::BackendError> {
        let (op, value) = match self.op {
            Op::Eq => (SeccompCmpOp::Eq, self.value),
            Op::Ge => (SeccompCmpOp::Ge, self.value),
            Op::Gt => (SeccompCmpOp::Gt, self.value),
            Op::Le => (SeccompCmpOp::Le, self.value),
            Op::Lt => (SeccompCmpOp::Lt, self.value),
            // The first value is the mask here.
            Op::MaskedEq => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
            Op::Ne => (SeccompCmpOp::Ne, self.value),
        };
        SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, op, value)
    }
}

impl Condition {
    fn holds(&self, capabilities: Capabilities) -> bool {
        let new_enough = self.min_kernel.as_deref().is_none_or(|version| {
            let mut parts = version
                .split('.')
                .map(|part| part.parse().unwrap_or(u32::MAX));
            (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) <= OLDEST
        });
        let here = ["amd64", "x86_64"];
        let arch = self.arches.is_empty() || self.arches.iter().any(|arch| here.contains(&&**arch));
        new_enough && arch && self.caps.iter().all(|name| capabilities.has(name))
    }

    fn is_empty(&self) -> bool {
        self.caps.is_empty() && self.arches.is_empty() && self.min_kernel.is_none()
    }
}

impl Rule {
    fn holds(&self, capabilities: Capabilities) -> bool {
        self.includes.holds(capabilities)
            && (self.excludes.is_empty() || !self.excludes.holds(capabilities))
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(text: &str, from: &Path, capabilities: Capabilities) -> Result<Vec<Filter>> {
    let refused = |why: String| {
        Error::refused(format!(
            "cannot use the seccomp profile {}: {why}",
            from.display()
        ))
    };
    let profile: Profile =
        serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
    let default = profile.default_action.with(profile.default_errno_ret);
    // What is allowed in the first program, what is done instead in one program each.
    let mut by_action: BTreeMap<(Action, Option<u32>), Rules> = BTreeMap::new();
    for rule in profile
        .syscalls
        .iter()
        .filter(|rule| rule.holds(capabilities))
    {
        let rules = by_action.entry((rule.action, rule.errno_ret)).or_default();
        for name in &rule.names {
            // Of other architectures and other times.
            let Ok(number) = name.parse::<Sysno>() else {
                continue;
            };
            let number = i64::from(number.id());
            let args = rule.args.as_deref().unwrap_or_default();
            let any = rules.get(&number).is_some_and(Vec::is_empty);
            if args.is_empty() || any {
                rules.insert(number, Vec::new());
                continue;
            }
            let conditions = args
                .iter()
                .map(Arg::condition)
                .collect::<std::result::Result<_, _>>();
            let rule = conditions.and_then(SeccompRule::new);
            let rule = rule.map_err(|error| refused(format!("{name}: {error}")))?;
            rules.entry(number).or_default().push(rule);
        }
    }
    let mut filters = Vec::new();
    let mut add = |rules: Rules, otherwise: SeccompAction, action: SeccompAction| -> Result<()> {
        // Nothing to tell apart.
        if rules.is_empty() || otherwise == action {
            return Ok(());
        }
        let (whatever, by_arguments): (Rules, Rules) =
            rules.into_iter().partition(|(_, rules)| rules.is_empty());
        let numbers = whatever.into_keys().filter_map(|n| u32::try_from(n).ok());
        let mut program = ranges::head(numbers, action.clone().into());
        let filter = SeccompFilter::new(by_arguments, otherwise, action, TargetArch::x86_64);
        let rest = filter.and_then(BpfProgram::try_from);
        program.extend(rest.map_err(|error| refused(error.to_string()))?);
        filters.push(Filter(program));
        Ok(())
    };
    let mut allowed = by_action.remove(&(Action::Allow, None)).unwrap_or_default();
    // A call with an action of its own passes the first program, and the later one decides.
    if default != SeccompAction::Allow {
        for rules in by_action.values() {
            for number in rules.keys() {
                allowed.insert(*number, Vec::new());
            }
        }
    }
    add(allowed, default, SeccompAction::Allow)?;
    for ((action, errno), rules) in by_action {
        add(rules, SeccompAction::Allow, action.with(errno))?;
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_one_filter_and_one_for_clone3() {
        let default = filters(None, Capabilities::new(&[], &[])).unwrap();
        assert_eq!(default.len(), 2);
        assert!(default[0].0.len() < 512);
        let admin = ["SYS_ADMIN".parse().unwrap()];
        assert_eq!(
            filters(None, Capabilities::new(&admin, &[])).unwrap().len(),
            1
        );
    }

    #[test]
    fn the_default_programs_are_those_of_the_default_profile() {
        let none = Capabilities::new(&[], &[]);
        let fresh = compile(DEFAULT, Path::new("the default profile"), none).unwrap();
        let mut packed = Vec::new();
        for Filter(program) in &fresh {
            packed.extend(program.len().to_le_bytes());
            for sock_filter { code, jt, jf, k } in program {
                packed.extend(code.to_le_bytes());
                packed.extend([*jt, *jf]);
                packed.extend(k.to_le_bytes());
            }
        }
        if std::env::var_os("RINGFENCE_BLESS").is_some() {
            let file = "src/launch/fence/seccomp/default.bin";
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &packed).unwrap();
        }
        assert!(
            packed == DEFAULT_PROGRAMS,
            "the profile has changed: test once with RINGFENCE_BLESS=1, and once more without"
        );
        let unpacked = unpack(DEFAULT_PROGRAMS);
        let programs = |filters: &[Filter]| -> Vec<BpfProgram> {
            filters.iter().map(|filter| filter.0.clone()).collect()
        };
        assert_eq!(programs(&unpacked), programs(&fresh));
    }

    #[test]
    fn every_name_of_the_profile_is_a_system_call_somewhere() {
        let profile: Profile = serde_json::from_str(DEFAULT).unwrap();
        let names: Vec<&str> = profile.syscalls[0]
            .names
            .iter()
            .map(|name| &**name)
            .collect();
        assert!(names.is_sorted() && names.len() > 250);
        for name in ["read", "newfstatat", "execve", "futex", "rt_sigreturn"] {
            assert!(names.contains(&name), "{name}");
        }
        for name in [
            "mount",
            "bpf",
            "keyctl",
            "io_uring_setup",
            "unshare",
            "clone",
            "clone3",
        ] {
            assert!(!names.contains(&name), "{name}");
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let none = Capabilities::new(&[], &[]);
        for (text, says) in [
            ("{", "EOF"),
            (r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#, "unknown variant"),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
                "read: ",
            ),
        ] {
            let error = compile(text, Path::new("p.json"), none)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("cannot use the seccomp profile p.json: "),
                "{error}"
            );
            assert!(error.contains(says), "{error}");
        }
        let nowhere = SecurityOpt::Profile("/no/such".into());
        let error = filters(Some(&nowhere), none).unwrap_err().to_string();
        assert!(error.contains("/no/such: No such file"), "{error}");
    }
}
