//! What a committed PocketBase program says of itself.

use std::io::Read;

/// A bigger program is looked through only so far.
const MAX_BYTES: usize = 160 << 20;

const CHUNK: usize = 1 << 20;

/// What the version follows: the flag of PocketBase's own release build, the module in Go's build information, the words
/// in the dashboard. Source: the released programs themselves.
const BEFORE: &[&[u8]] = &[b"pocketbase.Version=", b"pocketbase/pocketbase\tv", b"PocketBase v"];

/// The line of Go's build information with the package that a program was built of begins so, and one of these follows
/// it. Source: `runtime/debug`, `BuildInfo.String`.
const PATH: &[u8] = b"path\t";
const AFTER_PATH: &[&[u8]] = &[b"mod\t", b"dep\t", b"build\t"];

/// A longer path is none.
const MAX_PATH: usize = 256;

/// The longest of [`BEFORE`] with a version after it fits in it, and so does the line of [`PATH`] with what follows.
const OVERLAP: usize = 512;

/// What PocketBase's own releases are built of. Source: its `.goreleaser.yaml`.
const OFFICIAL: &str = "github.com/pocketbase/pocketbase/examples/base";

/// What a program says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its version of PocketBase.
    pub version: Option<String>,
    /// The Go package that it was built of.
    pub built_of: Option<String>,
}

impl Program {
    /// Whether it is PocketBase as it was released.
    pub fn is_official(&self) -> bool {
        self.version.is_some() && self.built_of.as_deref() == Some(OFFICIAL)
    }

    /// Where it is PocketBase with code of its own: the package of that code.
    pub fn own_code(&self) -> Option<&str> {
        self.built_of.as_deref().filter(|package| self.version.is_some() && *package != OFFICIAL)
    }
}

/// Whether a file of that name may be PocketBase.
pub(super) fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.strip_suffix(".exe").unwrap_or(&name);
    (stem == "pb" || stem.starts_with("pocketbase")) && !stem.contains('.')
}

/// Looks through a program; none where it says nothing or cannot be read. Blocks.
pub(super) fn read(mut file: impl Read) -> Option<Program> {
    let mut said = Program::default();
    let mut window: Vec<u8> = Vec::with_capacity(CHUNK + OVERLAP);
    let mut read = 0;
    while read < MAX_BYTES && (said.version.is_none() || said.built_of.is_none()) {
        let kept = window.len().min(OVERLAP);
        window.drain(..window.len() - kept);
        let got = (&mut file).take(CHUNK as u64).read_to_end(&mut window).ok()?;
        if got == 0 {
            break;
        }
        read += got;
        said.version = said.version.or_else(|| version(&window));
        said.built_of = said.built_of.or_else(|| built_of(&window));
    }
    (said != Program::default()).then_some(said)
}

/// The whole line and what follows it: other texts of a program have the word too.
fn built_of(bytes: &[u8]) -> Option<String> {
    let is_of_paths = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/+@".contains(byte);
    memchr::memmem::find_iter(bytes, PATH).find_map(|at| {
        let rest = &bytes[at + PATH.len()..];
        let end = rest.iter().take(MAX_PATH).position(|byte| !is_of_paths(byte)).filter(|end| *end > 0)?;
        let after = rest[end..].strip_prefix(b"\n")?;
        let is_line = AFTER_PATH.iter().any(|next| after.starts_with(next));
        is_line.then(|| String::from_utf8_lossy(&rest[..end]).into_owned())
    })
}

fn version(bytes: &[u8]) -> Option<String> {
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
    use super::*;

    fn said(bytes: &[u8]) -> Option<String> {
        read(bytes)?.version
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
    fn a_program_says_what_it_was_built_of() {
        const OWN: &str = "path\texample.com/shop\nmod\texample.com/shop\t(devel)\t\ndep\tgithub.com/pocketbase/pocketbase\tv0.29.1\th1:x\n";
        let released =
            format!("path\t{OFFICIAL}\nbuild\t-ldflags=\"-X github.com/pocketbase/pocketbase.Version=0.28.4\"\n");
        let at = |place: usize, words: &str| {
            read([vec![0; place], words.as_bytes().to_vec(), vec![0; 9]].concat().as_slice())
        };
        // wherever it is, also across the edge of what is read at once
        for place in [0, CHUNK - 100, CHUNK - 20, CHUNK - 8, CHUNK + 5, 2 * CHUNK - 40] {
            let own = at(place, OWN).expect("said");
            assert_eq!((own.own_code(), own.version.as_deref()), (Some("example.com/shop"), Some("0.29.1")), "{place}");
            assert!(!own.is_official());
            let released = at(place, &released).expect("said");
            assert!(released.is_official() && released.own_code().is_none(), "{place}: {released:?}");
        }
        let long = format!("path\t{}\nmod\t", "x".repeat(MAX_PATH));
        for other in ["path\tMarch April\nmod\t", "path\texample.com/x\n\n", "path\t\nmod\t", "path\tx", &long] {
            assert_eq!(at(3, other), None, "{other}");
        }
        // no PocketBase at all
        assert_eq!(at(3, "path\texample.com/x\nmod\tx").expect("said").own_code(), None);
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
