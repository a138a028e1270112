//! What a workload needs outside: its leaf cgroup and its scratch directory. Both are made here and go
//! with the [`Place`], whatever happens.
//!
//! The scratch directory is locked by the launcher that made it: one that can be locked was left behind, and is swept,
//! with its cgroup, by the next start.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::blocked::with_obstacle;
use super::error::{Error, Result};
use super::guard;
use super::helper::Helper;
use super::home::{self, SLICE};
use super::lock;
use super::mask;
use super::plan::{Plan, random_hex};
use super::storage::{self, Writes};
use crate::kernel::cgroup::hierarchy::{from_root, mount_point};
use crate::kernel::cgroup::subtree;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::kernel::remove::{What, remove_all};
use crate::kernel::syscall::mount::{DetachedMount, Mapped, Overlay, private_tmpfs};

/// Where scratch directories are: on disk, or where that cannot be written, in memory.
pub(super) const SCRATCH: [&str; 2] = ["/var/lib/ringfence/scratch", "/run/ringfence/scratch"];

/// How often a leaf is made whose files vanish.
const TRIES: u32 = 5;

/// What a systemd or a podman inside needs, and a good deal more.
const DEPTH: &str = "32";
const DESCENDANTS: &str = "4096";

/// The leaf and the scratch directory of one workload.
#[derive(Debug)]
pub struct Place {
    leaf: Cgroup,
    /// Where what carries its packets is, if anything does.
    beside: Option<Cgroup>,
    scratch: PathBuf,
    /// Held for as long as the place is.
    _lock: File,
    /// The layer directory that is kept, locked.
    kept: Option<(PathBuf, File)>,
    /// Decided at the first start.
    writes: Option<Writes>,
    /// Whether nobody needs the writes to reach the disk: they are thrown away, and no limit of I/O waits for them.
    volatile: bool,
    removed: bool,
    /// The files that limits were written to, and what the kernel made of them, until the first start.
    written: Vec<(&'static str, Option<Vec<u8>>)>,
    /// From the first start on, as long as there is a leaf.
    guard: Option<Helper>,
    /// Last, so that the scope is there until the rest is gone.
    _keeper: Option<Helper>,
}

impl Place {
    /// Sweeps what dead launchers left, then makes the leaf with all limits written, before any process
    /// exists, and the scratch directory. Waits for other launchers as long as it may go on.
    pub fn make(plan: &Plan, detached: bool, go_on: &mut dyn FnMut() -> bool) -> Result<Self> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match Self::make_once(plan, detached, go_on) {
                // Somebody switched a controller off in between, and its files went with it.
                Err(Error::Kernel(error)) if error.errno() == Errno::ENOENT && tries > 0 => {}
                made => {
                    return made.map_err(|error| {
                        let leaf = plan.mount.join(SLICE).join(&plan.name);
                        with_obstacle(error, &plan.mount, &leaf)
                    });
                }
            }
        }
    }

    fn make_once(plan: &Plan, detached: bool, go_on: &mut dyn FnMut() -> bool) -> Result<Self> {
        let base = scratch_base()?;
        let lock = lock::wait_for_dir(&base, go_on)?;
        let swept = sweep(&base, &plan.mount);
        let claimed = Self::claim(plan, &base, detached);
        // What cleans up takes it anew.
        drop(lock);
        swept.into_iter().for_each(Swept::remove);
        let clean = |_: &Error| remove_empty_slice(&base, &plan.mount.join(SLICE));
        let mut place = claimed.inspect_err(clean)?;
        // From here on, dropping the place cleans up.
        place.write_limits(plan)?;
        if plan.pasta.is_some() {
            place.beside = Some(Cgroup::create(beside(place.leaf.path()))?);
        }
        if let (Some((uid, gid)), true) = (plan.ids.root(), plan.delegate) {
            place.leaf.delegate(uid, gid)?;
        }
        Ok(place)
    }

    /// Makes what carries its name, under the lock of all starts.
    fn claim(plan: &Plan, base: &Path, detached: bool) -> Result<Self> {
        let scratch = base.join(&plan.name);
        let taken = || {
            Error::refused(format!(
                "a workload named {} is there already; choose another --name",
                plan.name
            ))
        };
        // Before systemd is asked for a unit of that name.
        if scratch.exists() {
            return Err(taken());
        }
        let home = home::make(&plan.mount, &plan.name, &plan.controllers, detached);
        let (home, keeper) = home.map_err(|error| explain(error, plan))?;
        // Else it would not so much as begin.
        if let Some(frozen) = subtree::frozen_above(home.path(), &plan.mount) {
            return Err(Error::refused(format!(
                "{} is frozen, and what starts in it would be too; `echo 0 >{}` thaws it",
                from_root(&plan.mount, frozen).display(),
                frozen.join("cgroup.freeze").display()
            )));
        }
        let leaf_path = home.path().join(&plan.name);
        match Cgroup::open(&leaf_path) {
            Ok(old) if old.events()?.populated => return Err(taken()),
            Ok(empty) => empty.remove()?,
            Err(_) => {}
        }
        let kept = plan.root.kept.as_deref().map(lock_layer).transpose()?;
        let lock = make_private_dir(&scratch).and_then(|()| lock::try_dir(&scratch))?;
        let leaf = match Cgroup::create(&leaf_path) {
            Ok(leaf) => leaf,
            Err(error) => {
                let _ = fs::remove_dir(&scratch);
                return Err(explain(error, plan));
            }
        };
        Ok(Self {
            leaf,
            beside: None,
            scratch,
            _lock: lock,
            volatile: kept.is_none() && !plan.limits.iter().any(|(file, _)| *file == "io.max"),
            kept,
            writes: None,
            removed: false,
            written: Vec::new(),
            guard: None,
            _keeper: keeper,
        })
    }

    /// The leaf.
    pub fn leaf(&self) -> &Cgroup {
        &self.leaf
    }

    /// Starts the process by which nothing in the leaf outlives this one, unless it runs already.
    pub fn start_guard(&mut self) -> Result<()> {
        if self.guard.is_none() {
            self.guard = Some(guard::start(&self.leaf)?);
        }
        Ok(())
    }

    /// The cgroup of what carries its packets, empty.
    pub fn beside(&self) -> Result<Option<&Cgroup>> {
        let beside = self.beside.as_ref();
        beside
            .map(|beside| Ok(beside.empty().map(|()| beside)?))
            .transpose()
    }

    /// The leaf's path in the hierarchy, as the kernel log names it.
    pub fn leaf_path(&self, plan: &Plan) -> PathBuf {
        from_root(&plan.mount, self.leaf.path())
    }

    /// A fresh root: the host's, read-only, below a directory that takes the writes. Gives the detached
    /// overlay and where to attach it. Says so where the writes must be kept in memory.
    pub fn fresh_root(
        &mut self,
        plan: &Plan,
        notice: &mut dyn FnMut(String),
    ) -> Result<(DetachedMount, CString)> {
        if self.writes.is_none() {
            self.writes = Some(match &self.kept {
                Some(_) => Writes::OnDisk,
                None => storage::bound(&self.scratch, plan.root.storage, notice)?,
            });
        }
        match self.overlay(plan) {
            Err(error)
                if error.errno() == Errno::EINVAL
                    && self.writes == Some(Writes::OnDisk)
                    && self.kept.is_none() =>
            {
                let asked = plan.root.storage.and_then(|asked| asked.size.value());
                private_tmpfs(&self.scratch, asked)?;
                self.writes = Some(Writes::InMemory);
                notice(format!(
                    "{} cannot carry an overlay's writes, so they are kept in memory, within the memory limit",
                    self.scratch.display()
                ));
                Ok(self.overlay(plan)?)
            }
            root => Ok(root?),
        }
    }

    fn overlay(&self, plan: &Plan) -> std::result::Result<(DetachedMount, CString), KernelError> {
        let writes = self.kept.as_ref().map_or(&self.scratch, |(dir, _)| dir);
        let [upper, work] = ["upper", "work"].map(|name| writes.join(name));
        for dir in [&upper, &work] {
            if dir != &upper || self.kept.is_none() {
                remove_dir_all(dir)?;
            }
            // `upper` shows as the workload's `/`.
            match DirBuilder::new().mode(0o755).create(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(KernelError::new("create", dir, error));
                }
                _ => {}
            }
        }
        // What is kept has the ids on disk that it has inside. What is thrown away need not, and can so be anywhere.
        let mapped = plan.mapping.as_ref().map(|userns| Mapped {
            userns: userns.as_fd(),
            writes: plan.ids.root().filter(|_| self.kept.is_some()),
        });
        if let (Some((uid, gid)), None) = (plan.ids.root(), &self.kept) {
            chown(&upper, Some(uid), Some(gid))
                .map_err(|error| KernelError::new("hand over", &upper, error))?;
        }
        let fill = |layer: &Path| mask::fill_layer(layer, &plan.root.masked, &plan.ids);
        let overlay = Overlay {
            lower: &plan.root.layers,
            mask: (!plan.root.masked.is_empty()).then_some(&fill),
            at: &self.scratch,
            writes,
            mapped,
            volatile: self.volatile,
        };
        let overlay = overlay.make()?;
        // On top of the two, which nobody inside needs by name.
        let root = CString::new(self.scratch.as_os_str().as_bytes())
            .map_err(|error| KernelError::new("name", &self.scratch, io::Error::other(error)))?;
        Ok((overlay, root))
    }

    /// Whether the limits are still there: somebody may have switched a controller off, or off and on again. Later they
    /// may have been edited.
    pub fn check_limits(&mut self) -> Result<()> {
        for (file, first) in &mut self.written {
            let now = self.leaf.read(file);
            let first = first.take();
            if now.is_err() || first.is_some_and(|first| now.is_ok_and(|now| now != first)) {
                return Err(Error::refused(format!(
                    "{file} of {} is lost: somebody switched its controller off meanwhile, as systemd does at the root \
                     where none of its units wants it",
                    self.leaf.path().display()
                )));
            }
        }
        Ok(())
    }

    fn write_limits(&mut self, plan: &Plan) -> Result<()> {
        if plan.controllers.contains(&"memory") {
            let group = if plan.oom_group { "1" } else { "0" };
            self.leaf.write("memory.oom.group", group)?;
        }
        let mut files: Vec<&'static str> = Vec::new();
        for (file, text) in &plan.limits {
            match self.leaf.write(file, text) {
                Err(error) if *file == "memory.swap.max" && error.errno() == Errno::ENOENT => {
                    if plan.swap_was_asked_for {
                        return Err(Error::refused(
                            "this kernel does not account swap, so memory-swap cannot be limited; leave it out",
                        ));
                    }
                }
                written => {
                    written?;
                    files.push(file);
                }
            }
        }
        // One line after the other is written to the same file.
        files.dedup();
        for file in files {
            self.written.push((file, Some(self.leaf.read(file)?)));
        }
        // Whoever may make cgroups inside makes so many at most, so deep.
        for (file, most) in [
            ("cgroup.max.depth", DEPTH),
            ("cgroup.max.descendants", DESCENDANTS),
        ] {
            self.leaf.write(file, most)?;
        }
        Ok(())
    }

    /// Removes the leaf and the scratch directory. What goes wrong with one does not keep the other.
    pub fn remove(mut self) -> Result<()> {
        self.clean()
    }

    fn clean(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        let beside = self.beside.as_ref().map_or(Ok(()), Cgroup::remove);
        let leaf = self.leaf.remove();
        self.guard = None;
        if let (Some(base), Some(slice)) = (self.scratch.parent(), self.leaf.path().parent()) {
            remove_empty_slice(base, slice);
        }
        if self.writes == Some(Writes::InMemory) {
            let _ = nix::mount::umount2(&self.scratch, nix::mount::MntFlags::MNT_DETACH);
        }
        let cgroups = leaf.and(beside);
        let scratch = match cgroups {
            Ok(()) => remove_dir_all(&self.scratch),
            // By the directory, the next start finds the cgroups.
            Err(_) => ["upper", "work"]
                .into_iter()
                .try_for_each(|name| remove_dir_all(&self.scratch.join(name))),
        };
        Ok(cgroups.and(scratch)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            eprintln!("ringfence: {error}");
        }
    }
}

/// Removes the cgroup above a leaf with the last leaf in it; where others are, the kernel refuses. Under the lock of all
/// starts, so that no start finds its slice gone. Where that lock cannot be had, the next one does it.
fn remove_empty_slice(base: &Path, slice: &Path) {
    if let Ok(_lock) = lock::wait_for_dir(base, &mut || true) {
        let _ = fs::remove_dir(slice);
    }
}

/// Where what carries a workload's packets is: no workload's name has an `@`.
fn beside(leaf: &Path) -> PathBuf {
    let mut name = leaf.file_name().unwrap_or_default().to_owned();
    name.push("@pasta");
    leaf.with_file_name(name)
}

/// Takes a layer directory: two workloads must not write to one.
fn lock_layer(dir: &Path) -> Result<(PathBuf, File)> {
    match lock::try_dir(dir) {
        Ok(lock) => Ok((dir.to_owned(), lock)),
        Err(error) if error.errno() == Errno::EWOULDBLOCK => Err(Error::refused(format!(
            "{} takes the writes of another workload; give this one a --layer-dir of its own",
            dir.display()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Why no cgroup can be made, and what would mend it.
fn explain(error: KernelError, plan: &Plan) -> Error {
    match error.errno() {
        Errno::EROFS => Error::refused(format!(
            "the cgroup file system at {} is mounted read-only, so no limit can be set; \
             type `mount -o remount,rw {0}`, or start this where it is writable",
            plan.mount.display()
        )),
        Errno::EACCES | Errno::EPERM => Error::refused(format!(
            "no cgroup may be made in {} ({error}); `ringfence doctor` says what would mend it",
            plan.mount.display()
        )),
        Errno::EBUSY => Error::refused(format!(
            "{} holds processes itself, so its controllers cannot be handed down (cgroup v2 keeps \
             processes in leaves); `ringfence doctor` says what would mend it",
            plan.mount.display()
        )),
        _ => error.into(),
    }
}

/// The directory of all scratch directories.
fn scratch_base() -> Result<PathBuf> {
    let mut first_error = None;
    for base in SCRATCH.map(PathBuf::from) {
        match make_private_dir(&base) {
            Ok(()) => return Ok(base),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.map_or_else(|| Error::refused("no place for scratch"), Into::into))
}

/// The same, for who starts nothing.
pub(super) fn sweep_left() {
    let mount = mount_point(Path::new("/proc"));
    for base in SCRATCH.map(PathBuf::from) {
        if let Some(mount) = &mount
            && base.is_dir()
            && let Ok(lock) = lock::wait_for_dir(&base, &mut || true)
        {
            let swept = sweep(&base, mount);
            // Where others are in it, the kernel refuses.
            let _ = fs::remove_dir(mount.join(SLICE));
            drop(lock);
            swept.into_iter().for_each(Swept::remove);
        }
    }
}

/// A scratch directory whose launcher is dead, out of the way of its name. To remove it may take long, so that is done
/// without the lock of all starts.
struct Swept {
    dir: PathBuf,
    /// Held until all is gone.
    _lock: File,
}

impl Swept {
    fn remove(self) {
        let _ = remove_dir_all(&self.dir);
    }
}

/// What a swept directory's name begins with: no workload's does.
const SWEPT: &str = "@";

/// Removes the cgroups that launchers left that did not live to do it themselves, and gives their directories. Under the
/// lock of all starts. Best effort: what is busy stays for the next start.
fn sweep(base: &Path, mount: &Path) -> Vec<Swept> {
    let mut swept = Vec::new();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let left = entry.path();
        // Locked: its launcher lives, or who sweeps it.
        let Ok(lock) = lock::try_dir(&left) else {
            continue;
        };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(SWEPT) {
            swept.push(Swept {
                dir: left,
                _lock: lock,
            });
            continue;
        }
        let leaves = home::leaves(&name);
        let removed = leaves.iter().flat_map(|leaf| {
            let leaf = mount.join(leaf);
            [beside(&leaf), leaf]
        });
        let removed: Vec<bool> = removed
            .map(|cgroup| Cgroup::open(cgroup).map_or(true, |cgroup| cgroup.remove().is_ok()))
            .collect();
        if removed.contains(&false) {
            continue;
        }
        let dir = base.join(format!("{SWEPT}{}", random_hex()));
        if fs::rename(&left, &dir).is_ok() {
            swept.push(Swept { dir, _lock: lock });
        }
    }
    swept
}

type KernelResult<T> = std::result::Result<T, KernelError>;

pub(super) fn make_private_dir(path: &Path) -> KernelResult<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| KernelError::new("create", path, error))
}

pub(super) fn remove_dir_all(path: &Path) -> KernelResult<()> {
    remove_all(path, What::Everything)
}
