//! The suite over the fake and over git on the disk, `git://` and HTTP.

use std::path::PathBuf;

use lab_core::{
    GitUrl, UrlPolicy,
    source::{
        Source,
        git::{GitSettings, GitSource},
    },
    testing::{
        Subject,
        source::{FakeCommit, FakeSource, SourceFixture},
    },
};
use tempfile::TempDir;

use crate::{
    repo::{FILE, LINK, Repo},
    servers::{self, Server, Web},
};

#[derive(Debug)]
struct Fake(FakeSource);

impl SourceFixture for Fake {
    fn source(&self) -> &dyn Source {
        &self.0
    }

    fn publish(&self, commits: &[FakeCommit]) -> GitUrl {
        let url = GitUrl::parse("https://git.example/me/app", UrlPolicy::Remote).unwrap();
        self.0.publish(&url, commits.to_vec());
        url
    }

    fn silent(&self) -> GitUrl {
        self.0.hang_next();
        self.publish(&[])
    }
}

#[derive(Debug)]
struct Git {
    source: GitSource,
    root: PathBuf,
    base: String,
    silent: String,
}

impl SourceFixture for Git {
    fn source(&self) -> &dyn Source {
        &self.source
    }

    fn publish(&self, commits: &[FakeCommit]) -> GitUrl {
        Repo::publish(&self.root.join("app.git"), commits);
        GitUrl::parse(&format!("{}/app.git", self.base), UrlPolicy::LocalAllowed).unwrap()
    }

    fn silent(&self) -> GitUrl {
        GitUrl::parse(&self.silent, UrlPolicy::LocalAllowed).unwrap()
    }

    fn has_links(&self) -> bool {
        true
    }

    fn link(&self, target: &str) -> Option<GitUrl> {
        let repo = Repo::publish(&self.root.join("app.git"), &[]);
        let (link, file) = (repo.blob(target), repo.blob("x"));
        repo.commit_on("main", "a link", repo.tree(&[(LINK, b"link", link), (FILE, b"file", file)]));
        GitUrl::parse(&format!("{}/app.git", self.base), UrlPolicy::LocalAllowed).ok()
    }
}

fn git(base: String, dir: TempDir, silent: Server, scheme: &str) -> Subject<dyn SourceFixture> {
    let source = GitSource::new(GitSettings { ssh_agent: false, ..GitSettings::default() });
    let silent_url = format!("{scheme}://{}/app.git", silent.address);
    let fixture = Git { source, root: dir.path().to_owned(), base, silent: silent_url };
    Subject::<dyn SourceFixture>::new(std::sync::Arc::new(fixture)).with(dir).with(silent)
}

mod fake {
    use super::*;
    lab_core::source_conformance!(async {
        Subject::<dyn SourceFixture>::new(std::sync::Arc::new(Fake(FakeSource::new())))
    });
}

mod disk {
    use super::*;
    lab_core::source_conformance!(async {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path().display().to_string(), dir, servers::silent().await, "git")
    });
}

mod daemon {
    use super::*;
    lab_core::source_conformance!(async {
        let dir = tempfile::tempdir().unwrap();
        let server = servers::daemon(dir.path()).await;
        git(format!("git://{}", server.address), dir, servers::silent().await, "git").with(server)
    });
}

mod http {
    use super::*;
    lab_core::source_conformance!(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Web { root: dir.path().to_owned(), ..Web::default() }.start().await;
        git(format!("http://{}", server.address), dir, servers::silent().await, "http").with(server)
    });
}

mod ssh {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_silent_ssh_server_is_given_up_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let subject = git(dir.path().display().to_string(), dir, servers::silent().await, "ssh");
        lab_core::testing::source::a_time_limit_is_obeyed_within_a_second(&*subject.backend).await;
    }
}
