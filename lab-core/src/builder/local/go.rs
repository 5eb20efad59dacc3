//! Builds a Go app's program.

use std::path::Path;

use super::{environment::find, release::Build, tools};
use crate::builder::{BuildError, plan::Server};

/// What Go says when a package has nothing but files that need a C compiler.
const NEEDS_CGO: &[&str] =
    &["build constraints exclude all Go files", "C source files not allowed when not using cgo", "requires cgo"];

impl Build {
    /// Builds it without a C compiler, unless a dependency needs one.
    pub(super) async fn go(&self, server: &Server) -> Result<(), BuildError> {
        let Server::Go { module, package, tags, cgo, go, .. } = server else { return Ok(()) };
        let directory = self.checkout.folder(module)?;
        let output = std::path::absolute(self.job.output.join("app"));
        let output =
            output.map_err(|source| BuildError::Io { action: "create", path: self.job.output.clone(), source })?;
        if let Some(wanted) = go {
            self.say_toolchain(wanted).await;
        }
        let words = Server::go_build(package, tags, &output);
        if *cgo {
            return self.go_build(&words, &directory, true).await;
        }
        match self.go_build(&words, &directory, false).await {
            Err(BuildError::CommandFailed { .. }) if self.needs_cgo() => {
                self.log.say("a dependency needs a C compiler: built again with cgo");
                self.go_build(&words, &directory, true).await
            }
            done => done,
        }
    }

    async fn go_build(&self, words: &[String], directory: &Path, cgo: bool) -> Result<(), BuildError> {
        let mut env = self.env.clone();
        if cgo {
            env.insert("CGO_ENABLED".to_owned(), "1".to_owned());
        }
        self.command(words, directory, env).await
    }

    fn needs_cgo(&self) -> bool {
        let lines = self.log.printed_last();
        let is_said = lines.iter().any(|line| NEEDS_CGO.iter().any(|text| line.contains(text)));
        is_said && ["cc", "gcc", "clang"].iter().any(|compiler| find(compiler, &self.settings.path).is_some())
    }

    /// Go fetches a newer toolchain by itself; that takes a while, and a reader should know why.
    async fn say_toolchain(&self, wanted: &str) {
        let (Some(parsed), Some(there)) = (
            tools::lenient(wanted.trim_start_matches("go")),
            tools::version(&self.settings.path, "go", &["version"]).await,
        ) else {
            return;
        };
        if parsed > there {
            self.log.say(&format!("the app asks for Go {wanted}, the server has {there}: Go fetches the newer one"));
        }
    }
}
