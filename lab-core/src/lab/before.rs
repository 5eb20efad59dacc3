//! Which release a rollback leads to that names none.

use crate::{
    AppName, Error, Lab, ReleaseId,
    blocking::blocking,
    deploy::{DeployAction, DeployState, Deployment, store},
    release::Release,
};

impl Lab {
    /// The one of those that are kept that served before the one that serves now.
    pub(super) async fn release_before(
        &self,
        name: &AppName,
        serving: ReleaseId,
        kept: &[Release],
    ) -> Result<Option<ReleaseId>, Error> {
        let dirs = self.dirs(name);
        let records = blocking(move || {
            let ids = store::ids(&dirs)?;
            let read = ids.into_iter().rev().filter_map(|id| store::readable(store::read(&dirs, id)));
            Ok::<_, Error>(read.collect::<Vec<_>>())
        });
        let records = records.await?;
        let is_kept = |id: &ReleaseId| kept.iter().any(|release| release.id == *id);
        if let Some(before) = before(&records, serving).into_iter().rev().find(is_kept) {
            return Ok(Some(before));
        }
        // those whose records are gone are older than all that have one
        let is_known = |id: ReleaseId| records.iter().any(|record| record.release == id);
        Ok(kept.iter().map(|release| release.id).find(|id| *id < serving && !is_known(*id)))
    }
}

/// What served before `serving`, oldest first, by the records, oldest first. A rollback leads back to where its release
/// served: what came after that is not gone back to.
fn before(records: &[Deployment], serving: ReleaseId) -> Vec<ReleaseId> {
    let mut served: Vec<ReleaseId> = Vec::new();
    let succeeded =
        |record: &&Deployment| record.state == DeployState::Succeeded && record.action != DeployAction::Trial;
    for record in records.iter().filter(succeeded) {
        match served.iter().position(|id| *id == record.release) {
            Some(at) if record.action == DeployAction::Rollback => served.truncate(at),
            _ => served.retain(|id| *id != record.release),
        }
        served.push(record.release);
    }
    served.iter().position(|id| *id == serving).map(|at| served[..at].to_vec()).unwrap_or_default()
}
