//! Which qemu runs the guests: this machine's own where it is new enough, else one from the cache.
//!
//! QEMU with a thread for each emulated CPU sometimes runs the breakpoint of a code patch that is over, and the guest's
//! kernel panics: `Oops: int3`. Whatever makes a kernel patch its own code under load sets it off: a trace event that is
//! enabled, a first cgroup with `cpu.max`. QEMU 7.2 does so within seconds, QEMU 10 a hundred times more seldom.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{self, Suite};
use crate::host;
use crate::setup;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// The first major version that patches code reliably, as far as it was tried.
const RELIABLE_MAJOR: u32 = 10;

/// What is taken from backports: the program, and the firmware that a machine without a network card reads.
const BACKPORTED: [&str; 3] = [PACKAGE, "qemu-system-data", "seabios"];
/// What the program wants beside libraries, and our guests do not use.
const UNNEEDED: [&str; 2] = ["qemu-system-common", "ipxe-qemu"];

/// A qemu that starts.
#[derive(Debug, Clone)]
pub struct Emulator {
    program: PathBuf,
    /// As it prints it.
    version: String,
    major: u32,
    /// Directories of firmware, where it is not installed.
    firmware: Vec<PathBuf>,
}

impl Emulator {
    /// Starts `program` to see what it is.
    fn probe(program: PathBuf, firmware: Vec<PathBuf>) -> Result<Self> {
        let printed = host::output(Command::new(&program).arg("--version"))?;
        let (version, major) = version_in(&String::from_utf8_lossy(&printed))
            .with_context(|| format!("{} prints no version", program.display()))?;
        Ok(Self {
            program,
            version,
            major,
            firmware,
        })
    }

    /// Whether a kernel in it may patch its own code without precautions.
    pub fn is_reliable(&self) -> bool {
        self.major >= RELIABLE_MAJOR
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Options that lead it to its firmware.
    pub fn options(&self) -> impl Iterator<Item = &OsStr> {
        let firmware = self.firmware.iter();
        firmware.flat_map(|directory| [OsStr::new("-L"), directory.as_os_str()])
    }
}

impl fmt::Display for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qemu {}, {}", self.version, self.program.display())?;
        if !self.is_reliable() {
            f.write_str(", older than 10: guests run with precautions and may still panic")?;
        }
        Ok(())
    }
}

/// `QEMU emulator version 10.0.2 (Debian …)`
fn version_in(printed: &str) -> Option<(String, u32)> {
    let (_, rest) = printed.split_once("version ")?;
    let version = rest.split_whitespace().next()?;
    let major = version.split('.').next()?.parse().ok()?;
    Some((version.to_owned(), major))
}

fn cached_dir() -> Result<PathBuf> {
    Ok(host::cache_dir()?.join("qemu"))
}

fn on_path() -> impl Iterator<Item = Result<Emulator>> {
    host::find_tools(PROGRAM).map(|program| Emulator::probe(program, Vec::new()))
}

fn in_directory(dir: &Path) -> Result<Emulator> {
    let firmware = ["qemu", "seabios"].map(|name| dir.join("usr/share").join(name));
    Emulator::probe(dir.join("usr/bin").join(PROGRAM), firmware.into())
}

fn cached() -> Option<Emulator> {
    in_directory(&cached_dir().ok()?).ok()
}

/// The best that is there: a reliable one on PATH, one in the cache, or any that starts.
pub fn find() -> Option<Emulator> {
    let mut installed: Vec<Emulator> = on_path().filter_map(Result::ok).collect();
    installed.sort_by_key(|emulator| !emulator.is_reliable());
    match installed.into_iter().next() {
        Some(emulator) if emulator.is_reliable() => Some(emulator),
        older => cached().or(older),
    }
}

/// The one to use, which `cargo xtask setup` sees to.
pub fn required() -> Result<Emulator> {
    find().with_context(|| format!("no {PROGRAM} that starts; try `cargo xtask setup`"))
}

/// Obtains a reliable emulator, and says in one line which one is used. Where none can be had it says so, and goes on
/// with what there is.
pub fn set_up() -> Result<()> {
    for error in on_path().filter_map(Result::err) {
        eprintln!("emulator: not this machine's own: {error:#}");
    }
    if !find().is_some_and(|found| found.is_reliable())
        && let Err(error) = obtain()
    {
        eprintln!("emulator: no qemu {RELIABLE_MAJOR} or newer: {error:#}");
        if find().is_none() {
            apt::install(&[PACKAGE])?;
        }
    }
    eprintln!("emulator: {}", required()?);
    Ok(())
}

fn obtain() -> Result<()> {
    // A machine without package lists knows no candidate.
    let candidate = apt::candidate(PACKAGE).or_else(|| {
        let _ = apt::update_package_lists();
        apt::candidate(PACKAGE)
    });
    if candidate.as_deref().and_then(major_of_package) >= Some(RELIABLE_MAJOR) {
        return apt::install(&[PACKAGE]);
    }
    let scratch = setup::scratch_dir()?;
    let backports = Suite::backports(scratch.path())?;
    let (unpacked, depends) = backports.fetch(&BACKPORTED, &UNNEEDED)?;
    // Libraries, as far as they are missing.
    if in_directory(&unpacked).is_err() {
        apt::satisfy(&depends)?;
    }
    let emulator = in_directory(&unpacked)?;
    if !emulator.is_reliable() {
        bail!("backports have {}", emulator.version);
    }
    setup::replace(&unpacked, &cached_dir()?)
}

/// Of a Debian version such as `1:10.0.2+ds-2`.
fn major_of_package(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    upstream.split(['.', '+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fake(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("usr/bin").join(PROGRAM);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        // By another process: a child that another test starts meanwhile would hold our descriptor, and a file that is
        // open for writing cannot be executed.
        let script = r#"printf %s "$1" >"$0"; chmod +x "$0""#;
        let written = Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(&program)
            .arg(text)
            .status();
        assert!(written.unwrap().success());
        (dir, program)
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let printed = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright\n";
        assert_eq!(version_in(printed), Some(("10.0.2".to_owned(), 10)));
        assert_eq!(version_in("QEMU emulator version 7.2.22").unwrap().1, 7);
        assert_eq!(version_in("no such thing"), None);
        assert_eq!(major_of_package("1:10.0.2+ds-2+deb13u1"), Some(10));
        assert_eq!(major_of_package("1:7.2+dfsg-7"), Some(7));
        assert_eq!(major_of_package("11~rc"), None);
    }

    #[test]
    fn emulator_that_is_too_old_is_known_by_its_version() {
        let (_dir, program) = fake("#!/bin/sh\necho QEMU emulator version 7.2.22\n");
        let emulator = Emulator::probe(program, Vec::new()).unwrap();
        assert!(!emulator.is_reliable());
        assert!(emulator.to_string().contains("precautions"));
    }

    #[test]
    fn emulator_that_does_not_start_is_none() {
        for text in [
            "#!/bin/sh\nexit 127\n",
            "#!/nowhere\n",
            "\x7fELF, the first half",
        ] {
            let (dir, _) = fake(text);
            assert!(in_directory(dir.path()).is_err(), "{text:?}");
        }
    }
}
