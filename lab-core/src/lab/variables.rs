//! The variables that an app's owner gives it.

use super::activity::Doing;
use crate::{AppName, Error, Lab, VariableChange, blocking::blocking, layout::AppDirs, variables};

impl Lab {
    /// The names of an app's variables. Their values are for the app only.
    pub async fn variables(&self, app: &AppName) -> Result<Vec<String>, Error> {
        self.record(app).await?;
        let path = self.dirs(app).env();
        Ok(blocking(move || variables::read(&path)).await?.into_keys().collect())
    }

    /// Changes an app's variables; the names that there are afterwards. The app has them from its next start on, and its
    /// next deployment builds with them.
    pub async fn change_variables(&self, app: &AppName, change: VariableChange) -> Result<Vec<String>, Error> {
        self.record(app).await?;
        // whatever is being done to it sees them as they were, or as they will be
        let _activity = self.begin(app, Doing::Configuring)?;
        self.write_variables(&self.dirs(app), change).await
    }

    pub(super) async fn write_variables(&self, dirs: &AppDirs, change: VariableChange) -> Result<Vec<String>, Error> {
        let path = dirs.env();
        blocking(move || variables::change(&path, &change)).await
    }
}
