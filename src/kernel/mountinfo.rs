//! `/proc/PID/mountinfo`: what is mounted where. Read at every start of a workload, so only what matters is parsed.
//!
//! <https://docs.kernel.org/filesystems/proc.html>

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::kernel::error::{Error, Result};

/// The text of this process's own. `proc` is `/proc`, or a fixture.
pub fn read(proc: &Path) -> Result<Vec<u8>> {
    let path = proc.join("self/mountinfo");
    // With room for all of it: for each further piece the kernel would begin anew.
    let mut text = Vec::with_capacity(16 << 10);
    File::open(&path)
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|error| Error::new("read", &path, error))?;
    Ok(text)
}

/// Its lines, in the order of mounting.
pub fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    text.split(|&byte| byte == b'\n').filter_map(Entry::parse)
}

/// The parts of a line that matter here.
#[derive(Debug)]
pub struct Entry<'a> {
    mount_point: &'a [u8],
    /// The type of the file system.
    pub fstype: &'a [u8],
    /// Options of the file system, with commas between them.
    pub super_options: &'a [u8],
}

impl<'a> Entry<'a> {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let mount_point = words.nth(4)?;
        // Optional fields end with a dash.
        words.find(|word| *word == b"-")?;
        Some(Self {
            mount_point,
            fstype: words.next()?,
            super_options: words.nth(1)?,
        })
    }

    /// Where it is mounted, with the kernel's octal escapes (`\040` for a space) undone.
    pub fn mount_point(&self) -> PathBuf {
        let mut bytes = Vec::with_capacity(self.mount_point.len());
        let mut rest = self.mount_point;
        while let [first, tail @ ..] = rest {
            if let (b'\\', [a, b, c, after @ ..]) = (*first, tail)
                && [a, b, c].iter().all(|digit| (b'0'..=b'7').contains(*digit))
            {
                let digit = |byte: &u8| u32::from(byte - b'0');
                bytes.push(u8::try_from(digit(a) * 64 + digit(b) * 8 + digit(c)).unwrap_or(b'?'));
                rest = after;
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        OsString::from_vec(bytes).into()
    }
}
