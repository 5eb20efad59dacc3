use std::{str::FromStr, time::Duration};

use lab_core::{
    rehearsal::{RehearsalPolicy, RehearsalSettings},
    source::FetchLimits,
};

use super::{ConfigError, File, Pick, arguments::Given, invalid};

/// Whether releases are rehearsed where the kernel cannot keep them from reaching others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Isolation {
    /// They are, and the deployment says so.
    #[default]
    Preferred,
    /// They are not.
    Required,
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "preferred" => Ok(Self::Preferred),
            "required" => Ok(Self::Required),
            _ => Err(format!("`{text}` is neither preferred nor required")),
        }
    }
}

/// What a build may take.
#[derive(Debug, Clone)]
pub struct Builds {
    /// How many run at once.
    pub parallel: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// How many bytes builds may keep for the next ones.
    pub max_cache_bytes: u64,
    /// When and how releases are rehearsed.
    pub rehearsal: RehearsalSettings,
    /// What fetching a repository may take.
    pub fetch_limits: FetchLimits,
}

impl Builds {
    pub(super) fn pick(pick: &mut Pick<'_>, given: &Given, file: &File) -> Result<Self, ConfigError> {
        let parallel = pick.of("parallel_builds", given.parallel_builds, file.parallel_builds, 2);
        let timeout = pick.of("build_timeout", given.build_timeout, file.build_timeout, 900);
        let fetch_timeout = pick.of("fetch_timeout", given.fetch_timeout, file.fetch_timeout, 600);
        let size = given.max_repository_size;
        let max_bytes = pick.of("max_repository_size", size, file.max_repository_size, 1 << 30);
        let max_cache_bytes = pick.of("max_build_cache", given.max_build_cache, file.max_build_cache, 10 << 30);
        let policy = pick.of("rehearsal", given.rehearsal, file.rehearsal, RehearsalPolicy::default());
        let mut rehearsal = RehearsalSettings { policy, ..RehearsalSettings::default() };
        let max_size = pick.of("max_rehearsal_size", given.max_rehearsal_size, file.max_rehearsal_size, 4 << 30);
        rehearsal.limits.max_bytes = max_size;
        let isolation = given.rehearsal_isolation;
        let isolation = pick.of("rehearsal_isolation", isolation, file.rehearsal_isolation, Isolation::default());
        rehearsal.without_isolation = isolation == Isolation::Preferred;
        for (name, number) in [
            ("parallel_builds", parallel as u64),
            ("build_timeout", timeout),
            ("fetch_timeout", fetch_timeout),
            ("max_repository_size", max_bytes),
        ] {
            if number == 0 {
                return Err(invalid(name, "it must be at least 1"));
            }
        }
        Ok(Self {
            parallel,
            timeout: Duration::from_secs(timeout),
            max_cache_bytes,
            rehearsal,
            fetch_limits: FetchLimits { timeout: Duration::from_secs(fetch_timeout), max_bytes },
        })
    }
}
