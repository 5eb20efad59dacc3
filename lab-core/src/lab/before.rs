//! Which release a rollback leads to that names none.

use crate::{
    AppName, Error, Lab, ReleaseId,
    blocking::blocking,
    deploy::{DeployAction, DeployState, Deployment, store},
    release::Release,
};

impl Lab {
    /// The release, of those that are kept, that served before `serving` did.
    pub(crate) async fn release_before(&self, name: &AppName, serving: ReleaseId) -> Result<Option<ReleaseId>, Error> {
        let dirs = self.dirs(name);
        blocking(move || {
            let (ids, kept) = (store::ids(&dirs)?, Release::ids(&dirs)?);
            let read = ids.into_iter().rev().filter_map(|id| store::readable(store::read(&dirs, id)));
            let records: Vec<Deployment> = read.collect();
            if let Some(before) = before(&records, serving).into_iter().rev().find(|id| kept.contains(id)) {
                return Ok(Some(before));
            }
            // those whose records are gone are older than all that have one
            let is_known = |id: ReleaseId| records.iter().any(|record| record.release == id);
            Ok(kept.into_iter().find(|id| *id < serving && !is_known(*id)))
        })
        .await
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
