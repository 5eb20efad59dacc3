//! Builds a frontend: its tools, its dependencies, its result.

use std::{collections::BTreeMap, path::Path};

use tokio::time::timeout;

use super::{dependencies::Dependencies, install, release::Build, tools::Toolbox};
use crate::builder::{BuildError, plan::Frontend};

mod again;
pub(super) mod output;

/// Starts of names whose values frameworks put into what visitors get: the app's own variables of these names are given
/// to the build, its secrets are not. Source: the documentation of each framework.
const PUBLIC: &[&str] = &[
    "VITE_",
    "PUBLIC_",
    "NEXT_PUBLIC_",
    "NUXT_PUBLIC_",
    "REACT_APP_",
    "VUE_APP_",
    "GATSBY_",
    "EXPO_PUBLIC_",
    "NG_APP_",
];

impl Build {
    /// Builds `what`; one that the app runs without may fail, or take too long. Says whether it was built.
    pub(super) async fn frontend(&self, what: &str, frontend: &Frontend) -> Result<bool, BuildError> {
        if !frontend.optional {
            return self.build_frontend(frontend).await.map(|()| true);
        }
        // the rest is for the backend
        let share = self.job.timeout / 3 * 2;
        let why = match timeout(share, self.build_frontend(frontend)).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) if error.must_end() => return Err(error),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                format!("it took longer than {} s and was stopped; does its `build` script end?", share.as_secs())
            }
        };
        let shown = super::release::shown(&frontend.directory);
        self.log.setback(&format!("the {what} in `{shown}` could not be built, deployed without it: {why}"));
        Ok(false)
    }

    /// Builds it, and once more with another Node.js where it refuses the one it got.
    async fn build_frontend(&self, frontend: &Frontend) -> Result<(), BuildError> {
        let failed = match self.build_once(frontend).await {
            Err(failed @ BuildError::CommandFailed { .. }) => failed,
            done => return done,
        };
        let Some(node) = again::other_node(&self.log.said(), frontend, self.machine_node().await.as_ref()) else {
            return Err(failed);
        };
        self.log.warn(&format!(
            "the frontend does not build with this Node.js: built again with {node}; state it as `engines` in `package.json`"
        ));
        self.build_once(&Frontend { node: Some(node.to_string()), ..frontend.clone() }).await
    }

    async fn build_once(&self, frontend: &Frontend) -> Result<(), BuildError> {
        let directory = self.checkout.folder(&frontend.directory)?;
        let toolbox = self.toolbox(frontend).await?;
        let mut env = self.frontend_env(frontend, &toolbox);
        let Some((build, installs)) = frontend.commands.split_last() else { return Ok(()) };
        let dependencies = Dependencies::of(self, frontend, &toolbox).await?;
        let is_there = dependencies.restore(self).await?;
        for words in installs {
            let mut env = env.clone();
            // `production` would leave out what the build needs
            env.remove("NODE_ENV");
            if is_there && let Some(scripts) = dependencies.instead_of(words) {
                for script in scripts {
                    self.command(&script, &directory, env.clone()).await?;
                }
                continue;
            }
            self.install(words, &directory, &env).await?;
        }
        match self.command(build, &directory, env.clone()).await {
            Err(BuildError::CommandFailed { .. }) if again::wants_legacy_hashes(&self.log.said()) => {
                self.log.warn(&format!(
                    "its webpack is older than Node.js 17: built again with `{}`",
                    again::LEGACY_HASHES
                ));
                let options = env.entry("NODE_OPTIONS".to_owned()).or_default();
                options.extend([" ", again::LEGACY_HASHES]);
                self.command(build, &directory, env).await?;
            }
            done => done?,
        }
        dependencies.keep(self).await;
        Ok(())
    }

    /// Installs as the lock file says, or otherwise where that fails for a usual reason.
    pub(super) async fn install(
        &self,
        words: &[String],
        directory: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<(), BuildError> {
        let mut words = words.to_vec();
        loop {
            match self.command(&words, directory, env.clone()).await {
                Err(BuildError::CommandFailed { command, status, last_lines, hint }) => {
                    let Some(other) = install::loosened(&words, &self.log.said()) else {
                        return Err(BuildError::CommandFailed { command, status, last_lines, hint });
                    };
                    self.log.warn(&format!("{}: `{}` is run instead of `{command}`", other.why, other.words.join(" ")));
                    words = other.words;
                }
                done => return done,
            }
        }
    }

    /// What the plan sets gives way to everything else.
    fn frontend_env(&self, frontend: &Frontend, toolbox: &Toolbox) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        env.insert("PATH".to_owned(), toolbox.path.clone());
        let is_given = self.settings.env.contains_key("CI") || self.job.env.contains_key("CI");
        if frontend.env.contains_key("CI") && !is_given {
            // what every build gets gives way to what this one needs
            env.remove("CI");
        }
        for (name, value) in self.job.frontend_env(frontend) {
            env.entry(name).or_insert(value);
        }
        env
    }
}

impl super::BuildJob {
    /// The app's own variables that its frontend's build is given, and what the plan sets where the app does not.
    pub(super) fn frontend_env(&self, frontend: &Frontend) -> BTreeMap<String, String> {
        let is_wanted =
            |name: &String| frontend.env.contains_key(name) || self.plan.required_env.contains(name) || is_public(name);
        let own = self.app_env.iter().filter(|(name, _)| is_wanted(name));
        frontend.env.iter().chain(own).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Whether a variable is meant for visitors.
pub(super) fn is_public(name: &str) -> bool {
    PUBLIC.iter().any(|start| name.starts_with(start))
}
