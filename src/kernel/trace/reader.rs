//! A private instance of the kernel's tracing, read without waiting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

use super::{Event, Parser};
use crate::kernel::error::{Error, Result, errno_of};

/// Where tracefs is mounted, on kernels since 4.1 and before.
const MOUNTS: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];
/// What an instance's name begins with; the pid follows.
const NAME: &str = "ringfence-";
/// The buffer of each CPU: some thousand events between two looks.
const BUFFER_KIB: &str = "256";
const EVENTS: [&str; 2] = ["oom/mark_victim", "cgroup/cgroup_attach_task"];

/// Both events from the moment of opening on. Nobody else's tracing is touched. Poll [`AsFd`] for input, then
/// call [`read`](Self::read). Dropping it removes the instance; one that was left behind by a killed program
/// is removed when the next one opens.
///
/// <https://docs.kernel.org/trace/ftrace.html#instances>
#[derive(Debug)]
pub struct Reader {
    // Closed first: fields are dropped in order.
    pipe: File,
    instance: Instance,
    parser: Parser,
    buffer: Box<[u8; 16 << 10]>,
}

/// The directory of an instance, removed when dropped. It goes only once its `trace_pipe` is closed.
#[derive(Debug)]
struct Instance(PathBuf);

impl Drop for Instance {
    fn drop(&mut self) {
        // Who opens next tries again.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Reader {
    /// Makes the instance. `root` is `/`. Needs root, and a mounted tracefs: `ENOENT` where there is none.
    pub fn open(root: &Path) -> Result<Self> {
        let mounts = MOUNTS.map(|mount| root.join(mount));
        let Some(tracing) = mounts.iter().find(|mount| mount.join("instances").exists()) else {
            // Whoever may not look into it learns that, and not that it is missing.
            let source = fs::metadata(mounts[0].join("instances"));
            let source = source.err().unwrap_or_else(|| Errno::ENOENT.into());
            return Err(Error::new("find tracefs at", &mounts[0], source));
        };
        sweep(tracing, root);
        let instance = make(tracing)?;
        // Before anything is switched on: it keeps others from removing the instance.
        let pipe = instance.0.join("trace_pipe");
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .map_err(|source| Error::new("open", pipe, source))?;
        let reader = Self {
            pipe,
            instance,
            parser: Parser::default(),
            buffer: Box::new([0; 16 << 10]),
        };
        reader.switch_on(tracing)?;
        Ok(reader)
    }

    fn switch_on(&self, tracing: &Path) -> Result<()> {
        // To remember the name of every task that ran costs a little at each change of tasks; who else
        // traces now would lose it too.
        if !others_trace(tracing) {
            let _ = self.write("trace_options", "norecord-cmd");
        }
        let _ = self.write("trace_options", "norecord-tgid");
        // The default has more than enough room.
        let _ = self.write("buffer_size_kb", BUFFER_KIB);
        // Since 5.0; else a wait is over only once half of the buffer is full.
        let _ = self.write("buffer_percent", "0");
        self.write("trace_clock", "boot")?;
        // The v2 hierarchy is the kernel's first; others are dropped later where they cannot be here.
        let _ = self.write("events/cgroup/cgroup_attach_task/filter", "dst_root == 0");
        for event in EVENTS {
            self.write(&format!("events/{event}/enable"), "1")?;
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.instance.0.join(file);
        fs::write(&file, text)
            .map_err(|source| Error::new(format!("write {text} to"), file, source))
    }

    /// Tells of all events that have come, without waiting.
    pub fn read(&mut self, mut tell: impl FnMut(Event)) -> Result<()> {
        loop {
            match self.pipe.read(&mut self.buffer[..]) {
                // Only where somebody has switched the instance off.
                Ok(0) => return Ok(()),
                Ok(read) => self.parser.take(&self.buffer[..read], &mut tell),
                Err(error) => match errno_of(&error) {
                    Errno::EAGAIN => return Ok(()),
                    Errno::EINTR => {}
                    _ => {
                        return Err(Error::new(
                            "read",
                            self.instance.0.join("trace_pipe"),
                            error,
                        ));
                    }
                },
            }
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Makes an instance of a name that nobody has: a program may watch twice.
fn make(tracing: &Path) -> Result<Instance> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let instances = tracing.join("instances");
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = instances.join(format!("{NAME}{}-{number}", process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(Instance(dir)),
            // Of a process of the same pid, elsewhere or before.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => {}
            Err(source) => return Err(Error::new("make the tracing instance", dir, source)),
        }
    }
}

/// Removes what killed programs have left. One that is in use refuses (`EBUSY`), also where its user lives
/// in another pid namespace.
fn sweep(tracing: &Path, root: &Path) {
    for name in names(&tracing.join("instances")).unwrap_or_default() {
        let pid = name
            .strip_prefix(NAME)
            .and_then(|rest| rest.split('-').next());
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = pid
            && !root.join(format!("proc/{pid}")).exists()
        {
            let _ = fs::remove_dir(tracing.join("instances").join(name));
        }
    }
}

/// Whether anybody has an event switched on.
fn others_trace(tracing: &Path) -> bool {
    let instances = tracing.join("instances");
    let others = names(&instances).unwrap_or_default();
    let others = others.iter().map(|name| instances.join(name));
    std::iter::once(tracing.to_owned())
        .chain(others)
        .any(|dir| fs::read(dir.join("set_event")).is_ok_and(|text| !text.trim_ascii().is_empty()))
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(dir)?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_tracefs_that_is_said() {
        let root = tempfile::tempdir().unwrap();
        let error = Reader::open(root.path()).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
        assert!(
            error.to_string().starts_with("find tracefs at /"),
            "{error}"
        );
    }
}
