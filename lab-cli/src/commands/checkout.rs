//! The git checkout that `lab deploy` stands in.

use std::path::Path;

use crate::error::CliError;

/// The checkout that `lab` stands in.
pub(super) struct Checkout {
    /// Where it was cloned from.
    pub(super) origin: String,
    /// The branch that is checked out.
    pub(super) branch: Option<String>,
    /// What is here and would not be deployed.
    pub(super) warnings: Vec<String>,
}

impl Checkout {
    /// The one around the working directory.
    pub(super) fn here() -> Result<Self, CliError> {
        Self::of(Path::new("."))
    }

    fn of(folder: &Path) -> Result<Self, CliError> {
        let usage = |text: &str| CliError::Usage(text.to_owned());
        let repository = git2::Repository::discover(folder)
            .map_err(|_| usage("this folder is no git checkout: say what to deploy, such as `lab deploy https://…`"))?;
        let origin = repository.find_remote("origin").ok().and_then(|remote| remote.url().ok().map(str::to_owned));
        let origin =
            origin.ok_or_else(|| usage("this checkout has no remote `origin` that the server could fetch from"))?;
        let origin = absolute(origin, &repository);
        let head = repository.head().ok();
        let branch =
            head.as_ref().filter(|head| head.is_branch()).and_then(|head| head.shorthand().ok().map(str::to_owned));
        let mut warnings = Vec::new();
        let mut options = git2::StatusOptions::new();
        options.include_untracked(false).include_ignored(false);
        if repository.statuses(Some(&mut options)).is_ok_and(|changes| !changes.is_empty()) {
            warnings.push("there are changes here that are not committed; they are not deployed".to_owned());
        }
        if let (Some(branch), Some(head)) = (&branch, head.and_then(|head| head.target())) {
            let pushed = repository.refname_to_id(&format!("refs/remotes/origin/{branch}")).ok();
            if pushed != Some(head) {
                warnings.push(format!("`{branch}` here is not what `origin` was last seen to have; push first"));
            }
        }
        Ok(Self { origin, branch, warnings })
    }
}

/// A path that is relative to the checkout, as git takes it, as an absolute one; addresses stay as they are.
fn absolute(origin: String, repository: &git2::Repository) -> String {
    let is_path = !origin.starts_with('/') && !origin.contains(':');
    let joined = repository.workdir().filter(|_| is_path).and_then(|place| place.join(&origin).canonicalize().ok());
    joined.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(repository: &git2::Repository, text: &str) {
        let workdir = repository.workdir().expect("not bare");
        std::fs::write(workdir.join("file"), text).expect("written");
        let mut index = repository.index().expect("an index");
        index.add_path(Path::new("file")).expect("added");
        index.write().expect("written");
        let tree = repository.find_tree(index.write_tree().expect("a tree")).expect("a tree");
        let me = git2::Signature::now("Me", "me@example.com").expect("a signature");
        let parent = repository.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("HEAD"), &me, &me, text, &tree, &parents).expect("a commit");
    }

    #[test]
    fn what_is_not_pushed_or_not_committed_is_warned_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let (origin, place) = (folder.path().join("origin"), folder.path().join("clone"));
        commit(&git2::Repository::init(&origin).expect("made"), "one");
        let clone = git2::Repository::clone(origin.to_str().expect("text"), &place).expect("cloned");
        std::fs::create_dir(place.join("deep")).expect("made");
        let branch = clone.head().expect("a head").shorthand().expect("text").to_owned();

        let found = Checkout::of(&place.join("deep")).expect("a checkout");
        assert_eq!((found.origin.as_str(), found.branch), (origin.to_str().expect("text"), Some(branch)));
        assert_eq!(found.warnings, Vec::<String>::new());
        std::fs::write(place.join("file"), "changed").expect("written");
        assert!(Checkout::of(&place).expect("a checkout").warnings.concat().contains("not committed"));
        commit(&clone, "two");
        assert!(Checkout::of(&place).expect("a checkout").warnings.concat().contains("push first"));
        clone.remote_set_url("origin", "../origin").expect("set");
        assert_eq!(
            Checkout::of(&place).expect("a checkout").origin,
            origin.canonicalize().expect("there").to_string_lossy()
        );
        clone.remote_delete("origin").expect("deleted");
        assert!(matches!(Checkout::of(&place), Err(CliError::Usage(_))));
    }
}
