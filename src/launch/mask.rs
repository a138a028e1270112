//! What of the host's root file system does not show inside: secrets, and what is kept of workloads. The list is
//! `assets/masked.txt`.
//!
//! In the root file system, a layer above the host's has an empty file or directory in their place, which can be written
//! as any other. On a file system beneath it, which is read-only, they are covered by a mount.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};
use rustix::fs::{XattrFlags, setxattr};

use super::error::{Error, Result};
use super::ids::Ids;
use super::spec::Unmask;
use crate::kernel::error::{Error as KernelError, Result as KernelResult};

const LIST: &str = include_str!("../../assets/masked.txt");

const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What marks a directory that nothing of the layers below shows in.
/// <https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories>
const OPAQUE: &str = "trusted.overlay.opaque";

fn patterns() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter(|line| line.starts_with('/'))
}

/// What is there on this host and is to be masked, links followed.
pub fn masked(unmask: &[Unmask]) -> Result<Vec<PathBuf>> {
    for wish in unmask {
        check(wish)?;
    }
    let mut paths: Vec<PathBuf> = patterns()
        .flat_map(matching)
        .filter(|path| !shows(unmask, path))
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    paths.sort();
    // What is in a masked directory is masked.
    paths.dedup_by(|path, before| path.starts_with(before));
    Ok(paths)
}

/// What a pattern of the list may lead to. Most are paths, which need not be looked for.
fn matching(pattern: &str) -> Vec<PathBuf> {
    if Pattern::escape(pattern) == pattern {
        return vec![pattern.into()];
    }
    let found = glob_with(pattern, AS_A_SHELL).into_iter().flatten();
    found.flatten().collect()
}

/// A wish that concerns nothing on the list is a mistake.
fn check(wish: &Unmask) -> Result<()> {
    let Unmask::Path(path) = wish else {
        return Ok(());
    };
    if patterns().any(|pattern| Path::new(pattern).starts_with(path)) || is_listed(path) {
        return Ok(());
    }
    let above = path.ancestors().skip(1).find(|above| is_listed(above));
    Err(Error::refused(above.map_or_else(
        || format!("{} is not masked", path.display()),
        |above| {
            format!(
                "{} is masked with all of {1}; write --unmask {1}",
                path.display(),
                above.display()
            )
        },
    )))
}

fn is_listed(path: &Path) -> bool {
    patterns()
        .filter_map(|pattern| Pattern::new(pattern).ok())
        .any(|pattern| pattern.matches_path_with(path, AS_A_SHELL))
}

/// The masked path that this one is in, if any.
pub fn over<'a>(path: &'a Path, unmask: &[Unmask]) -> Option<&'a Path> {
    let mut above = path.ancestors();
    above.find(|above| is_listed(above) && !shows(unmask, above))
}

/// Whether it was asked for.
fn shows(unmask: &[Unmask], path: &Path) -> bool {
    unmask.iter().any(|wish| match wish {
        Unmask::All => true,
        Unmask::Path(shown) => path.starts_with(shown),
    })
}

/// Fills the layer: its files' ids are those outside.
pub fn fill_layer(layer: &Path, masked: &[PathBuf], ids: &Ids) -> KernelResult<()> {
    copy_owner(Path::new("/"), layer, ids)?;
    for path in masked {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        for dir in above.into_iter().rev() {
            copy_directory(dir, &inside(layer, dir), ids)?;
        }
        let at = inside(layer, path);
        if path.is_dir() {
            copy_directory(path, &at, ids)?;
            setxattr(&at, OPAQUE, b"y", XattrFlags::empty())
                .map_err(|errno| KernelError::new("mask", path, io::Error::from(errno)))?;
        } else {
            fs::File::create_new(&at).map_err(|error| KernelError::new("create", &at, error))?;
            copy_owner(path, &at, ids)?;
        }
    }
    Ok(())
}

fn inside(layer: &Path, path: &Path) -> PathBuf {
    layer.join(path.strip_prefix("/").unwrap_or(path))
}

/// The same directory, empty, unless it is there already.
fn copy_directory(from: &Path, to: &Path, ids: &Ids) -> KernelResult<()> {
    match DirBuilder::new().mode(0o700).create(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(KernelError::new("create", to, error)),
        Ok(()) => copy_owner(from, to, ids),
    }
}

/// A directory shows as the topmost layer has it.
fn copy_owner(from: &Path, to: &Path, ids: &Ids) -> KernelResult<()> {
    let copy = |of: &Metadata| {
        let (uid, gid) = ids.outside(of.uid(), of.gid());
        chown(to, Some(uid), Some(gid))?;
        fs::set_permissions(to, fs::Permissions::from_mode(of.mode() & 0o7777))
    };
    fs::metadata(from)
        .and_then(|of| copy(&of))
        .map_err(|error| KernelError::new("copy the owner and mode of", from, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_of_absolute_patterns() {
        for line in LIST.lines() {
            assert!(line.starts_with('#') || line.starts_with('/'), "{line}");
        }
        for pattern in patterns() {
            Pattern::new(pattern).unwrap();
            assert!(
                !pattern.ends_with('/') && !pattern.contains("**"),
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_is_masked_is_known_by_its_path() {
        for (path, by) in [
            ("/etc/shadow", Some("/etc/shadow")),
            (
                "/etc/ssh/ssh_host_rsa_key",
                Some("/etc/ssh/ssh_host_rsa_key"),
            ),
            ("/home/me/.ssh/id", Some("/home/me/.ssh")),
            ("/root/bin/tool", Some("/root")),
            ("/etc/ssh/ssh_host_rsa_key.pub", None),
            ("/etc/passwd", None),
            ("/home/me/x/.ssh", None),
            ("/rooted", None),
        ] {
            assert_eq!(over(Path::new(path), &[]), by.map(Path::new), "{path}");
        }
    }

    #[test]
    fn what_was_asked_for_is_not_masked() {
        let path = Path::new("/root/bin/tool");
        for (wish, by) in [("/root", None), ("ALL", None), ("/etc", Some("/root"))] {
            let unmask = [wish.parse().unwrap()];
            assert_eq!(over(path, &unmask), by.map(Path::new), "{wish}");
        }
    }

    #[test]
    fn a_wish_must_be_about_something_masked() {
        let check = |text: &str| check(&text.parse().unwrap()).map_err(|error| error.to_string());
        for good in ["ALL", "/etc", "/etc/ssh", "/root", "/home/me/.ssh", "/home"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(
            check("/etc/passwd"),
            Err("/etc/passwd is not masked".to_owned())
        );
        let error = check("/root/.config").unwrap_err();
        assert!(error.contains("write --unmask /root"), "{error}");
    }
}
