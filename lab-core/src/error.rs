//! What a [`Lab`](crate::Lab) call can fail with.
//!
//! Rules: a message is lower case, names the thing in backticks, says what to do next where that is known, and never
//! repeats its source; print the chain with [`Error::report`]. `kind` is for choosing a reaction, `code` is stable for
//! programs. Status codes and exit codes are the binaries' business.

use std::io::ErrorKind as ErrorClass;

use crate::{
    app::AppName,
    builder::BuildError,
    data::DataError,
    domain::DomainError,
    git_url::InvalidGitUrl,
    health::HealthError,
    ids::{DataPointId, DeploymentId, ReleaseId},
    ports::PortError,
    registry::RegistryError,
    rehearsal::RehearsalError,
    router::RouterError,
    source::SourceError,
    supervisor::SupervisorError,
    variables::InvalidVariable,
};

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong: change it.
    Invalid,
    /// What it names is not there.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// Something else is being done to the app: wait or cancel that.
    Busy,
    /// The repository or app is at fault: its owner must change it.
    App,
    /// It was cancelled.
    Cancelled,
    /// The lab is shutting down, or a part of it cannot be reached: try again later.
    Unavailable,
    /// The lab or its machine is at fault: see its logs.
    Internal,
}

/// Why a [`Lab`](crate::Lab) call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no app of that name.
    #[error("there is no app named `{0}`; `lab ls` shows those there are")]
    NoSuchApp(AppName),
    /// The app has no such deployment.
    #[error("`{app}` has no deployment `{id}`")]
    NoSuchDeployment {
        /// The app.
        app: AppName,
        /// What was asked for.
        id: DeploymentId,
    },
    /// The app has no such release.
    #[error("`{app}` has no release `{id}`; `lab releases {app}` shows those there are")]
    NoSuchRelease {
        /// The app.
        app: AppName,
        /// What was asked for.
        id: ReleaseId,
    },
    /// The release that was asked for serves already.
    #[error("`{app}` runs release `{id}` already")]
    ReleaseServes {
        /// The app.
        app: AppName,
        /// What was asked for.
        id: ReleaseId,
    },
    /// There is no release before the one that serves.
    #[error("`{0}` has no release before the one that serves; `lab releases {0}` shows those there are")]
    NothingBefore(AppName),
    /// An app's PocketBase cannot be exchanged for that version.
    #[error("`{app}` cannot be upgraded: {reason}")]
    NotUpgradable {
        /// Which.
        app: AppName,
        /// Why, and what to do.
        reason: String,
    },
    /// The app has no such data point.
    #[error("`{app}` has no data point `{id}`; `lab data {app} list` shows those there are")]
    NoSuchPoint {
        /// The app.
        app: AppName,
        /// What was asked for.
        id: DataPointId,
    },
    /// The app has no data of that release to go back to.
    #[error("`{app}` has no data point of release `{release}`; `lab data {app} list` shows those there are")]
    NoPointOfRelease {
        /// The app.
        app: AppName,
        /// The release.
        release: ReleaseId,
    },
    /// The app has no data yet.
    #[error("`{0}` has no data yet")]
    NoData(AppName),
    /// The app's data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A deploy of a known app from another repository.
    #[error(
        "`{app}` is deployed from `{current}`, not from `{requested}`; choose another name, or remove the app first"
    )]
    RepositoryDiffers {
        /// The app.
        app: AppName,
        /// Its repository.
        current: String,
        /// The one that was given.
        requested: String,
    },
    /// A deploy of a new app without a repository.
    #[error("`{0}` is not deployed yet: give the address of its repository")]
    RepositoryMissing(AppName),
    /// Something else is being done to the app.
    #[error("`{app}` is busy: {activity}; wait for it, or cancel it")]
    Busy {
        /// The app.
        app: AppName,
        /// What is being done, such as `deployment 0198…`.
        activity: String,
    },
    /// There is no release to run.
    #[error("`{0}` has no release to run, because no deploy of it has succeeded; deploy it first")]
    NothingToRun(AppName),
    /// It must run for this.
    #[error("`{0}` does not run; start it first")]
    NotRunning(AppName),
    /// The process ended while it was waited for.
    #[error("`{app}` did not stay up: {reason}{}", indented(.last_lines))]
    Crashed {
        /// The app.
        app: AppName,
        /// How it ended.
        reason: String,
        /// The last lines of its log.
        last_lines: Vec<String>,
    },
    /// It runs but does not answer.
    #[error("`{app}` did not become healthy within {limit_secs} s{}", indented(.last_lines))]
    Unhealthy {
        /// The app.
        app: AppName,
        /// The limit in seconds.
        limit_secs: u64,
        /// The last lines of its log.
        last_lines: Vec<String>,
        /// What the last probe said.
        #[source]
        source: HealthError,
    },
    /// Variables the app cannot do without are not set.
    #[error(
        "`{app}` needs these variables, which are not set: {}; set them with `lab env {app} set NAME=value`, or deploy with \
         `--env-file`",
        .names.join(", ")
    )]
    MissingVariables {
        /// The app.
        app: AppName,
        /// Their names.
        names: Vec<String>,
    },
    /// A superuser could not be made.
    #[error("cannot create the superuser of `{app}`: {reason}")]
    Superuser {
        /// The app.
        app: AppName,
        /// Why, and what to do.
        reason: String,
    },
    /// It was cancelled.
    #[error("it was cancelled")]
    Cancelled,
    /// The lab is being shut down.
    #[error("the lab is shutting down; try again when it is back")]
    ShuttingDown,
    /// Another lab uses the data directory.
    #[error("the data directory `{place}` is in use by another lab{}; stop that one first, or use another directory", .holder.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    DataInUse {
        /// The directory.
        place: String,
        /// The other's process id, when known.
        holder: Option<String>,
    },
    /// The repository's address is not one that this lab takes.
    #[error(transparent)]
    Repository(#[from] InvalidGitUrl),
    /// An app does not get a domain, or does not lose it.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// A variable cannot be set.
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    /// A backend cannot be opened.
    #[error("the {role} cannot be opened")]
    Backend {
        /// `supervisor` …
        role: &'static str,
        /// Why, and what to do.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A bug in Lab.
    #[error("{0}; this is a bug in Lab: please report it with the lab's log")]
    Bug(String),
    /// A setting makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A file or folder of the lab's own failed.
    #[error("cannot {action} `{path}`")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The port allocator.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The builder.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The rehearsal: production was not touched.
    #[error(transparent)]
    Rehearsal(#[from] RehearsalError),
    /// The supervisor.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The router.
    #[error(transparent)]
    Router(#[from] RouterError),
}

pub(crate) fn indented(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("; its last lines:\n  {}", lines.join("\n  ")) }
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.classify().0
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        self.classify().1
    }

    fn classify(&self) -> (ErrorKind, &'static str) {
        use ErrorKind as K;
        if self.is_disk_full() {
            return (K::Internal, "disk_full");
        }
        match self {
            Self::NoSuchApp(_) | Self::Registry(RegistryError::NotFound(_)) => (K::NotFound, "app_not_found"),
            Self::NoSuchDeployment { .. } => (K::NotFound, "deployment_not_found"),
            Self::NoSuchRelease { .. } => (K::NotFound, "release_not_found"),
            Self::ReleaseServes { .. } => (K::Conflict, "release_serves"),
            Self::NotUpgradable { .. } => (K::Conflict, "not_upgradable"),
            Self::NothingBefore(_) => (K::Conflict, "no_release_before"),
            Self::NoSuchPoint { .. } => (K::NotFound, "point_not_found"),
            Self::NoPointOfRelease { .. } => (K::Conflict, "no_point_of_release"),
            Self::NoData(_) => (K::Conflict, "no_data"),
            Self::Data(DataError::Cancelled) => (K::Cancelled, "cancelled"),
            Self::Data(DataError::TooLarge { .. }) => (K::App, "data_too_large"),
            Self::Data(DataError::NoSpace { .. }) => (K::Unavailable, "disk_full"),
            Self::Data(DataError::Database { .. }) => (K::App, "database_failed"),
            Self::Data(DataError::File { .. }) => (K::Internal, "storage_failed"),
            Self::RepositoryDiffers { .. } => (K::Conflict, "repository_differs"),
            Self::RepositoryMissing(_) => (K::Invalid, "repository_missing"),
            Self::Busy { .. } => (K::Busy, "app_busy"),
            Self::NothingToRun(_) => (K::Conflict, "nothing_to_run"),
            Self::NotRunning(_) => (K::Conflict, "app_not_running"),
            Self::Crashed { .. } => (K::App, "app_crashed"),
            Self::Unhealthy { .. } => (K::App, "app_unhealthy"),
            Self::MissingVariables { .. } => (K::App, "missing_variables"),
            Self::Superuser { .. } => (K::App, "superuser_failed"),
            Self::Cancelled | Self::Source(SourceError::Cancelled) | Self::Build(BuildError::Cancelled) => {
                (K::Cancelled, "cancelled")
            }
            Self::ShuttingDown => (K::Unavailable, "shutting_down"),
            Self::DataInUse { .. } | Self::Registry(RegistryError::InUse { .. }) => (K::Conflict, "data_in_use"),
            Self::Repository(_) => (K::Invalid, "invalid_repository"),
            Self::Domain(error) => match error {
                DomainError::Invalid(_) | DomainError::OfLab { .. } => (K::Invalid, "invalid_domain"),
                DomainError::Taken { .. } => (K::Conflict, "domain_taken"),
                DomainError::TooMany(_) => (K::Conflict, "too_many_domains"),
                DomainError::Unknown { .. } => (K::NotFound, "domain_not_found"),
            },
            Self::Variable(_) => (K::Invalid, "invalid_variable"),
            Self::Backend { .. } => (K::Unavailable, "backend_unavailable"),
            Self::Bug(_) => (K::Internal, "bug"),
            Self::Settings(_) => (K::Invalid, "invalid_settings"),
            Self::Storage { .. } => (K::Internal, "storage_failed"),
            Self::Registry(RegistryError::AlreadyExists(_)) => (K::Conflict, "app_exists"),
            Self::Registry(RegistryError::Stale { .. }) => (K::Conflict, "record_stale"),
            Self::Registry(RegistryError::Corrupt { .. }) => (K::Internal, "registry_corrupt"),
            Self::Registry(RegistryError::Storage { .. }) => (K::Internal, "registry_failed"),
            Self::Ports(PortError::Exhausted { .. }) => (K::Internal, "ports_exhausted"),
            Self::Ports(PortError::Storage { .. }) => (K::Internal, "ports_failed"),
            Self::Source(error) => match error {
                SourceError::NotFoundOrPrivate { .. } => (K::App, "repository_not_found"),
                SourceError::NoSuchReference { .. } => (K::App, "reference_not_found"),
                SourceError::Empty { .. } => (K::App, "repository_empty"),
                SourceError::TooLarge { .. } => (K::App, "repository_too_large"),
                SourceError::Hostile { .. } => (K::App, "repository_hostile"),
                SourceError::TimedOut { .. } => (K::App, "fetch_timed_out"),
                SourceError::Cancelled => (K::Cancelled, "cancelled"),
                SourceError::Failed { .. } => (K::App, "fetch_failed"),
            },
            Self::Build(error) => match error {
                BuildError::NotRecognised { .. } => (K::App, "app_not_recognised"),
                BuildError::Invalid { .. } => (K::App, "app_invalid"),
                BuildError::PocketBase { .. } => (K::App, "pocketbase_unavailable"),
                BuildError::MissingProgram { .. } => (K::App, "program_missing"),
                BuildError::CommandFailed { .. } => (K::App, "build_failed"),
                BuildError::CacheInUse => (K::Conflict, "cache_in_use"),
                BuildError::TimedOut { .. } => (K::App, "build_timed_out"),
                BuildError::Cancelled => (K::Cancelled, "cancelled"),
                BuildError::Io { .. } => (K::Internal, "build_io"),
            },
            Self::Rehearsal(error) => match error {
                RehearsalError::Cancelled | RehearsalError::Data(DataError::Cancelled) => (K::Cancelled, "cancelled"),
                RehearsalError::Data(_) | RehearsalError::Io { .. } => (K::Internal, "rehearsal_impossible"),
                RehearsalError::Ended { .. }
                | RehearsalError::Unhealthy { .. }
                | RehearsalError::Collection { .. }
                | RehearsalError::Hooks { .. }
                | RehearsalError::Loss { .. } => (K::App, "rehearsal_failed"),
            },
            Self::Supervisor(SupervisorError::Unknown(_)) => (K::Conflict, "app_not_running"),
            Self::Supervisor(SupervisorError::Start { .. }) => (K::App, "start_failed"),
            Self::Supervisor(SupervisorError::WillNotEnd { .. }) => (K::Internal, "process_stuck"),
            Self::Supervisor(SupervisorError::Failed { .. }) => (K::Internal, "supervisor_failed"),
            Self::Router(RouterError::Rejected { .. }) => (K::Internal, "routes_rejected"),
            Self::Router(RouterError::Failed { .. }) => (K::Unavailable, "router_unreachable"),
        }
    }

    /// Whether a full disk is at the bottom of it.
    fn is_disk_full(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| matches!(io.kind(), ErrorClass::StorageFull | ErrorClass::QuotaExceeded)) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// The message and those of its sources, joined by colons.
    pub fn report(&self) -> String {
        let text = report(self);
        if self.is_disk_full() { format!("{text}; the disk is full: free some space and try again") } else { text }
    }

    pub(crate) fn storage(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Storage { action, path, source }
    }
}

/// An error's message and those of its sources, joined by colons.
pub fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        // a library's error may already contain its source
        if !message.is_empty() && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such_wherever_it_strikes() {
        let full = || std::io::Error::from(ErrorClass::StorageFull);
        let place = || "apps.json".to_owned();
        let errors: [Error; 4] = [
            RegistryError::Storage { action: "write", place: place(), source: full().into() }.into(),
            PortError::Storage { action: "write", place: place(), source: full().into() }.into(),
            BuildError::Io { action: "copy", path: "x".into(), source: full() }.into(),
            Error::storage("write", std::path::Path::new("x"))(full()),
        ];
        for error in errors {
            assert_eq!(error.code(), "disk_full", "{error}");
            assert!(error.report().ends_with("free some space and try again"), "{}", error.report());
        }
    }

    #[test]
    fn a_report_says_nothing_twice() {
        let source = std::io::Error::other("no such device");
        let error = Error::storage("write", std::path::Path::new("x"))(source);
        assert_eq!(error.report(), "cannot write `x`: no such device");
    }
}
