//! Which commit is meant, among the references a repository has.

use git2::Oid;

use super::{fault::Origin, remote::Want};
use crate::source::SourceError;

/// The most names an error lists.
const MAX_KNOWN: usize = 10;

/// The fewest digits of a short hash: git's own least is 4.
const SHORT_HASH: usize = 4;

/// A reference, as a server advertises it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) id: Oid,
    /// What a symbolic reference points to.
    pub(super) target: Option<String>,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The reference `full`, called `short` by people.
    Reference { full: String, short: Option<String>, id: Oid },
    /// A commit, named by its full hash.
    Commit(Oid),
    /// Perhaps the beginning of a commit's hash.
    Prefix(String),
}

/// Finds what `want` means among `heads`.
pub(super) fn meaning(origin: &Origin, want: &Want, heads: &[Head]) -> Result<Meaning, SourceError> {
    let find = |name: &str| heads.iter().find(|head| head.name == name);
    let reference = match want {
        Want::Exactly(id) => return Ok(Meaning::Commit(*id)),
        Want::Head => {
            let Some(head) = find("HEAD") else {
                return Err(if names(heads).next().is_none() {
                    SourceError::Empty { repository: origin.label.clone() }
                } else {
                    unknown(origin, "HEAD", heads)
                });
            };
            let target = head.target.as_deref();
            let full = target.filter(|target| find(target).is_some()).unwrap_or("HEAD");
            let short = target.and_then(|target| target.strip_prefix("refs/heads/")).map(str::to_owned);
            return Ok(Meaning::Reference { full: full.to_owned(), short, id: head.id });
        }
        Want::Named(reference) => reference,
    };
    let name = reference.as_str();
    // as in git: 40 hexadecimal digits are a hash, whatever a branch is called
    if reference.is_full_commit()
        && let Ok(id) = Oid::from_str(name)
    {
        return Ok(Meaning::Commit(id));
    }
    for full in [format!("refs/heads/{name}"), format!("refs/tags/{name}"), name.to_owned()] {
        if let Some(head) = find(&full).filter(|_| full.starts_with("refs/")) {
            return Ok(Meaning::Reference { full, short: Some(name.to_owned()), id: head.id });
        }
    }
    if names(heads).next().is_none() {
        return Err(SourceError::Empty { repository: origin.label.clone() });
    }
    if (SHORT_HASH..40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        let prefix = name.to_ascii_lowercase();
        let tip =
            heads.iter().find(|head| head.id.to_string().starts_with(&prefix) && !head.name.contains("refs/tags/"));
        return Ok(tip.map_or(Meaning::Prefix(prefix), |head| Meaning::Commit(head.id)));
    }
    Err(unknown(origin, name, heads))
}

/// The error for a name that is not there.
pub(super) fn unknown(origin: &Origin, reference: &str, heads: &[Head]) -> SourceError {
    let known = names(heads).take(MAX_KNOWN).map(|name| super::fault::escape(name.as_bytes(), 100)).collect();
    SourceError::NoSuchReference { repository: origin.label.clone(), reference: reference.to_owned(), known }
}

/// Branches, then tags.
fn names(heads: &[Head]) -> impl Iterator<Item = &str> {
    let of = |prefix| heads.iter().filter_map(move |head| head.name.strip_prefix(prefix));
    of("refs/heads/").chain(of("refs/tags/").filter(|name| !name.ends_with("^{}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git_url::{GitUrl, UrlPolicy};

    fn head(name: &str, digit: char, target: Option<&str>) -> Head {
        let id = Oid::from_str(&digit.to_string().repeat(40)).expect("id");
        Head { name: name.to_owned(), id, target: target.map(str::to_owned) }
    }

    fn ask(name: Option<&str>, heads: &[Head]) -> Result<Meaning, SourceError> {
        let origin = Origin::root(GitUrl::parse("https://host.example/app", UrlPolicy::Remote).expect("url"));
        meaning(&origin, &name.map_or(Want::Head, |n| Want::Named(n.parse().expect("ref"))), heads)
    }

    #[test]
    fn branches_come_before_tags_and_both_before_short_hashes() {
        let heads = [
            head("HEAD", 'a', Some("refs/heads/main")),
            head("refs/heads/main", 'a', None),
            head("refs/heads/beef", 'b', None),
            head("refs/tags/main", 'c', None),
            head("refs/tags/v1", 'd', None),
            head("refs/tags/v1^{}", 'e', None),
        ];
        let full = |name| match ask(Some(name), &heads).expect(name) {
            Meaning::Reference { full, .. } => full,
            Meaning::Commit(id) => id.to_string(),
            Meaning::Prefix(prefix) => prefix,
        };
        assert_eq!(full("main"), "refs/heads/main");
        assert_eq!(full("beef"), "refs/heads/beef");
        assert_eq!(full("v1"), "refs/tags/v1");
        assert_eq!(full("refs/tags/main"), "refs/tags/main");
        assert_eq!(full("bbbb"), "b".repeat(40));
        assert_eq!(full("1234567"), "1234567");
        let Err(SourceError::NoSuchReference { known, .. }) = ask(Some("none"), &heads) else { panic!("found") };
        assert_eq!(known, ["main", "beef", "main", "v1"]);
    }

    #[test]
    fn a_repository_without_references_is_empty() {
        assert!(matches!(ask(None, &[]), Err(SourceError::Empty { .. })));
        assert!(matches!(ask(Some("main"), &[]), Err(SourceError::Empty { .. })));
        let unborn = [head("refs/heads/dev", 'a', None)];
        assert!(matches!(ask(None, &unborn), Err(SourceError::NoSuchReference { .. })));
    }
}
