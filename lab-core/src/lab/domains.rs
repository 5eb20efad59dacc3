//! The domains that an app's owner gives it.

use std::collections::BTreeSet;

use super::activity::Doing;
use crate::{
    App, AppName, Error, Lab,
    domain::{CustomDomain, DomainError, MAX_DOMAINS},
};

impl Lab {
    /// The domains that lead to an app, beside its host below the lab's domain.
    pub async fn domains(&self, app: &AppName) -> Result<BTreeSet<CustomDomain>, Error> {
        Ok(self.record(app).await?.domains)
    }

    /// Makes a domain lead to an app as well; the domains there are then. One that does already is fine. Its DNS records are
    /// its owner's business.
    ///
    /// # Errors
    /// [`Error::Domain`] for a domain of the lab's or of another app, or one too many; [`Error::Busy`].
    pub async fn add_domain(&self, app: &AppName, domain: CustomDomain) -> Result<BTreeSet<CustomDomain>, Error> {
        let lab_domain = &self.settings().domain;
        if domain.is_within(lab_domain) {
            return Err(DomainError::OfLab { domain, lab: lab_domain.clone() }.into());
        }
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let _activity = lab.begin(&name, Doing::Configuring)?;
            let record = lab.record(&name).await?;
            let _gate = lab.domains_gate().lock().await;
            let others = lab.backends().registry.list().await?;
            if let Some(other) = others.into_iter().find(|app| app.name != name && app.domains.contains(&domain)) {
                return Err(DomainError::Taken { domain, owner: other.name }.into());
            }
            if !record.domains.contains(&domain) && record.domains.len() >= MAX_DOMAINS {
                return Err(DomainError::TooMany(name).into());
            }
            lab.change_domains(&name, &|domains| {
                domains.insert(domain.clone());
            })
            .await
        })
        .await
    }

    /// Takes a domain away from an app; the domains that are left.
    ///
    /// # Errors
    /// [`Error::Domain`] for one that it does not have; [`Error::Busy`].
    pub async fn remove_domain(&self, app: &AppName, domain: CustomDomain) -> Result<BTreeSet<CustomDomain>, Error> {
        let (lab, name) = (self.clone(), app.clone());
        self.to_its_end(async move {
            let _activity = lab.begin(&name, Doing::Configuring)?;
            let record = lab.record(&name).await?;
            if !record.domains.contains(&domain) {
                return Err(DomainError::Unknown { app: name, domain }.into());
            }
            lab.change_domains(&name, &|domains| {
                domains.remove(&domain);
            })
            .await
        })
        .await
    }

    async fn change_domains(
        &self,
        name: &AppName,
        change: &(dyn Fn(&mut BTreeSet<CustomDomain>) + Sync),
    ) -> Result<BTreeSet<CustomDomain>, Error> {
        let app = self.modify(name, &|app: &mut App| change(&mut app.domains)).await?;
        self.apply_routes().await?;
        Ok(app.domains)
    }
}
