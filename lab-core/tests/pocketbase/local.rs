//! Binaries on this machine, and several sources in a row.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use lab_core::{
    pocketbase::{PocketBaseError, PocketBaseSource, PocketBaseStore, fallback::Fallback, path::LocalBinaries},
    progress::Silent,
    testing::pocketbase::FakePocketBase,
};
use tokio_util::sync::CancellationToken;

use crate::{script, version};

fn program(path: &Path, says: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, script(says)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn get(dir: &Path, source: impl PocketBaseSource, text: &str) -> Result<(), PocketBaseError> {
    let store = PocketBaseStore::new(dir.join("store"), Arc::new(source));
    store.binary(&version(text), &Silent, &CancellationToken::new()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_versions_and_a_single_binary_both_serve() {
    let dir = tempfile::tempdir().unwrap();
    program(&dir.path().join("bin/0.40.6/pocketbase"), "0.40.6");
    program(&dir.path().join("one"), "0.40.5");
    let folder = LocalBinaries::new(dir.path().join("bin"));
    let one = LocalBinaries::new(dir.path().join("one"));
    get(dir.path(), folder.clone(), "0.40.6").await.unwrap();
    get(dir.path(), one.clone(), "0.40.5").await.unwrap();
    for (source, text) in [(folder, "0.40.4"), (one, "0.40.4"), (LocalBinaries::new("/nowhere"), "0.40.4")] {
        let error = get(dir.path(), source, text).await.unwrap_err();
        assert!(matches!(error, PocketBaseError::NoSuchVersion { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_source_is_tried_unless_something_is_untrusted() {
    let dir = tempfile::tempdir().unwrap();
    program(&dir.path().join("one"), "0.40.5");
    let (fake, local) = (FakePocketBase::new(), LocalBinaries::new(dir.path().join("one")));
    let both = || Fallback::new([Arc::new(local.clone()) as Arc<dyn PocketBaseSource>, Arc::new(fake.clone())]);
    get(dir.path(), both(), "0.40.6").await.unwrap();
    get(dir.path(), both(), "0.40.5").await.unwrap();
    assert_eq!(fake.journal(), [version("0.40.6")]);
    fake.only([]);
    let error = get(dir.path(), both(), "0.40.4").await.unwrap_err();
    assert!(matches!(error, PocketBaseError::NoSuchVersion { .. }), "{error:?}");
    let (origin, text) = ("a fake".to_owned(), "0.40.3".to_owned());
    fake.fail_next(PocketBaseError::Untrusted { origin, version: text, reason: "wrong".to_owned() });
    let fake_first = Fallback::new([Arc::new(fake.clone()) as Arc<dyn PocketBaseSource>, Arc::new(local.clone())]);
    let error = get(dir.path(), fake_first, "0.40.5-x").await.unwrap_err();
    assert!(matches!(error, PocketBaseError::Untrusted { .. }), "{error:?}");
}
