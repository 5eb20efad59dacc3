//! Submodules: the same fetch again, below a path.

use std::collections::VecDeque;

use git2::{Oid, Repository};

use super::{
    cache::Cache,
    fault::{Origin, escape},
    gitmodules,
    job::Job,
    plan::{Gitlink, Plan},
    remote::Want,
};
use crate::{
    git_url::{GitUrl, Transport, UrlPolicy},
    source::SourceError,
};

/// The most submodules inside one another.
const MAX_DEPTH: usize = 5;

/// The most submodules of one repository, inner ones included.
const MAX_COUNT: usize = 50;

/// A repository whose tree is to be planned.
struct Waiting {
    origin: Origin,
    repository: Repository,
    commit: Oid,
    prefix: Vec<u8>,
    depth: usize,
}

/// Plans the tree of `commit` and of all its submodules.
pub(super) fn plan_all(
    job: &Job,
    origin: &Origin,
    repository: Repository,
    commit: Oid,
    cache: &Cache,
    plan: &mut Plan,
) -> Result<(), SourceError> {
    let root = Origin::root(origin.url.clone());
    let mut waiting = VecDeque::from([Waiting { origin: root, repository, commit, prefix: Vec::new(), depth: 0 }]);
    let mut count = 0;
    while let Some(Waiting { origin: parent, repository, commit, prefix, depth }) = waiting.pop_front() {
        let entries = entries(&parent, &repository, commit).inspect_err(|_| origin.adopt(&parent))?;
        let gitlinks = plan.add(job, &parent, repository, commit, &prefix).inspect_err(|_| origin.adopt(&parent))?;
        for gitlink in gitlinks {
            let urls = urls_of(job, &parent, &gitlink, &entries)?;
            if urls.is_empty() {
                continue;
            }
            count += 1;
            if count > MAX_COUNT || depth >= MAX_DEPTH {
                return Err(origin.failed(format!(
                    "it has more than {MAX_COUNT} submodules, or more than {MAX_DEPTH} inside one another"
                )));
            }
            let Some((repository, commit, child)) = bring(job, origin, urls, &gitlink, cache)? else { continue };
            let prefix = gitlink.path;
            waiting.push_back(Waiting { origin: child, repository, commit, prefix, depth: depth + 1 });
        }
    }
    Ok(())
}

/// A submodule's repository with its commit, by the first address that works; none when it is left out. A private theme
/// or a library that moved is not what an app runs on, and where it is, that fails later with a reason of its own.
fn bring(
    job: &Job,
    root: &Origin,
    urls: Vec<GitUrl>,
    gitlink: &Gitlink,
    cache: &Cache,
) -> Result<Option<(Repository, Oid, Origin)>, SourceError> {
    let path = escape(&gitlink.path, 200);
    let mut failed = None;
    for url in urls {
        let child = Origin::submodule(url, &gitlink.path);
        job.log(&format!("Fetching the submodule {path} from {}", child.url));
        match job.bring(&child, &Want::Exactly(gitlink.commit), cache) {
            Ok((repository, found)) => return Ok(Some((repository, found.commit, child))),
            Err(error) if can_do_without(&error, &child, root) => failed = failed.or(Some(error)),
            Err(error) => {
                root.adopt(&child);
                return Err(error);
            }
        }
    }
    let why = failed.map(|error| error.to_string()).unwrap_or_default();
    job.warn(&format!("left out the submodule `{path}`, which stays empty: {why}"));
    Ok(None)
}

/// Whether another try would fail in the same way: neither a limit nor a network that may be back soon. What an ssh
/// server wants is a key, and to be known; and a host that is not reached, though the repository's own was, may be gone.
fn can_do_without(error: &SourceError, child: &Origin, root: &Origin) -> bool {
    match error {
        SourceError::NotFoundOrPrivate { .. } | SourceError::NoSuchReference { .. } | SourceError::Empty { .. } => true,
        SourceError::Failed { .. } | SourceError::TimedOut { .. } => {
            let is_elsewhere = host(&child.url) != host(&root.url);
            (child.url.transport() == Transport::Ssh || is_elsewhere) && !child.is_damaged()
        }
        _ => false,
    }
}

/// The host of an address, without port; nothing for a folder of this machine.
fn host(url: &GitUrl) -> &str {
    let text = url.as_str();
    let place = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    place.split(':').next().unwrap_or_default()
}

type Entries = std::collections::HashMap<String, gitmodules::Entry>;

fn entries(origin: &Origin, repository: &Repository, commit: Oid) -> Result<Entries, SourceError> {
    let damaged = |error: git2::Error| origin.damaged(&error);
    let tree = repository.find_commit(commit).and_then(|commit| commit.tree()).map_err(damaged)?;
    let Some(entry) = tree.get_name(".gitmodules").filter(|entry| entry.filemode_raw() & 0o170_000 == 0o100_000) else {
        return Ok(Entries::new());
    };
    let (size, _) = repository.odb().and_then(|odb| odb.read_header(entry.id())).map_err(damaged)?;
    if size as u64 > gitmodules::MAX_BYTES {
        return Err(origin.hostile(b".gitmodules", "is too long"));
    }
    let blob = repository.find_blob(entry.id()).map_err(damaged)?;
    Ok(gitmodules::parse(&String::from_utf8_lossy(blob.content())))
}

/// Where a submodule may be, the likeliest first; none when it is to be left out.
fn urls_of(job: &Job, parent: &Origin, gitlink: &Gitlink, entries: &Entries) -> Result<Vec<GitUrl>, SourceError> {
    let path = escape(&gitlink.path, 200);
    let entry = std::str::from_utf8(&gitlink.inner).ok().and_then(|inner| entries.get(inner));
    let Some(url) = entry.and_then(|entry| entry.url.as_deref()) else {
        job.warn(&format!("left out the submodule `{path}`: `.gitmodules` has no address for it"));
        return Ok(Vec::new());
    };
    if entry.and_then(|entry| entry.update.as_deref()) == Some("none") {
        job.warn(&format!("left out the submodule `{path}`: `.gitmodules` says `update = none`"));
        return Ok(Vec::new());
    }
    let urls = addresses(&parent.url, url);
    let refused = "is a submodule with an address that is not allowed here";
    if urls.is_empty() { Err(parent.hostile(&gitlink.path, refused)) } else { Ok(urls) }
}

/// What is said of it, and the same over https: that needs no key, and comes first unless the parent came over ssh too.
fn addresses(parent: &GitUrl, url: &str) -> Vec<GitUrl> {
    let said = resolve(parent, url);
    let web = over_https(url).and_then(|url| resolve(parent, &url));
    let has_key = parent.transport() == Transport::Ssh;
    let all = if has_key { [said, web] } else { [web, said] };
    all.into_iter().flatten().collect()
}

/// `git@host:me/app`, `ssh://git@host/me/app`, `git://host/me/app` and `http://host/me/app` as hosts have them over https.
fn over_https(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = match scheme {
        "" => rest.strip_prefix("git@")?.split_once(':')?,
        "ssh" | "git+ssh" => rest.strip_prefix("git@")?.split_once('/')?,
        "git" | "http" => rest.split_once('/')?,
        _ => return None,
    };
    let is_usual = !host.is_empty() && !host.contains([':', '@']);
    is_usual.then(|| format!("https://{host}/{}", path.trim_start_matches('/')))
}

/// `url` as `parent`'s `.gitmodules` means it; none for what a repository of that kind may not name. One from the
/// network never leads to this machine's disk, nor to another plain http server.
fn resolve(parent: &GitUrl, url: &str) -> Option<GitUrl> {
    let relative = url.starts_with("./") || url.starts_with("../");
    let text = if relative { relative_to(parent.as_str(), url)? } else { url.to_owned() };
    let policy = match parent.transport() {
        Transport::Local | Transport::Http => UrlPolicy::LocalAllowed,
        Transport::Https | Transport::Ssh | Transport::Git => UrlPolicy::Remote,
    };
    let resolved = GitUrl::parse(&text, policy).ok()?;
    let allowed = match (parent.transport(), resolved.transport()) {
        (Transport::Local, _) => true,
        (_, Transport::Local) => false,
        (Transport::Http, Transport::Http) => relative || authority(parent.as_str()) == authority(&text),
        _ => true,
    };
    allowed.then_some(resolved)
}

fn authority(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split('/').next()
}

/// git's rule: each `../` takes one part off the parent's path. It never takes the host.
fn relative_to(parent: &str, url: &str) -> Option<String> {
    let split = match parent.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/')? + 1,
        None if parent.starts_with('/') => 1,
        None => parent.find(':')? + 1,
    };
    let (base, path) = (parent.get(..split)?, parent.get(split..)?);
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for part in url.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(format!("{base}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parent: &str, url: &str) -> Option<String> {
        let parent = GitUrl::parse(parent, UrlPolicy::LocalAllowed).expect(parent);
        resolve(&parent, url).map(|url| url.to_string())
    }

    #[test]
    fn relative_addresses_start_from_the_parents() {
        for (parent, url, expected) in [
            ("https://host.example/me/app.git", "../lib", "https://host.example/me/lib"),
            ("https://host.example/me/app", "../../you/lib.git", "https://host.example/you/lib.git"),
            ("https://host.example/me/app", "./lib", "https://host.example/me/app/lib"),
            ("git@host.example:me/app", "../lib", "git@host.example:me/lib"),
            ("/srv/git/app", "../lib", "/srv/git/lib"),
            ("http://127.0.0.1:80/app", "../lib", "http://127.0.0.1/lib"),
        ] {
            assert_eq!(of(parent, url).as_deref(), Some(expected), "{parent} {url}");
        }
    }

    #[test]
    fn addresses_that_need_a_key_are_tried_over_https() {
        let all = |parent: &str, url: &str| -> Vec<String> {
            let parent = GitUrl::parse(parent, UrlPolicy::LocalAllowed).expect(parent);
            addresses(&parent, url).iter().map(GitUrl::to_string).collect()
        };
        let (https, ssh) = ("https://host.example/you/lib.git", "git@host.example:you/lib.git");
        let parent = "https://host.example/me/app";
        assert_eq!(all(parent, ssh), [https, ssh]);
        assert_eq!(all("git@host.example:me/app", ssh), [ssh, https]);
        assert_eq!(all(parent, "ssh://git@host.example/you/lib.git"), [https, "ssh://git@host.example/you/lib.git"]);
        assert_eq!(all(parent, "http://host.example/you/lib.git"), [https]);
        assert_eq!(all(parent, "git://host.example/you/lib.git"), [https, "git://host.example/you/lib.git"]);
        assert_eq!(all(parent, https), [https]);
        for own in ["ssh://git@host.example:2222/you/lib", "me@host.example:you/lib", "../lib"] {
            assert_eq!(all(parent, own).len(), 1, "{own}");
        }
    }

    #[test]
    fn a_repository_from_the_network_names_nothing_on_this_machine() {
        for url in [
            "../../../etc",
            "../..",
            "/etc",
            "file:///etc",
            "ext::sh -c x",
            "http://127.0.0.1/x",
            "-x",
            "",
            "a/b",
            "fd::3",
        ] {
            assert_eq!(of("https://host.example/me/app", url), None, "{url}");
        }
        assert_eq!(of("http://127.0.0.1:3000/me/app", "http://127.0.0.1:9000/x"), None);
        assert_eq!(of("http://127.0.0.1:3000/me/app", "/etc"), None);
        assert!(of("https://host.example/me/app", "https://other.example/x").is_some());
    }
}
