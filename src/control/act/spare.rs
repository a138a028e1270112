//! Whom nothing may hit: ringfence itself, the session that it was started from, and init.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;

use crate::kernel::process::held::Brief;
use crate::kernel::task;
use crate::model::tree::is_in;

/// More parents than any real process has.
const GENERATIONS: usize = 256;

/// Why a process is spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Itself,
    Session,
    Init,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Itself => "ringfence itself",
            Self::Session => "the session that ringfence was started from",
            Self::Init => "init",
        })
    }
}

/// One that is spared.
#[derive(Debug)]
struct Kept {
    why: Why,
    brief: Brief,
    /// Its cgroup, from the v2 root; `None` where that may not be read.
    cgroup: Option<String>,
}

/// All that are spared, with their cgroups, as of now.
#[derive(Debug)]
pub struct Spared(Vec<Kept>);

impl Spared {
    /// Looks at this process, at the leader of its session, and at its parents up to init: a shell, the
    /// terminal or the sshd that it runs in, a service manager. Fails where it cannot be told where this
    /// process is itself: nothing can be ruled out then.
    pub fn read(proc: &Path) -> anyhow::Result<Self> {
        let own = std::process::id();
        let me = Brief::read(proc, own).context("who is to be spared could not be read")?;
        let leader = (me.session > 1).then_some(me.session);
        let mut kept = vec![Kept::new(proc, Why::Itself, me)];
        kept[0]
            .cgroup
            .as_ref()
            .context("which cgroup ringfence itself is in could not be read, so nothing is done")?;
        let mut above = kept[0].brief.ppid;
        while above > 1 && kept.len() < GENERATIONS {
            let Some(parent) = Brief::read(proc, above) else {
                break;
            };
            above = parent.ppid;
            kept.push(Kept::new(proc, Why::Session, parent));
        }
        let leader = leader.and_then(|leader| Brief::read(proc, leader));
        kept.extend(leader.map(|leader| Kept::new(proc, Why::Session, leader)));
        let init = Brief::read(proc, 1);
        kept.extend(init.map(|init| Kept::new(proc, Why::Init, init)));
        Ok(Self(kept))
    }

    /// Why a cgroup, with all below it, must be left alone.
    pub fn objection(&self, path: &str) -> Option<String> {
        if path == "/" {
            return Some(
                "the root cgroup is the host itself and is left alone; choose one below it"
                    .to_owned(),
            );
        }
        let held = |kept: &&Kept| {
            let cgroup = kept.cgroup.as_deref();
            cgroup.is_some_and(|cgroup| is_in(cgroup, path))
        };
        let kept = self.0.iter().find(held)?;
        let cgroup = kept.cgroup.as_deref().unwrap_or_default();
        let place = if cgroup == path {
            String::new()
        } else {
            format!(", in {cgroup}")
        };
        Some(format!(
            "{path} holds {} (pid {}{place}) and is left alone; choose one that does not hold it",
            kept.why,
            kept.brief.name()
        ))
    }

    /// Why a process must be left alone.
    pub fn objection_to(&self, brief: &Brief) -> Option<String> {
        let name = brief.name();
        if brief.of_kernel {
            return Some(format!(
                "pid {name} is a thread of the kernel and is left alone"
            ));
        }
        let kept = self.0.iter().find(|kept| kept.brief.pid == brief.pid)?;
        Some(match kept.why {
            Why::Session => format!("pid {name} belongs to {} and is left alone", kept.why),
            Why::Itself | Why::Init => format!("pid {name} is {} and is left alone", kept.why),
        })
    }
}

impl Kept {
    fn new(proc: &Path, why: Why, brief: Brief) -> Self {
        Self {
            why,
            cgroup: task::cgroup(proc, brief.pid),
            brief,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spared() -> Spared {
        let kept = |why, pid, comm: &str, cgroup: &str| Kept {
            why,
            brief: Brief {
                pid,
                start_time: 1,
                ppid: 1,
                session: 0,
                inside: None,
                comm: comm.to_owned(),
                of_kernel: false,
                zombie: false,
            },
            cgroup: Some(cgroup.to_owned()),
        };
        Spared(vec![
            kept(Why::Itself, 300, "ringfence", "/user.slice/s-3.scope/own"),
            kept(Why::Session, 200, "bash", "/user.slice/s-3.scope"),
            kept(Why::Session, 100, "sshd", "/system.slice/ssh.service"),
            kept(Why::Init, 1, "systemd", "/init.scope"),
        ])
    }

    #[test]
    fn a_cgroup_that_holds_one_of_them_is_refused_and_so_is_every_one_above() {
        let spared = spared();
        for (path, word) in [
            ("/", "root cgroup"),
            (
                "/user.slice",
                "ringfence itself (pid 300 ringfence, in /user",
            ),
            (
                "/user.slice/s-3.scope/own",
                "ringfence itself (pid 300 ringfence)",
            ),
            ("/user.slice/s-3.scope", "ringfence itself"),
            (
                "/system.slice/ssh.service",
                "the session that ringfence was started from (pid 100 sshd)",
            ),
            ("/system.slice", "in /system.slice/ssh.service)"),
            ("/init.scope", "init (pid 1 systemd)"),
        ] {
            let why = spared.objection(path).unwrap_or_default();
            assert!(why.contains(word), "{path}: {why}");
        }
        for path in [
            "/user.slice/s-3.scope/own/below",
            "/user.slice/s-3.scope/ow",
            "/user.slice/s-33.scope",
            "/system.slice/ssh",
            "/ringfence.slice",
        ] {
            assert_eq!(spared.objection(path), None, "{path}");
        }
    }

    #[test]
    fn this_very_process_its_parents_and_init_are_spared() {
        let proc = Path::new("/proc");
        let spared = Spared::read(proc).unwrap();
        for pid in [std::process::id(), std::os::unix::process::parent_id(), 1] {
            let brief = Brief::read(proc, pid).unwrap();
            assert!(spared.objection_to(&brief).is_some(), "{brief:?}");
        }
        let own = task::cgroup(proc, std::process::id()).unwrap();
        assert!(spared.objection(&own).is_some());
    }
}
