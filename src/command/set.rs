//! `ringfence set`: limits of any cgroup, checked first, then all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::unistd::geteuid;

use crate::command::target::{find, v2_mount};
use crate::kernel::block::Disk;
use crate::kernel::cgroup::apply::{Write, apply};
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::cgroup::knob::{Address, Knob, KnobValue, Wanted, Wish};
use crate::kernel::cgroup::standing::{is_off, read, standings, value, why_missing};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::cpuset::{self, CpuList};
use crate::kernel::host::{self, page_size};
use crate::kernel::systemd::{Unit, properties};
use crate::kernel::unit::{Bytes, Reading};
use crate::model::change::{Change, Gravity, Setting, in_safe_order};
use crate::text::sanitise;

/// What `set` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose limits: a cgroup path or a workload's name.
    pub target: String,
    /// What they are to be.
    pub wishes: Vec<Wish>,
    /// Change nothing.
    pub dry_run: bool,
    /// Do what is likely to break the workload too.
    pub force: bool,
    /// Have systemd keep it over the next boot.
    pub persist: bool,
}

const SYS: &str = "/sys";
/// How long systemd may take to write what it was told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks all changes, says what they are, and makes them.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let mount = v2_mount(&Hierarchy::discover(Path::new("/proc"))?)?;
    let path = find(&mount, &options.target)?;
    if path.as_os_str().is_empty() {
        bail!("the root cgroup is the host itself and has no limits; name one below it");
    }
    let cgroup = Cgroup::open(mount.join(&path))?;
    let unit = Unit::of_cgroup(&path);
    if options.persist && unit.is_none() {
        bail!(
            "/{} is no unit of systemd's, so nothing would keep its limits over a boot; leave --persist out",
            path.display()
        );
    }

    let wishes = resolve(&options.wishes)?;
    let off = off(&mount, &path, &wishes, unit.as_ref());
    let mut changes = changes(&mount, &path, &wishes, &off)?;
    in_safe_order(&mut changes);
    announce(&path, &changes, &off);
    refuse(&changes, options.force)?;
    if options.dry_run {
        print(&changes);
        return Ok(0);
    }

    let writes: Vec<Write> = changes
        .iter()
        .filter(|change| !off.contains(&change.address))
        .map(Change::write)
        .collect();
    let mut kept = apply(&cgroup, &mount, &writes)?.into_iter();
    let told = match &unit {
        None => String::new(),
        Some(unit) => match tell(unit, &changes, options.persist) {
            Ok(told) => told,
            Err(why) if off.is_empty() => {
                format!("systemd may undo this at `systemctl daemon-reload`, as {why}")
            }
            Err(why) => return Err(take_back(&cgroup, &mount, writes, &why)),
        },
    };
    print(&changes);
    for change in &changes {
        let kept = if off.contains(&change.address) {
            wait_for(&cgroup, change)
        } else {
            kept.next().flatten()
        };
        match kept {
            Some(kept) if kept != change.new => say(&format!(
                "{}: the kernel made it {}",
                change.address,
                kept.to_text(change.address)
            )),
            Some(_) => {}
            None if cgroup.is_gone() => {
                say(&format!(
                    "/{} has vanished since, as a cgroup does whose last process ended",
                    path.display()
                ));
                break;
            }
            None => bail!("{} is not there yet, though {told}", change.address),
        }
    }
    if unit.is_some() {
        for change in &changes {
            if properties(change.address, &change.new).is_empty() {
                say(&format!(
                    "{}: systemd has no property for it, and will undo it at `systemctl daemon-reload`",
                    change.address
                ));
            }
        }
    }
    if !told.is_empty() {
        say(&told);
    }
    Ok(0)
}

/// Says what is worth a line before anything is done.
fn announce(path: &Path, changes: &[Change], off: &BTreeSet<Address>) {
    for change in changes {
        if off.contains(&change.address) {
            say(&format!(
                "{}: the {} controller is off in /{}; systemd turns it on with the limit",
                change.address,
                change.address.knob.controller(),
                path.display()
            ));
        }
        for remark in change.at_least(Gravity::Note) {
            say(&format!("{}: {}", change.address, remark.text));
        }
    }
}

/// One line on stderr. Foreign names may be part of it.
fn say(line: &str) {
    eprintln!("ringfence: {}", sanitise(line));
}

fn print(changes: &[Change]) {
    for change in changes {
        println!("{}", sanitise(&change.to_string()));
    }
}

type Wishes = BTreeMap<Address, (Option<Disk>, Wanted)>;

/// Finds the disks. Rates of one disk in several wishes add up; nothing else may be given twice.
fn resolve(wishes: &[Wish]) -> anyhow::Result<Wishes> {
    let mut resolved = Wishes::new();
    for wish in wishes {
        let (address, disk) = wish
            .resolve(Path::new(SYS))
            .with_context(|| format!("{}", wish.knob))
            .context("nothing was changed")?;
        if let (Some(disk), Some(asked)) = (&disk, &wish.device)
            && disk.asked_by_partition
        {
            say(&disk.notice(asked));
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
    Ok(resolved)
}

/// What the cgroup does not have yet and systemd will turn on: it enables a controller, in all cgroups above,
/// for a unit that has a limit of it.
fn off(mount: &Path, path: &Path, wishes: &Wishes, unit: Option<&Unit>) -> BTreeSet<Address> {
    let of_systemd = |address: &Address| {
        let default = default(*address);
        default.is_some_and(|default| !properties(*address, &default).is_empty())
    };
    wishes
        .keys()
        .filter(|_| unit.is_some())
        .filter(|address| is_off(mount, path, address.knob) && of_systemd(address))
        .copied()
        .collect()
}

/// What a new cgroup has.
fn default(address: Address) -> Option<KnobValue> {
    KnobValue::parse(address, address.knob.entry().default.as_bytes()).ok()
}

/// Judges every wish.
fn changes(
    mount: &Path,
    path: &Path,
    wishes: &Wishes,
    off: &BTreeSet<Address>,
) -> anyhow::Result<Vec<Change>> {
    let setting = setting(mount, path, wishes);
    wishes
        .iter()
        .map(|(&address, (disk, wanted))| {
            let chain = standings(mount, path, address);
            let old = match chain.first().map(|own| &own.value) {
                Some(Reading::Value(old)) => old.clone(),
                Some(Reading::NotAvailable) if off.contains(&address) => {
                    default(address).context("it has no default")?
                }
                Some(Reading::Unreadable(errno)) => {
                    bail!("read {address} of /{}: {}", path.display(), errno.desc())
                }
                Some(Reading::NotAvailable) | None if mount.join(path).is_dir() => {
                    bail!(
                        "{}; nothing was changed",
                        why_missing(mount, path, address.knob)
                    )
                }
                Some(Reading::NotAvailable) | None => {
                    bail!(
                        "/{} vanished meanwhile; nothing was changed",
                        path.display()
                    )
                }
            };
            let new = wanted.over(&old);
            let disk = disk.as_ref().map(|disk| disk.name.clone());
            Ok(Change::new(address, disk, old, &new, &chain, &setting))
        })
        .collect()
}

/// What the changes are judged against: the host, and the cgroup as it will be.
fn setting(mount: &Path, path: &Path, wishes: &Wishes) -> Setting {
    let will_be = |knob: Knob| match wishes.get(&knob.into()) {
        Some((_, Wanted::Value(value))) => Some(value.clone()),
        _ => value(mount, path, knob.into()).value().cloned(),
    };
    let effective = path.parent().and_then(|parent| {
        let parent = Cgroup::open(mount.join(parent)).ok()?;
        CpuList::parse(&parent.read("cpuset.cpus.effective").ok()?).ok()
    });
    Setting {
        host_memory: host::memory(Path::new("/proc")).value().map(|memory| {
            let available = memory.available.unwrap_or_default().0;
            (
                memory.total,
                Bytes(memory.total.0.saturating_sub(available)),
            )
        }),
        host_cpus: cpuset::online(Path::new(SYS)),
        parent_cpus: effective,
        page: page_size(),
        memory_max: match will_be(Knob::MemoryMax) {
            Some(KnobValue::Size(max)) => Some(max),
            _ => None,
        },
        idle: will_be(Knob::CpuIdle) == Some(KnobValue::Switch(true)),
    }
}

/// What cannot be is refused, and so is what is dangerous, unless it is forced.
fn refuse(changes: &[Change], force: bool) -> anyhow::Result<()> {
    let worst = if force {
        Gravity::Impossible
    } else {
        Gravity::Danger
    };
    let refused = changes.iter().find_map(|change| {
        let remark = change.at_least(worst).max_by_key(|remark| remark.gravity)?;
        Some((change, remark))
    });
    let Some((change, remark)) = refused else {
        return Ok(());
    };
    Err(match remark.gravity {
        Gravity::Danger => anyhow!(
            "{} is refused, as it is likely to break the workload; nothing was changed, --force does it all \
             the same",
            change.address
        ),
        _ => anyhow!("{} is refused; nothing was changed", change.address),
    })
}

/// Has systemd know the new limits, so that it does not undo them. Gives what to say about it: nothing where
/// it has no property for any of them; as an error why it failed.
fn tell(unit: &Unit, changes: &[Change], persist: bool) -> Result<String, String> {
    let known: Vec<String> = changes
        .iter()
        .flat_map(|change| properties(change.address, &change.new))
        .collect();
    if known.is_empty() {
        return Ok(String::new());
    }
    let telling = unit.command(&known, persist, geteuid().is_root());
    match telling.run() {
        Ok(()) => Ok(format!(
            "{} is a unit of systemd's, which was told: {telling}",
            unit.name
        )),
        Err(why) => {
            let hint = if geteuid().is_root() || unit.of_user.is_some() {
                ""
            } else {
                "; type sudo in front"
            };
            Err(format!("it could not be told ({why}{hint}): {telling}"))
        }
    }
}

/// Takes back what was written, as systemd did not turn on the rest.
fn take_back(cgroup: &Cgroup, mount: &Path, writes: Vec<Write>, why: &str) -> anyhow::Error {
    let writes: Vec<Write> = writes.into_iter().rev().map(Write::undo).collect();
    let outcome = match apply(cgroup, mount, &writes) {
        Ok(_) => "nothing was changed".to_owned(),
        Err(refused) => format!(
            "what was already written could not be restored: {}",
            refused.why
        ),
    };
    anyhow!("systemd alone can turn a controller on for its unit, and {why}; {outcome}")
}

/// Waits until systemd has written a limit whose controller was off. Gives what the kernel then reads.
fn wait_for(cgroup: &Cgroup, change: &Change) -> Option<KnobValue> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = read(cgroup, change.address).ok();
        if kept.as_ref() == Some(&change.new) || Instant::now() > deadline || cgroup.is_gone() {
            return kept;
        }
        sleep(Duration::from_millis(10));
    }
}
