//! What is on trial, where every ringfence of this user finds it: `/run/ringfence/trials`, a file a knob, locked by the
//! guard that sees to it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::control::make::{Keeper, tell};
use crate::control::sheet::Sheet;
use crate::kernel::cgroup::apply::{Write, apply};
use crate::kernel::cgroup::knob::{Address, Knob, KnobValue};
use crate::kernel::cgroup::standing::read;
use crate::kernel::cgroup::tree::Cgroup;
use crate::launch::{lock, state};
use crate::model::change::{Change, value_text};

/// How long another may look at a record, which has it locked meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

/// One knob on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Text", try_from = "Text")]
pub(super) struct Record {
    pub(super) mount: PathBuf,
    /// Relative to the mount.
    pub(super) path: PathBuf,
    /// Which cgroup it is.
    inode: u64,
    pub(super) address: Address,
    /// What it was.
    pub(super) old: KnobValue,
    /// What it is on trial.
    pub(super) new: KnobValue,
    /// The `cpu.weight`, which switching `cpu.idle` on and off forgets.
    weight: Option<String>,
}

/// A record as it is written. Values are the kernel's text.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    mount: PathBuf,
    /// Byte by byte: it need not be UTF-8.
    path: Vec<u8>,
    inode: u64,
    knob: String,
    device: Option<String>,
    old: String,
    new: String,
    weight: Option<String>,
}

impl From<Record> for Text {
    fn from(record: Record) -> Self {
        let address = record.address;
        Self {
            mount: record.mount,
            path: record.path.into_os_string().into_vec(),
            inode: record.inode,
            knob: address.knob.name().to_owned(),
            device: address.device.map(|device| device.to_string()),
            old: record.old.to_text(address),
            new: record.new.to_text(address),
            weight: record.weight,
        }
    }
}

impl TryFrom<Text> for Record {
    type Error = anyhow::Error;

    fn try_from(text: Text) -> anyhow::Result<Self> {
        let device = text.device.as_deref().map(str::parse).transpose();
        let address = Address {
            knob: Knob::named(&text.knob).context("an unknown knob")?,
            device: device.ok().context("an unknown disk")?,
        };
        Ok(Self {
            mount: text.mount,
            path: OsString::from_vec(text.path).into(),
            inode: text.inode,
            address,
            old: KnobValue::parse(address, text.old.as_bytes())?,
            new: KnobValue::parse(address, text.new.as_bytes())?,
            weight: text.weight,
        })
    }
}

impl Record {
    pub(super) fn new(sheet: &Sheet, change: &Change) -> Self {
        let address = change.address;
        let is_idle = address.knob == Knob::CpuIdle && change.new == KnobValue::Switch(true);
        let weight = || {
            let cgroup = Cgroup::open(sheet.mount.join(&sheet.path)).ok()?;
            let address = Knob::CpuWeight.into();
            Some(read(&cgroup, address).ok()?.to_text(address))
        };
        Self {
            mount: sheet.mount.clone(),
            path: sheet.path.clone(),
            inode: sheet.inode,
            address,
            old: change.old.clone(),
            new: change.new.clone(),
            weight: is_idle.then(weight).flatten(),
        }
    }

    /// The very cgroup; `None` where it was removed.
    pub(super) fn cgroup(&self) -> Option<Cgroup> {
        let cgroup = Cgroup::open(self.mount.join(&self.path)).ok()?;
        let is_same = cgroup.inode().is_ok_and(|inode| inode == self.inode);
        is_same.then_some(cgroup)
    }

    /// Restores the value of before, unless somebody else has changed it since. Says how that went, in one sentence.
    fn restore(&self) -> anyhow::Result<String> {
        const REMOVED: &str = "the cgroup was removed";
        let Self { address, old, .. } = self;
        let text = |value: &KnobValue| value_text(address.knob, value);
        let Some(cgroup) = self.cgroup() else {
            return Ok(REMOVED.to_owned());
        };
        let now = match read(&cgroup, *address) {
            Err(_) if cgroup.is_gone() => return Ok(REMOVED.to_owned()),
            now => now?,
        };
        if now != *old {
            if now != self.new {
                let now = text(&now);
                return Ok(format!(
                    "somebody else has set {address} to {now}, which stays"
                ));
            }
            let write = Write {
                address: *address,
                old: now,
                new: old.clone(),
            };
            match apply(&cgroup, &self.mount, &[write]) {
                Err(_) if cgroup.is_gone() => return Ok(REMOVED.to_owned()),
                written => written?,
            };
            if let Some(weight) = &self.weight {
                cgroup.write(Knob::CpuWeight.name(), weight)?;
            }
        }
        if let Keeper::Systemd(unit) = Keeper::of(&self.path) {
            // Else it would bring the tried one back when it is reloaded.
            tell(&unit, &[(*address, old)], false).map_err(|why| {
                anyhow!("it is {}, and systemd may undo that, as {why}", text(old))
            })?;
        }
        Ok(format!("{address} is {} again", text(old)))
    }

    /// The same where nobody has the record's file.
    pub(super) fn take_back(&self) -> String {
        match Held::take(self.clone()) {
            Ok(held) => held.take_back(),
            Err(error) => format!("{} was not restored: {error:#}", self.address),
        }
    }
}

/// A record whose file is locked. The file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    path: PathBuf,
    file: File,
}

impl Held {
    /// Makes the file of a record, and locks it. Refused where another has it: the knob is on trial already.
    pub(super) fn take(record: Record) -> anyhow::Result<Self> {
        let folder = folder()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("create {}", folder.display()))?;
        let path = folder.join(format!("{} {}", record.inode, record.address));
        let until = Instant::now() + PATIENCE;
        let file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(|| format!("open {}", path.display()))?;
            if file.try_lock().is_ok() {
                // Else it was removed by who had it before.
                if is_at(&file, &path) {
                    break file;
                }
            } else if Instant::now() < until {
                sleep(PAUSE);
            } else {
                let (address, path) = (record.address, record.path.display());
                let holder = lock::holder(&file);
                bail!("{address} of /{path} is on trial already, by {holder}");
            }
        };
        let mut held = Self { record, path, file };
        held.write()?;
        Ok(held)
    }

    /// Notes what the kernel made of the change; in the file, if that can be written.
    pub(super) fn set_new(&mut self, kept: &KnobValue) {
        self.record.new = kept.clone();
        let _ = self.write();
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&text)
        };
        write().with_context(|| format!("write {}", self.path.display()))
    }

    /// Restores the value of before, unless somebody else has changed it since. Says how that went, in one sentence. Where it
    /// fails, the file stays for who looks next.
    pub(super) fn take_back(self) -> String {
        self.record.restore().unwrap_or_else(|error| {
            let text = format!("{} was not restored: {error:#}", self.record.address);
            std::mem::forget(self);
            text
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(state::base()?.join("trials"))
}

/// Whether this file is still the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Takes back what is on trial and has nobody any more who sees to it, as all were killed. Gives a sentence each.
pub fn sweep() -> Vec<String> {
    let entries = folder().ok().and_then(|folder| fs::read_dir(folder).ok());
    let files = entries.into_iter().flatten().flatten();
    files
        .filter_map(|file| take_back_left(file.path()))
        .collect()
}

fn take_back_left(path: PathBuf) -> Option<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
    file.try_lock().ok()?;
    if !is_at(&file, &path) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let Ok(record) = serde_json::from_str::<Record>(&text) else {
        // Its guard was killed before it changed anything.
        let _ = fs::remove_file(path);
        return None;
    };
    let cgroup = record.path.display().to_string();
    let held = Held { record, path, file };
    let back = held.take_back();
    Some(format!(
        "a trial of /{cgroup} was left by who was killed: {back}"
    ))
}
