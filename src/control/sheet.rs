//! What the knobs of one cgroup stand at, with all that a change of them is judged by.

mod effective;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::make::Keeper;
use crate::kernel::block::{self, Disk};
use crate::kernel::cgroup::knob::{Address, Kind, Knob, KnobValue, Wanted, Wish};
use crate::kernel::cgroup::standing::{Standing, is_off, standings, why_missing};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::cpuset::{self, CpuList};
use crate::kernel::host::page_size;
use crate::kernel::obstacle::Obstacle;
use crate::kernel::systemd::properties;
use crate::kernel::unit::Reading;
use crate::model::chain::{self, Chain};
use crate::model::change::{Change, Setting, in_safe_order};
use crate::model::limit::Level;
use crate::names::payload;
use crate::sample::HostSample;
use crate::sample::chain::{look, look_twice};

const SYS: &str = "/sys";
const PROC: &str = "/proc";

/// What is wanted of each knob, with the disk it is about.
pub type Wishes = BTreeMap<Address, (Option<Disk>, Wanted)>;

/// A cgroup, and what its knobs stand at.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// Where the cgroup file system is mounted.
    pub mount: PathBuf,
    /// The cgroup, relative to the mount.
    pub path: PathBuf,
    /// Which cgroup it was, should another come to the same path.
    pub inode: u64,
    /// The knobs that were asked for.
    pub lines: Vec<Line>,
    /// The cgroup with all above it, as the tree has them.
    pub chain: Chain,
    /// Of a scope around a container, the container's own cgroup, relative to the mount, which has the container's limits and
    /// processes.
    pub payload: Option<PathBuf>,
    /// Who keeps its limits.
    pub keeper: Keeper,
    /// What changes are judged against.
    pub setting: Setting,
}

/// One knob.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which one, of which disk.
    pub address: Address,
    /// The disk's name: `vda`.
    pub disk: Option<String>,
    /// What it stands at here and in all above, nearest first.
    pub levels: Vec<Standing>,
    /// Why it is not there.
    pub missing: Option<Obstacle>,
    /// That it is not there yet, in one sentence: its controller is off, and systemd will turn it on, in all
    /// cgroups above too, for a unit that has a limit of it. Until then it stands at its default.
    pub off: Option<String>,
    /// Why it cannot be written by us, and what is needed, in one sentence.
    pub forbidden: Option<Obstacle>,
}

impl Line {
    /// What it stands at, where it can be read.
    pub fn value(&self) -> Option<&KnobValue> {
        self.levels.first()?.value.value()
    }
}

/// Every knob there is: those of disks once for each disk of the host, and once for all where that is
/// possible.
pub fn all_addresses() -> Vec<(Address, Option<Disk>)> {
    let disks = block::disks(Path::new(SYS));
    let of = |knob, disk: &Disk| {
        let address = Address {
            knob,
            device: Some(disk.device),
        };
        (address, Some(disk.clone()))
    };
    Knob::ALL
        .into_iter()
        .flat_map(|knob| {
            let whole = (knob != Knob::IoMax).then(|| (knob.into(), None));
            let disks = matches!(knob, Knob::IoMax | Knob::IoWeight).then_some(&disks);
            let disks = disks.into_iter().flatten().map(move |disk| of(knob, disk));
            whole.into_iter().chain(disks).collect::<Vec<_>>()
        })
        .collect()
}

/// Finds the disks. Rates of one disk in several wishes add up; nothing else may be given twice. The
/// second part is what is worth saying.
pub fn resolve(wishes: &[Wish]) -> anyhow::Result<(Wishes, Vec<String>)> {
    let mut resolved = Wishes::new();
    let mut notices = Vec::new();
    for wish in wishes {
        let (address, disk) = wish
            .resolve(Path::new(SYS))
            .with_context(|| format!("{}", wish.knob))
            .context("nothing was changed")?;
        if let (Some(disk), Some(asked)) = (&disk, &wish.device)
            && disk.asked_by_partition
        {
            notices.push(disk.notice(asked));
        }
        let wanted = match (resolved.remove(&address), wish.wanted.clone()) {
            (None, wanted) => wanted,
            (Some((_, Wanted::Rates(first))), Wanted::Rates(second)) => {
                Wanted::Rates(first.then(second))
            }
            (Some(_), _) => bail!("{address} is given twice; nothing was changed"),
        };
        resolved.insert(address, (disk, wanted));
    }
    Ok((resolved, notices))
}

impl Sheet {
    /// Reads the knobs of a cgroup. `path` is relative to the mount. The root has none. Takes a tenth of a
    /// second where `cpu.max` or `cpuset.cpus` is among them: usage is measured.
    pub fn read(
        mount: &Path,
        path: &Path,
        addresses: impl IntoIterator<Item = (Address, Option<Disk>)>,
    ) -> anyhow::Result<Self> {
        if path.as_os_str().is_empty() {
            bail!("the root cgroup is the host itself and has no limits; name one below it");
        }
        let cgroup = match Cgroup::open(mount.join(path)) {
            Err(error) if error.is_gone() => {
                bail!("{}; nothing was changed", vanished(path))
            }
            opened => opened?,
        };
        let keeper = Keeper::of(path);
        let line = |(address, disk): (Address, Option<Disk>)| {
            let mut levels = standings(mount, path, address);
            let mut off = None;
            if let Keeper::Systemd(unit) = &keeper
                && is_off(&mount.join(unit.top(path)), &mount.join(path), address.knob)
                && let Some(default) = default(address)
                && !properties(address, &default).is_empty()
                && let Some(own) = levels.first_mut()
            {
                own.value = Reading::Value(default);
                off = Some(format!(
                    "the {} controller is off in /{}; systemd turns it on with the limit",
                    address.knob.controller(),
                    path.display()
                ));
            }
            let missing = match levels.first().map(|own| &own.value) {
                Some(Reading::Value(_)) => None,
                Some(Reading::Unreadable(errno)) => Some(Obstacle::new(
                    format!("read {address} of /{}: {}", path.display(), errno.desc()),
                    "its owner, root mostly, may read it",
                )),
                Some(Reading::NotAvailable) | None if cgroup.is_gone() => {
                    Some(Obstacle::new(vanished(path), "name one that is there"))
                }
                Some(Reading::NotAvailable) | None => Some(why_missing(mount, path, address.knob)),
            };
            let file = address.knob.name();
            Line {
                address,
                disk: disk.map(|disk| disk.name),
                levels,
                forbidden: match missing {
                    None => cgroup.why_not_writable(file),
                    Some(_) => None,
                },
                missing,
                off,
            }
        };
        let lines: Vec<Line> = addresses.into_iter().map(line).collect();
        let is_cpu = |line: &Line| matches!(line.address.knob, Knob::CpuMax | Knob::CpusetCpus);
        let proc = Path::new(PROC);
        let chain = if lines.iter().any(is_cpu) {
            look_twice(proc, mount, path).map(|[before, now]| Chain::new(Some(before), now))
        } else {
            look(proc, mount, path).map(|now| Chain::new(None, now))
        };
        let chain = match chain {
            Err(error) if error.is_gone() => bail!("{}; nothing was changed", vanished(path)),
            chain => chain?,
        };
        Ok(Self {
            mount: mount.to_owned(),
            path: path.to_owned(),
            inode: cgroup.inode()?,
            lines,
            setting: setting(mount, path, &chain.now.host),
            chain,
            payload: payload_of(mount, path),
            keeper,
        })
    }

    /// The line of an address.
    pub fn line(&self, address: Address) -> Option<&Line> {
        self.lines.iter().find(|line| line.address == address)
    }

    /// How much of what a knob limits the host has, where that is known.
    pub fn host(&self, knob: Knob) -> Option<f64> {
        match knob.entry().kind {
            Kind::Size if knob != Knob::SwapMax => {
                self.setting.host_memory.map(|total| total.0 as f64)
            }
            Kind::CpuTime if !self.setting.host_cpus.is_empty() => {
                Some(self.setting.host_cpus.count() as f64)
            }
            _ => None,
        }
    }

    /// The CPUs that can be chosen from: the parent's, or all of the host.
    pub fn cpus(&self) -> CpuList {
        let parents = self.setting.parent_cpus.as_ref();
        parents.unwrap_or(&self.setting.host_cpus).clone()
    }

    /// How much is used of what a knob limits or protects: bytes, CPUs, processes.
    pub fn used(&self, knob: Knob) -> Option<f64> {
        chain::used(&self.chain.row()?, knob)
    }

    /// The limit of what a knob limits that is met first.
    pub fn first_met(&self, knob: Knob) -> Option<Level<f64>> {
        chain::first_met(&self.chain.row()?, knob)
    }

    /// That the limits of the container in it are another cgroup's, in one sentence.
    pub fn about_payload(&self) -> Option<String> {
        let payload = self.payload.as_ref()?;
        Some(format!(
            "the container in it has its limits and processes in /{}",
            payload.display()
        ))
    }

    /// Judges wishes, and puts them in the order in which they are safe to make. Where one cannot be read
    /// there is nothing to judge.
    pub fn judge(&self, wishes: &Wishes) -> anyhow::Result<Vec<Change>> {
        let will_be = |knob: Knob| match wishes.get(&knob.into()) {
            Some((_, Wanted::Value(value))) => Some(value.clone()),
            _ => None,
        };
        let mut setting = self.setting.clone();
        if let Some(KnobValue::Size(max)) = will_be(Knob::MemoryMax) {
            setting.memory_max = Some(max);
        }
        if let Some(KnobValue::Switch(idle)) = will_be(Knob::CpuIdle) {
            setting.idle = idle;
        }
        let news = wishes.iter().map(|(&address, (_, wanted))| {
            let line = self.line(address);
            let line = line.with_context(|| format!("{address} was not read"))?;
            if let Some(missing) = &line.missing {
                bail!("{missing}; nothing was changed");
            }
            let old = line.value();
            let old = old.with_context(|| format!("{address} was not read"))?;
            Ok((line, old, wanted.over(old)))
        });
        let news = news.collect::<anyhow::Result<Vec<_>>>()?;
        let mut after = self.chain.clone();
        for (line, _, new) in &news {
            let new = new.clone().in_pages(setting.page);
            after.set(line.address.knob, &new, setting.parent_cpus.as_ref());
        }
        let after = after.row().context("no cgroup was read")?;
        let changes = news.into_iter().map(|(line, old, new)| {
            let (disk, old) = (line.disk.clone(), old.clone());
            Change::new(
                line.address,
                disk,
                old,
                &new,
                &line.levels,
                &setting,
                &after,
            )
        });
        let mut changes: Vec<Change> = changes.collect();
        in_safe_order(&mut changes);
        Ok(changes)
    }
}

/// The container's own cgroup in a scope, both relative to the mount, where there is one.
pub fn payload_of(mount: &Path, scope: &Path) -> Option<PathBuf> {
    let payload = PathBuf::from(payload(&scope.to_string_lossy())?);
    mount.join(&payload).is_dir().then_some(payload)
}

/// What a new cgroup has.
fn default(address: Address) -> Option<KnobValue> {
    KnobValue::parse(address, address.knob.entry().default.as_bytes()).ok()
}

/// Why a cgroup that was there a moment ago cannot be read or changed.
pub(super) fn vanished(path: &Path) -> String {
    format!("/{} vanished meanwhile", path.display())
}

/// What changes are judged against: the host, and the cgroup as it is.
fn setting(mount: &Path, path: &Path, host: &HostSample) -> Setting {
    let is = |knob: Knob| {
        crate::kernel::cgroup::standing::value(mount, path, knob.into())
            .value()
            .cloned()
    };
    let effective = path.parent().and_then(|parent| {
        let parent = Cgroup::open(mount.join(parent)).ok()?;
        CpuList::parse(&parent.read("cpuset.cpus.effective").ok()?).ok()
    });
    Setting {
        host_memory: host.memory_total.value().copied(),
        host_cpus: cpuset::online(Path::new(SYS)),
        parent_cpus: effective,
        page: page_size(),
        memory_max: match is(Knob::MemoryMax) {
            Some(KnobValue::Size(max)) => Some(max),
            _ => None,
        },
        idle: is(Knob::CpuIdle) == Some(KnobValue::Switch(true)),
    }
}
