//! What a workload's root file system is made of: its layers, and what of the host shows inside.

use std::fs::Metadata;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::{Error, Result};
use super::image::Image;
use super::mask;
use super::spec::{HostDir, Net, Spec, StorageOpt};
use crate::kernel::error::Error as KernelError;
use crate::kernel::process::{Beneath, mounts_beneath_root};
use crate::kernel::syscall::mount::{detached_copy, map_ids};

/// A checked root.
#[derive(Debug)]
pub struct Root {
    /// Directories of the host, the top one first; they are never written.
    pub layers: Vec<PathBuf>,
    /// Where the layer that takes the writes stays.
    pub kept: Option<PathBuf>,
    /// How much of what is thrown away may be written.
    pub storage: Option<StorageOpt>,
    /// What shows inside, in the order in which to put it there.
    pub shown: Vec<Shown>,
    /// What of the host's root does not show, in its own file system.
    pub masked: Vec<PathBuf>,
    /// And on those beneath, which show.
    pub masked_beneath: Vec<PathBuf>,
    /// Whether `/sys` is a copy of the host's: only who has a network of its own may mount one.
    pub hosts_sys: bool,
}

/// A file or directory of the host that shows inside.
#[derive(Debug)]
pub struct Shown {
    /// On the host.
    pub source: PathBuf,
    /// Inside, absolute.
    pub target: String,
    /// Whether it cannot be written inside.
    pub read_only: bool,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether it was asked for, with all that is mounted below it; else it is one file system beneath the host's root.
    pub volume: bool,
}

impl Root {
    /// Checks what is asked for against this host. The layers of an image may not be there yet.
    pub fn new(spec: &Spec, image: Option<&Image>) -> Result<Self> {
        if image.is_some() && !spec.rootfs.is_empty() {
            return Err(Error::refused(
                "an image and a rootfs are each a root file system; leave one of them out",
            ));
        }
        let mut layers: Vec<PathBuf> = spec.rootfs.iter().map(directory).collect::<Result<_>>()?;
        layers.reverse();
        layers.extend(image.iter().flat_map(|image| image.layers()));
        let mut shown = Vec::new();
        let (mut masked, mut masked_beneath) = (Vec::new(), Vec::new());
        if layers.is_empty() {
            layers.push("/".into());
            let mut mounts = mounts_beneath_root();
            let all = mask::masked(&spec.unmask)?;
            mounts.retain(|mount| !all.iter().any(|path| mount.at.starts_with(path)));
            for path in all {
                match mounts.iter().rfind(|mount| path.starts_with(&mount.at)) {
                    None => masked.push(path),
                    Some(mount) if mount.holds_files => masked_beneath.push(path),
                    Some(_) => {}
                }
            }
            // An overlay shows one file system; what is mounted beneath would be empty directories.
            shown.extend(mounts.into_iter().filter_map(beneath));
        } else if !spec.unmask.is_empty() {
            return Err(Error::refused(
                "unmask is about the host's root, and this root file system is another",
            ));
        }
        if spec.layer_dir.is_some() && spec.storage_opt.is_some() {
            return Err(Error::refused(
                "storage-opt bounds what is thrown away, and layer-dir keeps it; leave one out",
            ));
        }
        for volume in &spec.volume {
            let source = &volume.source;
            let found = look(source)?;
            shown.push(Shown {
                source: std::path::absolute(source).unwrap_or_else(|_| source.clone()),
                target: volume.target.clone(),
                read_only: volume.read_only,
                directory: found.is_dir(),
                volume: true,
            });
        }
        Ok(Self {
            layers,
            kept: spec.layer_dir.as_ref().map(directory).transpose()?,
            storage: spec.storage_opt,
            hosts_sys: spec.net == Net::Host,
            masked,
            masked_beneath,
            shown,
        })
    }

    /// A copy of each mount that shows inside, attached nowhere yet, with its ids mapped by a user namespace where there
    /// is one; that of `/sys` comes last.
    pub fn copies(&self, mapping: Option<BorrowedFd<'_>>) -> Result<Vec<OwnedFd>> {
        let copies = self.shown.iter().map(|shown| shown.copy(mapping));
        let sys = self
            .hosts_sys
            .then(|| detached_copy(Path::new("/sys"), false, true));
        Ok(copies.chain(sys).collect::<std::result::Result<_, _>>()?)
    }

    /// Why not all of it can be mapped by a user namespace, as an end of a sentence. Nothing is mounted.
    pub fn try_mapped(&self, mapping: BorrowedFd<'_>) -> std::result::Result<(), String> {
        for dir in self.layers.iter().chain(&self.kept) {
            // A layer that is not unpacked yet will be on the file system that its store is on.
            let Some(dir) = dir.ancestors().find(|dir| dir.exists()) else {
                continue;
            };
            detached_copy(dir, false, true)
                .and_then(|copy| {
                    map_ids(&copy, false, mapping)
                        .map_err(|errno| KernelError::new("map", dir, errno))
                })
                .map_err(|error| why_not(dir, error.errno()))?;
        }
        for volume in self.shown.iter().filter(|shown| shown.volume) {
            volume
                .copy(Some(mapping))
                .map_err(|error| why_not(&volume.source, error.errno()))?;
        }
        Ok(())
    }
}

fn why_not(path: &Path, errno: Errno) -> String {
    let path = path.display();
    match errno {
        Errno::EINVAL => format!("the file system of {path} cannot map ids on this kernel"),
        errno => format!("the ids of {path} cannot be mapped: {}", errno.desc()),
    }
}

impl Shown {
    /// A copy of its mount. Of what is mounted below it, a volume's ids are mapped where all of that can be. What was
    /// not asked for and cannot be mapped shows as it is: nobody's.
    fn copy(&self, mapping: Option<BorrowedFd<'_>>) -> std::result::Result<OwnedFd, KernelError> {
        let copy = detached_copy(&self.source, self.volume, self.read_only)?;
        let Some(mapping) = mapping else {
            return Ok(copy);
        };
        let mapped = match map_ids(&copy, self.volume, mapping) {
            Err(_) if self.volume => map_ids(&copy, false, mapping),
            mapped => mapped,
        };
        match mapped {
            Err(errno) if self.volume => {
                Err(KernelError::new("map the ids of", &self.source, errno))
            }
            _ => Ok(copy),
        }
    }
}

/// A file system beneath the host's root, read-only.
fn beneath(mount: Beneath) -> Option<Shown> {
    if !mount.holds_files {
        return None;
    }
    Some(Shown {
        target: mount.at.to_str()?.to_owned(),
        directory: mount.at.is_dir(),
        source: mount.at,
        read_only: true,
        // Those below are there by themselves.
        volume: false,
    })
}

fn directory(dir: &HostDir) -> Result<PathBuf> {
    let path = dir.path();
    if !look(path)?.is_dir() {
        return Err(Error::refused(format!(
            "{} is not a directory",
            path.display()
        )));
    }
    Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn look(path: &Path) -> Result<Metadata> {
    path.metadata()
        .map_err(|error| Error::refused(format!("cannot use {}: {error}", path.display())))
}
