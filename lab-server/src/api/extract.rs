//! What handlers take out of a request. Whatever does not fit is a [`Problem`] before a handler runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use lab_core::{
    AppName, DeployRequest, DeploymentId, GitUrl, Lab, ReleaseId, Secret, VariableChange, VariableName,
    builder::RepoPath, rehearsal::RehearsalPolicy, router::Hostname,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::Answer;
use crate::{access::Caller, problem::Problem};

/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The most lines of a log that are sent at once.
const MAX_LINES: usize = 10_000;

/// Who asks, as far as the server knows.
pub(super) struct By(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Ok(Self(parts.extensions.get::<Caller>().map(|Caller(who)| (*who).to_owned())))
    }
}

/// An app's name from the path.
pub(super) struct Named(pub(super) AppName);

/// An app's name and, from the path's end, one of what it has: an id or a domain.
pub(super) struct Chosen<I = DeploymentId>(pub(super) AppName, pub(super) I);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        #[derive(Deserialize)]
        struct Names {
            name: String,
        }
        let Path(Names { name }) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name.parse()?))
    }
}

impl<S: Send + Sync, I: FromStr<Err: Into<Problem>>> FromRequestParts<S> for Chosen<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        #[derive(Deserialize)]
        struct Names {
            name: String,
            #[serde(alias = "domain")]
            id: String,
        }
        let Path(Names { name, id }) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name.parse()?, id.parse().map_err(Into::into)?))
    }
}

/// A JSON body, or a problem.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time");
        let Json(body) = timeout(BODY_TIME, Json::from_request(request, state)).await.map_err(late)??;
        Ok(Self(body))
    }
}

/// The query, or a problem.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
pub(super) struct Asked<T>(pub(super) T);

/// How far a client that lost its connection had read, as a browser says it: `Last-Event-ID`.
pub(super) struct LastEvent(pub(super) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEvent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Ok(Self(parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok())))
    }
}

/// The body of `POST /api/deploy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployBody {
    repository: Option<String>,
    #[serde(alias = "name")]
    subdomain: String,
    branch: Option<String>,
    token: Option<String>,
    #[serde(default)]
    seed_data: bool,
    #[serde(default)]
    accept_loss: bool,
    root: Option<RepoPath>,
    rehearsal: Option<RehearsalPolicy>,
    #[serde(default)]
    env: BTreeMap<VariableName, String>,
}

impl DeployBody {
    pub(super) fn into_request(self, lab: &Lab) -> Answer<DeployRequest> {
        let policy = lab.settings().repositories;
        Ok(DeployRequest {
            name: self.subdomain.parse()?,
            repository: self.repository.map(|text| GitUrl::parse(&text, policy)).transpose()?,
            branch: self.branch.map(|text| text.parse()).transpose()?,
            token: self.token.map(Secret::new),
            root: self.root,
            rehearsal: self.rehearsal,
            accept_loss: self.accept_loss,
            variables: secret(self.env),
            by: None,
            seed_data: self.seed_data,
        })
    }
}

/// The body of `PATCH …/env`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariablesBody {
    #[serde(default)]
    set: BTreeMap<VariableName, String>,
    #[serde(default)]
    unset: BTreeSet<VariableName>,
}

impl From<VariablesBody> for VariableChange {
    fn from(body: VariablesBody) -> Self {
        Self { set: secret(body.set), unset: body.unset }
    }
}

fn secret(values: BTreeMap<VariableName, String>) -> BTreeMap<VariableName, Secret> {
    values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

/// The body of `POST …/upgrade`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradeBody {
    pub(super) to: Option<semver::Version>,
    #[serde(default)]
    pub(super) trial: bool,
    #[serde(default)]
    pub(super) accept_loss: bool,
}

/// The body of `POST …/rollback`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackBody {
    pub(super) release: Option<ReleaseId>,
    #[serde(default)]
    pub(super) with_data: bool,
}

/// The body of `POST …/superuser`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuperuserBody {
    pub(super) email: String,
    pub(super) password: Option<String>,
}

/// The query of `DELETE /api/apps/{name}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveQuery {
    #[serde(default)]
    pub(super) purge: bool,
}

/// The query of `GET …/logs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    #[serde(default = "hundred")]
    lines: usize,
    #[serde(default)]
    pub(super) follow: bool,
}

impl LogQuery {
    pub(super) fn lines(&self) -> usize {
        self.lines.min(MAX_LINES)
    }
}

fn hundred() -> usize {
    100
}

/// The query of `GET …/events`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    #[serde(default)]
    pub(super) after: u64,
}

/// The query of `GET /tls/ask`, which Caddy words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskQuery {
    pub(super) domain: Hostname,
}
