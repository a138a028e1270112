//! Digests: what is read is hashed on the way, and compared at the end.

use std::io::{self, Read};

use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256, Sha512};

use crate::launch::error::{Error, Result};

/// Passes on what it reads, and hashes it.
pub struct Hashed<R> {
    inner: R,
    hash: Hash,
}

enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl<R> Hashed<R> {
    /// Hashes as the digest to compare with was made.
    pub fn new(inner: R, like: &Digest) -> Result<Self> {
        let hash = match like.algorithm() {
            DigestAlgorithm::Sha256 => Hash::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => Hash::Sha512(Sha512::new()),
            other => {
                return Err(Error::refused(format!(
                    "{other} is no digest that ringfence verifies; there are sha256 and sha512"
                )));
            }
        };
        Ok(Self { inner, hash })
    }

    /// Whether all that was read is what the digest says.
    pub fn verify(self, expected: &Digest) -> Result<()> {
        let found = match self.hash {
            Hash::Sha256(hash) => hex(&hash.finalize()),
            Hash::Sha512(hash) => hex(&hash.finalize()),
        };
        if found == expected.digest() {
            return Ok(());
        }
        Err(Error::refused(format!(
            "its digest is {}:{found} and not {expected}, so it is damaged or not what it claims to be",
            expected.algorithm()
        )))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(&buffer[..count]),
            Hash::Sha512(hash) => hash.update(&buffer[..count]),
        }
        Ok(count)
    }
}

/// Whether these bytes are what the digest says.
pub fn verify(bytes: &[u8], expected: &Digest) -> Result<()> {
    let mut hashed = Hashed::new(bytes, expected)?;
    io::copy(&mut hashed, &mut io::sink()).map_err(|error| Error::refused(error.to_string()))?;
    hashed.verify(expected)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_are_verified() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(verify(b"", &empty.parse().unwrap()).is_ok());
        let error = verify(b"a", &empty.parse().unwrap()).unwrap_err();
        assert!(
            error.to_string().contains("its digest is sha256:ca978"),
            "{error}"
        );
        let abc = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                   2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert!(verify(b"abc", &abc.parse().unwrap()).is_ok());
        let error = verify(b"", &"md5:00".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("md5"), "{error}");
    }
}
