//! `cargo xtask setup`: everything a guest needs, fetched once and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::apt::{self, Suite, Tool, install_tools, update_package_lists};
use crate::debian;
use crate::emulator;
use crate::host::{self, find_tool};
use crate::kernel::{self, Kernel};

const TOOLS: [Tool; 3] = [
    ("mkfs.ext4", "e2fsprogs"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
];

/// Launchers to measure beside ours.
const PEERS: [Tool; 3] = [("bwrap", "bubblewrap"), ("crun", "crun"), ("runc", "runc")];

/// How the name of a set-up's own directory in the cache begins.
const UNFINISHED: &str = ".unfinished-";

/// No set-up takes so long.
const ABANDONED: Duration = Duration::from_hours(24);

const DEBIAN_TOOLS: [Tool; 1] = [("debootstrap", "debootstrap")];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Fetch only this kernel [default: all]
    #[arg(long = "kernel", value_enum)]
    kernels: Vec<Kernel>,
    /// Also build the Debian guest with systemd and podman (downloads about 140 MB, takes minutes)
    #[arg(long)]
    debian: bool,
}

pub fn run(args: &Args) -> Result<()> {
    install_tools(&TOOLS)?;
    let cache = host::cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    remove_unfinished(&cache);
    emulator::set_up()?;
    fetch_busybox()?;

    let kernels = if args.kernels.is_empty() {
        &Kernel::ALL[..]
    } else {
        &args.kernels
    };
    let mut missing = Vec::new();
    for &kernel in kernels {
        if let Err(error) = fetch_kernel(kernel) {
            eprintln!("kernel {kernel}: {error:#}");
            missing.push(kernel.to_string());
        }
    }
    if args.debian {
        install_tools(&DEBIAN_TOOLS)?;
        debian::build()?;
    }
    if !missing.is_empty() {
        let others = if missing.len() < kernels.len() {
            "; the others work: `cargo xtask vm --kernel …`"
        } else {
            ""
        };
        bail!("no kernel {} here{others}", missing.join(" and no kernel "));
    }
    Ok(())
}

/// Removes what a set-up that was killed has left, unless it is so new that it may still run.
fn remove_unfinished(cache: &Path) {
    let unfinished = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
            let ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            (ours && age > ABANDONED).then(|| entry.path())
        });
    for directory in unfinished {
        if let Err(error) = fs::remove_dir_all(&directory) {
            eprintln!("{}: {error}", directory.display());
        }
    }
}

/// Sets up what a kernel needs, and says nothing where all of it is there.
pub fn ensure(kernel: Kernel) -> Result<()> {
    let complete = starts(&busybox()?)
        && emulator::find().is_some()
        && TOOLS.iter().all(|(tool, _)| find_tool(tool).is_some())
        && kernel.cached_release()?.is_some();
    if complete {
        return Ok(());
    }
    run(&Args {
        kernels: vec![kernel],
        debian: false,
    })
}

/// The same for the Debian guest.
pub fn ensure_debian() -> Result<()> {
    if debian::is_cached()? {
        return Ok(());
    }
    install_tools(&TOOLS)?;
    install_tools(&DEBIAN_TOOLS)?;
    debian::build()
}

/// Installs the launchers to measure beside ours, as far as they can be had.
pub fn ensure_peers() {
    if let Err(error) = install_tools(&PEERS) {
        eprintln!("launchers: {error:#}");
    }
}

/// Where `setup` puts the static busybox.
pub fn busybox() -> Result<PathBuf> {
    Ok(host::cache_dir()?.join("busybox"))
}

fn fetch_busybox() -> Result<()> {
    let busybox = busybox()?;
    if starts(&busybox) {
        eprintln!("busybox: cached");
        return Ok(());
    }
    eprintln!("busybox: downloading busybox-static");
    let scratch = scratch_dir()?;
    let unpacked = apt::download("busybox-static", scratch.path())?;
    // usr/bin since Debian 13, bin before.
    let file = ["usr/bin/busybox", "bin/busybox"]
        .map(|path| unpacked.join(path))
        .into_iter()
        .find(|path| path.exists())
        .context("package busybox-static holds no busybox")?;
    replace(&file, &busybox)
}

/// Whether busybox is there, and not a part of it.
fn starts(busybox: &Path) -> bool {
    host::output(Command::new(busybox).arg("true")).is_ok()
}

fn fetch_kernel(kernel: Kernel) -> Result<()> {
    if let Some(release) = kernel.cached_release()? {
        eprintln!("kernel {kernel}: {release}, cached");
        return Ok(());
    }
    let scratch = scratch_dir()?;
    let unpacked = download_kernel(kernel, scratch.path())?;
    let extracted = scratch.path().join("kernel");
    let release = kernel::extract(&unpacked, &extracted)?;
    replace(&extracted, &kernel.dir()?)?;
    eprintln!("kernel {kernel}: {release}");
    Ok(())
}

/// From this machine's own sources, else from the release whose kernel it is.
fn download_kernel(kernel: Kernel, scratch: &Path) -> Result<PathBuf> {
    if let Some(package) = newest_package(kernel) {
        eprintln!("kernel {kernel}: downloading {package}");
        return apt::download(&package, scratch);
    }
    let release = kernel.debian_release();
    let suite = Suite::release(release, scratch)?;
    let metas = kernel.meta_packages();
    let mut listed = metas.iter().filter_map(|meta| suite.depends(meta).ok());
    let package = listed
        .find_map(|depends| kernel.package_in(&depends))
        .with_context(|| format!("Debian {release} does not offer it either"))?;
    eprintln!("kernel {kernel}: downloading {package} of Debian {release}");
    Ok(suite.fetch(&[&package], &[])?.0)
}

/// The package as this machine's own sources offer it.
fn newest_package(kernel: Kernel) -> Option<String> {
    let named_by_apt = || {
        kernel.meta_packages().iter().find_map(|meta| {
            // An unknown package is an error of apt-cache, and here just a no.
            let depends = host::output(Command::new("apt-cache").args(["depends", meta])).ok()?;
            kernel.package_in(&String::from_utf8_lossy(&depends))
        })
    };
    named_by_apt().or_else(|| {
        // Without the rights to update, what apt knows already is all there is.
        if let Err(error) = update_package_lists() {
            eprintln!("kernel {kernel}: {error:#}");
        }
        named_by_apt()
    })
}

/// A directory on the cache's file system, so that what is finished can be renamed into place.
pub fn scratch_dir() -> Result<tempfile::TempDir> {
    let cache = host::cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(&cache)
        .with_context(|| format!("create a directory in {}", cache.display()))
}

/// The same where what is in `place` is known to be of no use.
pub fn replace(finished: &Path, place: &Path) -> Result<()> {
    let removed = if place.is_dir() {
        fs::remove_dir_all(place)
    } else if place.exists() {
        fs::remove_file(place)
    } else {
        Ok(())
    };
    removed.with_context(|| format!("remove {}", place.display()))?;
    put(finished, place)
}

/// Renames `finished` to `place`: an interrupted set-up leaves nothing that looks complete.
pub fn put(finished: &Path, place: &Path) -> Result<()> {
    match fs::rename(finished, place) {
        // Another set-up was faster.
        Err(_) if place.exists() => Ok(()),
        result => {
            result.with_context(|| format!("rename {} to {}", finished.display(), place.display()))
        }
    }
}
