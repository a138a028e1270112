//! The members of a tar archive, one after the other. Of what an archive says about a member no more than
//! [`MOST_SAID`] is kept in memory, whatever it claims.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{Entries, Entry, EntryType, Header};

use crate::launch::error::{Error, Result};

/// The longest name or list of attributes of one member, in bytes.
const MOST_SAID: u64 = 1 << 20;

/// One member, without its content.
#[derive(Debug)]
pub struct Member {
    /// As the archive has it.
    pub path: Vec<u8>,
    /// File, directory, link, …
    pub kind: EntryType,
    /// What a link leads to.
    pub link: Vec<u8>,
    /// Permissions, with set-user-ID and the like.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// Extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// Bytes of content.
    pub size: u64,
    /// Where its content begins in the archive.
    pub at: u64,
}

/// Hands each member to `take`, with its content. The entries must be raw ones.
///
/// The long names and attributes before a member are put together here, and not by the tar crate, which reads
/// them to their end, however far that is. <https://www.gnu.org/software/tar/manual/html_node/Standard.html>
pub fn each<R: Read>(
    entries: Entries<'_, R>,
    mut take: impl FnMut(&Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut said = Said::default();
    for entry in entries {
        let mut entry = entry.map_err(|error| unreadable(&error))?;
        match entry.header().entry_type() {
            EntryType::GNULongName => said.name = Some(long_name(&mut entry)?),
            EntryType::GNULongLink => said.link = Some(long_name(&mut entry)?),
            EntryType::XHeader => said.records = records(&say(&mut entry)?)?,
            // Git's commit id, for one. Nothing that files are made of.
            EntryType::XGlobalHeader => {}
            _ => {
                let member = std::mem::take(&mut said).member(&entry)?;
                take(&member, &mut entry)?;
            }
        }
    }
    Ok(())
}

/// What an archive says of the next member.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: BTreeMap<String, Vec<u8>>,
}

impl Said {
    fn member<R: Read>(mut self, entry: &Entry<'_, R>) -> Result<Member> {
        let header = entry.header();
        let path = self.records.remove("path").or(self.name);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let bad = |what: &str| {
            let path = String::from_utf8_lossy(&path);
            Error::refused(format!("{path}: {what}"))
        };
        if self
            .records
            .keys()
            .any(|key| key.starts_with("GNU.sparse."))
        {
            return Err(bad("sparse files are not unpacked"));
        }
        let size = entry.size();
        if let Some(said) = self.records.get("size")
            && number::<u64>(said) != Some(size)
        {
            return Err(bad("has two sizes"));
        }
        // Some leave empty what they have nothing to say of.
        let or_0 = |field: &[u8], read: io::Result<u64>| match read {
            Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Some(0),
            read => read.ok(),
        };
        let old = header.as_old();
        let id = |key: &str, field: &[u8], read: io::Result<u64>| {
            let id = match self.records.get(key) {
                Some(said) => number(said),
                None => or_0(field, read),
            };
            // The highest one means no change.
            let id = id.and_then(|id| u32::try_from(id).ok());
            id.filter(|id| *id != u32::MAX)
                .ok_or_else(|| bad(&format!("its {key} is no id")))
        };
        let uid = id("uid", &old.uid, header.uid())?;
        let gid = id("gid", &old.gid, header.gid())?;
        let modified = match self.records.get("mtime") {
            Some(said) => time(said).ok_or_else(|| bad("its time is no time"))?,
            None => (
                header
                    .mtime()
                    .map_or(0, |time| i64::try_from(time).unwrap_or(0)),
                0,
            ),
        };
        let link = self.records.remove("linkpath").or(self.link);
        let link = link.or_else(|| header.link_name_bytes().map(Into::into));
        let mode = or_0(&old.mode, header.mode().map(u64::from));
        let mode = mode.ok_or_else(|| bad("its mode is no mode"))? & 0o7777;
        let attributes = self.records.into_iter().filter_map(|(key, value)| {
            let name = key.strip_prefix("SCHILY.xattr.")?;
            Some((name.to_owned(), value))
        });
        Ok(Member {
            kind: kind(header, &path),
            link: link.unwrap_or_default(),
            mode: u32::try_from(mode).unwrap_or_default(),
            uid,
            gid,
            modified,
            attributes: attributes.collect(),
            size,
            at: entry.raw_file_position(),
            path,
        })
    }
}

/// The oldest archives have directories as files whose names end with a slash.
fn kind(header: &Header, path: &[u8]) -> EntryType {
    match header.entry_type() {
        EntryType::Regular if path.ends_with(b"/") => EntryType::Directory,
        kind => kind,
    }
}

fn unreadable(error: &io::Error) -> Error {
    Error::refused(format!("cannot be read as a tar archive: {error}"))
}

/// The content of a member that is about the next one.
fn say<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>> {
    let size = entry.size();
    if size > MOST_SAID {
        return Err(Error::refused(format!(
            "has a name or attributes of {size} bytes; at most {MOST_SAID} are read"
        )));
    }
    let mut text = Vec::new();
    entry
        .read_to_end(&mut text)
        .map_err(|error| unreadable(&error))?;
    Ok(text)
}

fn long_name<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>> {
    let mut name = say(entry)?;
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

/// `LENGTH KEY=VALUE\n`, as often as there is something to say; a value may have any byte.
/// <https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_03>
fn records(mut text: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !text.is_empty() {
        let (key, value, rest) =
            record(text).ok_or_else(|| Error::refused("has a malformed extended header"))?;
        records.insert(key, value);
        text = rest;
    }
    Ok(records)
}

fn record(text: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    let space = text.iter().position(|&byte| byte == b' ')?;
    let length: usize = number(&text[..space])?;
    let (record, rest) = text.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let key = String::from_utf8_lossy(&record[..equals]).into_owned();
    Some((key, record[equals + 1..].to_vec(), rest))
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `SECONDS[.FRACTION]`, and `-` before it for what was before 1970.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match nanoseconds {
        0 => (seconds, 0),
        _ if text.starts_with('-') => (seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds),
        _ => (seconds, nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_headers_may_have_any_byte() {
        let text = b"19 path=a\nb\0c=d e\xff\n30 mtime=1350244992.023960108\n";
        let records = records(text).unwrap();
        assert_eq!(records["path"], b"a\nb\0c=d e\xff");
        assert_eq!(time(&records["mtime"]), Some((1_350_244_992, 23_960_108)));
        for text in [
            "x",
            "5 a=b\n",
            "6 a=bc",
            "99999999999999999999 a=b\n",
            "3 a\n",
            "0 a=b\n",
        ] {
            assert!(super::records(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_fractions_and_may_be_before_1970() {
        assert_eq!(time(b"12"), Some((12, 0)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Some((-1, 500_000_000)));
        assert_eq!(time(b"1.0000000019"), Some((1, 1)));
        assert_eq!(time(b"soon"), None);
    }

    #[test]
    fn a_huge_name_is_not_read() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 33);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'a'));
        let mut archive = tar::Archive::new(endless);
        let entries = archive.entries().unwrap().raw(true);
        let error = each(entries, |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("8589934592 bytes"), "{error}");
    }
}
