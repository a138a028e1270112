//! Units of systemd's, for the suites in the Debian guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use super::{Done, binary, read, wait_until};

pub const MOUNT: &str = "/sys/fs/cgroup";

/// Runs a command that must succeed, and gives what it said.
#[track_caller]
pub fn call(words: &[&str]) -> String {
    binary();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// `ringfence set`.
pub fn set(arguments: &[&str]) -> Done {
    let mut set = Command::new(binary());
    Done::from(set.arg("set").args(arguments).output().unwrap())
}

/// `ringfence set`, as the ordinary user would type it.
pub fn set_as_user(arguments: &str) -> Done {
    let set = format!(
        "XDG_RUNTIME_DIR=/run/user/1000 {} set {arguments}",
        binary().display()
    );
    Done::from(
        Command::new("su")
            .args(["user", "-c", &set])
            .output()
            .unwrap(),
    )
}

/// Has systemd apply its limits anew. What is written to the witness directly tells when it has: it undoes that.
#[track_caller]
pub fn daemon_reload(witness: &Unit) {
    let before = witness.read("pids.max");
    let direct = if before == "3" { "4" } else { "3" };
    witness.write("pids.max", direct);
    call(&["systemctl", "daemon-reload"]);
    wait_until("systemd to undo a direct write", || {
        witness.read("pids.max") != direct
    });
    // All units are done in one go.
    sleep(Duration::from_millis(200));
}

/// A unit that runs while its test does.
pub struct Unit {
    pub name: String,
    /// From the v2 root.
    pub path: PathBuf,
    starter: Option<Child>,
}

impl Unit {
    /// `systemd-run … sleep infinity` as a service of its own.
    pub fn service(name: &str) -> Self {
        let unit = format!("--unit={name}");
        call(&["systemd-run", "--quiet", &unit, "sleep", "infinity"]);
        Self::started(name)
    }

    /// The same as a scope, in a slice of that name.
    pub fn scope(name: &str, slice: &str) -> Self {
        let mut run = Command::new("systemd-run");
        run.args(["--quiet", "--scope"]);
        run.args([format!("--unit={name}"), format!("--slice={slice}")]);
        let starter = run.args(["sleep", "infinity"]).spawn().unwrap();
        let mut unit = Self::started(name);
        unit.starter = Some(starter);
        unit
    }

    /// One that is there already; it is stopped at the end all the same.
    pub fn started(name: &str) -> Self {
        let group = || {
            let show = ["show", "--property=ControlGroup", "--value", "--", name];
            let output = Command::new("systemctl").args(show).output().unwrap();
            let path = String::from_utf8(output.stdout).unwrap();
            PathBuf::from(path.trim_end().trim_start_matches('/'))
        };
        wait_until(name, || {
            let path = group();
            !path.as_os_str().is_empty() && Path::new(MOUNT).join(path).is_dir()
        });
        Self {
            name: name.to_owned(),
            path: group(),
            starter: None,
        }
    }

    pub fn target(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn file(&self, file: &str) -> PathBuf {
        Path::new(MOUNT).join(&self.path).join(file)
    }

    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        read(self.file(file))
    }

    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.file(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let tell = |verb: &str| {
            let _ = Command::new("systemctl")
                .args([verb, "--", &self.name])
                .output();
        };
        tell("stop");
        tell("revert");
        if let Some(starter) = &mut self.starter {
            let _ = starter.kill();
            let _ = starter.wait();
        }
    }
}
