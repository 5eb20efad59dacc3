//! An app's data points: taken, looked at, and put in the place of its data.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::activity::Doing;
use crate::{
    App, AppName, DataPointId, Error, Lab, ReleaseId,
    blocking::blocking,
    data::{
        Checked, DataPoint, Newer, PointReason,
        points::{self, Restore},
    },
    layout::AppDirs,
    lifecycle::Desired,
    progress::Silent,
    reconcile,
    rehearsal::{Rehearsal, RehearsalError},
    release::Release,
};

impl Lab {
    /// Takes a data point of an app's data. The app runs on.
    ///
    /// # Errors
    /// [`Error::NoData`] before an app has any, [`Error::Data`] where it cannot be read or written.
    pub async fn take_point(&self, app: &AppName) -> Result<DataPoint, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let release = lab.record(&name).await?.release;
            let activity = lab.begin(&name, Doing::Copying)?;
            let point = lab.point_of(&name, PointReason::Asked, release, &activity.cancel).await;
            if point.is_ok() {
                lab.prune_points(&name).await;
            }
            drop(activity);
            lab.observe(&name).await;
            point
        })
        .await
    }

    /// The data points that are kept, newest first.
    pub async fn points(&self, app: &AppName) -> Result<Vec<DataPoint>, Error> {
        self.record(app).await?;
        let dirs = self.dirs(app);
        blocking(move || points::list(&dirs)).await
    }

    /// How the rows of each collection differ from those of a data point: what a restore would take away, or bring back.
    pub async fn newer_than_point(&self, app: &AppName, id: DataPointId) -> Result<Vec<Newer>, Error> {
        self.point(app, id).await?;
        let dirs = self.dirs(app);
        blocking(move || points::newer(&dirs, id)).await
    }

    /// A data point as one zip archive, in the form of `PocketBase`'s own backups.
    pub async fn export_point(&self, app: &AppName, id: DataPointId) -> Result<std::fs::File, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            // it never changes, so whatever else is done to the app may go on; only deleted it must not be
            lab.packed().push(id);
            let packed = async {
                lab.point(&name, id).await?;
                let (dirs, work) = (lab.dirs(&name), lab.settings().data.work_root());
                blocking(move || points::export(&dirs, id, &work)).await
            };
            let packed = packed.await;
            let mut all = lab.packed();
            if let Some(at) = all.iter().position(|it| *it == id) {
                all.swap_remove(at);
            }
            packed
        })
        .await
    }

    /// Looks whether every database of a data point is whole (`PRAGMA integrity_check`) and starts PocketBase on a copy of
    /// it, the release that worked with it where it is kept, else the one that serves. Keeps what was found.
    pub async fn verify_point(&self, app: &AppName, id: DataPointId) -> Result<DataPoint, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let activity = lab.begin(&name, Doing::Copying)?;
            let checked = lab.check_point(&name, id, &activity.cancel).await;
            drop(activity);
            lab.observe(&name).await;
            checked
        })
        .await
    }

    async fn check_point(
        &self,
        name: &AppName,
        id: DataPointId,
        cancel: &CancellationToken,
    ) -> Result<DataPoint, Error> {
        let (point, dirs) = (self.point(name, id).await?, self.dirs(name));
        let mut wrong = blocking({
            let dirs = dirs.clone();
            move || points::verify(&dirs, id)
        })
        .await?;
        // what is broken on disk would only be told once more
        let started = wrong.is_empty() && self.starts_on(name, &point, cancel, &mut wrong).await?;
        let checked = Checked { at: Timestamp::now(), wrong, started };
        blocking(move || points::keep_checked(&dirs, point, checked)).await
    }

    /// Starts PocketBase on a copy of a data point; whether it was started.
    async fn starts_on(
        &self,
        name: &AppName,
        point: &DataPoint,
        cancel: &CancellationToken,
        wrong: &mut Vec<String>,
    ) -> Result<bool, Error> {
        let (dirs, serving, then) = (self.dirs(name), self.record(name).await?.release, point.release);
        let release = blocking({
            let dirs = dirs.clone();
            move || {
                let kept = then.map(|id| Release::read(&dirs, id)).transpose()?.flatten();
                kept.map_or_else(
                    || serving.map_or(Ok(None), |id| Release::read(&dirs, id)),
                    |kept| Ok::<_, Error>(Some(kept)),
                )
            }
        });
        let Some(release) = release.await? else { return Ok(false) };
        let (data, work) =
            (points::data_of(&dirs, point.id), self.settings().data.work_root().join(point.id.to_string()));
        match self.rehearse(&dirs, &release, data, work, Arc::new(Silent), cancel).await {
            Ok(Rehearsal::Passed(_)) => Ok(true),
            Ok(Rehearsal::Skipped { why }) => {
                self.warn(name, format!("PocketBase was not started on the data point {}: {why}", point.id));
                Ok(false)
            }
            Err(error @ Error::Rehearsal(RehearsalError::Cancelled | RehearsalError::Io { .. })) => Err(error),
            Err(error @ Error::Rehearsal(_)) => {
                wrong.push(error.report());
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a data point in the place of an app's data. Requests wait meanwhile. Returns the data point that the replaced
    /// data became. If the app does not become healthy with the restored data, it gets the data back that it had.
    pub async fn restore_point(&self, app: &AppName, id: DataPointId) -> Result<DataPoint, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let app = lab.record(&name).await?;
            let activity = lab.begin(&name, Doing::Restoring)?;
            let point = lab.point(&name, id).await?;
            let dirs = lab.dirs(&name);
            let release = reconcile::serving_release(&dirs, &app).await?;
            let release = release.ok_or_else(|| Error::NothingToRun(name.clone()))?;
            let restore = lab.prepared(&dirs, point, app.release, &activity.cancel).await?;
            let restore = Arc::new(restore);
            let restored = lab.exchange_data(&app, &release, restore.clone()).await;
            lab.lift(&name);
            let routed = lab.apply_routes().await;
            // it counts every row: requests do not wait for that
            let replaced = match restored {
                Ok(()) => blocking(move || restore.keep()).await,
                Err(error) => Err(error),
            };
            drop(activity);
            lab.observe(&name).await;
            routed?;
            let replaced = replaced?;
            lab.prune_points(&name).await;
            Ok(replaced)
        })
        .await
    }

    async fn exchange_data(&self, app: &App, release: &Release, restore: Arc<Restore>) -> Result<(), Error> {
        let stopped = async {
            self.hold(&app.name).await?;
            self.backends().supervisor.stop(&app.name).await?;
            let restore = restore.clone();
            blocking(move || restore.exchange()).await
        };
        let (restored, has_run) = match stopped.await {
            Ok(()) => (self.runs_again(app, release).await, true),
            Err(error) => (Err(error), false),
        };
        match restored {
            Ok(()) => Ok(()),
            Err(error) => {
                // the app must not touch the data while it goes back
                self.backends().supervisor.stop(&app.name).await?;
                let taken_back = {
                    let restore = restore.clone();
                    blocking(move || restore.take_back(has_run)).await
                };
                // whatever is in the place of the data is whole
                let runs = self.runs_again(app, release).await;
                if let Err(error) = blocking(move || restore.clear()).await {
                    self.warn(&app.name, format!("what was restored is still on disk: {}", error.report()));
                }
                taken_back.and(runs)?;
                Err(error)
            }
        }
    }

    /// Starts an app that is to run, and waits until it is healthy.
    async fn runs_again(&self, app: &App, release: &Release) -> Result<(), Error> {
        if app.desired != Desired::Running {
            return Ok(());
        }
        let app = self.with_free_port(&app.name).await?;
        self.start_release(&app, release).await?;
        // not to be cancelled: the app's data hangs on it
        self.wait_healthy(&app, release, &CancellationToken::new()).await
    }

    pub(crate) async fn prepared(
        &self,
        dirs: &AppDirs,
        point: DataPoint,
        release: Option<ReleaseId>,
        cancel: &CancellationToken,
    ) -> Result<Restore, Error> {
        let (dirs, cancel) = (dirs.clone(), cancel.clone());
        blocking(move || Restore::prepare(&dirs, &point, release, &cancel)).await
    }

    pub(crate) async fn point_of(
        &self,
        app: &AppName,
        reason: PointReason,
        release: Option<ReleaseId>,
        cancel: &CancellationToken,
    ) -> Result<DataPoint, Error> {
        let (dirs, name, cancel) = (self.dirs(app), app.clone(), cancel.clone());
        let taken = blocking(move || {
            if !dirs.data().is_dir() {
                return Err(Error::NoData(name));
            }
            points::take(&dirs, &name, reason, release, &cancel)
        });
        let point = taken.await?;
        for path in &point.left_out {
            let path = path.display();
            self.warn(app, format!("`{path}` in its data is neither file nor folder: it is in no data point"));
        }
        Ok(point)
    }

    /// The newest data point of a release's data.
    pub(crate) async fn point_of_release(&self, app: &AppName, release: ReleaseId) -> Result<DataPoint, Error> {
        let points = self.points(app).await?;
        let found = points.into_iter().find(|point| point.release == Some(release));
        found.ok_or_else(|| Error::NoPointOfRelease { app: app.clone(), release })
    }

    async fn point(&self, app: &AppName, id: DataPointId) -> Result<DataPoint, Error> {
        self.record(app).await?;
        let dirs = self.dirs(app);
        let point = blocking(move || points::read(&dirs, id)).await?;
        point.ok_or_else(|| Error::NoSuchPoint { app: app.clone(), id })
    }

    /// Deletes old data points. One that cannot be deleted is no reason to fail what was done.
    pub(crate) async fn prune_points(&self, app: &AppName) {
        let (dirs, keep) = (self.dirs(app), self.settings().kept_points.max(1));
        let since = Timestamp::now() - self.settings().points_for;
        let lab = self.clone();
        if let Err(error) = blocking(move || points::prune(&dirs, keep, since, |id| lab.packed().contains(&id))).await {
            self.warn(app, format!("old data points were not deleted: {}", error.report()));
        }
    }
}
