//! What the result of a build depends on beside the tree.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LocalBuilderSettings, tools};
use crate::{
    builder::{BuildError, BuildJob, BuildPlan, plan::Server},
    pocketbase::digest::Sum,
};

/// Everything, in a fixed order.
#[derive(Serialize)]
struct Inputs<'a> {
    /// Another version of Lab may build otherwise.
    lab: &'static str,
    plan: &'a BuildPlan,
    tools: Vec<String>,
    env: [&'a BTreeMap<String, String>; 2],
    app_env: BTreeMap<String, String>,
    path: &'a str,
}

/// Their SHA-256.
pub(super) async fn digest(settings: &LocalBuilderSettings, job: &BuildJob) -> Result<String, BuildError> {
    let mut tools = Vec::new();
    let mut app_env = BTreeMap::new();
    if let Some(frontend) = &job.plan.frontend {
        let node = tools::version(&settings.path, "node", &["--version"]).await;
        let choice = tools::choose(frontend, node.as_ref());
        tools.extend(choice.fetched.iter().map(|wanted| format!("{} {}", wanted.name, wanted.version)));
        tools.extend(choice.machine);
        app_env.extend(job.frontend_env(frontend));
    }
    if let Server::Go { .. } = &job.plan.server {
        let go = tools::version(&settings.path, "go", &["version"]).await;
        tools.push(format!("go {}", go.map(|go| go.to_string()).unwrap_or_default()));
    }
    if job.plan.env_file {
        app_env.extend(job.app_env.clone());
    }
    let (lab, path) = (env!("CARGO_PKG_VERSION"), settings.path.as_str());
    let inputs = Inputs { lab, plan: &job.plan, tools, env: [&settings.env, &job.env], app_env, path };
    let text = serde_json::to_vec(&inputs).map_err(|source| BuildError::Invalid {
        what: "the plan".to_owned(),
        reason: format!("cannot be written down: {source}"),
    })?;
    Ok(Sum::of_bytes(&text).hex())
}
