//! A cgroup of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use ringfence::kernel::cgroup::tree::Cgroup;

use super::{binary, count, read};

pub const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 5] = ["memory", "cpu", "cpuset", "io", "pids"];

/// A script whose child is killed at a limit, and which goes on: without a word on that, the kernel may choose the
/// shell, too, while the child's memory is not yet free.
pub fn survivor(goes_on: &str) -> String {
    let set = |to: i32| format!("echo {to} >/proc/self/oom_score_adj");
    format!(
        "{}; ({}; exec tail /dev/zero); {goes_on}",
        set(-1000),
        set(0)
    )
}

/// A shell script in a cgroup.
pub fn start_in(cgroup: &Path, script: &str) -> Child {
    let enter = format!("echo $$ > {}/cgroup.procs; {script}", cgroup.display());
    Command::new("sh").args(["-c", &enter]).spawn().unwrap()
}

/// `above/own`, with all controllers; removed at its end.
pub struct Own {
    pub above: PathBuf,
    pub dir: PathBuf,
}

impl Own {
    pub fn new() -> Self {
        binary();
        let above = Path::new(MOUNT).join("above");
        let dir = above.join("own");
        fs::create_dir(&above).unwrap();
        for controller in CONTROLLERS {
            for at in [Path::new(MOUNT), &above] {
                let file = at.join("cgroup.subtree_control");
                fs::write(file, format!("+{controller}")).unwrap();
            }
        }
        fs::create_dir(&dir).unwrap();
        Self { above, dir }
    }

    pub fn read(&self, file: &str) -> String {
        read(self.dir.join(file))
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    /// A number of one of its flat keyed files.
    pub fn count(&self, file: &str, key: &str) -> u64 {
        count(self.dir.join(file), key)
    }

    /// A shell script in it.
    pub fn start(&self, script: &str) -> Child {
        start_in(&self.dir, script)
    }

    /// Kills all that is in it, and waits for the end of the shell that it was started by.
    pub fn kill(&self, mut shell: Child) {
        self.write("cgroup.kill", "1");
        shell.wait().unwrap();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = Cgroup::open(&self.above).and_then(|cgroup| cgroup.remove());
    }
}
