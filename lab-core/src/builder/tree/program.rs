//! The version that a committed PocketBase program says of itself.

use std::{fs::File, io::Read};

/// A bigger program is looked through only so far.
const MAX_BYTES: usize = 160 << 20;

const CHUNK: usize = 1 << 20;

/// What the version follows: the flag of PocketBase's own release build, the module in Go's build information, the words
/// in the dashboard. Source: the released programs themselves.
const BEFORE: &[&[u8]] = &[b"pocketbase.Version=", b"pocketbase/pocketbase\tv", b"PocketBase v"];

/// The longest of [`BEFORE`] with a version after it fits in it.
const OVERLAP: usize = 64;

/// Whether a file of that name may be PocketBase.
pub(super) fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.strip_suffix(".exe").unwrap_or(&name);
    (stem == "pb" || stem.starts_with("pocketbase")) && !stem.contains('.')
}

/// Looks through a program. Blocks.
pub(super) fn version(mut file: File) -> Option<String> {
    let mut window: Vec<u8> = Vec::with_capacity(CHUNK + OVERLAP);
    let mut read = 0;
    while read < MAX_BYTES {
        let kept = window.len().min(OVERLAP);
        window.drain(..window.len() - kept);
        let got = (&mut file).take(CHUNK as u64).read_to_end(&mut window).ok()?;
        if got == 0 {
            break;
        }
        read += got;
        if let Some(version) = in_bytes(&window) {
            return Some(version);
        }
    }
    None
}

fn in_bytes(bytes: &[u8]) -> Option<String> {
    BEFORE.iter().find_map(|before| {
        memchr::memmem::find_iter(bytes, before).find_map(|at| {
            let rest = &bytes[at + before.len()..bytes.len().min(at + before.len() + 24)];
            let end = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
            let version = semver::Version::parse(std::str::from_utf8(&rest[..end]).ok()?).ok()?;
            // PocketBase's own, not another module's
            (version.major == 0).then(|| version.to_string())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn said(bytes: &[u8]) -> Option<String> {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(bytes).expect("write");
        file.rewind().expect("rewind");
        version(file)
    }

    #[test]
    fn a_program_says_its_version() {
        let at = |place: usize, words: &str| [vec![0; place], words.as_bytes().to_vec(), vec![0; 9]].concat();
        let flag = "-X github.com/pocketbase/pocketbase.Version=0.28.4\"";
        assert_eq!(said(&at(10, flag)).as_deref(), Some("0.28.4"));
        // across the edge of what is read at once
        assert_eq!(said(&at(CHUNK - 45, flag)).as_deref(), Some("0.28.4"));
        assert_eq!(said(&at(5, "dep\tgithub.com/pocketbase/pocketbase\tv0.22.27\th1:x")).as_deref(), Some("0.22.27"));
        assert_eq!(said(&at(5, "textContent=\"PocketBase v0.16.10\"")).as_deref(), Some("0.16.10"));
        assert_eq!(said(&at(5, "PocketBase v and PocketBase v1")), None);
    }

    #[test]
    fn programs_are_known_by_their_names() {
        for name in ["pocketbase", "pocketbase.exe", "PocketBase", "pb", "pocketbase_linux_amd64"] {
            assert!(is_named(name), "{name}");
        }
        for name in ["pocketbase.zip", "pb.js", "pbx", "pocketbase.service"] {
            assert!(!is_named(name), "{name}");
        }
    }
}
