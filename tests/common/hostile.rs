//! Foreign text for parsers.

use proptest::prelude::*;

/// These pieces, in any order, besides anything else but NUL, up to a length in bytes.
pub fn pieces(of: &'static [&'static [u8]], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let weight = u32::try_from(of.len()).expect("a short list");
    let piece = prop_oneof![
        weight => prop::sample::select(of).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>().prop_filter("NUL", |&byte| byte != 0), 0..6),
    ];
    prop::collection::vec(piece, 0..6).prop_map(move |pieces| {
        let mut bytes = pieces.concat();
        bytes.truncate(most);
        bytes
    })
}
