//! The kernels a guest can boot, and which of their modules it needs.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::host;

/// Modules loaded before the disk is mounted. Kernels that have one built in ship no file for it.
const MODULES: [&str; 8] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "overlay",
    "loop",
    "tun",
    "veth",
    "quota_v2",
];

/// The list of a cached kernel's files.
const SIZES: &str = "sizes";
/// The modules that were asked for when it was cached.
const WANTED: &str = "wanted";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kernel {
    #[value(name = "6.12")]
    V6_12,
    /// Older: no `cpu.stat.local`, for one
    #[value(name = "6.1")]
    V6_1,
}

impl Kernel {
    pub const ALL: [Self; 2] = [Self::V6_12, Self::V6_1];

    fn version(self) -> &'static str {
        match self {
            Self::V6_12 => "6.12",
            Self::V6_1 => "6.1",
        }
    }

    /// The Debian release whose own kernel it is.
    pub fn debian_release(self) -> &'static str {
        match self {
            Self::V6_12 => "trixie",
            Self::V6_1 => "bookworm",
        }
    }

    /// Debian packages that depend on the newest build of this kernel, on one release or another.
    pub fn meta_packages(self) -> [String; 2] {
        [
            format!("linux-image-{self}-cloud-amd64"),
            "linux-image-cloud-amd64".to_owned(),
        ]
    }

    /// The package of this kernel in the output of `apt-cache depends META`.
    pub fn package_in(self, depends: &str) -> Option<String> {
        let prefix = format!("linux-image-{self}.");
        depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|package| package.starts_with(&prefix))
            .map(str::to_owned)
    }

    /// Where `setup` puts `vmlinuz`, `release` and `modules/`.
    pub fn dir(self) -> Result<PathBuf> {
        Ok(host::cache_dir()?.join(format!("kernel-{self}")))
    }

    /// The full release, such as `6.12.117+deb12-cloud-amd64`, if `setup` has fetched this kernel and all of it is
    /// still there.
    pub fn cached_release(self) -> Result<Option<String>> {
        let dir = self.dir()?;
        let release = fs::read_to_string(dir.join("release")).ok();
        Ok(release.filter(|_| is_whole(&dir)))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version())
    }
}

/// Takes what a guest needs out of an unpacked kernel package, into `into`.
///
/// Module files are numbered in loading order, so that the guest needs no `modprobe`.
pub fn extract(package: &Path, into: &Path) -> Result<String> {
    // Below usr since Debian 13.
    let [usr, bare] = ["usr/lib/modules", "lib/modules"].map(|path| package.join(path));
    let modules_root = if usr.is_dir() { usr } else { bare };
    let release = only_entry(&modules_root)?;
    let vmlinuz = package.join(format!("boot/vmlinuz-{release}"));
    fs::create_dir_all(into.join("modules"))?;
    fs::copy(&vmlinuz, into.join("vmlinuz"))
        .with_context(|| format!("copy {}", vmlinuz.display()))?;

    let mut files = HashMap::new();
    find_modules(&modules_root.join(&release), &mut files)?;
    let mut ordered = Vec::new();
    for name in MODULES {
        load_order(name, &files, &mut ordered)?;
    }
    for (index, (name, bytes)) in ordered.iter().enumerate() {
        fs::write(into.join(format!("modules/{index:02}-{name}.ko")), bytes)?;
    }
    fs::write(into.join("release"), &release)?;
    fs::write(into.join(WANTED), MODULES.join("\n"))?;
    let sizes = sizes(into)?;
    fs::write(into.join(SIZES), sizes)?;
    Ok(release)
}

/// `SIZE NAME` of each file, by which a file that was cut off is known.
fn sizes(dir: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for part in ["", "modules"] {
        for entry in fs::read_dir(dir.join(part))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = Path::new(part).join(entry.file_name());
                lines.push(format!("{} {}\n", entry.metadata()?.len(), name.display()));
            }
        }
    }
    lines.sort();
    Ok(lines.concat())
}

/// Whether all files that are wanted are there, with the size that they had when they were fetched.
fn is_whole(dir: &Path) -> bool {
    let wanted = fs::read_to_string(dir.join(WANTED));
    let Ok(sizes) = fs::read_to_string(dir.join(SIZES)) else {
        return false;
    };
    wanted.is_ok_and(|wanted| wanted == MODULES.join("\n"))
        && sizes.lines().all(|line| {
            line.split_once(' ').is_some_and(|(size, name)| {
                let metadata = fs::metadata(dir.join(name));
                metadata.is_ok_and(|metadata| metadata.len().to_string() == size)
            })
        })
}

fn only_entry(dir: &Path) -> Result<String> {
    let entry = fs::read_dir(dir)
        .with_context(|| format!("list {}", dir.display()))?
        .next()
        .with_context(|| format!("{} is empty", dir.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn find_modules(dir: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            find_modules(&path, files)?;
        } else if let Some(file) = path.file_name().and_then(|name| name.to_str())
            && let Some((name, _)) = file.split_once(".ko")
        {
            files.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

/// Appends `name` and, before it, what it depends on.
fn load_order(
    name: &str,
    files: &HashMap<String, PathBuf>,
    ordered: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let Some(file) = files.get(name) else {
        return Ok(()); // built in
    };
    if ordered.iter().any(|(loaded, _)| loaded == name) {
        return Ok(());
    }
    let bytes = if file.extension().is_some_and(|extension| extension == "xz") {
        host::output(host::tool("xz")?.arg("-dc").arg(file))?
    } else {
        fs::read(file).with_context(|| format!("read {}", file.display()))?
    };
    for dependency in depends(&bytes) {
        load_order(&dependency, files, ordered)?;
    }
    ordered.push((name.to_owned(), bytes));
    Ok(())
}

/// The `depends=` entry of a module's `.modinfo` section.
fn depends(module: &[u8]) -> Vec<String> {
    module
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))
        .map(String::from_utf8_lossy)
        .map(|list| {
            list.split(',')
                .filter(|name| !name.is_empty())
                .map(|name| name.replace('-', "_"))
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_read_from_apt() {
        let depends =
            "linux-image-6.12-cloud-amd64\n  Depends: linux-image-6.12.117+deb12-cloud-amd64\n";
        assert_eq!(
            Kernel::V6_12.package_in(depends).as_deref(),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        // 6.12 is not a 6.1.
        assert_eq!(Kernel::V6_1.package_in(depends), None);
    }

    #[test]
    fn kernel_with_a_file_cut_off_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("modules")).unwrap();
        write("vmlinuz", "kernel");
        write("modules/00-overlay.ko", "module");
        write(WANTED, &MODULES.join("\n"));
        assert!(!is_whole(dir.path()));
        write(SIZES, &sizes(dir.path()).unwrap());
        assert!(is_whole(dir.path()));
        write("modules/00-overlay.ko", "mod");
        assert!(!is_whole(dir.path()));
        fs::remove_file(dir.path().join("modules/00-overlay.ko")).unwrap();
        assert!(!is_whole(dir.path()));
    }

    #[test]
    fn a_kernel_without_a_module_that_is_wanted_by_now_is_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("modules")).unwrap();
        fs::write(dir.path().join(SIZES), "").unwrap();
        fs::write(dir.path().join(WANTED), MODULES.join("\n")).unwrap();
        assert!(is_whole(dir.path()));
        fs::write(dir.path().join(WANTED), MODULES[1..].join("\n")).unwrap();
        assert!(!is_whole(dir.path()));
    }

    #[test]
    fn module_dependencies_are_read_from_modinfo() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0retpoline=Y\0";
        assert_eq!(depends(module), ["virtio", "virtio_ring"]);
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"").is_empty());
    }
}
