//! What a guest boots from: an initramfs that loads drivers, and disks made afresh for each run.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::host;
use crate::kernel::Kernel;
use crate::setup;

const INITRAMFS_INIT: &str = include_str!("../guest/initramfs.sh");
const SYSTEM_INIT: &str = include_str!("../guest/init.sh");
const RUN: &str = include_str!("../guest/run.sh");
const SUITE: &str = include_str!("../guest/suite.sh");

/// Directories of the guest; proc, sys and dev are mount points.
const DIRECTORIES: [&str; 12] = [
    "dev",
    "etc",
    "home/user",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/lib/xtask",
    "var/lib",
    "var/log",
];

const ETC: [(&str, &str); 6] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    (
        "group",
        "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
    ),
    ("subuid", "user:100000:65536\n"),
    ("subgid", "user:100000:65536\n"),
    ("hosts", "127.0.0.1 localhost vm\n::1 localhost\n"),
    ("hostname", "vm\n"),
];

/// Free space on the root disk. The file is sparse, so it costs nothing until it is used.
const FREE_MIB: u64 = 2048;
/// Of the Debian image: some 300 MiB of files, and room for a run.
pub const SYSTEM_DISK_BYTES: u64 = 3072 * 1024 * 1024;
const SECOND_DISK_MIB: u64 = 256;

/// A file or directory of the host for the guest, from `HOST[:GUEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: PathBuf,
}

impl FromStr for Added {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon in a host path is fine as long as no absolute path follows it.
        let (host, guest) = match text.rsplit_once(':') {
            Some((host, guest)) if guest.starts_with('/') => (host, Some(PathBuf::from(guest))),
            _ => (text, None),
        };
        let host = PathBuf::from(host);
        let guest = match guest {
            Some(guest) => guest,
            None => match host
                .canonicalize()
                .unwrap_or_else(|_| host.clone())
                .file_name()
            {
                Some(name) => Path::new("/root").join(name),
                None => return Err(format!("{text} names no file; try HOST:GUEST")),
            },
        };
        if host.as_os_str().is_empty()
            || guest.components().any(|part| part == Component::ParentDir)
        {
            return Err(
                "expected HOST or HOST:GUEST, GUEST an absolute path without `..`".to_owned(),
            );
        }
        Ok(Self { host, guest })
    }
}

/// What the guest's `run.sh` is told.
pub struct Job<'a> {
    pub command: &'a [OsString],
    /// Last bytes of every output stream.
    pub end_mark: &'a str,
    /// Rows and columns, where the command gets a terminal.
    pub terminal: Option<(u16, u16)>,
    /// Whether the kernel is kept from patching its code, see `guest/run.sh`.
    pub hold_patches: bool,
}

/// Writes `job` and the scripts that carry it out into a guest tree.
pub fn write_job(root: &Path, job: &Job) -> Result<()> {
    let dir = root.join("usr/lib/xtask");
    fs::create_dir_all(&dir)?;
    let mut command = OsString::from("exec ");
    command.push(host::shell_quote(job.command));
    command.push("\n");
    fs::write(dir.join("command"), command.as_bytes())?;

    let (rows, cols) = job.terminal.unwrap_or_default();
    let term = std::env::var_os("TERM")
        .filter(|term| !term.is_empty())
        .unwrap_or_else(|| "linux".into());
    let yes = |flag: bool| if flag { "yes" } else { "" };
    let mut config = OsString::from(format!(
        "END_MARK='\\000{}\\000' TERMINAL={} HOLD_PATCHES={} ROWS={rows} COLS={cols} TERM=",
        job.end_mark,
        yes(job.terminal.is_some()),
        yes(job.hold_patches),
    ));
    config.push(host::shell_quote(&[term]));
    config.push("\n");
    fs::write(dir.join("config"), config.as_bytes())?;
    write_script(&dir.join("suite.sh"), SUITE)?;
    write_script(&dir.join("run.sh"), RUN)
}

/// Fills `root` with the small guest: busybox, its init, a few files in /etc.
pub fn write_system(root: &Path) -> Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for (name, text) in ETC {
        fs::write(root.join("etc").join(name), text)?;
    }
    let busybox = setup::busybox()?;
    let applets = host::output(Command::new(&busybox).arg("--list-full"))
        .context("ask busybox for its applets; try `cargo xtask setup`")?;
    for applet in String::from_utf8_lossy(&applets).lines() {
        let link = root.join(applet);
        if let Some(dir) = link.parent() {
            fs::create_dir_all(dir)?;
        }
        if !matches!(applet, "bin/busybox" | "sbin/init" | "linuxrc") {
            symlink("/bin/busybox", &link).with_context(|| format!("link {}", link.display()))?;
        }
    }
    place(&busybox, &root.join("bin/busybox"))?;
    write_script(&root.join("sbin/init"), SYSTEM_INIT)
}

/// Puts `added` into a guest tree.
pub fn add(root: &Path, added: &Added) -> Result<()> {
    let inside = added.guest.strip_prefix("/").unwrap_or(&added.guest);
    place(&added.host, &root.join(inside))
        .with_context(|| format!("add {} to the guest", added.host.display()))
}

/// Links a file or, across file systems, copies it; copies directories whole.
pub fn place(from: &Path, to: &Path) -> Result<()> {
    let from = from.canonicalize()?;
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    if from.is_dir() {
        host::output(
            Command::new("cp")
                .args(["-a", "-T", "--"])
                .arg(&from)
                .arg(to),
        )?;
    } else if fs::hard_link(&from, to).is_err() {
        fs::copy(&from, to)?;
    }
    Ok(())
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Packs the initramfs. It is small enough to be made anew each time, so it cannot be out of date.
pub fn write_initramfs(kernel: Kernel, scratch: &Path) -> Result<PathBuf> {
    let tree = scratch.join("initramfs");
    let mut names = Vec::new();
    for directory in ["bin", "dev", "disk", "modules", "payload"] {
        fs::create_dir_all(tree.join(directory))?;
        names.push(directory.to_owned());
    }
    place(&setup::busybox()?, &tree.join("bin/busybox"))?;
    write_script(&tree.join("init"), INITRAMFS_INIT)?;
    names.extend(["bin/busybox".to_owned(), "init".to_owned()]);
    let modules = kernel.dir()?.join("modules");
    for module in fs::read_dir(&modules).with_context(|| format!("list {}", modules.display()))? {
        let module = module?;
        let name = format!("modules/{}", module.file_name().display());
        place(&module.path(), &tree.join(&name))?;
        names.push(name);
    }

    let archive = scratch.join("initramfs.cpio");
    let mut cpio = host::tool("cpio")?
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(&tree)
        .stdin(Stdio::piped())
        .stdout(File::create(&archive)?)
        .spawn()
        .context("start cpio")?;
    if let Some(mut stdin) = cpio.stdin.take() {
        stdin
            .write_all(names.join("\n").as_bytes())
            .context("write to cpio")?;
    }
    let status = cpio.wait()?;
    if !status.success() {
        bail!("cpio failed ({status})");
    }
    Ok(archive)
}

/// Makes an ext4 disk holding `tree`, with room to write.
pub fn write_disk(tree: &Path, disk: &Path) -> Result<()> {
    let used = host::output(
        Command::new("du")
            .args(["-sm", "--apparent-size"])
            .arg(tree),
    )?;
    let used: u64 = String::from_utf8_lossy(&used)
        .split_whitespace()
        .next()
        .unwrap_or("0")
        .parse()?;
    let mut mkfs = mkfs(&["-m", "0", "-d"])?;
    host::output(
        mkfs.arg(tree)
            .arg(disk)
            .arg(format!("{}M", used + FREE_MIB)),
    )
    .map(drop)
}

/// The same for a tree that belongs to root; the disk is ours.
pub fn write_system_disk(tree: &Path, disk: &Path) -> Result<()> {
    File::create(disk)?.set_len(SYSTEM_DISK_BYTES)?;
    let mkfs = host::tool("mkfs.ext4")?;
    let mut mkfs = apt::as_root(&[&mkfs.get_program().to_string_lossy()])?;
    mkfs.args(["-q", "-F", "-m", "0", "-d"]).arg(tree).arg(disk);
    host::output(&mut mkfs).map(drop)
}

/// `mkfs.ext4`, as root of a user namespace where we are not root: files of ours become root's in the guest.
fn mkfs(options: &[&str]) -> Result<Command> {
    let mkfs = host::tool("mkfs.ext4")?;
    let mut command = if host::is_root() {
        mkfs
    } else {
        let mut unshare = host::tool("unshare")?;
        unshare.arg("--map-root-user").arg(mkfs.get_program());
        unshare
    };
    // Lazy: the rest of the sparse file is zero already.
    command
        .args([
            "-q",
            "-F",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
        ])
        .args(options);
    Ok(command)
}

/// Makes a second device for tests to name, of two partitions, each of which holds an empty ext4. That of the second one
/// has quotas for projects.
pub fn write_second_disk(disk: &Path) -> Result<()> {
    const SECTOR: usize = 512;
    const MIB: u64 = 1024 * 1024;
    /// Where each begins, and how long it is, in MiB.
    const PARTITIONS: [(u64, u64); 2] = [
        (1, SECOND_DISK_MIB / 2 - 1),
        (SECOND_DISK_MIB / 2, SECOND_DISK_MIB / 2),
    ];

    let mut table = [0; SECTOR];
    for ((start, length), entry) in PARTITIONS.into_iter().zip(table[446..].chunks_mut(16)) {
        let sectors = |mib: u64| u32::try_from(mib * MIB / SECTOR as u64);
        entry[4] = 0x83; // Linux; the head and track fields stay zero, nobody has read them for decades
        entry[8..12].copy_from_slice(&sectors(start)?.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors(length)?.to_le_bytes());
    }
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut file = File::create(disk)?;
    file.write_all(&table)?;
    file.set_len(SECOND_DISK_MIB * MIB)?;

    let features: [&[&str]; 2] = [&[], &["-O", "quota,project"]];
    for ((start, length), features) in PARTITIONS.into_iter().zip(features) {
        let mut mkfs = mkfs(features)?;
        mkfs.arg("-E").arg(format!(
            "offset={},lazy_itable_init=1,lazy_journal_init=1",
            start * MIB
        ));
        host::output(mkfs.arg(disk).arg(format!("{length}M")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str) -> (String, String) {
        let Added { host, guest } = text.parse().unwrap();
        (host.display().to_string(), guest.display().to_string())
    }

    #[test]
    fn added_files_go_to_the_home_directory_or_where_told() {
        assert_eq!(added("a/b"), ("a/b".into(), "/root/b".into()));
        assert_eq!(added("a/b:/bin/c"), ("a/b".into(), "/bin/c".into()));
        assert_eq!(added("a:b"), ("a:b".into(), "/root/a:b".into()));
        assert_eq!(added("a:b:/c"), ("a:b".into(), "/c".into()));
    }

    #[test]
    fn added_files_need_a_name_and_stay_inside_the_guest() {
        assert!("".parse::<Added>().is_err());
        assert!(":/x".parse::<Added>().is_err());
        assert!("a:/../x".parse::<Added>().is_err());
        assert!("/".parse::<Added>().is_err());
    }
}
