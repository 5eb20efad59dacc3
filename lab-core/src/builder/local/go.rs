//! Builds a Go app's program.

use std::path::Path;

use semver::Version;

use self::way::{Change, Way};
use super::{
    environment::find,
    release::{Build, shown},
    tools,
};
use crate::builder::{
    BuildError,
    plan::{NEEDS_C, Server},
};

mod overlay;
mod way;

impl Build {
    /// Builds it without a C compiler, unless a dependency needs one.
    pub(super) async fn go(&self, server: &Server) -> Result<(), BuildError> {
        let Server::Go { module, package, tags, generate, cgo, go, .. } = server else { return Ok(()) };
        let directory = self.checkout.folder(module)?;
        let output = std::path::absolute(self.job.output.join("app"));
        let output =
            output.map_err(|source| BuildError::Io { action: "create", path: self.job.output.clone(), source })?;
        let mut way = Way::default();
        if *cgo {
            self.needs_c_compiler(module)?;
            way.add(Change::Cgo);
        }
        let older = match go {
            Some(wanted) => self.toolchain(wanted).await,
            None => None,
        };
        for words in generate {
            self.command(words, &directory, self.env.clone()).await?;
        }
        let mut build = Server::go_build(package, tags, &output);
        if let Some(overlay) = self.overlay(module).await? {
            // `go build -overlay=…`
            build.insert(build.len().min(2), format!("-overlay={}", overlay.display()));
        }
        self.go_build(&build, &directory, way, older).await
    }

    /// Builds, and again in another way as long as one is known for why it failed.
    async fn go_build(
        &self,
        words: &[String],
        directory: &Path,
        mut way: Way,
        older: Option<Change>,
    ) -> Result<(), BuildError> {
        let failed = loop {
            let done = self.command(&way.words(words), directory, way.env(&self.env)).await;
            let Err(failed @ BuildError::CommandFailed { .. }) = done else { return done };
            let Some((change, why)) = way.next(&self.log.printed_last(), self.has_c_compiler()) else { break failed };
            self.told(&change, why);
            way.add(change);
        };
        let Some(change) = older.filter(|_| way::is_too_new(&self.log.printed_last())) else { return Err(failed) };
        self.told(&change, "what the program depends on is older than the server's Go");
        way.add(change);
        match self.command(&way.words(words), directory, way.env(&self.env)).await {
            // what is wrong is better told by the newer one
            Err(BuildError::CommandFailed { .. }) => Err(failed),
            done => done,
        }
    }

    fn told(&self, change: &Change, why: &str) {
        let line = format!("{why}: built again with `{change}`");
        // a library with C in it is nobody's mistake
        if *change == Change::Cgo { self.log.say(&line) } else { self.log.warn(&line) }
    }

    fn has_c_compiler(&self) -> bool {
        let there = |compiler: &str| find(compiler, &self.settings.path).is_some();
        self.env.contains_key("CC") || ["cc", "gcc", "clang"].into_iter().any(there)
    }

    /// An error when there is no C compiler: before the minutes that a build without one takes to fail.
    fn needs_c_compiler(&self, module: &Path) -> Result<(), BuildError> {
        if self.has_c_compiler() {
            return Ok(());
        }
        let why = self.job.plan.reasons.iter().find_map(|reason| reason.strip_suffix(NEEDS_C));
        let reason = "needs cgo, and the server has no C compiler (`cc`, `gcc` or `clang`): install one there and deploy again, or use a library without C";
        let what = why.map_or_else(|| format!("the Go module `{}`", shown(module)), str::to_owned);
        Err(BuildError::Invalid { what, reason: reason.to_owned() })
    }

    /// Go fetches a newer toolchain by itself; that takes a while, and a reader should know why. The one that `wanted`
    /// says when it is older than the server's.
    async fn toolchain(&self, wanted: &str) -> Option<Change> {
        let parsed = tools::lenient(wanted.trim_start_matches("go"))?;
        let there = tools::version(&self.settings.path, "go", &["version"]).await?;
        if parsed > there {
            self.log.say(&format!("the app asks for Go {wanted}, the server has {there}: Go fetches the newer one"));
        }
        let Version { major, minor, patch, .. } = parsed;
        // the first of a minor has a `.0` since 1.21
        let name = if minor < 21 && patch == 0 { format!("{major}.{minor}") } else { parsed.to_string() };
        ((major, minor) < (there.major, there.minor)).then_some(Change::Toolchain(name))
    }
}
