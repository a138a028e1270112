//! Where the records are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::Record;
use crate::kernel::error::Error as KernelError;
use crate::launch::error::{Error, Result};
use crate::launch::report::Report;
use crate::launch::supervise::OWN_FAILURE;
use crate::launch::{lock, log, place};

/// Root's.
const BASE: &str = "/run/ringfence";
const STATE: &str = "state.json";
const READERS: &str = "readers";
/// How long who waits for a workload's end may take to read of it, before the record is gone.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// What killed a workload whose supervisor was killed: SIGKILL.
const KILLED: u8 = 137;

/// All records of this user's.
#[derive(Debug, Clone)]
pub struct Shelf {
    base: PathBuf,
}

/// The record of a workload in the hands of its supervisor.
#[derive(Debug)]
pub struct Keeper {
    dir: PathBuf,
    /// Held for as long as it lives.
    _lock: File,
    /// What is known.
    record: Record,
    /// How its program ended the last time.
    last_code: u8,
    /// Why the record could not be written the last time.
    trouble: Option<KernelError>,
    closed: bool,
}

/// Keeps a record from being removed for a moment.
#[derive(Debug)]
pub struct Reading {
    _lock: File,
    dir: PathBuf,
}

/// Where all that is known of what runs is kept: `/run/ringfence` for root, for others in `$XDG_RUNTIME_DIR`.
pub fn base() -> Result<PathBuf> {
    if geteuid().is_root() {
        return Ok(BASE.into());
    }
    let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) else {
        return Err(Error::refused(
            "there is no place for what is known of workloads and trials: XDG_RUNTIME_DIR is not set",
        ));
    };
    Ok(Path::new(&runtime).join("ringfence"))
}

impl Shelf {
    /// This user's.
    pub fn own() -> Result<Self> {
        Ok(Self {
            base: base()?.join("workloads"),
        })
    }

    /// The directory of one workload.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Sees to what killed supervisors left, and says so, a sentence each.
    pub fn sweep(&self) -> Vec<String> {
        let Ok(lock) = self.lock(&mut || true) else {
            return Vec::new();
        };
        let left: Vec<(PathBuf, File)> = self
            .dirs()
            .filter_map(|dir| {
                let lock = lock::try_dir(&dir).ok()?;
                let over =
                    read(&dir).is_ok_and(|record| record.exit_code().is_some() && record.is_kept());
                (!over).then_some((dir, lock))
            })
            .collect();
        log::sweep(|name| self.dir(name).is_dir());
        if left.is_empty() {
            return Vec::new();
        }
        place::sweep_left();
        let told = left
            .iter()
            .filter_map(|(dir, _)| finish_left(dir))
            .collect();
        drop(lock);
        told
    }

    /// Every record, by name.
    pub fn all(&self) -> Vec<Record> {
        let mut all: Vec<Record> = self.dirs().filter_map(|dir| read(&dir).ok()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// One record.
    pub fn get(&self, name: &str) -> Result<Record> {
        // A name, not a path.
        let dir = Some(self.dir(name)).filter(|_| !name.contains('/') && !name.starts_with('.'));
        dir.and_then(|dir| read(&dir).ok()).ok_or_else(|| {
            Error::refused(format!(
                "there is no workload `{name}`; `ringfence ps -a` lists all"
            ))
        })
    }

    /// Removes the record and the log of a workload that has ended.
    pub fn remove(&self, name: &str) -> Result<()> {
        let record = self.get(name)?;
        let _lock = self.lock(&mut || true)?;
        let dir = self.dir(name);
        let dead = lock::try_dir(&dir);
        if dead.is_err() || record.exit_code().is_none() {
            return Err(Error::refused(format!(
                "{name} is still there; `ringfence stop {name}` first, or `ringfence rm -f {name}`"
            )));
        }
        Ok(remove(&dir, &record)?)
    }

    /// Makes the record of a workload that this process starts: names are unique. `again` takes that of one that has
    /// ended, with its history. Waits for other launchers as long as it may go on.
    pub fn take(
        &self,
        mut record: Record,
        again: bool,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Keeper> {
        let _lock = self.lock(go_on)?;
        let dir = self.dir(&record.name);
        let name = &record.name;
        let made = match fs::create_dir(&dir) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(KernelError::new("create", &dir, error).into()),
        };
        let lock = lock::try_dir(&dir).map_err(|_| {
            Error::refused(format!(
                "a workload named {name} is there already; choose another --name"
            ))
        })?;
        if !made {
            let before = read(&dir).ok();
            match before {
                Some(before) if again => {
                    record.created = before.created;
                    record.oom_kills = before.oom_kills;
                    record.log = before.log;
                    record.ran = before.ran;
                }
                Some(_) => {
                    return Err(Error::refused(format!(
                        "a workload named {name} has ended and is kept; `ringfence rm {name}` removes it, `ringfence \
                         start {name}` starts it again"
                    )));
                }
                None => {}
            }
        }
        let mut keeper = Keeper {
            dir,
            _lock: lock,
            record,
            last_code: 0,
            trouble: None,
            closed: false,
        };
        keeper.write();
        match keeper.trouble.take() {
            None => Ok(keeper),
            Some(error) => Err(error.into()),
        }
    }

    /// Keeps a record readable, until this is dropped or a second is over.
    pub fn reading(&self, name: &str) -> Result<Reading> {
        let dir = self.dir(name);
        let path = dir.join(READERS);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| KernelError::new("open", &path, error))?;
        let patience = Some(lock::PATIENCE);
        lock::wait_for(&file, &path, File::try_lock_shared, patience, &mut || true)?;
        Ok(Reading { _lock: file, dir })
    }

    /// Held by who looks for the dead or makes something new.
    fn lock(&self, go_on: &mut dyn FnMut() -> bool) -> Result<File> {
        place::make_private_dir(&self.base)?;
        lock::wait_for_dir(&self.base, go_on)
    }

    fn dirs(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    }
}

impl Reading {
    /// The record as it is now.
    pub fn record(&self) -> Option<Record> {
        read(&self.dir).ok()
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Keeper {
    /// What is known.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Changes it.
    pub fn note(&mut self, change: impl FnOnce(&mut Record) -> bool) {
        if change(&mut self.record) {
            self.write();
        }
    }

    /// Why the record could not be written the last time.
    pub fn trouble(&mut self) -> Option<KernelError> {
        self.trouble.take()
    }

    fn write(&mut self) {
        if let Err(error) = write(&self.dir, &self.record) {
            self.trouble = Some(error);
        }
    }

    /// Writes down what happened.
    pub fn take_in(&mut self, report: &Report) {
        if let Report::Exited { code } | Report::Failed { code, .. } = report {
            self.last_code = *code;
        }
        let code = self.last_code;
        self.note(|record| record.take_in(report, code));
    }

    /// Writes down the end, and lets the record go, unless it is to be kept. Who never ran is not kept.
    pub fn close(mut self, code: u8, why: Option<String>) -> Result<()> {
        self.closed = true;
        self.record.end(code, why);
        self.write();
        if self.record.is_kept() {
            return self
                .trouble
                .take()
                .map_or(Ok(()), |error| Err(error.into()));
        }
        wait_for_readers(&self.dir);
        Ok(remove(&self.dir, &self.record)?)
    }
}

/// A workload that never came to be, or this time did not.
impl Drop for Keeper {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if self.record.is_kept() {
            let why = "it could not be started again".to_owned();
            self.record.end(OWN_FAILURE, Some(why));
            self.write();
        } else {
            let _ = remove(&self.dir, &self.record);
        }
    }
}

fn wait_for_readers(dir: &Path) {
    let Ok(readers) = File::open(dir.join(READERS)) else {
        return;
    };
    let deadline = Instant::now() + READ_WITHIN;
    while matches!(readers.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
    }
}

/// The end of a workload whose supervisor was killed, in one sentence.
fn finish_left(dir: &Path) -> Option<String> {
    let Ok(mut record) = read(dir) else {
        // Its supervisor did not come to writing.
        let _ = fs::remove_dir_all(dir);
        return None;
    };
    if record.exit_code().is_some() {
        // It had only not come to removing it.
        let _ = remove(dir, &record);
        return None;
    }
    let why = "its supervisor was killed".to_owned();
    if record.is_kept() {
        record.end(KILLED, Some(why));
        let _ = write(dir, &record);
    } else {
        let _ = remove(dir, &record);
    }
    Some(format!(
        "{}: its supervisor was killed; what was left of it is ended and removed",
        record.name
    ))
}

fn read(dir: &Path) -> std::result::Result<Record, KernelError> {
    let path = dir.join(STATE);
    let text = fs::read(&path).map_err(|error| KernelError::new("read", &path, error))?;
    serde_json::from_slice(&text)
        .map_err(|error| KernelError::new("understand", &path, io::Error::from(error)))
}

/// Replaces it as a whole: who reads it has the one before or this one.
fn write(dir: &Path, record: &Record) -> std::result::Result<(), KernelError> {
    let (unfinished, path) = (dir.join("state.new"), dir.join(STATE));
    let text = serde_json::to_vec(record).map_err(io::Error::from);
    text.and_then(|text| {
        File::create(&unfinished)?.write_all(&text)?;
        fs::rename(&unfinished, &path)
    })
    .map_err(|error| KernelError::new("write", &path, error))
}

/// The log first: one without a record is swept.
fn remove(dir: &Path, record: &Record) -> std::result::Result<(), KernelError> {
    record
        .log
        .as_deref()
        .map_or(Ok(()), place::remove_dir_all)?;
    place::remove_dir_all(dir)
}
