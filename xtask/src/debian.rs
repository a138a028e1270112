//! The Debian guest with systemd.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{Archive, as_root};
use crate::guest;
use crate::host;
use crate::setup;

/// Besides the essential ones.
const PACKAGES: [&str; 10] = [
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "udev",
    "uidmap",
    "procps",
    "iproute2",
    "passt",
    "kmod",
];

/// Installed by apt, once the system is there: debootstrap cannot choose between `crun | runc`. With podman's
/// pods, which want catatonit to hold them, what else writes images, what else launches, and what kills before memory runs
/// out.
const MORE_PACKAGES: [&str; 9] = [
    "podman",
    "crun",
    "catatonit",
    "buildah",
    "skopeo",
    "runc",
    "bubblewrap",
    "earlyoom",
    "systemd-oomd",
];

const SETUP: &str = include_str!("../guest/debian-setup.sh");

/// Debian's merged directories.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// Where `setup --debian` puts the disk image, which runs share and do not change. Other packages or another
/// script make another image, so that none is out of date; those before it may be deleted.
pub fn image() -> Result<PathBuf> {
    let mut recipe = DefaultHasher::new();
    (PACKAGES, MORE_PACKAGES, SETUP).hash(&mut recipe);
    let name = format!("debian-{:016x}.img", recipe.finish());
    Ok(host::cache_dir()?.join(name))
}

/// Whether the image is there, and whole.
pub fn is_cached() -> Result<bool> {
    let metadata = fs::metadata(image()?);
    Ok(metadata.is_ok_and(|metadata| metadata.len() == guest::SYSTEM_DISK_BYTES))
}

/// Builds the image, unless it is there.
pub fn build() -> Result<()> {
    let image = image()?;
    if is_cached()? {
        eprintln!("debian: cached");
        return Ok(());
    }
    let Archive {
        mirror,
        release: suite,
        ..
    } = Archive::of_this_host()?;
    eprintln!("debian: bootstrapping {suite}, which takes a few minutes");
    let scratch = setup::scratch_dir()?;
    let tree = Tree(scratch.path().join("tree"));
    let mut debootstrap = as_root(&["debootstrap", "--variant=minbase"])?;
    let proxies = proxies();
    debootstrap.envs(proxies.clone());
    host::run(
        debootstrap
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg(&suite)
            .arg(&tree.0)
            .arg(&mirror),
    )
    .with_context(|| {
        format!("bootstrap {suite}; try `apt-get update` to see whether apt reaches its archive")
    })?;
    host::run(
        as_root(&["chroot"])?
            .envs(proxies)
            .arg(&tree.0)
            .args(["/bin/sh", "-c", SETUP, "setup"])
            .args(MORE_PACKAGES),
    )
    .context("set up the Debian guest")?;
    let unfinished = scratch.path().join("debian.img");
    guest::write_system_disk(&tree.0, &unfinished)?;
    setup::replace(&unfinished, &image)?;
    eprintln!("debian: {suite}");
    Ok(())
}

/// A tree that belongs to root, so that only root can remove it.
struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left of it stays in the cache, which costs room and nothing else.
        let _ = as_root(&["rm", "-rf", "--one-file-system"])
            .and_then(|mut remove| host::run(remove.arg(&self.0)));
    }
}

/// Apt's proxies, as debootstrap's downloader takes them: it does not read apt's configuration. In the
/// environment and not on the command line, as a proxy may have a password.
fn proxies() -> Vec<(&'static str, String)> {
    let names = [
        ("http_proxy", "Acquire::http::Proxy"),
        ("https_proxy", "Acquire::https::Proxy"),
    ];
    let of_apt = |(variable, option)| {
        let shell =
            host::output(Command::new("apt-config").args(["shell", "PROXY", option])).ok()?;
        let proxy = shell_value(&String::from_utf8_lossy(&shell))?;
        Some((variable, proxy))
    };
    names.into_iter().filter_map(of_apt).collect()
}

/// The URL in a line `PROXY='URL'`. `DIRECT` is apt's word for none.
fn shell_value(line: &str) -> Option<String> {
    let value = line.trim().strip_prefix("PROXY='")?.strip_suffix('\'')?;
    (!matches!(value, "" | "DIRECT" | "false")).then(|| value.to_owned())
}

/// Fills the tree of a run's own disk: what the image does not have. Paths through the merged directories
/// lead where they do in the image.
pub fn write_payload(tree: &Path) -> Result<()> {
    if !is_cached()? {
        bail!("the Debian guest is not set up; try `cargo xtask setup --debian`");
    }
    for directory in MERGED {
        let merged = Path::new("usr").join(directory);
        fs::create_dir_all(tree.join(&merged))?;
        symlink(&merged, tree.join(directory))?;
    }
    guest::place(&setup::busybox()?, &tree.join("usr/bin/busybox"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_taken_out_of_apts_quotes() {
        assert_eq!(shell_value("PROXY='http://p:1/'\n").unwrap(), "http://p:1/");
        assert_eq!(shell_value("PROXY='DIRECT'\n"), None);
        assert_eq!(shell_value(""), None);
    }
}
