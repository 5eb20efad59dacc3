//! SHA-256 of files, and the forms it is written in.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum([u8; 32]);

impl Sum {
    /// Of a whole file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(digest.into());
            }
            digest.update(buffer.get(..read).unwrap_or_default());
        }
    }

    /// Of a text.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Sha256::new_with_prefix(bytes).into()
    }

    /// As checksum files have it.
    pub(crate) fn hex(self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // writing into a string cannot fail
            let _written = write!(text, "{byte:02x}");
            text
        })
    }

    /// As a wheel's RECORD has it: base64 for addresses, without padding
    /// (<https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file>).
    pub(super) fn record(self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::with_capacity(43);
        for part in self.0.chunks(3) {
            let number =
                part.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)) << (8 * (3 - part.len()));
            for place in 0..=part.len() {
                let index = (number >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            }
        }
        text
    }
}

impl From<Sha256> for Sum {
    fn from(digest: Sha256) -> Self {
        Self(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_those_of_the_usual_tools() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("abc");
        fs::write(&path, "abc").expect("write");
        let sum = Sum::of(&path).expect("sum");
        assert_eq!(sum.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sum.record(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }
}
