//! The official release archives, from GitHub or a mirror of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, redirect};
use semver::Version;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::{
    MAX_BINARY, PocketBaseError, PocketBaseSource, Reason, digest::Sum, failed, no_such, unpack::Archive, untrusted,
};
use crate::{blocking::blocking, git_url::is_loopback};

/// Where an archive and its checksums are. `{version}`, `{os}` and `{arch}` stand for the wanted ones, in the words of
/// PocketBase's releases: `0.40.6`, `linux` or `darwin`, `amd64` or `arm64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSettings {
    /// The zip archive.
    pub archive_url: String,
    /// The list of SHA-256 sums and file names; must name the archive by the last part of its address.
    pub checksums_url: String,
    /// A list of releases as GitHub's API gives it, `{page}` by page from 1 on; none: it cannot be told which there are.
    pub releases_url: Option<String>,
    /// The largest archive that is taken.
    pub max_bytes: u64,
    /// The largest binary that is unpacked, whatever the archive announces.
    pub max_binary: u64,
    /// How long the whole download may take.
    pub timeout: Duration,
}

impl Default for ReleaseSettings {
    /// PocketBase's releases on GitHub, at most 128 MiB in 5 minutes, 256 MiB unpacked.
    fn default() -> Self {
        let base = "https://github.com/pocketbase/pocketbase/releases/download/v{version}";
        Self {
            archive_url: format!("{base}/pocketbase_{{version}}_{{os}}_{{arch}}.zip"),
            checksums_url: format!("{base}/checksums.txt"),
            releases_url: Some(
                "https://api.github.com/repos/pocketbase/pocketbase/releases?per_page=100&page={page}".to_owned(),
            ),
            max_bytes: 128 << 20,
            max_binary: MAX_BINARY,
            timeout: Duration::from_mins(5),
        }
    }
}

/// Longer lists of checksums are none.
const MAX_CHECKSUMS: u64 = 1 << 20;

/// A longer page of releases is none; a release is about 30 KiB.
const MAX_PAGE: u64 = 16 << 20;

/// More pages are not asked for.
const MAX_PAGES: usize = 10;

/// As many redirects as GitHub's two, and some.
const MAX_REDIRECTS: usize = 5;

/// Downloads and verifies release archives.
#[derive(Debug, Clone, Default)]
pub struct ReleaseArchive(ReleaseSettings);

impl ReleaseArchive {
    /// A source of what `settings` name.
    pub fn new(settings: ReleaseSettings) -> Self {
        Self(settings)
    }

    async fn download(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let archive = self.address(&self.0.archive_url, version)?;
        let checksums = self.address(&self.0.checksums_url, version)?;
        let name = archive.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
        let broken = |error: reqwest::Error| failed("download", self.origin(), version, error.without_url());

        let answer = self.get(checksums, version).await?;
        let list = read(answer, MAX_CHECKSUMS).await.map_err(broken)?;
        let list = list.ok_or_else(|| untrusted(self.origin(), version, "the list of checksums is too long"))?;
        let list = String::from_utf8_lossy(&list).into_owned();
        let expected = checksum_of(&list, &name).ok_or_else(|| no_such(self.origin(), version))?;

        let zip = destination.with_file_name("release.zip");
        self.save(self.get(archive, version).await?, version, &zip).await?;
        let (to, limit) = (destination.to_owned(), self.0.max_binary);
        let unpacked = blocking(move || unpack(&zip, &expected, &to, limit)).await;
        unpacked.map_err(|reason| untrusted(self.origin(), version, reason))
    }

    async fn listed(&self, template: &str) -> Result<Vec<Version>, PocketBaseError> {
        let no_version = Version::new(0, 0, 0);
        let broken = |error: reqwest::Error| failed("list", self.origin(), &no_version, error.without_url());
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let url = Url::parse(&template.replace("{page}", &page.to_string()));
            let url = url.map_err(|error| failed("list", self.origin(), &no_version, error))?;
            let body = read(self.get(url, &no_version).await?, MAX_PAGE).await.map_err(broken)?.unwrap_or_default();
            let releases: Vec<Release> =
                serde_json::from_slice(&body).map_err(|error| failed("list", self.origin(), &no_version, error))?;
            if releases.is_empty() {
                break;
            }
            all.extend(releases.iter().filter_map(|it| it.tag_name.trim_start_matches('v').parse::<Version>().ok()));
        }
        Ok(all)
    }

    fn address(&self, template: &str, version: &Version) -> Result<Url, PocketBaseError> {
        let (os, arch) = platform();
        let text = template.replace("{version}", &version.to_string()).replace("{os}", os).replace("{arch}", arch);
        Url::parse(&text).map_err(|e| failed("find", self.origin(), version, e))
    }

    async fn get(&self, url: Url, version: &Version) -> Result<Response, PocketBaseError> {
        let broken = |error: reqwest::Error| failed("download", self.origin(), version, error.without_url());
        let client = client(&url, self.0.timeout).map_err(broken)?;
        let answer = client.get(url).send().await.map_err(broken)?;
        if [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&answer.status()) {
            return Err(no_such(self.origin(), version));
        }
        answer.error_for_status().map_err(broken)
    }

    /// Writes a body of at most the limit's size.
    async fn save(&self, mut answer: Response, version: &Version, to: &PathBuf) -> Result<(), PocketBaseError> {
        let stored = |error: std::io::Error| failed("store", self.origin(), version, error);
        let mut file = tokio::fs::File::create_new(to).await.map_err(stored)?;
        let mut received = 0_u64;
        let broken = |error: reqwest::Error| failed("download", self.origin(), version, error.without_url());
        while let Some(part) = answer.chunk().await.map_err(broken)? {
            received = received.saturating_add(part.len() as u64);
            if received > self.0.max_bytes {
                let limit = self.0.max_bytes;
                return Err(untrusted(self.origin(), version, format!("the archive is larger than {limit} bytes")));
            }
            file.write_all(&part).await.map_err(stored)?;
        }
        file.flush().await.map_err(stored)
    }
}

#[async_trait]
impl PocketBaseSource for ReleaseArchive {
    fn origin(&self) -> String {
        let host = Url::parse(&self.0.archive_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "a mirror".to_owned())
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let limit = self.0.timeout;
        let done = tokio::time::timeout(limit, self.download(version, destination)).await;
        done.unwrap_or_else(|_| {
            let reason = Reason(format!("it took longer than {} s", limit.as_secs_f32()));
            Err(failed("download", self.origin(), version, reason))
        })
    }

    async fn versions(&self) -> Result<Vec<Version>, PocketBaseError> {
        let Some(template) = &self.0.releases_url else { return Ok(Vec::new()) };
        let limit = self.0.timeout;
        let listed = tokio::time::timeout(limit, self.listed(template)).await;
        listed.unwrap_or_else(|_| {
            let reason = Reason(format!("it took longer than {} s", limit.as_secs_f32()));
            Err(failed("list", self.origin(), &Version::new(0, 0, 0), reason))
        })
    }
}

/// What matters of a release in GitHub's list.
#[derive(Debug, serde::Deserialize)]
struct Release {
    tag_name: String,
}

/// A client for `url`. Proxies as the machine is set up, but not to the machine itself: reqwest would ask them for
/// 127.0.0.1 too. A redirect never leaves https.
fn client(url: &Url, timeout: Duration) -> reqwest::Result<Client> {
    let policy = redirect::Policy::custom(|attempt| {
        let was_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error(Reason("too many redirects".to_owned()))
        } else if was_https && attempt.url().scheme() != "https" {
            attempt.error(Reason("redirected from https to another scheme".to_owned()))
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        // GitHub's API answers nobody without a name
        .user_agent("lab")
        .redirect(policy)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30).min(timeout));
    if is_loopback(url) { builder.no_proxy().build() } else { builder.build() }
}

/// A body of at most `limit` bytes; none when it is longer.
async fn read(mut answer: Response, limit: u64) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() as u64 > limit {
            return Ok(None);
        }
    }
    Ok(Some(body))
}

/// The sum of `name` in a list as `sha256sum` writes it.
fn checksum_of(list: &str, name: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (sum, file) = line.trim().split_once(char::is_whitespace)?;
        (file.trim().trim_start_matches('*') == name).then(|| sum.to_ascii_lowercase())
    })
}

fn unpack(zip: &Path, expected: &str, destination: &Path, limit: u64) -> Result<(), String> {
    let sum = Sum::of(zip).map_err(|e| e.to_string())?.hex();
    if sum != expected {
        return Err(format!("the archive's SHA-256 is {sum}, announced was {expected}"));
    }
    let mut archive = Archive::open(zip).map_err(|e| e.to_string())?;
    archive.unpack("pocketbase", destination, limit).map_err(|e| e.to_string())
}

/// This machine in the words of PocketBase's releases.
fn platform() -> (&'static str, &'static str) {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "armv7",
        other => other,
    };
    (os, arch)
}
