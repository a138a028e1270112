//! Where an image is: a directory, or a tar archive of one, which is read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::EntryType;

use super::archive;
use crate::launch::error::{Error, Result};

/// The longest index, manifest or configuration, in bytes.
const MOST_JSON: u64 = 4 << 20;

/// How many links may follow one another in an archive.
const MOST_LINKS: u32 = 8;

/// The files of an image.
#[derive(Debug)]
pub enum Source {
    /// In a directory.
    Directory(PathBuf),
    /// In a tar archive.
    Archive {
        /// The archive.
        file: Arc<File>,
        /// Where each of its members is.
        members: HashMap<Vec<u8>, Place>,
    },
}

/// Where a member of an archive is.
#[derive(Debug)]
pub enum Place {
    /// From an offset on, so many bytes.
    At(u64, u64),
    /// Where another one is, by its path from the top.
    Link(Vec<u8>),
}

/// A part of a file, as if it were a whole one.
#[derive(Debug)]
pub struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Section {
    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Source {
    /// Looks what is there.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = |error| cannot(&error);
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let (file, _) = open(path).map_err(cannot)?;
        let mut magic = [0; 4];
        let known = file.read_at(&mut magic, 0).map_err(cannot)?;
        if matches!(&magic[..known], [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd]) {
            return Err(Error::refused(
                "is compressed as a whole; decompress it first, with gunzip or unzstd",
            ));
        }
        let mut members = HashMap::new();
        let mut archive = tar::Archive::new(&file);
        let entries = archive.entries_with_seek().map_err(cannot)?.raw(true);
        archive::each(entries, |member, _| {
            let path = normal(&member.path);
            let place = match member.kind {
                EntryType::Regular | EntryType::Continuous => Place::At(member.at, member.size),
                EntryType::Link => Place::Link(normal(&member.link)),
                EntryType::Symlink => {
                    let above = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    Place::Link(normal(&[&path[..above], b"/", &member.link].concat()))
                }
                _ => return Ok(()),
            };
            members.insert(path, place);
            Ok(())
        })?;
        let file = Arc::new(file);
        Ok(Self::Archive { file, members })
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(dir) => dir.join(name).is_file(),
            Self::Archive { members, .. } => members.contains_key(name.as_bytes()),
        }
    }

    /// A file to read from its beginning to its end.
    pub fn file(&self, name: &str) -> Result<Section> {
        let missing = || Error::refused("is missing");
        match self {
            Self::Directory(dir) => {
                let (file, size) = open(&dir.join(name)).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => missing(),
                    _ => cannot(&error),
                })?;
                let file = Arc::new(file);
                Ok(Section {
                    file,
                    at: 0,
                    left: size,
                })
            }
            Self::Archive { file, members } => {
                let mut name = name.as_bytes();
                for _ in 0..MOST_LINKS {
                    match members.get(name) {
                        None => break,
                        Some(Place::Link(to)) => name = to,
                        Some(&Place::At(at, left)) => {
                            let file = Arc::clone(file);
                            return Ok(Section { file, at, left });
                        }
                    }
                }
                Err(missing())
            }
        }
    }

    /// A short file as a whole.
    pub fn small(&self, name: &str) -> Result<Vec<u8>> {
        let about = |error: Error| error.about(name);
        let mut file = self.file(name).map_err(about)?;
        if file.left() > MOST_JSON {
            let has = format!("has {} bytes; at most {MOST_JSON} are read", file.left());
            return Err(about(Error::refused(has)));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| about(cannot(&error)))?;
        Ok(bytes)
    }
}

fn cannot(error: &io::Error) -> Error {
    Error::refused(format!("cannot be read: {error}"))
}

/// An ordinary file, and its size. Opening anything else does not wait.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is neither a file nor a directory"));
    }
    Ok((file, found.len()))
}

/// A path from the top, without `.` and `..`: `./a/../b` is `b`.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn links_in_an_archive_are_followed_inside_it_only() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, link: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(data.len() as u64);
            if !link.is_empty() {
                header.set_link_name(link).unwrap();
            }
            builder.append_data(&mut header, path, data).unwrap();
        };
        add("a/layer.tar", EntryType::Regular, "", b"content");
        add("b/layer.tar", EntryType::Symlink, "../a/layer.tar", b"");
        add("out", EntryType::Symlink, "../../etc/passwd", b"");
        add("round", EntryType::Symlink, "round", b"");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        let source = Source::open(file.path()).unwrap();
        assert_eq!(source.small("b/layer.tar").unwrap(), b"content");
        for name in ["out", "round", "none"] {
            let error = source.small(name).unwrap_err().to_string();
            assert_eq!(error, format!("{name}: is missing"));
        }
    }

    #[test]
    fn only_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let source = Source::open(dir.path()).unwrap();
        let error = source.small("fifo").unwrap_err().to_string();
        assert!(error.contains("neither a file nor a directory"), "{error}");
        assert!(Source::open(&fifo).is_err());
    }
}
