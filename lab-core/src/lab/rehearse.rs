//! Tries releases on copies of an app's data.

use std::{path::PathBuf, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    Error, Lab,
    layout::AppDirs,
    progress::Progress,
    rehearsal::{Rehearsal, RehearsalJob},
    release::Release,
};

impl Lab {
    /// Tries a release of an app on a copy of `data`, in the folder `work`.
    pub(crate) async fn rehearse(
        &self,
        dirs: &AppDirs,
        release: &Release,
        data: PathBuf,
        work: PathBuf,
        progress: Arc<dyn Progress>,
        cancel: &CancellationToken,
    ) -> Result<Rehearsal, Error> {
        let settings = self.settings();
        let mut health = release.run.health.clone();
        if let Some(limit) = settings.health_timeout {
            health.timeout_secs = limit.as_secs().max(1);
        }
        let job = RehearsalJob {
            release: release.clone(),
            release_folder: dirs.release(release.id),
            data,
            work,
            env: self.app_env(dirs).await?,
            health,
            stop_grace: settings.stop_grace,
            limits: settings.rehearsal.limits,
            without_isolation: settings.rehearsal.without_isolation,
        };
        Ok(self.backends().rehearser.rehearse(job, progress, cancel.clone()).await?)
    }
}
