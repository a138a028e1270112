//! One layer: decompressed, verified and bounded on the way to its tree.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder;

use super::archive;
use super::digest::Hashed;
use super::layout::Layer;
use super::source::{Section, Source};
use super::tree::Tree;
use crate::kernel::unit::Bytes;
use crate::launch::error::{Error, Result};
use crate::text;

/// The largest layer, decompressed.
pub const MOST_BYTES: u64 = 8 << 30;

/// What a layer may decompress to in any case.
const FREE_BYTES: u64 = 256 << 20;

/// Beyond that, how much larger than what was read of it so far: programs and texts become some ten times smaller,
/// zeroes a thousand times.
const MOST_RATIO: u64 = 200;

/// What bounds the unpacking of an image.
pub struct Bounds<'a> {
    /// Bytes that may still be written.
    pub room: u64,
    /// Whether to go on, asked every now and then.
    pub go_on: &'a mut dyn FnMut() -> bool,
}

/// Unpacks a layer to an empty directory. Nothing of it is decompressed before its digest is verified, where there
/// is one; that of the archive in it is known at the end, and what is there before counts for nothing.
pub fn unpack(source: &Source, layer: &Layer, to: &Path, bounds: &mut Bounds<'_>) -> Result<()> {
    let packed = source.file(&layer.file)?;
    let size = packed.left();
    if let Some(digest) = &layer.digest {
        if layer.size != Some(size) {
            let told = layer.size.unwrap_or_default();
            return Err(Error::refused(format!("has {size} bytes and not {told}")));
        }
        let mut packed = Hashed::new(source.file(&layer.file)?, digest)?;
        drain(&mut packed, bounds)?;
        packed.verify(digest)?;
    }
    let bounded = Bounded {
        inner: Decompressed::new(packed)?,
        unpacked: 0,
        size,
        bounds,
    };
    let mut unpacked = Hashed::new(bounded, &layer.diff_id)?;
    let mut tree = Tree::new(to)?;
    let mut archive = tar::Archive::new(&mut unpacked);
    let entries = archive
        .entries()
        .map_err(|error| unreadable(&error))?
        .raw(true);
    archive::each(entries, |member, content| tree.add(member, content))?;
    // What is behind the end of the archive is part of what is hashed.
    io::copy(&mut unpacked, &mut io::sink()).map_err(|error| unreadable(&error))?;
    unpacked.verify(&layer.diff_id)?;
    tree.finish()
}

/// Reads to the end.
fn drain(from: &mut impl Read, bounds: &mut Bounds<'_>) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    while (bounds.go_on)() {
        if from.read(&mut buffer).map_err(|error| unreadable(&error))? == 0 {
            return Ok(());
        }
    }
    Err(unreadable(&interrupted()))
}

fn interrupted() -> io::Error {
    io::Error::other("interrupted")
}

fn unreadable(error: &io::Error) -> Error {
    Error::refused(format!("cannot be decompressed: {error}"))
}

type Packed = BufReader<Section>;

/// A layer as it was before it was compressed. Its first bytes tell how, as media types do not always.
enum Decompressed {
    Plain(Packed),
    Gzip(MultiGzDecoder<Packed>),
    Zstd(Decoder<'static, Packed>),
}

impl Decompressed {
    fn new(packed: Section) -> Result<Self> {
        let mut packed = BufReader::with_capacity(1 << 16, packed);
        Ok(
            match packed.fill_buf().map_err(|error| unreadable(&error))? {
                [0x1f, 0x8b, ..] => Self::Gzip(MultiGzDecoder::new(packed)),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                    Self::Zstd(Decoder::with_buffer(packed).map_err(|error| unreadable(&error))?)
                }
                [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                    return Err(Error::refused(
                        "is compressed by bzip2 or xz; layers are plain, or by gzip or zstd",
                    ));
                }
                _ => Self::Plain(packed),
            },
        )
    }
}

impl Decompressed {
    /// What it comes from.
    fn get_ref(&self) -> &Section {
        match self {
            Self::Plain(packed) => packed.get_ref(),
            Self::Gzip(decoder) => decoder.get_ref().get_ref(),
            Self::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(packed) => packed.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Passes on no more than it may.
struct Bounded<'a, 'b> {
    inner: Decompressed,
    /// Bytes so far.
    unpacked: u64,
    /// Bytes of it as it is packed.
    size: u64,
    bounds: &'a mut Bounds<'b>,
}

impl Read for Bounded<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.bounds.go_on)() {
            return Err(interrupted());
        }
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        let read = self.size.saturating_sub(self.inner.get_ref().left());
        if self.unpacked
            > MOST_BYTES.min(FREE_BYTES.saturating_add(read.saturating_mul(MOST_RATIO)))
        {
            return Err(io::Error::other(format!(
                "its {} become more than {} or {MOST_RATIO} times as much, which is refused",
                text::bytes(Bytes(self.size)),
                text::bytes(Bytes(MOST_BYTES))
            )));
        }
        let Some(room) = self.bounds.room.checked_sub(count as u64) else {
            return Err(io::Error::other(
                "there is not enough room on the disk for it",
            ));
        };
        self.bounds.room = room;
        Ok(count)
    }
}
