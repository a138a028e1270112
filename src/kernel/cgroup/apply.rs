//! Writing several knobs of one cgroup: all of them, or none.

use std::fmt;

use nix::errno::Errno;

use super::knob::{Address, Knob, KnobValue};
use super::standing::{read, why_missing};
use super::tree::{Cgroup, not_ours, read_only};
use crate::kernel::error::Error;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub address: Address,
    /// What is there, to be restored where a later write fails.
    pub old: KnobValue,
    /// What is to be there.
    pub new: KnobValue,
}

impl Write {
    /// The exact text for the kernel.
    pub fn text(&self) -> String {
        self.new.to_text(self.address)
    }

    /// The write that takes it back.
    #[must_use]
    pub fn undo(self) -> Self {
        Self {
            address: self.address,
            old: self.new,
            new: self.old,
        }
    }
}

/// Why nothing was changed.
#[derive(Debug)]
pub struct Refused {
    /// One sentence: what was refused, and why.
    pub why: String,
    /// What was written before and could not be restored.
    pub not_restored: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.not_restored[..] {
            [] => write!(out, "{}; nothing was changed", self.why),
            lost => write!(
                out,
                "{}; what was already written could not be restored: {}",
                self.why,
                lost.join(", ")
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// Writes all, in the given order. Where one is refused, those before it are restored, the last one
/// first. Gives what the kernel reads back for each: `None` where the cgroup has vanished since, as one
/// does whose processes were killed by their new limit.
pub fn apply(
    cgroup: &Cgroup,
    mount: &std::path::Path,
    writes: &[Write],
) -> Result<Vec<Option<KnobValue>>, Refused> {
    // Switching cpu.idle on and off again forgets the weight; that of an idle cgroup (read as 0, on newer
    // kernels as 1) comes and goes with cpu.idle.
    let was_idle = read(cgroup, Knob::CpuIdle.into()).ok() == Some(KnobValue::Switch(true));
    let weight = writes
        .iter()
        .any(|write| write.address.knob == Knob::CpuIdle && !was_idle)
        .then(|| read(cgroup, Knob::CpuWeight.into()).ok())
        .flatten();
    for (at, write) in writes.iter().enumerate() {
        let Err(error) = write_one(cgroup, write) else {
            continue;
        };
        if cgroup.is_gone() {
            return Err(Refused {
                why: format!("{} vanished meanwhile", cgroup.path().display()),
                not_restored: Vec::new(),
            });
        }
        let mut undo: Vec<(Address, &KnobValue)> = writes[..at]
            .iter()
            .rev()
            .map(|write| (write.address, &write.old))
            .collect();
        if let Some(weight) = &weight {
            undo.push((Knob::CpuWeight.into(), weight));
        }
        let not_restored = undo
            .into_iter()
            .filter(|(address, _)| !(was_idle && address.knob == Knob::CpuWeight))
            .filter_map(|(address, old)| {
                let text = old.to_text(address);
                let error = cgroup.write(address.knob.name(), &text).err()?;
                Some(error.to_string())
            })
            .collect();
        return Err(Refused {
            why: explain(cgroup, mount, write, &error),
            not_restored,
        });
    }
    Ok(writes
        .iter()
        .map(|write| read(cgroup, write.address).ok())
        .collect())
}

/// Writes one value. In a cgroup with processes the kernel takes no empty `cpuset.cpus` once there was another (`ENOSPC`): the
/// parent's list means the same.
fn write_one(cgroup: &Cgroup, write: &Write) -> Result<(), Error> {
    let file = write.address.knob.name();
    let written = cgroup.write(file, &write.text());
    match (&write.new, &written) {
        (KnobValue::Cpus(cpus), Err(error))
            if cpus.is_empty() && error.errno() == Errno::ENOSPC =>
        {
            let parent = cgroup.path().parent().map(Cgroup::open).transpose()?;
            let all = parent.map(|parent| parent.read("cpuset.cpus.effective"));
            match all.transpose()? {
                Some(all) => cgroup.write(file, &String::from_utf8_lossy(&all)),
                None => written,
            }
        }
        _ => written,
    }
}

/// The kernel's refusal in words.
fn explain(cgroup: &Cgroup, mount: &std::path::Path, write: &Write, error: &Error) -> String {
    let Address { knob, device } = write.address;
    let text = write.text();
    let refused = format!("the kernel refused `{}` for {knob}", text.trim_end());
    let disk = device.map_or_else(|| "the disk".to_owned(), |device| device.to_string());
    match error.errno() {
        Errno::ENOENT => {
            let path = cgroup.path().strip_prefix(mount).unwrap_or(cgroup.path());
            why_missing(mount, path, knob).to_string()
        }
        Errno::EACCES | Errno::EPERM => not_ours(&error.object).to_string(),
        Errno::EROFS => read_only(mount).to_string(),
        Errno::EINVAL if knob == Knob::CpuWeight => {
            format!("{refused}: an idle cgroup (cpu.idle is 1) has no weight")
        }
        Errno::EINVAL if knob == Knob::CpuMax => {
            format!("{refused}: a quota must be at least as large as cpu.max.burst")
        }
        Errno::EINVAL => format!("{refused}: not a value it takes ({})", knob.entry().range),
        Errno::ERANGE => format!("{refused}: out of its range ({})", knob.entry().range),
        Errno::ENODEV => format!("{refused}: it knows no whole disk {disk}"),
        Errno::EOPNOTSUPP if knob == Knob::IoWeight => format!(
            "{refused}: weights are not in force on {disk}; write `{disk} enable=1` to {}",
            mount.join("io.cost.qos").display()
        ),
        Errno::EBUSY => format!(
            "{refused}: it is in use in a way that forbids the change (CPUs whose time SCHED_DEADLINE tasks have \
             reserved, for instance)"
        ),
        _ => error.to_string(),
    }
}
