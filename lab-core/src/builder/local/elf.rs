//! What a program for Linux needs of the machine to be started at all.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::PathBuf,
};

/// A table of more is none, and so is a longer path.
const MAX_SEGMENTS: u64 = 64;
const MAX_PATH: u64 = 256;

/// The segment with the loader's path (`PT_INTERP`). Source: `elf.h`.
const LOADER: u32 = 3;

/// The program that loads `file` with the libraries it needs; none for one that is linked statically, as Go does, and for
/// what is no program of 64 bits. Blocks.
pub(super) fn loader(file: &File) -> Option<PathBuf> {
    let head: [u8; 64] = read(file, 0)?;
    let is_known = head.starts_with(b"\x7fELF\x02\x01");
    let table = number(&head[32..40]);
    let (size, count) = (number(&head[54..56]), number(&head[56..58]));
    (0..count.min(MAX_SEGMENTS)).filter(|_| is_known).find_map(|n| {
        let segment: [u8; 40] = read(file, table.checked_add(n * size)?)?;
        let length = number(&segment[32..40]);
        if number(&segment[..4]) != u64::from(LOADER) || length > MAX_PATH {
            return None;
        }
        let mut path = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut path, number(&segment[8..16])).ok()?;
        let path = path.split(|byte| *byte == 0).next().filter(|path| path.starts_with(b"/"))?;
        Some(PathBuf::from(OsStr::from_bytes(path)))
    })
}

fn read<const N: usize>(file: &File, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

/// Up to eight bytes, the least significant one first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn of(bytes: &[u8]) -> Option<PathBuf> {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(bytes).expect("write");
        loader(&file)
    }

    /// A head, and a table of one segment at `table`, which is that long and whose content is after it.
    fn program(table: u64, length: u64, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(120, 0);
        bytes[32..40].copy_from_slice(&table.to_le_bytes());
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = 3;
        bytes[72..80].copy_from_slice(&120_u64.to_le_bytes());
        bytes[96..104].copy_from_slice(&length.to_le_bytes());
        [bytes.as_slice(), content].concat()
    }

    #[test]
    fn a_program_names_its_loader_or_none() {
        let musl = b"/lib/ld-musl-x86_64.so.1\0";
        assert_eq!(of(&program(64, 25, musl)), Some(PathBuf::from("/lib/ld-musl-x86_64.so.1")));
        for other in [
            program(64, 25, b"lib/ld.so"),
            program(64, 25, b""),
            program(64, u64::MAX, musl),
            program(u64::MAX - 3, 25, musl),
            program(4096, 25, musl),
            b"\x7fELF".to_vec(),
            vec![0xff; 200],
        ] {
            assert_eq!(of(&other), None);
        }
        let own = File::open(std::env::current_exe().expect("path")).expect("open");
        assert!(loader(&own).is_none_or(|loader| loader.exists()));
    }
}
