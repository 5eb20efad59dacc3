//! Release archives from a server that may lie.

use std::{
    io::{Cursor, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use lab_core::{
    pocketbase::{
        PocketBaseError, PocketBaseStore,
        archive::{ReleaseArchive, ReleaseSettings},
    },
    progress::Silent,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};
use zip::write::SimpleFileOptions;

use crate::{names, script, version};

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

struct Mirror {
    server: MockServer,
    dir: tempfile::TempDir,
}

impl Mirror {
    async fn new() -> Self {
        Self { server: MockServer::start().await, dir: tempfile::tempdir().unwrap() }
    }

    async fn at(&self, place: &str, answer: ResponseTemplate) {
        Mock::given(path(place)).respond_with(answer).mount(&self.server).await;
    }

    /// Serves an archive with the checksum of `announced`.
    async fn serve(&self, archive: &[u8], announced: &[u8]) {
        let list = format!("{}  other.zip\n{}  pb_0.40.6.zip\n", hex(b"other"), hex(announced));
        self.at("/0.40.6/checksums.txt", ResponseTemplate::new(200).set_body_string(list)).await;
        self.at("/0.40.6/pb_0.40.6.zip", ResponseTemplate::new(200).set_body_bytes(archive)).await;
    }

    async fn get(&self, max_bytes: u64) -> Result<(), PocketBaseError> {
        let base = self.server.uri();
        let source = ReleaseArchive::new(ReleaseSettings {
            releases_url: None,
            archive_url: format!("{base}/{{version}}/pb_{{version}}.zip"),
            checksums_url: format!("{base}/{{version}}/checksums.txt"),
            max_bytes,
            max_binary: 1 << 20,
            timeout: Duration::from_secs(2),
        });
        let store = PocketBaseStore::new(self.dir.path().join("store"), Arc::new(source));
        store.binary(&version("0.40.6"), &Silent, &CancellationToken::new()).await.map(drop)
    }

    fn is_empty(&self) -> bool {
        names(&self.dir.path().join("store")) == [".0.40.6.lock"] && names(self.dir.path()) == ["store"]
    }
}

const LIMIT: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_as_announced_is_stored() {
    let mirror = Mirror::new().await;
    let archive = zip(&[("CHANGELOG.md", b"x"), ("pocketbase", script("0.40.6").as_bytes())]);
    mirror.serve(&archive, &archive).await;
    mirror.get(LIMIT).await.unwrap();
    let stored = std::fs::read_to_string(mirror.dir.path().join("store/0.40.6/pocketbase")).unwrap();
    assert_eq!(stored, script("0.40.6"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_checksum_is_untrusted() {
    let mirror = Mirror::new().await;
    mirror.serve(&zip(&[("pocketbase", script("0.40.6").as_bytes())]), b"another").await;
    let error = mirror.get(LIMIT).await.unwrap_err();
    assert!(matches!(&error, PocketBaseError::Untrusted { reason, .. } if reason.contains("SHA-256")), "{error:?}");
    assert!(mirror.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_version_or_platform_is_told_and_a_broken_server_is_not_that() {
    let mirror = Mirror::new().await;
    let error = mirror.get(LIMIT).await.unwrap_err();
    assert!(matches!(error, PocketBaseError::NoSuchVersion { .. }), "{error:?}");
    let mirror = Mirror::new().await;
    mirror.at("/0.40.6/checksums.txt", ResponseTemplate::new(200).set_body_string("0  pb_windows.zip\n")).await;
    let error = mirror.get(LIMIT).await.unwrap_err();
    assert!(matches!(error, PocketBaseError::NoSuchVersion { .. }), "{error:?}");
    let mirror = Mirror::new().await;
    mirror.at("/0.40.6/checksums.txt", ResponseTemplate::new(500)).await;
    let error = mirror.get(LIMIT).await.unwrap_err();
    assert!(matches!(error, PocketBaseError::Failed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_archive_a_bomb_and_a_large_one_are_refused() {
    let whole = zip(&[("pocketbase", script("0.40.6").as_bytes())]);
    let bomb = zip(&[("pocketbase", &vec![0; 2 << 20])]);
    for (archive, announced) in
        [(&whole[..whole.len() / 2], whole.as_slice()), (&whole[..40], &whole[..40]), (&bomb, &bomb)]
    {
        let mirror = Mirror::new().await;
        mirror.serve(archive, announced).await;
        let error = mirror.get(LIMIT).await.unwrap_err();
        assert!(matches!(error, PocketBaseError::Untrusted { .. }), "{error:?}");
        assert!(mirror.is_empty());
    }
    let mirror = Mirror::new().await;
    mirror.serve(&whole, &whole).await;
    let error = mirror.get(20).await.unwrap_err();
    assert!(matches!(&error, PocketBaseError::Untrusted { reason, .. } if reason.contains("larger")), "{error:?}");
    assert!(mirror.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_in_an_archive_write_nowhere() {
    let mirror = Mirror::new().await;
    let archive = zip(&[("../../../pocketbase", script("0.40.6").as_bytes()), ("/tmp/pocketbase", b"x")]);
    mirror.serve(&archive, &archive).await;
    let error = mirror.get(LIMIT).await.unwrap_err();
    assert!(matches!(error, PocketBaseError::Untrusted { .. }), "{error:?}");
    assert!(mirror.is_empty() && !Path::new("/tmp/pocketbase").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_and_endless_ones_and_slow_servers_end() {
    let mirror = Mirror::new().await;
    let archive = zip(&[("pocketbase", script("0.40.6").as_bytes())]);
    let list = format!("{}  pb_0.40.6.zip\n", hex(&archive));
    mirror.at("/0.40.6/checksums.txt", ResponseTemplate::new(200).set_body_string(list)).await;
    mirror.at("/0.40.6/pb_0.40.6.zip", ResponseTemplate::new(302).insert_header("location", "/asset")).await;
    mirror.at("/asset", ResponseTemplate::new(200).set_body_bytes(archive)).await;
    mirror.get(LIMIT).await.unwrap();
    let endless = Mirror::new().await;
    let around = ResponseTemplate::new(302).insert_header("location", "/0.40.6/checksums.txt");
    endless.at("/0.40.6/checksums.txt", around).await;
    let slow = Mirror::new().await;
    slow.at("/0.40.6/checksums.txt", ResponseTemplate::new(200).set_delay(Duration::from_mins(1))).await;
    for mirror in [endless, slow] {
        let error = mirror.get(LIMIT).await.unwrap_err();
        assert!(matches!(error, PocketBaseError::Failed { .. }), "{error:?}");
    }
}
