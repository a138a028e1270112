//! A small file of the workload's own over one of the root file system.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{read, write};

use super::bind;

/// A larger file is left as it is: the copy takes of the workload's memory.
const LARGEST: i64 = 1 << 20;

/// What a workload has a file of its own of.
#[derive(Debug)]
pub struct OwnFile {
    /// Where it is made: in memory, below what will be mounted over it. The kernel mounts nothing over a file without a name.
    pub made: &'static CStr,
    /// Over which file it shows.
    pub at: &'static CStr,
    /// Its text, or what is added to the one that is there.
    pub text: String,
    /// Whether it is added.
    pub adds: bool,
}

/// The host name, where programs look for it and for its address: as docker and podman have it.
pub fn of_host_name(hostname: &str) -> [OwnFile; 2] {
    [
        OwnFile {
            made: c"dev/shm/hosts",
            at: c"etc/hosts",
            text: format!("\n127.0.1.1\t{hostname}\n"),
            adds: true,
        },
        OwnFile {
            made: c"dev/shm/hostname",
            at: c"etc/hostname",
            text: format!("{hostname}\n"),
            adds: false,
        },
    ]
}

impl OwnFile {
    /// Shows it where that file is; a root file system without it does without. Called in the child: no allocation.
    pub fn show(&self) -> nix::Result<()> {
        let old = match open(
            self.at,
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) {
            Ok(old) => old,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let found = fstat(&old)?;
        if found.st_mode & libc::S_IFMT != libc::S_IFREG || found.st_size > LARGEST {
            return Ok(());
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let new = open(self.made, flags, Mode::from_bits_truncate(0o644))?;
        if self.adds {
            let mut buffer = [0; 4096];
            loop {
                let length = read(&old, &mut buffer)?;
                if length == 0 {
                    break;
                }
                write_all(&new, &buffer[..length])?;
            }
        }
        write_all(&new, self.text.as_bytes())?;
        bind(self.made, self.at)
    }
}

fn write_all(file: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        let length = write(&file, bytes)?;
        bytes = &bytes[length..];
    }
    Ok(())
}
