//! Once per version, verified, read-only, one inode.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use lab_core::{
    pocketbase::{PocketBaseBinaries, PocketBaseError, PocketBaseStore},
    progress::Silent,
    testing::pocketbase::FakePocketBase,
};
use tokio_util::sync::CancellationToken;

use crate::{names, version};

async fn get(store: &PocketBaseStore, text: &str) -> Result<std::path::PathBuf, PocketBaseError> {
    store.binary(&version(text), &Silent, &CancellationToken::new()).await
}

fn store(dir: &Path) -> (PocketBaseStore, FakePocketBase) {
    let source = FakePocketBase::new();
    (PocketBaseStore::new(dir.join("store"), Arc::new(source.clone())), source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_fetched_once_however_many_ask_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let (first, source) = store(dir.path());
    source.delay(Duration::from_millis(100));
    // a store of its own, as another process has one
    let second = PocketBaseStore::new(dir.path().join("store"), Arc::new(source.clone()));
    let asking = (0..6).map(|n| {
        let store = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move { get(&store, "0.40.6").await.unwrap() })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), dir.path().join("store/0.40.6/pocketbase"));
    }
    assert_eq!(source.journal().len(), 1);
    let meta = fs::metadata(dir.path().join("store/0.40.6/pocketbase")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.nlink()), (0o555, 1));
    assert_eq!(names(&dir.path().join("store")), [".0.40.6.lock", "0.40.6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_binary_is_fetched_again_and_a_touched_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = store(dir.path());
    let binary = get(&store, "0.40.6").await.unwrap();
    let sound = fs::read(&binary).unwrap();
    fs::File::open(&binary).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    get(&store, "0.40.6").await.unwrap();
    assert_eq!(source.journal().len(), 1);
    fs::remove_file(&binary).unwrap();
    fs::write(&binary, "damaged").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o555)).unwrap();
    get(&store, "0.40.6").await.unwrap();
    assert_eq!((source.journal().len(), fs::read(&binary).unwrap()), (2, sound));
    fs::remove_file(dir.path().join("store/0.40.6/record.json")).unwrap();
    get(&store, "0.40.6").await.unwrap();
    assert_eq!(source.journal().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_it_is_another_version_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = store(dir.path());
    for says in ["pocketbase version 0.40.60", "pocketbase version 0.4.6", "", "0.40.6x"] {
        source.say(says);
        let error = get(&store, "0.40.6").await.unwrap_err();
        assert!(matches!(error, PocketBaseError::Untrusted { .. }), "{error:?}");
    }
    assert_eq!(names(&dir.path().join("store")), [".0.40.6.lock"]);
    source.say("pocketbase version v0.40.6");
    get(&store, "0.40.6").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_swept_and_the_version_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _source) = store(dir.path());
    let left = dir.path().join("store/.0.40.6.fetch-dead/source");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("pocketbase"), "half").unwrap();
    fs::create_dir_all(dir.path().join("store/0.40.6")).unwrap();
    get(&store, "0.40.6").await.unwrap();
    assert_eq!(names(&dir.path().join("store")), [".0.40.6.lock", "0.40.6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_a_fetch_and_the_next_one_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (store, source) = store(dir.path());
    source.delay(Duration::from_mins(1));
    let cancel = CancellationToken::new();
    let asked = version("0.40.6");
    let (result, ()) = tokio::join!(store.binary(&asked, &Silent, &cancel), async {
        while source.journal().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    });
    assert!(matches!(result, Err(PocketBaseError::Cancelled)), "{result:?}");
    source.delay(Duration::ZERO);
    get(&store, "0.40.6").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_share_the_stores_inode_and_get_a_copy_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _source) = store(dir.path());
    let asked = version("0.40.6");
    let cancel = CancellationToken::new();
    let inode = |path: &Path| (fs::metadata(path).unwrap().dev(), fs::metadata(path).unwrap().ino());
    for release in ["one", "two", "two"] {
        let folder = dir.path().join(release);
        fs::create_dir_all(&folder).unwrap();
        let linked = store.link_into(&asked, &folder, &Silent, &cancel).await.unwrap();
        assert_eq!(inode(&linked), inode(&dir.path().join("store/0.40.6/pocketbase")));
    }
    // another file system, where the machine has one to write to
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let linked = store.link_into(&asked, other.path(), &Silent, &cancel).await.unwrap();
    assert_eq!(fs::metadata(&linked).unwrap().permissions().mode() & 0o777, 0o555);
    assert_eq!(fs::read(linked).unwrap(), fs::read(dir.path().join("store/0.40.6/pocketbase")).unwrap());
}
