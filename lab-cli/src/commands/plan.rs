//! Shows how a repository would be built and run. Needs no server: it uses the library.

use std::{path::Path, sync::Arc};

use lab_core::{
    GitRef, GitUrl, UrlPolicy,
    builder::{
        BuildPlan, DetectSettings, RepoPath, detect,
        detect::candidates,
        tree::{Limits, Tree},
    },
    progress::Silent,
    source::{
        FetchLimits, FetchRequest, Source,
        git::{GitSettings, GitSource},
    },
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{error::CliError, output::Output};

pub(crate) async fn plan(
    source: &str,
    root: Option<RepoPath>,
    branch: Option<GitRef>,
    output: &Output,
) -> Result<(), CliError> {
    let folder = Path::new(source);
    // a bare repository is a folder too, but its tree is not in it
    if folder.is_dir() && branch.is_none() && git2::Repository::open_bare(folder).is_err() {
        return show(folder, root, output);
    }
    let place = folder.is_dir().then(|| folder.canonicalize().ok()).flatten();
    let place = place.as_deref().and_then(Path::to_str).unwrap_or(source);
    let url = GitUrl::parse(place, UrlPolicy::LocalAllowed)
        .map_err(|e| CliError::Usage(format!("`{source}` is no folder here, and no repository: {e}")))?;
    let temporary = tempfile::tempdir().map_err(|e| CliError::local("no temporary folder")(e.into()))?;
    let destination = temporary.path().join("checkout");
    let request = FetchRequest {
        repository: url,
        reference: branch,
        token: None,
        destination: destination.clone(),
        cache: temporary.path().join("cache"),
        limits: FetchLimits::default(),
    };
    let cancel = CancellationToken::new();
    let fetched = GitSource::new(GitSettings::default()).fetch(request, Arc::new(Silent), cancel).await;
    let commit = fetched.map_err(lab_core::Error::from)?;
    output.note(&format!("{:.10} “{}”", commit.hash, commit.message));
    show(&destination, root, output)
}

fn show(folder: &Path, root: Option<RepoPath>, output: &Output) -> Result<(), CliError> {
    let settings = DetectSettings { root, ..DetectSettings::default() };
    let tree = Tree::read(folder, &Limits::default()).map_err(lab_core::Error::from)?;
    let plan: BuildPlan = detect(&tree, &settings).map_err(lab_core::Error::from)?;
    let candidates = candidates(&tree, &settings).map_err(lab_core::Error::from)?;
    let stated = plan
        .to_lab_toml()
        .map_err(|e| CliError::Local { what: "the plan cannot be stated".to_owned(), source: e.into() })?;
    let data = json!({"plan": plan, "candidates": candidates, "lab_toml": stated});
    output.data(&data, || format!("{}\n\nThe same, stated in lab.toml:\n\n{stated}", plan.explain().join("\n")));
    Ok(())
}
