//! The official release archives, or a mirror of them.

use std::{fmt::Write, io::Write as _, path::Path, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::StatusCode;
use semver::Version;
use sha2::{Digest, Sha256};

use super::{PocketBaseError, PocketBaseSource, platform, unpack};
use crate::blocking::blocking;

/// Where PocketBase publishes its releases; `{version}` and `{file}` are filled in.
pub const OFFICIAL_RELEASES: &str = "https://github.com/pocketbase/pocketbase/releases/download/v{version}/{file}";

/// The largest archive that is read, in bytes: several times what a release is.
const MAX_ARCHIVE: u64 = 128 << 20;
const MAX_CHECKSUMS: u64 = 64 << 10;
/// Time for one download.
const LIMIT: Duration = Duration::from_mins(5);

/// Fetches `pocketbase_<version>_<platform>.zip` and checks it against the release's `checksums.txt` (SHA-256).
#[derive(Debug, Clone)]
pub struct ReleaseArchive {
    template: String,
}

impl ReleaseArchive {
    /// Archives at `template`, such as [`OFFICIAL_RELEASES`].
    pub fn new(template: impl Into<String>) -> Self {
        Self { template: template.into() }
    }

    fn url(&self, version: &Version, file: &str) -> String {
        self.template.replace("{version}", &version.to_string()).replace("{file}", file)
    }

    async fn get(
        &self,
        version: &Version,
        file: &str,
        max: u64,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), PocketBaseError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| PocketBaseError::Failed {
            action: "download",
            origin: self.origin(),
            version: version.to_string(),
            source,
        };
        let client = reqwest::Client::builder().timeout(LIMIT).build().map_err(|e| failed(e.into()))?;
        let response = client.get(self.url(version, file)).send().await.map_err(|e| failed(e.into()))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(PocketBaseError::NoSuchVersion {
                origin: self.origin(),
                version: version.to_string(),
                platform: platform(),
            });
        }
        let mut body = response.error_for_status().map_err(|e| failed(e.into()))?.bytes_stream();
        let mut size = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| failed(e.into()))?;
            size += chunk.len() as u64;
            if size > max {
                return Err(failed(format!("`{file}` is larger than {max} bytes").into()));
            }
            take(&chunk).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[async_trait]
impl PocketBaseSource for ReleaseArchive {
    fn origin(&self) -> String {
        self.template.clone()
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let file = format!("pocketbase_{version}_{}.zip", platform());
        let (origin, text) = (self.origin(), version.to_string());
        let untrusted =
            |reason: String| PocketBaseError::Untrusted { origin: origin.clone(), version: text.clone(), reason };
        let failed = |action, source: std::io::Error| PocketBaseError::Failed {
            action,
            origin: origin.clone(),
            version: text.clone(),
            source: source.into(),
        };
        let mut sums = Vec::new();
        self.get(version, "checksums.txt", MAX_CHECKSUMS, |chunk| {
            sums.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        let sums = String::from_utf8_lossy(&sums).into_owned();
        let announced = sums
            .lines()
            .filter_map(|line| line.split_once(char::is_whitespace))
            .find_map(|(sum, name)| (name.trim().trim_start_matches('*') == file).then(|| sum.to_lowercase()))
            .ok_or_else(|| untrusted(format!("its checksums do not name `{file}`")))?;
        // beside the destination, which is in a folder of its own
        let path = destination.with_extension("zip");
        let mut archive = std::fs::File::create(&path).map_err(|e| failed("store", e))?;
        let mut hash = Sha256::new();
        self.get(version, &file, MAX_ARCHIVE, |chunk| {
            hash.update(chunk);
            archive.write_all(chunk)
        })
        .await?;
        let sum = hex(&hash.finalize());
        if sum != announced {
            return Err(untrusted(format!("the SHA-256 of `{file}` is {sum}, its checksums say {announced}")));
        }
        let destination = destination.to_owned();
        let unpacked = blocking(move || unpack::binary(std::fs::File::open(path)?, &destination)).await;
        unpacked.map(drop).map_err(|e| failed("unpack", e))
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(name: &str) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default()).expect("start");
        zip.write_all(b"a binary").expect("write");
        zip.finish().expect("finish").into_inner()
    }

    async fn server(archive: &[u8], sum: Option<&str>) -> (MockServer, ReleaseArchive) {
        let server = MockServer::start().await;
        let file = format!("pocketbase_0.40.6_{}.zip", platform());
        let real = hex(&Sha256::digest(archive));
        let sums = format!("{}  {file}\n0000  other.zip\n", sum.unwrap_or(&real));
        for (name, body) in [(file, archive.to_vec()), ("checksums.txt".to_owned(), sums.into_bytes())] {
            let answer = ResponseTemplate::new(200).set_body_bytes(body);
            Mock::given(path(format!("/v0.40.6/{name}"))).respond_with(answer).mount(&server).await;
        }
        let source = ReleaseArchive::new(format!("{}/v{{version}}/{{file}}", server.uri()));
        (server, source)
    }

    async fn fetch(
        archive: &[u8],
        sum: Option<&str>,
        version: &str,
    ) -> (tempfile::TempDir, Result<(), PocketBaseError>) {
        let (_server, source) = server(archive, sum).await;
        let dir = tempfile::tempdir().expect("tempdir");
        let fetched = source.fetch(&version.parse().expect("version"), &dir.path().join("pocketbase")).await;
        (dir, fetched)
    }

    #[tokio::test]
    async fn the_binary_of_a_checked_archive_is_unpacked() {
        let (dir, fetched) = fetch(&archive("pocketbase"), None, "0.40.6").await;
        fetched.expect("fetch");
        assert_eq!(std::fs::read(dir.path().join("pocketbase")).expect("read"), b"a binary");
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_refused() {
        let (dir, fetched) = fetch(&archive("pocketbase"), Some(&"0".repeat(64)), "0.40.6").await;
        assert!(matches!(fetched, Err(PocketBaseError::Untrusted { .. })), "{fetched:?}");
        assert!(!dir.path().join("pocketbase").exists());
    }

    #[tokio::test]
    async fn a_version_that_is_not_there_is_told_as_such() {
        let (_dir, fetched) = fetch(&archive("pocketbase"), None, "0.99.0").await;
        assert!(matches!(fetched, Err(PocketBaseError::NoSuchVersion { .. })), "{fetched:?}");
    }

    #[tokio::test]
    async fn archives_without_a_binary_or_that_are_none_are_refused() {
        for bytes in [archive("README"), b"no archive".to_vec()] {
            let (_dir, fetched) = fetch(&bytes, None, "0.40.6").await;
            assert!(matches!(fetched, Err(PocketBaseError::Failed { action: "unpack", .. })), "{fetched:?}");
        }
    }

    #[tokio::test]
    async fn an_entry_that_points_elsewhere_is_written_to_its_place_only() {
        let (dir, fetched) = fetch(&archive("../../pocketbase"), None, "0.40.6").await;
        fetched.expect("fetch");
        assert!(dir.path().join("pocketbase").exists());
        assert!(!dir.path().parent().expect("parent").join("pocketbase").exists());
    }
}
