//! `ringfence doctor`: what this host offers, what is missing, and the command that would mend it.

mod checks;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::text;
use crate::text::ascii::in_locale;

/// What `doctor` was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Print JSON instead of text.
    pub json: bool,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found, in one line.
    pub detail: String,
    /// The command that mends it, where something is lacking.
    pub mend: Option<String>,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// ringfence works, with less to show.
    Less,
    /// `ringfence run` cannot do its work.
    Lacking,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Good => "ok",
            Self::Less => "less",
            Self::Lacking => "LACKING",
        })
    }
}

/// Looks at everything, prints it, and says in the exit code (0 or 1) whether `ringfence run` can work.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let proc = Path::new("/proc");
    let findings = match Hierarchy::discover(proc) {
        Ok(hierarchy) => checks::all(proc, &hierarchy),
        Err(error) => vec![checks::unreachable(&error)],
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{}", in_locale(&render(&findings)));
    }
    let lacking = findings
        .iter()
        .any(|finding| finding.state == State::Lacking);
    Ok(u8::from(lacking))
}

/// One line a finding, and below it what mends it; a mend that serves several is written out once.
fn render(findings: &[Finding]) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    let mut said = Vec::new();
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    for Finding {
        name,
        state,
        detail,
        mend,
    } in findings
    {
        let detail = text::sanitise(detail);
        let _ = writeln!(out, "{state:7}  {name:width$}  {detail}");
        if let Some(mend) = mend {
            let mend = if said.contains(&mend) {
                "as above"
            } else {
                said.push(mend);
                mend
            };
            let _ = writeln!(out, "{:7}  {:width$}  mend: {mend}", "", "");
        }
    }
    let verdict = match findings.iter().map(|finding| finding.state).max() {
        Some(State::Lacking) => {
            "`ringfence run` cannot work here as things are; `ringfence top` shows what there is"
        }
        Some(State::Less) => "ringfence works here, with less to show",
        _ => "everything is here",
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A `/proc` (and a v2 mount) with just the files that the doctor reads.
    struct Host(TempDir);

    impl Host {
        fn new(mounts: &str, files: &[(&str, &str)]) -> Self {
            let host = Self(TempDir::new().unwrap());
            host.write(
                "self/mountinfo",
                &mounts.replace("ROOT", host.0.path().to_str().unwrap()),
            );
            host.write("self/ns/user", "");
            for (path, text) in files {
                host.write(path, text);
            }
            host
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn findings(&self) -> Vec<Finding> {
            let proc = self.0.path();
            checks::all(proc, &Hierarchy::discover(proc).unwrap())
        }

        fn finding(&self, name: &str) -> Finding {
            self.findings()
                .into_iter()
                .find(|finding| finding.name == name)
                .unwrap()
        }
    }

    const V2: &str = "25 1 0:22 / ROOT/cg rw - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "25 1 0:22 / ROOT/cg rw - cgroup2 cgroup2 rw\n\
                          26 1 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                          27 1 0:24 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n";

    #[test]
    fn a_unified_host_with_all_controllers_lacks_nothing_that_limits_need() {
        let host = Host::new(
            V2,
            &[("cg/cgroup.controllers", "cpuset cpu io memory pids\n")],
        );
        for name in [
            "cgroup mode",
            "controller memory",
            "controller io",
            "controller cpuset",
        ] {
            assert_eq!(host.finding(name).state, State::Good, "{name}");
        }
    }

    #[test]
    fn a_controller_bound_to_v1_is_said_to_be_and_where() {
        let host = Host::new(HYBRID, &[("cg/cgroup.controllers", "cpu pids\n")]);
        assert_eq!(host.finding("cgroup mode").state, State::Lacking);
        let io = host.finding("controller io");
        assert_eq!(
            (io.state, io.detail.as_str()),
            (State::Lacking, "bound to v1 at /sys/fs/cgroup/blkio")
        );
        assert!(io.mend.unwrap().contains("cgroup_no_v1=all"));
        assert_eq!(host.finding("controller cpu").state, State::Good);
    }

    #[test]
    fn a_controller_switched_off_at_boot_is_told_from_one_not_built_in() {
        let cgroups =
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t5\t0\nblkio\t0\t5\t1\n";
        let host = Host::new(
            V2,
            &[
                ("cg/cgroup.controllers", "cpu pids\n"),
                ("cgroups", cgroups),
            ],
        );
        assert!(
            host.finding("controller memory")
                .mend
                .unwrap()
                .contains("cgroup_disable=memory")
        );
        assert!(
            host.finding("controller io")
                .detail
                .contains("not offered here")
        );
        assert!(
            host.finding("controller cpuset")
                .detail
                .contains("not built in")
        );
    }

    #[test]
    fn v1_and_nothing_at_all_are_named() {
        let v1 = Host::new(
            "26 1 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            &[],
        );
        assert_eq!(v1.finding("cgroup mode").detail, "v1 only");
        let none = Host::new("", &[]);
        assert!(
            none.finding("cgroup mode")
                .mend
                .unwrap()
                .starts_with("mount -t cgroup2")
        );
    }

    #[test]
    fn small_limits_and_missing_pressure_mean_less_to_show() {
        let host = Host::new(
            V2,
            &[
                ("cg/cgroup.controllers", "cpu io memory pids\n"),
                ("sys/fs/inotify/max_user_watches", "100\n"),
                ("sys/fs/inotify/max_user_instances", "10\n"),
                ("sys/user/max_user_namespaces", "0\n"),
                ("filesystems", "nodev\tproc\n"),
            ],
        );
        assert_eq!(host.finding("inotify").state, State::Less);
        assert_eq!(host.finding("pressure (PSI)").state, State::Less);
        assert_eq!(
            host.finding("overlay").mend.as_deref(),
            Some("modprobe overlay")
        );
        assert_eq!(host.finding("namespaces").state, State::Lacking);
        assert_eq!(host.finding("system call filters").state, State::Lacking);
        host.write("sys/kernel/seccomp/actions_avail", "errno allow\n");
        assert_eq!(host.finding("system call filters").state, State::Good);
    }

    #[test]
    fn every_lack_comes_with_its_mend_and_foreign_text_is_harmless() {
        let host = Host::new("26 1 0:23 / /x\x1b[2J rw - cgroup cgroup rw,memory\n", &[]);
        for finding in host.findings() {
            assert_eq!(
                finding.state == State::Good,
                finding.mend.is_none(),
                "{finding:?}"
            );
        }
        assert!(!render(&host.findings()).contains('\x1b'));
    }
}
