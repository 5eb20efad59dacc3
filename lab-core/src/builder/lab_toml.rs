//! `lab.toml`: what a repository states about itself, so that nothing has to be guessed. See `docs/lab-toml.md`.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    BuildError,
    tree::{Kind, Tree, paths},
};

mod errors;
mod values;
mod write;

pub use values::{EnvName, Flag, HealthPath, PoolSize, RepoPath, Seconds, Section, Tag, VersionNumber, Words};

/// The name of the file.
pub const FILE: &str = "lab.toml";

/// A bigger file is refused.
pub const MAX_BYTES: u64 = 64 << 10;

/// The whole file. Everything is optional; what is not stated is detected. Paths are relative to the file's folder.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LabToml {
    /// The folder of the app, when several look like one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Spanned<RepoPath>>,
    /// The official binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pocketbase: Option<PocketBaseSection>,
    /// What serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSection>,
    /// What is built to be served as `pb_public`, or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Section<FrontendSection>>,
    /// The folder of hooks, or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Section<HooksSection>>,
    /// The folder of migrations, or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Section<FolderSection>>,
    /// The folder of files to serve, or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<Section<FolderSection>>,
    /// How to tell that the app is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSection>,
    /// Variables of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvSection>,
}

/// `[pocketbase]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PocketBaseSection {
    /// The exact version of the official binary: `"0.40.6"`.
    pub version: VersionNumber,
}

/// What kind of program serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// The official binary.
    PocketBase,
    /// The app's own program, built from Go.
    Go,
    /// The app's own program, which is committed.
    Program,
}

/// `[server]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// `"pocketbase"`, `"go"` or `"program"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServerKind>,
    /// Go: the folder of `go.mod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<Spanned<RepoPath>>,
    /// Go: the folder of the main package, relative to `module`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Spanned<RepoPath>>,
    /// Go: the build tags, instead of `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// The committed program that is run as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Spanned<RepoPath>>,
    /// Files and folders that the app reads in its working directory, relative to `module` if it is Go; else those that
    /// its code names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<Spanned<RepoPath>>>,
    /// Further arguments for the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Flag>,
}

/// `[frontend]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendSection {
    /// The folder the commands run in; else the detected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Spanned<RepoPath>>,
    /// Installs the dependencies; else by the lock file. Empty: nothing is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<Words>,
    /// Builds; else the `build` script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Words>,
    /// The folder with the result, else found after the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Spanned<RepoPath>>,
    /// Whether the app is deployed even when this build fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// `[hooks]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HooksSection {
    /// The folder; else the detected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<RepoPath>>,
    /// How many JavaScript runtimes are kept ready (`--hooksPool`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSize>,
}

/// `[migrations]`, `[public]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FolderSection {
    /// The folder.
    pub path: Spanned<RepoPath>,
}

/// `[health]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSection {
    /// The path that answers 2xx when the app is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HealthPath>,
    /// How many seconds it may take until it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Seconds>,
}

/// `[env]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EnvSection {
    /// Names of variables the app cannot do without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<EnvName>,
}

/// The file as it was found, or an empty one.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    /// What it says.
    pub toml: LabToml,
    /// Its folder.
    pub base: String,
    text: String,
    found: bool,
}

impl Stated {
    /// Reads the `lab.toml` in `base`, if there is one.
    pub fn find(tree: &Tree, base: &str) -> Result<Self, BuildError> {
        let path = paths::join(base, FILE);
        let invalid = |reason: String| BuildError::Invalid { what: format!("`{path}`"), reason };
        match tree.kind(&path) {
            None => return Ok(Self { base: base.to_owned(), ..Self::default() }),
            Some(Kind::File { size }) if *size > MAX_BYTES => {
                return Err(invalid(format!("has {size} bytes, but {MAX_BYTES} are the limit")));
            }
            Some(Kind::File { .. }) => {}
            Some(_) => return Err(invalid("must be a regular file".to_owned())),
        }
        let text = tree.text(&path).ok_or_else(|| invalid("could not be read".to_owned()))?.to_owned();
        let toml = toml::from_str(&text).map_err(|error| errors::describe(&path, &text, &error))?;
        Ok(Self { toml, base: base.to_owned(), text, found: true })
    }

    /// Whether there is such a file.
    pub fn found(&self) -> bool {
        self.found
    }

    /// The file's path.
    pub fn path(&self) -> String {
        paths::join(&self.base, FILE)
    }

    /// A path that the file states, seen from the tree.
    pub fn in_tree(&self, path: &Spanned<RepoPath>) -> String {
        paths::join(&self.base, path.get_ref().as_str())
    }

    /// What is wrong with a value that could be read.
    pub fn wrong(&self, value: &Spanned<RepoPath>, reason: &str) -> BuildError {
        errors::at(&self.path(), &self.text, Some(value.span()), reason)
    }

    /// `[server]`
    pub fn server(&self) -> Option<&ServerSection> {
        self.toml.server.as_ref()
    }

    /// What kind of program it says that serves.
    pub fn kind(&self) -> Option<ServerKind> {
        let server = self.server()?;
        server.kind.or(server.program.as_ref().map(|_| ServerKind::Program))
    }
}

#[cfg(test)]
mod tests;
