//! Values about the root file system: directories, volumes, tmpfs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::kernel::unit::{BadValue, bad};

/// What the kernel's own file systems are mounted on: nothing else may be.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A directory of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDir(PathBuf);

impl HostDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// From the root on.
    pub fn make_absolute(&mut self) {
        crate::launch::spec::make_absolute(&mut self.0);
    }
}

impl FromStr for HostDir {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() || text.contains('\0') {
            return bad("a directory is wanted".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for HostDir {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(out)
    }
}

/// What of the host's root shows inside although it is masked by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmask {
    /// Everything.
    All,
    /// What is at this path of the host, and below.
    Path(PathBuf),
}

impl FromStr for Unmask {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "ALL" | "all" => Ok(Self::All),
            path if path.starts_with('/') => Ok(Self::Path(path.into())),
            _ => bad(format!(
                "`{text}` is nothing to unmask; write a path from / on, or ALL"
            )),
        }
    }
}

impl fmt::Display for Unmask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("ALL"),
            Self::Path(path) => path.display().fmt(out),
        }
    }
}

/// A file or directory of the host that shows inside: `SRC:DST[:ro]`. A colon in a path is written `\:`, and a
/// backslash `\\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it shows, absolute.
    pub target: String,
    /// Whether it cannot be written inside.
    pub read_only: bool,
}

impl FromStr for Volume {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parts = split(text);
        let (source, target, read_only) = match parts.as_slice() {
            [source, target] => (source, target, false),
            [source, target, mode] if matches!(&**mode, "ro" | "rw") => {
                (source, target, mode == "ro")
            }
            _ => {
                return bad(format!(
                    "`{text}` is no volume; write SRC:DST or SRC:DST:ro, and `\\:` for a colon in a path"
                ));
            }
        };
        if source.is_empty() {
            return bad(format!("the volume `{text}` has no source"));
        }
        Ok(Self {
            source: source.into(),
            target: place(target)?,
            read_only,
        })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |path: &str| path.replace('\\', "\\\\").replace(':', "\\:");
        write!(
            out,
            "{}:{}",
            escape(&self.source.to_string_lossy()),
            escape(&self.target)
        )?;
        out.write_str(if self.read_only { ":ro" } else { "" })
    }
}

/// A fresh file system in memory: `DST[:OPTIONS]` with `size=64m`, `mode=1777`, `exec`, `ro`, as docker has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where, absolute.
    pub target: String,
    /// For the file system itself.
    pub options: String,
    /// Whether programs in it may be executed.
    pub exec: bool,
    /// Whether it stays empty.
    pub read_only: bool,
}

impl FromStr for Tmpfs {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut tmpfs = Self {
            target: place(target)?,
            options: String::new(),
            exec: false,
            read_only: false,
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size" | "mode" | "nr_inodes" | "uid" | "gid", value))
                    if !value.is_empty() =>
                {
                    if !tmpfs.options.is_empty() {
                        tmpfs.options.push(',');
                    }
                    tmpfs.options.push_str(option);
                }
                None if option == "exec" => tmpfs.exec = true,
                None if option == "ro" => tmpfs.read_only = true,
                None if matches!(option, "rw" | "noexec" | "nosuid" | "nodev") => {}
                _ => {
                    return bad(format!(
                        "`{option}` is no option of a tmpfs; there are size=, mode=, uid=, gid=, nr_inodes=, exec and ro"
                    ));
                }
            }
        }
        Ok(tmpfs)
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<&str> = vec![&self.options];
        options.retain(|options| !options.is_empty());
        options.extend(self.exec.then_some("exec"));
        options.extend(self.read_only.then_some("ro"));
        out.write_str(&self.target)?;
        if !options.is_empty() {
            write!(out, ":{}", options.join(","))?;
        }
        Ok(())
    }
}

/// A place inside for a mount of one's own.
fn place(target: &str) -> Result<String, BadValue> {
    let path = Path::new(target);
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || climbs || target.contains('\0') || path == Path::new("/") {
        return bad(format!(
            "`{target}` is no place for a mount; write an absolute path without `..`, and not `/`"
        ));
    }
    let own = KERNELS.iter().find(|own| path.starts_with(own));
    // Docker's users put things there.
    if let Some(own) = own.filter(|own| path == Path::new(own) || **own == "/proc") {
        return bad(format!(
            "{own} is the kernel's own, nothing else may be mounted on `{target}`"
        ));
    }
    Ok(target.to_owned())
}

/// The parts between colons that no backslash is before.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(next @ (':' | '\\')) => push(&mut parts, next),
                Some(next) => {
                    push(&mut parts, '\\');
                    push(&mut parts, next);
                }
                None => push(&mut parts, '\\'),
            },
            ':' => parts.push(String::new()),
            char => push(&mut parts, char),
        }
    }
    parts
}

fn push(parts: &mut [String], char: char) {
    if let Some(last) = parts.last_mut() {
        last.push(char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_what_docker_takes_and_colons_can_be_escaped() {
        for (text, source, target, read_only) in [
            ("/a:/b", "/a", "/b", false),
            ("a/b:/b:ro", "a/b", "/b", true),
            ("/a:/b:rw", "/a", "/b", false),
            (r"/a\:b:/c\\d,e", "/a:b", r"/c\d,e", false),
            ("/a\n\":/b\n", "/a\n\"", "/b\n", false),
        ] {
            let volume: Volume = text.parse().unwrap();
            assert_eq!(volume.source, Path::new(source));
            assert_eq!((&*volume.target, volume.read_only), (target, read_only));
            assert_eq!(volume.to_string().parse::<Volume>().unwrap(), volume);
        }
        for text in [
            "",
            "/a",
            "/a:",
            ":/b",
            "/a:b",
            "/a:/",
            "/a:/b:z",
            "/a:/b/../c",
            "/a:/proc/1",
            "/a:/dev",
        ] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
    }

    #[test]
    fn tmpfs_options_are_checked() {
        let tmpfs: Tmpfs = "/t:size=1m,exec,mode=1777,rw".parse().unwrap();
        assert_eq!(
            (&*tmpfs.options, tmpfs.exec, tmpfs.read_only),
            ("size=1m,mode=1777", true, false)
        );
        assert_eq!(tmpfs.to_string().parse::<Tmpfs>().unwrap(), tmpfs);
        for text in [
            "t",
            "/",
            "/t:size",
            "/t:size=",
            "/t:huge=always",
            "/proc",
            "/t:x",
        ] {
            assert!(text.parse::<Tmpfs>().is_err(), "{text}");
        }
    }
}
