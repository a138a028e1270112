//! Values that are words: names, variables, paths, times.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{BadValue, bad};

/// A workload's name: what docker allows, as it is also a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let legal = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
        // A cgroup directory's own files are named `CONTROLLER.FILE`.
        let is_kernel_file = text.split_once('.').is_some_and(|(before, _)| {
            matches!(
                before,
                "cgroup"
                    | "cpu"
                    | "cpuset"
                    | "hugetlb"
                    | "io"
                    | "irq"
                    | "memory"
                    | "misc"
                    | "pids"
                    | "rdma"
            )
        });
        if text.starts_with(|char: char| char.is_ascii_alphanumeric())
            && text.chars().all(legal)
            && text.len() <= 64
            && !is_kernel_file
        {
            return Ok(Self(text.to_owned()));
        }
        bad(format!(
            "`{text}` cannot be a name; write up to 64 letters, digits, `_`, `.` and `-`, a letter or \
             digit first, and not as a kernel file is named"
        ))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A host name: up to 64 bytes, as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(String);

impl FromStr for Hostname {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let legal = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
        if (1..=64).contains(&text.len()) && text.chars().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        bad(format!(
            "`{text}` cannot be a host name; write up to 64 letters, digits, `-`, `.` and `_`"
        ))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// One environment variable: `K=V`, or `K` to copy the launcher's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub key: String,
    /// Its value, or `None` to copy.
    pub value: Option<String>,
}

impl FromStr for EnvVar {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() || text.contains('\0') {
            return bad(format!(
                "`{text}` is not a variable; write KEY=VALUE, or KEY to copy it"
            ));
        }
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(out, "{}={value}", self.key),
            None => self.key.fmt(out),
        }
    }
}

/// A working directory: an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir(String);

impl FromStr for Workdir {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Self(text.to_owned()));
        }
        bad(format!(
            "the working directory `{text}` must be an absolute path"
        ))
    }
}

impl fmt::Display for Workdir {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A time in seconds, with an optional fraction, up to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(Duration);

impl Seconds {
    /// The time.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// docker's 10 seconds.
impl Default for Seconds {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl FromStr for Seconds {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.strip_suffix('s')
            .unwrap_or(text)
            .parse::<f64>()
            .ok()
            .filter(|seconds| (0.0..=86_400.0).contains(seconds))
            .map(|seconds| Self(Duration::from_secs_f64(seconds)))
            .map_or_else(
                || bad(format!("`{text}` is not a time; write 0 to 86400 seconds")),
                Ok,
            )
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(out)
    }
}
