//! Limits on what each process may have: `setrlimit`.

use std::fmt;
use std::str::FromStr;

use rustix::process::{Resource, Rlimit};

use super::BadValue;
use crate::kernel::unit::bad;

/// The resources, by docker's names.
///
/// <https://man7.org/linux/man-pages/man2/getrlimit.2.html>
const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// A limit of each process on a resource, in the unit of the resource: `nofile=1024:4096`, the soft one and the hard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Which one.
    pub resource: Resource,
    /// What is in force until the process raises it; `None` without a limit.
    pub soft: Option<u64>,
    /// How far it may; `None` without a limit.
    pub hard: Option<u64>,
}

impl Ulimit {
    /// As the kernel takes it.
    pub fn rlimit(self) -> Rlimit {
        Rlimit {
            current: self.soft,
            maximum: self.hard,
        }
    }
}

impl FromStr for Ulimit {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((name, limits)) = text.split_once('=') else {
            return bad(format!(
                "`{text}` is no limit of a process; write nofile=1024, or nofile=1024:4096 for soft and hard"
            ));
        };
        let Some((_, resource)) = NAMES.into_iter().find(|(known, _)| *known == name) else {
            let known = NAMES.map(|(name, _)| name).join(", ");
            return bad(format!("there is no limit `{name}`; there are {known}"));
        };
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => bad(format!("`{text}` is no number; write -1 for no limit")),
            },
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return bad(format!("the soft limit of `{text}` is above the hard one"));
        }
        Ok(Self {
            resource,
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.into_iter().find(|(_, known)| *known == self.resource);
        let number = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
        let (soft, hard) = (number(self.soft), number(self.hard));
        write!(out, "{}={soft}:{hard}", name.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words_are_taken() {
        for (text, full) in [
            ("nofile=1024", "nofile=1024:1024"),
            ("nofile=1024:4096", "nofile=1024:4096"),
            ("core=0", "core=0:0"),
            ("memlock=-1", "memlock=-1:-1"),
            ("stack=8388608:unlimited", "stack=8388608:-1"),
        ] {
            let parsed: Ulimit = text.parse().unwrap();
            assert_eq!(parsed.to_string(), full);
            assert_eq!(full.parse::<Ulimit>().unwrap(), parsed);
        }
        for (text, says) in [
            ("nofile", "write nofile=1024"),
            ("files=3", "there is no limit `files`"),
            ("nofile=many", "`many` is no number"),
            ("nofile=9:3", "above the hard one"),
            ("nofile=-1:3", "above the hard one"),
        ] {
            let error = text.parse::<Ulimit>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
