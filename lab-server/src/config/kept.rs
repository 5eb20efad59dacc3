use std::time::Duration;

use super::{ConfigError, File, Pick, arguments::Given, invalid};

const DAY: u64 = 24 * 3600;

/// What is kept of each app, and for how long.
#[derive(Debug, Clone)]
pub struct Kept {
    /// How many releases.
    pub releases: usize,
    /// How many bytes they may have together.
    pub release_bytes: u64,
    /// How many data points.
    pub points: usize,
    /// For how long a data point.
    pub points_for: Duration,
    /// For how long an app that was removed.
    pub trash_for: Duration,
}

impl Kept {
    pub(super) fn pick(pick: &mut Pick<'_>, given: &Given, file: &File) -> Result<Self, ConfigError> {
        let releases = pick.of("kept_releases", given.kept_releases, file.kept_releases, 10);
        let release_bytes = pick.of("max_release_size", given.max_release_size, file.max_release_size, 4 << 30);
        let points = pick.of("kept_points", given.kept_points, file.kept_points, 10);
        let point_days = pick.of("point_days", given.point_days, file.point_days, 30);
        let trash_days = pick.of("trash_days", given.trash_days, file.trash_days, 7);
        for (name, number) in [("kept_releases", releases), ("kept_points", points)] {
            if number == 0 {
                return Err(invalid(name, "it must be at least 1"));
            }
        }
        // a hundred years: what is subtracted from now must be a time
        for (name, days) in [("point_days", point_days), ("trash_days", trash_days)] {
            if days > 36_500 {
                return Err(invalid(name, "it must be at most 36500"));
            }
        }
        let (points_for, trash_for) = (Duration::from_secs(point_days * DAY), Duration::from_secs(trash_days * DAY));
        Ok(Self { releases, release_bytes, points, points_for, trash_for })
    }

    pub(super) fn days(time: Duration) -> String {
        (time.as_secs() / DAY).to_string()
    }
}
