//! Files that others may have made, and files that are whole.
//!
//! ringfence often runs as root, and what it is told to read or write may be somebody else's to replace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The most that is read of a file, in bytes. A list of a thousand podman containers has about 2 MiB.
const LARGEST: u64 = 8 << 20;

/// The whole of a regular file of at most 8 MiB; anything else is an error, and nothing is waited for. The path is as a
/// user may have made it: what it ends with must not be a link.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_with(path, libc::O_NOFOLLOW)
}

/// The same for the administrator's own files, which may be links.
pub fn read_through_links(path: &Path) -> io::Result<Vec<u8>> {
    read_with(path, 0)
}

fn read_with(path: &Path, flags: i32) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::take(file, LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            "it has more than 8 MiB",
        ));
    }
    Ok(bytes)
}

/// Writes a file, whole or not at all; `force` replaces one that is there. A link is replaced or in the way itself: what
/// it leads to is never written.
pub fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let beside = folder.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| {
            if force {
                fs::rename(&beside, path)
            } else {
                // Unlike a renaming, this refuses where there is a file.
                fs::hard_link(&beside, path)
            }
        });
    // After a renaming there is none; what could not be linked must not stay either.
    let _ = fs::remove_file(&beside);
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_written_whole_and_never_by_mistake_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, "one", false).unwrap();
        let again = write(&path, "two", false).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap(), b"one");
        write(&path, "two", true).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        let in_the_way = write(&link, "three", false).unwrap_err();
        assert_eq!(in_the_way.kind(), ErrorKind::AlreadyExists);
        write(&link, "three", true).unwrap();
        assert_eq!(
            (read(&path).unwrap(), read(&link).unwrap()),
            (b"two".into(), b"three".into())
        );
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_regular_files_of_a_reasonable_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("file", at("link")).unwrap();
        fs::write(at("file"), "text").unwrap();
        File::create(at("sparse"))
            .unwrap()
            .set_len(10 << 30)
            .unwrap();
        for name in ["fifo", "zero", "link", "sparse", "."] {
            read(&at(name)).unwrap_err();
        }
        for name in ["fifo", "zero", "sparse", "."] {
            read_through_links(&at(name)).unwrap_err();
        }
        assert_eq!(read_through_links(&at("link")).unwrap(), b"text");
    }
}
