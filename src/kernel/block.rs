//! Block devices: `io.max` takes whole disks only, so a partition is led back to its disk.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::sys::stat::{major, minor};

use crate::kernel::io::Device;

/// A whole disk, and the partition that it was asked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The disk's numbers.
    pub device: Device,
    /// The disk's kernel name: `vda`.
    pub name: String,
    /// Whether a partition of it was named.
    pub asked_by_partition: bool,
}

impl Disk {
    /// What is to be said where a partition was named.
    pub fn notice(&self, asked: &str) -> String {
        format!(
            "{asked} is a partition, and the kernel limits whole disks only: the limit is on {} ({})",
            self.name, self.device
        )
    }
}

/// Why a path is no disk.
#[derive(Debug, thiserror::Error)]
pub enum NotADisk {
    /// Nothing there, or not allowed to look.
    #[error("no device {path}: {source}")]
    Missing {
        /// The path.
        path: String,
        /// The kernel's answer; raw, as the text above has it already.
        r#source: std::io::Error,
    },
    /// Something else.
    #[error("{path} is neither a block device nor a folder on one")]
    NotBlock {
        /// The path.
        path: String,
    },
    /// A folder whose file system spans devices or has none: tmpfs, overlay, btrfs.
    #[error("{path} is not on one block device; name the device itself")]
    NoDevice {
        /// The path.
        path: String,
    },
    /// The kernel does not list it.
    #[error("the kernel knows no block device {device}{}", asked(path, *device))]
    Unknown {
        /// The path.
        path: String,
        /// Its numbers.
        device: Device,
    },
}

/// How a device was asked for, where that was not by its numbers.
fn asked(path: &str, device: Device) -> String {
    if path == device.to_string() {
        return String::new();
    }
    format!(" ({path})")
}

/// Finds the whole disk of a device node, or of the disk that holds a folder, through `SYS/dev/block`;
/// `sys` is `/sys`, or a fixture.
pub fn whole_disk(sys: &Path, path: &str) -> Result<Disk, NotADisk> {
    let meta = fs::metadata(path).map_err(|source| NotADisk::Missing {
        path: path.to_owned(),
        source,
    })?;
    let numbers = if meta.file_type().is_block_device() {
        meta.rdev()
    } else if meta.is_dir() {
        meta.dev()
    } else {
        return Err(NotADisk::NotBlock {
            path: path.to_owned(),
        });
    };
    let device = Device {
        major: u32::try_from(major(numbers)).unwrap_or_default(),
        minor: u32::try_from(minor(numbers)).unwrap_or_default(),
    };
    if device.major == 0 {
        return Err(NotADisk::NoDevice {
            path: path.to_owned(),
        });
    }
    let disk = disk_of(sys, device).ok_or_else(|| NotADisk::Unknown {
        path: path.to_owned(),
        device,
    })?;
    Ok(Disk {
        // Who names a folder does not name a partition.
        asked_by_partition: disk.asked_by_partition && !meta.is_dir(),
        ..disk
    })
}

/// Finds the whole disk that a word means: a path, as [`whole_disk`] takes it, or numbers (`254:0`).
pub fn find_disk(sys: &Path, word: &str) -> Result<Disk, NotADisk> {
    match word.parse() {
        Ok(device) => disk_of(sys, device).ok_or_else(|| NotADisk::Unknown {
            path: word.to_owned(),
            device,
        }),
        Err(_) => whole_disk(sys, word),
    }
}

/// The whole disks of the host that hold something, by their names. `sys` is `/sys`, or a fixture.
pub fn disks(sys: &Path) -> Vec<Disk> {
    let entries = fs::read_dir(sys.join("block")).into_iter().flatten();
    let mut disks: Vec<Disk> = entries
        .flatten()
        .filter_map(|entry| {
            let dir = entry.path();
            let text = |file: &str| fs::read_to_string(dir.join(file)).ok();
            // A loop device without a file behind it, a drive without a medium.
            if text("size")?.trim() == "0" {
                return None;
            }
            Some(Disk {
                device: text("dev")?.trim().parse().ok()?,
                name: entry.file_name().to_string_lossy().into_owned(),
                asked_by_partition: false,
            })
        })
        .collect();
    disks.sort_by(|one, other| one.name.cmp(&other.name));
    disks
}

/// A partition's directory is inside its disk's: `/sys/devices/…/block/vda/vda1`.
fn disk_of(sys: &Path, device: Device) -> Option<Disk> {
    let mut dir = fs::canonicalize(sys.join("dev/block").join(device.to_string())).ok()?;
    let asked_by_partition = dir.join("partition").exists();
    if asked_by_partition {
        dir.pop();
    }
    Some(Disk {
        device: fs::read_to_string(dir.join("dev"))
            .ok()?
            .trim()
            .parse()
            .ok()?,
        name: dir.file_name()?.to_string_lossy().into_owned(),
        asked_by_partition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_no_disk_is_refused() {
        let refused = |path| whole_disk(Path::new("/sys"), path).unwrap_err().to_string();
        assert!(refused("/proc").contains("not on one block device"));
        assert!(refused("/dev/null").contains("neither a block device nor a folder"));
        assert!(refused("/no/such").starts_with("no device /no/such"));
    }

    #[test]
    fn a_partition_leads_to_its_disk() {
        let sys = tempfile::tempdir().unwrap();
        let disk = sys.path().join("devices/virtio3/block/vdb");
        fs::create_dir_all(disk.join("vdb1")).unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        fs::write(disk.join("dev"), "254:16\n").unwrap();
        fs::write(disk.join("vdb1/dev"), "254:17\n").unwrap();
        fs::write(disk.join("vdb1/partition"), "1\n").unwrap();
        for (number, dir) in [("254:16", "vdb"), ("254:17", "vdb/vdb1")] {
            let link = sys.path().join("dev/block").join(number);
            std::os::unix::fs::symlink(disk.parent().unwrap().join(dir), link).unwrap();
        }
        let disk = |number: &str| disk_of(sys.path(), number.parse().unwrap());
        let found = disk("254:17").unwrap();
        assert_eq!(found.device.to_string(), "254:16");
        assert_eq!((&*found.name, found.asked_by_partition), ("vdb", true));
        assert!(!disk("254:16").unwrap().asked_by_partition);
        assert_eq!(disk("254:32"), None);
    }
}
