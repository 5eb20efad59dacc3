//! Installs the npm packages that hooks require.

use std::collections::BTreeMap;

use super::release::{Build, shown};
use crate::builder::{
    BuildError,
    plan::{Frontend, Packages},
};

impl Build {
    /// Installs them. Where that fails, the app is tried without: hooks that need them tell so when it starts.
    pub(super) async fn packages(&self, packages: &Packages) -> Result<(), BuildError> {
        if packages.install.is_empty() {
            return Ok(());
        }
        match self.install_packages(packages).await {
            Err(error) if !error.must_end() => {
                let shown = shown(&packages.directory);
                self.log.setback(&format!("the packages of `{shown}`, which hooks require, are not there: {error}"));
                Ok(())
            }
            done => done,
        }
    }

    async fn install_packages(&self, packages: &Packages) -> Result<(), BuildError> {
        let directory = self.checkout.folder(&packages.directory)?;
        let tools = Frontend {
            directory: packages.directory.clone(),
            commands: vec![packages.install.clone()],
            output: None,
            node: None,
            manager: packages.manager.clone(),
            env: BTreeMap::new(),
            optional: true,
        };
        let mut env = self.env.clone();
        env.insert("PATH".to_owned(), self.toolbox(&tools).await?.path);
        // what PocketBase can read: folders, not yarn's archives
        env.insert("YARN_NODE_LINKER".to_owned(), "node-modules".to_owned());
        self.install(&packages.install, &directory, &env).await
    }
}
