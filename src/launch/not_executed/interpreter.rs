//! What a program names that executes it: the interpreter of a script, the loader of a dynamic program.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::kernel::syscall::open_in_root;

/// As much of the first line of a script as the kernel reads: `BINPRM_BUF_SIZE`.
const LINE: usize = 256;
/// The longest name of a loader: `PATH_MAX`.
const LONGEST: u64 = 4096;
/// The kind of program header that names the loader.
const PT_INTERP: u32 = 3;

/// The interpreter that a program names, as it names it. `roots` are the layers of its root file system, the top one first.
/// `None` where the program is in none of them, or names none.
pub fn named_by(roots: &[PathBuf], program: &Path) -> Option<String> {
    let mut file = roots.iter().find_map(|root| open(root, program))?;
    let mut begin = Vec::new();
    file.by_ref()
        .take(LINE as u64)
        .read_to_end(&mut begin)
        .ok()?;
    match begin.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.split(|&byte| byte == b'\n').next()?;
            let line = String::from_utf8_lossy(line.trim_ascii_start()).into_owned();
            line.split([' ', '\t']).next().map(str::to_owned)
        }
        None => loader(&mut file, &begin),
    }
}

fn open(root: &Path, program: &Path) -> Option<File> {
    let root = File::open(root).ok()?;
    let file = open_in_root(root, program).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// `PT_INTERP` of a 64-bit ELF file in the byte order of this machine.
///
/// <https://man7.org/linux/man-pages/man5/elf.5.html>
fn loader(file: &mut File, header: &[u8]) -> Option<String> {
    const CLASS_64: u8 = 2;
    if !header.starts_with(b"\x7fELF") || header.get(4) != Some(&CLASS_64) {
        return None;
    }
    let half = |at: usize| Some(u16::from_ne_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let table = long(header, 32)?;
    let (size, count) = (u64::from(half(54)?), u64::from(half(56)?));
    let mut entry = [0; 56];
    for at in 0..count {
        file.seek(SeekFrom::Start(table.checked_add(at * size)?))
            .ok()?;
        file.read_exact(&mut entry).ok()?;
        if entry[..4] == PT_INTERP.to_ne_bytes() {
            file.seek(SeekFrom::Start(long(&entry, 8)?)).ok()?;
            let mut name = Vec::new();
            let length = long(&entry, 32)?.min(LONGEST);
            file.take(length).read_to_end(&mut name).ok()?;
            let name = name.split(|&byte| byte == 0).next()?;
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    None
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_dynamic_programs_name_their_interpreter() {
        let layers = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let roots = layers.each_ref().map(|layer| layer.path().to_owned());
        for (layer, name, text) in [
            (0, "crlf", &b"#!/bin/sh\r\necho hi\r\n"[..]),
            (1, "words", b"#! /usr/bin/env python3\n"),
            (1, "crlf", b"#!/bin/other\n"),
            (1, "text", b"echo hi\n"),
            (1, "short", b"\x7fELF\x02"),
            (1, "none", b"#!"),
        ] {
            std::fs::write(roots[layer].join(name), text).unwrap();
        }
        let of = |name: &str| named_by(&roots, Path::new(name));
        assert_eq!(of("/crlf").as_deref(), Some("/bin/sh\r"));
        assert_eq!(of("/words").as_deref(), Some("/usr/bin/env"));
        assert_eq!(of("/none").as_deref(), Some(""));
        assert_eq!(
            (of("/text"), of("/short"), of("/nothing")),
            (None, None, None)
        );
        let hosts = named_by(&["/".into()], Path::new("/bin/sh")).unwrap();
        assert!(Path::new(&hosts).exists(), "{hosts}");
    }
}
