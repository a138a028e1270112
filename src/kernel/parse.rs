//! The two shapes of kernel text that every controller's parser needs. No allocation.

use super::unit::Malformed;

/// A decimal number, surrounding white space allowed.
pub(super) fn number(text: &[u8], what: &'static str) -> Result<u64, Malformed> {
    std::str::from_utf8(text.trim_ascii())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed { what })
}

/// The pairs of a flat keyed file (`KEY VALUE\n` each), such as `cpu.stat` or `memory.events`.
/// A line whose value is not a number is an error; an empty line is passed over.
pub(super) fn flat_keyed<'a>(
    text: &'a [u8],
    what: &'static str,
) -> impl Iterator<Item = Result<(&'a [u8], u64), Malformed>> {
    lines(text).map(move |line| {
        let space = line
            .iter()
            .position(|&byte| byte == b' ')
            .ok_or(Malformed { what })?;
        Ok((&line[..space], number(&line[space + 1..], what)?))
    })
}

/// The non-empty lines of a file.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// The `key=value` pairs of one line of a nested keyed file (`io.stat`, `io.max`, `*.pressure`).
pub(super) fn nested_pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&byte| byte == b' ').filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..]))
    })
}
