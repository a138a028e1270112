//! What this host offers: tools, privileges, a cache directory, a usable cgroup v2.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access, statfs};

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Controllers without which ringfence has little to show or to limit.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The full path of `tool`; also looks in the sbin directories, which users often do not have on PATH.
pub fn find_tool(tool: &str) -> Option<PathBuf> {
    find_tools(tool).next()
}

/// The full paths of all programs of this name, in the order in which they are looked for.
pub fn find_tools(tool: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories
        .into_iter()
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(move |dir| dir.join(tool))
        .filter(|file| access(file, Access::EXEC_OK).is_ok() && file.is_file())
}

/// A command for `tool`, which `cargo xtask setup` installs.
pub fn tool(name: &str) -> Result<Command> {
    let path = find_tool(name)
        .with_context(|| format!("{name} is not installed; try `cargo xtask setup`"))?;
    Ok(Command::new(path))
}

/// A command for `program` that the kernel kills when we end, however that happens.
pub fn dying_with_us(program: &Path) -> Result<Command> {
    let mut command = tool("setpriv")?;
    command.args(["--pdeathsig", "KILL"]).arg(program);
    Ok(command)
}

/// `$XDG_CACHE_HOME/ringfence`, or `~/.cache/ringfence`.
pub fn cache_dir() -> Result<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("ringfence"))
        .context("no place for the cache: set HOME or XDG_CACHE_HOME to an absolute path")
}

/// The root of this repository.
pub fn workspace_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Runs `command` to its end with its output on our stderr, as stdout belongs to the guest's program.
pub fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs `command` and returns what it printed; on failure its stderr is in the error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = describe(command);
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start `{line}`"))?;
    if !status.success() {
        bail!(
            "`{line}` failed ({status}): {}",
            String::from_utf8_lossy(&stderr).trim()
        );
    }
    Ok(stdout)
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `words` as one line for a POSIX shell, byte for byte.
pub fn shell_quote<S: AsRef<OsStr>>(words: &[S]) -> OsString {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.push(b'\'');
        for &byte in word.as_ref().as_bytes() {
            match byte {
                b'\'' => line.extend(br"'\''"),
                byte => line.push(byte),
            }
        }
        line.push(b'\'');
    }
    OsStr::from_bytes(&line).to_owned()
}

/// How a program that manages cgroups can run on this host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    AsRoot,
    ThroughSudo,
}

/// Whether ringfence can set limits here, or else why not.
pub fn native_cgroup() -> std::result::Result<Native, String> {
    let root = Path::new("/sys/fs/cgroup");
    let magic = statfs(root)
        .map_err(|error| format!("statfs {}: {error}", root.display()))?
        .f_type;
    if u64::try_from(magic) != Ok(CGROUP2_MAGIC) {
        return Err(format!("no unified cgroup v2 on {}", root.display()));
    }
    let controllers = std::fs::read_to_string(root.join("cgroup.controllers"))
        .map_err(|error| format!("read {}/cgroup.controllers: {error}", root.display()))?;
    let missing = missing_controllers(&controllers);
    if !missing.is_empty() {
        return Err(format!(
            "cgroup v2 has no {} controller here",
            missing.join(", ")
        ));
    }
    if !is_root() {
        return match find_tool("sudo") {
            Some(_) => Ok(Native::ThroughSudo),
            None => Err("neither root nor sudo".to_owned()),
        };
    }
    // Containers often have the right file system, but read-only.
    match access(root.join("cgroup.subtree_control"), Access::WRITE_OK) {
        Ok(()) => Ok(Native::AsRoot),
        Err(error) => Err(format!("{} is not writable: {error}", root.display())),
    }
}

fn missing_controllers(offered: &str) -> Vec<&'static str> {
    CONTROLLERS
        .into_iter()
        .filter(|wanted| !offered.split_whitespace().any(|have| have == *wanted))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_keeps_every_byte() {
        let words = [
            OsStr::new("a b"),
            OsStr::new("it's"),
            OsStr::new(""),
            OsStr::from_bytes(b"$x\n\"\\\xff\x81*"),
        ];
        let mut script = OsString::from("printf '%s\\0' ");
        script.push(shell_quote(&words));
        let printed = output(Command::new("sh").arg("-c").arg(script)).unwrap();
        let expected: Vec<u8> = words
            .iter()
            .flat_map(|word| word.as_bytes().iter().copied().chain([0]))
            .collect();
        assert_eq!(printed, expected);
    }

    #[test]
    fn controllers_are_compared_by_whole_word() {
        assert_eq!(missing_controllers("cpuset io memory pids rdma"), ["cpu"]);
        assert!(missing_controllers("cpuset cpu io memory hugetlb pids\n").is_empty());
    }

    #[test]
    fn tools_are_found_by_name() {
        assert!(find_tool("sh").is_some());
        assert!(find_tool("no-such-tool-anywhere").is_none());
    }
}
