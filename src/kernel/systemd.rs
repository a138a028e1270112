//! systemd, where it runs: which of its units a cgroup is, and how it is told of a limit. A limit that it
//! was not told of is undone when it next applies its own, at `systemctl daemon-reload` for instance.

mod belief;
pub mod bus;

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::cgroup::knob::{Address, Knob, KnobValue};
use super::unit::{Limit, Weight};

/// The kinds of units that have a cgroup.
const KINDS: [&str; 6] = [".service", ".scope", ".slice", ".mount", ".socket", ".swap"];

/// A unit that has a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name: `nginx.service`. Foreign text.
    pub name: String,
    /// Whose manager it is one of, by uid, where it is a user's own: only that user and root can speak to it.
    pub of_user: Option<u32>,
}

impl Unit {
    /// The unit whose cgroup this is (`path` is relative to the mount), if systemd runs and its manager says so. A name
    /// alone proves nothing: anybody who may make a cgroup chooses one.
    pub fn of_cgroup(path: &Path) -> Option<Self> {
        if !Path::new("/run/systemd/system").is_dir() {
            return None;
        }
        let name = path.file_name()?.to_str()?;
        if !KINDS.iter().any(|kind| name.ends_with(kind)) {
            return None;
        }
        let unit = Self {
            name: name.to_owned(),
            of_user: user_manager(path).map(|(uid, _)| uid),
        };
        let mut words = unit.systemctl("show", geteuid().is_root());
        words.extend(["--property=ControlGroup", "--value", "--", name].map(str::to_owned));
        let answer = Telling(words).start().output().ok()?;
        let its = String::from_utf8_lossy(&answer.stdout);
        (Path::new(its.trim()) == Path::new("/").join(path)).then_some(unit)
    }

    /// The cgroup below which its manager hands controllers out, for the cgroup at `path`; both are relative
    /// to the mount.
    pub fn top<'a>(&self, path: &'a Path) -> &'a Path {
        user_manager(path).map_or(Path::new(""), |(_, manager)| manager)
    }

    /// The command that tells systemd: until the next boot, or for good. `as_root` is for who is not the
    /// user whose unit it is.
    pub fn command(&self, properties: &[String], persist: bool, as_root: bool) -> Telling {
        let mut words = self.systemctl("set-property", as_root);
        if !persist {
            words.push("--runtime".to_owned());
        }
        words.extend(["--".to_owned(), self.name.clone()]);
        words.extend(properties.iter().cloned());
        Telling(words)
    }

    /// The file that gives it limits for good, from the next `daemon-reload` on.
    pub fn drop_in(&self) -> String {
        let folder = match self.of_user {
            Some(_) => "~/.config/systemd/user",
            None => "/etc/systemd/system",
        };
        format!("{folder}/{}.d/50-ringfence.conf", self.name)
    }

    /// What sort of unit it is: `service`, `scope`, `slice`.
    pub fn kind(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// The command that stops it, and waits until it has stopped. `as_root` as for
    /// [`command`](Self::command).
    pub fn stop(&self, as_root: bool) -> Telling {
        let mut words = self.systemctl("stop", as_root);
        words.extend(["--".to_owned(), self.name.clone()]);
        Telling(words)
    }

    fn systemctl(&self, verb: &str, as_root: bool) -> Vec<String> {
        let mut words = vec!["systemctl".to_owned()];
        if let Some(uid) = self.of_user {
            words.push("--user".to_owned());
            if as_root && uid != 0 {
                // Since systemd 248.
                words.push(format!("--machine={uid}@"));
            }
        }
        words.push(verb.to_owned());
        words
    }
}

/// The user below whose own manager's cgroup this is, and that cgroup. It is nowhere but at
/// `user.slice/user-1000.slice/user@1000.service`: a directory of that name elsewhere is anybody's.
fn user_manager(path: &Path) -> Option<(u32, &Path)> {
    let mut above = path.ancestors().skip(1);
    let manager = above.find(|above| above.components().count() == 3)?;
    let uid = manager.file_name()?.to_str()?.strip_prefix("user@")?;
    let uid: u32 = uid.strip_suffix(".service")?.parse().ok()?;
    let place = format!("user.slice/user-{uid}.slice/user@{uid}.service");
    (manager == Path::new(&place)).then_some((uid, manager))
}

/// Whose own manager a cgroup is below, by uid; `path` is relative to the mount.
pub fn user_of(path: &Path) -> Option<u32> {
    user_manager(path).map(|(uid, _)| uid)
}

/// A command that tells systemd something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling(Vec<String>);

impl Telling {
    fn start(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).stdin(Stdio::null());
        command
    }

    /// Runs it. What it said where it failed, in one line.
    pub fn run(&self) -> Result<(), String> {
        let output = self.start().output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().next().unwrap_or("it failed").to_owned())
    }
}

/// The command as it is typed.
impl fmt::Display for Telling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().map(String::as_str);
        out.write_str(&shlex::try_join(words).map_err(|_| fmt::Error)?)
    }
}

/// The properties of a unit that mean the same; none where systemd has none (`memory.oom.group`).
pub fn properties(address: Address, value: &KnobValue) -> Vec<String> {
    let disk = address
        .device
        .map(|device| format!("/dev/block/{device}"))
        .unwrap_or_default();
    let of = |limit: Limit<u64>| match limit {
        Limit::At(value) => value.to_string(),
        Limit::Max => "infinity".to_owned(),
    };
    let name = match address.knob {
        Knob::MemoryMax => "MemoryMax",
        Knob::MemoryHigh => "MemoryHigh",
        Knob::MemoryLow => "MemoryLow",
        Knob::MemoryMin => "MemoryMin",
        Knob::SwapMax => "MemorySwapMax",
        Knob::PidsMax => "TasksMax",
        Knob::CpuWeight => "CPUWeight",
        Knob::CpusetCpus => "AllowedCPUs",
        Knob::IoWeight if address.device.is_some() => "IODeviceWeight",
        Knob::IoWeight => "IOWeight",
        Knob::CpuMax | Knob::IoMax | Knob::OomGroup | Knob::CpuIdle => "",
    };
    match value {
        KnobValue::Size(limit) => vec![format!("{name}={}", of(limit.map(Into::into)))],
        KnobValue::Count(limit) => vec![format!("{name}={}", of(*limit))],
        KnobValue::Weight(weight) => {
            let weight = weight.unwrap_or(Weight::DEFAULT);
            let disk = if disk.is_empty() { disk } else { disk + " " };
            vec![format!("{name}={disk}{weight}")]
        }
        KnobValue::Cpus(cpus) => vec![format!("{name}={cpus}")],
        KnobValue::CpuMax(max) => {
            let quota = max.cpus().value();
            let quota = quota.map(|cpus| format!("{}%", (cpus * 10_000.0).round() / 100.0));
            vec![
                format!("CPUQuota={}", quota.unwrap_or_default()),
                format!("CPUQuotaPeriodSec={}us", max.period.0),
            ]
        }
        KnobValue::IoMax(max) => [
            ("IOReadBandwidthMax", max.rbps),
            ("IOWriteBandwidthMax", max.wbps),
            ("IOReadIOPSMax", max.riops),
            ("IOWriteIOPSMax", max.wiops),
        ]
        .map(|(name, rate)| format!("{name}={disk} {}", of(rate)))
        .into(),
        KnobValue::Switch(true) if address.knob == Knob::CpuIdle => {
            vec!["CPUWeight=idle".to_owned()]
        }
        // The weight that the kernel gives a cgroup that is idle no more; a cpu.weight comes after it.
        KnobValue::Switch(false) if address.knob == Knob::CpuIdle => {
            vec![format!("CPUWeight={}", Weight::DEFAULT)]
        }
        KnobValue::Switch(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_has_its_property() {
        let disk = Address {
            knob: Knob::IoWeight,
            device: "254:0".parse().ok(),
        };
        for (address, value, property) in [
            (Knob::MemoryMax.into(), "32m", "MemoryMax=33554432"),
            (Knob::MemoryHigh.into(), "max", "MemoryHigh=infinity"),
            (Knob::PidsMax.into(), "7", "TasksMax=7"),
            (
                Knob::CpuMax.into(),
                "12.5%",
                "CPUQuota=12.5% CPUQuotaPeriodSec=100000us",
            ),
            (
                Knob::CpuMax.into(),
                "max",
                "CPUQuota= CPUQuotaPeriodSec=100000us",
            ),
            (Knob::CpusetCpus.into(), "0-1", "AllowedCPUs=0-1"),
            (disk, "200", "IODeviceWeight=/dev/block/254:0 200"),
            (Knob::CpuIdle.into(), "1", "CPUWeight=idle"),
            (Knob::CpuIdle.into(), "0", "CPUWeight=100"),
            (Knob::OomGroup.into(), "1", ""),
        ] {
            let value = KnobValue::from_words(address.knob, value).unwrap();
            assert_eq!(properties(address, &value).join(" "), property);
        }
    }

    #[test]
    fn a_command_can_be_typed() {
        let unit = Unit {
            name: "a.service".to_owned(),
            of_user: Some(1000),
        };
        let properties = ["IOWriteBandwidthMax=/dev/block/254:0 1".to_owned()];
        assert_eq!(
            unit.command(&properties, false, false).to_string(),
            "systemctl --user set-property --runtime -- a.service 'IOWriteBandwidthMax=/dev/block/254:0 1'"
        );
        assert_eq!(
            unit.command(&["TasksMax=7".to_owned()], true, true)
                .to_string(),
            "systemctl --user '--machine=1000@' set-property -- a.service 'TasksMax=7'"
        );
    }

    #[test]
    fn a_foreign_name_is_one_word_of_a_shell() {
        let of = |name: &str| {
            let name = name.to_owned();
            let unit = Unit {
                name,
                of_user: None,
            };
            unit.stop(true).to_string()
        };
        for name in [
            "x;id>pwned;.service",
            "it's $(id) `id`.service",
            "-H.scope",
            "a\nb.slice",
        ] {
            let typed = shlex::split(&of(name)).unwrap();
            assert_eq!(typed, ["systemctl", "stop", "--", name]);
        }
        assert_eq!(of("x;id.service"), "systemctl stop -- 'x;id.service'");
    }

    #[test]
    fn a_users_manager_is_only_where_systemd_puts_it() {
        let of = |path: &str| user_manager(Path::new(path)).map(|(uid, _)| uid);
        let manager = "user.slice/user-1000.slice/user@1000.service";
        assert_eq!(of(&format!("{manager}/app.slice/mine.service")), Some(1000));
        assert_eq!(of(&format!("{manager}/init.scope")), Some(1000));
        for path in [
            manager,
            "user@0.service/victim.service",
            "user.slice/user-0.slice/user@1000.service/victim.service",
            "user.slice/user-1000.slice/user@0.service/victim.service",
            "user.slice/user-1000.slice/user@+1000.service/victim.service",
            "user.slice/user-01000.slice/user@01000.service/victim.service",
            "other.slice/user-1000.slice/user@1000.service/victim.service",
            "user.slice/user-1000.slice/user@1000.service.d/victim.service",
            &format!("x/{manager}/victim.service"),
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        let nested = format!("{manager}/app.slice/user@0.service/victim.service");
        assert_eq!(of(&nested), Some(1000));
    }
}
