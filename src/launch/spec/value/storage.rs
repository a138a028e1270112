//! How much a workload may write to the root file system that is thrown away with it.

use std::fmt;
use std::str::FromStr;

use super::BadValue;
use crate::kernel::unit::{Bytes, Limit, bad};

/// docker's option for storage: `size=10g`, or `size=max` for as much as the disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageOpt {
    /// How much may be written.
    pub size: Limit<Bytes>,
}

impl FromStr for StorageOpt {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some(size) = text.strip_prefix("size=") else {
            return bad(format!(
                "`{text}` is no option of storage; there is size=10g"
            ));
        };
        let size = match size {
            "max" => Limit::Max,
            size => Limit::At(size.parse()?),
        };
        match size {
            Limit::At(Bytes(0..Self::LEAST)) => {
                bad("nothing can be written to so little; write size=10m")
            }
            size => Ok(Self { size }),
        }
    }
}

impl StorageOpt {
    /// 64 KiB: less does not even hold the directories.
    const LEAST: u64 = 1 << 16;
}

impl fmt::Display for StorageOpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            Limit::Max => out.write_str("size=max"),
            Limit::At(size) => write!(out, "size={}", size.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for (word, kept) in [("size=1m", "size=1048576"), ("size=max", "size=max")] {
            assert_eq!(word.parse::<StorageOpt>().unwrap().to_string(), kept);
        }
        for word in [
            "", "size", "size=", "size=0", "size=1k", "size=x", "inodes=3",
        ] {
            word.parse::<StorageOpt>().unwrap_err();
        }
    }
}
