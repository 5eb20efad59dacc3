//! What a build will do, and why: plain data that can be shown without being run.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::release::HealthCheck;

mod explain;
mod places;

pub(crate) use places::RESERVED;

/// How the reason of a plan ends that says which file needs cgo.
pub(super) const NEEDS_C: &str = ", which needs a C compiler: built with cgo";

/// How a tree is built and run. Paths are relative to the tree; the tree itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlan {
    /// What serves.
    pub server: Server,
    /// Where `pb_hooks` is, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<PathBuf>,
    /// Where `pb_migrations` is, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<PathBuf>,
    /// Where `pb_public` is, if anywhere and not built. With a frontend too, its files come on top of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<PathBuf>,
    /// What is built to be served as `pb_public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Frontend>,
    /// What is built to become the hooks, in the way of a frontend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_build: Option<Frontend>,
    /// The npm packages that hooks require.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// What the app reads in its working directory: files and folders, which are at the same place there as in a Go
    /// program's module, or as beside the hooks and migrations. What is not there after the build is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Where in the release a Go program runs: the module's folder, where its code names what is beside it by `../`. Files
    /// are then at their places in the tree. None: in the release's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Further arguments for the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// How to tell that it is up.
    #[serde(default)]
    pub health: HealthCheck,
    /// Names of variables the app cannot do without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_env: Vec<String>,
    /// A committed `pb_data` with a `data.db`. It is used only when the owner asks for it and the app has no data yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<PathBuf>,
    /// Names of variables that `.env.example` and the like mention, or the code reads: a hint, it may do without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_hints: Vec<String>,
    /// Names of variables that tell the app's program its port (`PB_PORT`) or address (`HTTP_ADDR`): it gives PocketBase
    /// that, and not what the command line says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// Go files that give PocketBase a fixed address: the build puts another one there, from the tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<PathBuf>,
    /// Whether the app's program gets a `.env` file in its working directory: it ends without one, or reads the committed
    /// one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub env_file: bool,
    /// What the owner should know: a frontend that is not run, a Dockerfile that does more than was used …: one sentence
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was found, what was chosen and why: one sentence each.
    pub reasons: Vec<String>,
}

/// What serves an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Server {
    /// The official binary.
    PocketBase {
        /// Its version.
        version: String,
        /// A committed file that is that very program: it is run where the version is not to be had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<PathBuf>,
    },
    /// A committed program, as it is: PocketBase with code of the app's own, of which only the program is here.
    Program {
        /// The file.
        path: PathBuf,
        /// The PocketBase version in it, when it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pocketbase: Option<String>,
    },
    /// The app's own program, built from Go.
    Go {
        /// The folder of `go.mod`.
        module: PathBuf,
        /// The package of `main`, relative to the module: `.`, `./cmd/app`
        package: String,
        /// The build tags.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// The PocketBase version that `go.mod` requires, when it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pocketbase: Option<String>,
        /// Commands in the module's folder that make code which is not committed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        generate: Vec<Vec<String>>,
        /// Whether a dependency needs a C compiler.
        #[serde(default, skip_serializing_if = "is_false")]
        cgo: bool,
        /// The Go version that the `toolchain` or else the `go` directive asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        go: Option<String>,
    },
}

/// A static frontend to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontend {
    /// The folder of `package.json`.
    pub directory: PathBuf,
    /// The commands, in order, each as program and arguments. All but the last one install dependencies.
    pub commands: Vec<Vec<String>>,
    /// Where the result is, relative to the tree; none: the first of the usual folders of `directory` that is there
    /// after the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// The Node version it asks for, as the text of a semver range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The package manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Tool>,
    /// Variables of the build that are set to something harmless, so that it succeeds without the owner's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether the app runs without it: a build that fails is then told as a warning, and what is committed in its output
    /// folder, if anything, is served instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// npm packages that hooks require. PocketBase looks for `node_modules` in its working directory, and hooks name one that
/// is in their own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// The folder of `package.json`.
    pub directory: PathBuf,
    /// Installs them, as program and arguments; empty: they are there.
    pub install: Vec<String>,
    /// The package manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Tool>,
}

/// A tool that a build asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `npm`, `pnpm`, `yarn`, `bun`
    pub name: String,
    /// Its version, or the start of one, when something says so: `9.1.0`, `1`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
