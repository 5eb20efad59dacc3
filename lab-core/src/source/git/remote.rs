//! Brings commits over the network into a bare repository of the cache, as few objects as the server allows.

use git2::{AutotagOption, Direction, FetchOptions, Oid, ProxyOptions, RemoteCallbacks, RemoteRedirect, Repository};

use super::{
    fault::Origin,
    job::Job,
    resolve::{self, Head, Meaning},
};
use crate::{
    git_url::{GitRef, Transport},
    progress::Unit,
    source::SourceError,
};

/// The reference in the cache that keeps what was brought last: the next fetch tells the server it has it.
const KEPT: &str = "refs/lab/kept";

/// All history, also of a repository that is shallow so far: git's `--unshallow` is this depth too.
const EVERYTHING: i32 = i32::MAX;

/// What is wanted of a repository.
#[derive(Debug, Clone)]
pub(super) enum Want {
    /// What its HEAD points to.
    Head,
    /// A branch, tag or commit.
    Named(GitRef),
    /// The commit a submodule is pinned to.
    Exactly(Oid),
}

/// A commit that is there now.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) commit: Oid,
    /// The branch or tag it was found by.
    pub(super) name: Option<String>,
}

/// Brings what is wanted.
pub(super) fn bring(job: &Job, origin: &Origin, repository: &Repository, want: &Want) -> Result<Found, SourceError> {
    if let Want::Exactly(id) = want
        && repository.find_commit(*id).is_ok()
    {
        return Ok(Found { commit: *id, name: None });
    }
    let exchange = Exchange { job, origin, repository };
    exchange.limit_redirects().map_err(|e| origin.refuse(job, &e))?;
    let found = exchange.fetch(want)?;
    repository.reference(KEPT, found.commit, true, "").map_err(|e| origin.refuse(job, &e))?;
    Ok(found)
}

struct Exchange<'a> {
    job: &'a Job,
    origin: &'a Origin,
    repository: &'a Repository,
}

impl Exchange<'_> {
    /// Where there is a token or password, only redirects on the same host are followed. `connect_auth` takes no options
    /// for this: libgit2 reads it from the repository's configuration (`remote.c`).
    fn limit_redirects(&self) -> Result<(), git2::Error> {
        let follow = if self.has_credentials() { "false" } else { "initial" };
        self.repository.config()?.open_level(git2::ConfigLevel::Local)?.set_str("http.followRedirects", follow)
    }

    fn has_credentials(&self) -> bool {
        let url = &self.origin.url;
        url.credentials().is_some() || (!self.job.keyring.is_empty() && self.job.keyring.fits(url))
    }

    fn fetch(&self, want: &Want) -> Result<Found, SourceError> {
        let refuse = |error: git2::Error| self.origin.refuse(self.job, &error);
        let mut remote = self.repository.remote_anonymous(self.origin.url.as_str()).map_err(refuse)?;
        let mut connection =
            remote.connect_auth(Direction::Fetch, Some(self.callbacks()), Some(self.proxy())).map_err(refuse)?;
        let heads: Vec<Head> = connection.list().map_err(refuse)?.iter().map(head).collect();
        self.job.stop.check()?;
        let (spec, id, name) = match resolve::meaning(self.origin, want, &heads)? {
            Meaning::Reference { full, short, id } => (format!("+{full}:{KEPT}"), id, short),
            Meaning::Commit(id) => {
                let tip = heads.iter().find(|head| head.id == id && !head.name.ends_with("^{}"));
                (tip.map_or_else(|| format!("+{id}:{KEPT}"), |tip| format!("+{}:{KEPT}", tip.name)), id, None)
            }
            Meaning::Prefix(prefix) => {
                drop(connection);
                self.everything()?;
                return self.by_prefix(&prefix, &heads);
            }
        };
        if !self.is_here(id) {
            let shallow =
                self.counted(|options| connection.remote().download(&[spec.as_str()], Some(options.depth(1))));
            drop(connection);
            if let Err(error) = shallow {
                self.job.stop.check()?;
                if !is_refused_shape(&error) {
                    return Err(self.over_limit().unwrap_or_else(|| refuse(error)));
                }
                // neither commits by hash nor shallow histories are for every server
                self.everything()?;
            }
        }
        let object = self.repository.find_object(id, None).map_err(|_| match want {
            Want::Head | Want::Named(_) if name.is_some() => {
                self.origin.failed(format!("the server did not send {id}"))
            }
            _ => resolve::unknown(self.origin, &id.to_string(), &heads),
        })?;
        let commit = object.peel_to_commit().map_err(|_| self.origin.failed(format!("{id} is not a commit")))?;
        Ok(Found { commit: commit.id(), name })
    }

    /// Whether the commit, or the tag and its commit, came with an earlier fetch.
    fn is_here(&self, id: Oid) -> bool {
        self.repository.find_object(id, None).and_then(|object| object.peel_to_commit()).is_ok()
    }

    /// All branches and tags with their history.
    fn everything(&self) -> Result<(), SourceError> {
        self.job.log("Fetching the whole history: the server sends no single commit for this request");
        let refuse = |error: git2::Error| self.over_limit().unwrap_or_else(|| self.origin.refuse(self.job, &error));
        let mut remote = self.repository.remote_anonymous(self.origin.url.as_str()).map_err(refuse)?;
        let depth = if self.repository.is_shallow() { EVERYTHING } else { 0 };
        let specs = ["+refs/heads/*:refs/lab/heads/*", "+refs/tags/*:refs/lab/tags/*"];
        self.counted(|options| remote.download(&specs, Some(options.depth(depth)))).map_err(refuse)
    }

    fn by_prefix(&self, prefix: &str, heads: &[Head]) -> Result<Found, SourceError> {
        let object = self.repository.revparse_single(prefix);
        let commit = object.and_then(|object| object.peel_to_commit());
        let commit = commit.map_err(|_| resolve::unknown(self.origin, prefix, heads))?;
        Ok(Found { commit: commit.id(), name: None })
    }

    /// Runs one transfer and counts its bytes, also those of a transfer that failed.
    fn counted(
        &self,
        transfer: impl FnOnce(&mut FetchOptions<'_>) -> Result<(), git2::Error>,
    ) -> Result<(), git2::Error> {
        let received = std::cell::Cell::new(0);
        let mut callbacks = self.callbacks();
        callbacks.transfer_progress(|stats| {
            received.set(stats.received_bytes() as u64);
            self.job.amount(stats.received_objects() as u64, stats.total_objects() as u64, Unit::Objects);
            !self.job.stop.is_set() && self.job.may_receive(received.get())
        });
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .proxy_options(self.proxy())
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .follow_redirects(if self.has_credentials() { RemoteRedirect::None } else { RemoteRedirect::Initial });
        let done = transfer(&mut options);
        drop(options);
        self.job.count_received(received.get());
        done
    }

    fn over_limit(&self) -> Option<SourceError> {
        (!self.job.may_receive(0)).then(|| self.origin.too_large(self.job.max_bytes()))
    }

    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(self.job.keyring.answer(&self.origin.url)).sideband_progress(|_| !self.job.stop.is_set());
        callbacks
    }

    /// What the machine is set up with, except for a server on the machine itself.
    fn proxy(&self) -> ProxyOptions<'static> {
        let mut proxy = ProxyOptions::new();
        if self.origin.url.transport() != Transport::Http {
            proxy.auto();
        }
        proxy
    }
}

/// Whether the server or libgit2 refused this kind of request, not the repository. The texts are libgit2's (`fetch.c`,
/// `smart_protocol.c`) and `git upload-pack`'s.
fn is_refused_shape(error: &git2::Error) -> bool {
    ["cannot fetch a specific object", "server doesn't support", "not our ref", "unadvertised object"]
        .iter()
        .any(|text| error.message().contains(text))
}

fn head(head: &git2::RemoteHead<'_>) -> Head {
    Head { name: head.name().to_owned(), id: head.oid(), target: head.symref_target().map(str::to_owned) }
}
