use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::*;

const ALL: CopyLimits = CopyLimits { max_bytes: u64::MAX, is_kept: true };

/// A database as `PocketBase` leaves it open: in WAL mode, with the last writes beside it.
fn database(folder: &Path, rows: u64) -> Connection {
    let database = Connection::open(folder.join("data.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE _collections (name TEXT);
             INSERT INTO _collections VALUES ('notes'), ('_superusers'), ('a view'), ('odd \" name');
             CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT);
             CREATE TABLE _superusers (id TEXT PRIMARY KEY);
             CREATE TABLE \"odd \"\" name\" (id TEXT PRIMARY KEY);
             CREATE VIEW \"a view\" AS SELECT * FROM notes;",
        )
        .unwrap();
    write(&database, 0, rows);
    database
}

fn write(database: &Connection, from: u64, to: u64) {
    for n in from..to {
        database.execute("INSERT INTO notes VALUES (?1, 'text')", [format!("id{n}")]).unwrap();
    }
}

fn make(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn rows(name: &str, rows: u64) -> Collection {
    Collection { name: name.to_owned(), rows }
}

#[test]
fn a_copy_holds_what_was_written_and_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("pb_data"), folder.path().join("copy"));
    fs::create_dir(&from).unwrap();
    let open = database(&from, 100);
    assert!(from.join("data.db-wal").exists());
    make(&from.join("storage/c/r/photo.png"), &"pixels".repeat(1000));
    make(&from.join("types.d.ts"), "// types");
    make(&from.join("notes-wal"), "no database is beside it");
    symlink("/etc/passwd", from.join("link")).unwrap();
    let copied = copy(&from, &to, ALL, &CancellationToken::new()).unwrap();
    assert_eq!(copied.databases, [PathBuf::from("data.db")]);
    assert_eq!((copied.linked, copied.left_out), (1, vec![PathBuf::from("link")]));
    assert!(!to.join("data.db-wal").exists() && !to.join("link").exists());
    assert!(to.join("notes-wal").exists() && to.join("types.d.ts").exists());
    assert_eq!(collections(&to).unwrap(), [rows("notes", 100), rows("odd \" name", 0)]);
    assert_eq!(check(&to).unwrap(), Vec::<String>::new());
    // an upload is the same file, whose content nobody changes; a database never is
    let inode = |folder: &Path, name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    assert_eq!(inode(&from, "storage/c/r/photo.png"), inode(&to, "storage/c/r/photo.png"));
    assert_ne!(inode(&from, "data.db"), inode(&to, "data.db"));
    drop(open);
}

#[test]
fn an_upload_is_never_taken_for_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("pb_data"), folder.path().join("copy"));
    fs::create_dir(&from).unwrap();
    drop(database(&from, 3));
    let broken = format!("SQLite format 3\0{}", "no database ".repeat(1000));
    make(&from.join("storage/c/r/broken.db"), &broken);
    fs::create_dir_all(from.join("storage/c/s")).unwrap();
    drop(database(&from.join("storage/c/s"), 3));
    make(&from.join("storage/c/s/data.db-wal"), "an upload too");
    let uploads = ["storage/c/r/broken.db", "storage/c/s/data.db", "storage/c/s/data.db-wal"];
    let before = uploads.map(|name| fs::read(from.join(name)).unwrap());
    let copied = copy(&from, &to, ALL, &CancellationToken::new()).unwrap();
    assert_eq!(copied.databases, [Path::new("data.db")]);
    assert_eq!(uploads.map(|name| fs::read(to.join(name)).unwrap()), before);
    assert_eq!(check(&to).unwrap(), Vec::<String>::new());
}

#[test]
fn backups_cost_nothing_and_are_not_tried_with() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("pb_data");
    fs::create_dir(&from).unwrap();
    drop(database(&from, 3));
    make(&from.join("backups/a.zip"), &"x".repeat(500_000));
    make(&from.join(".pb_temp_to_delete/b.zip"), &"x".repeat(500_000));
    let limits = CopyLimits { max_bytes: 400_000, is_kept: false };
    let tried = folder.path().join("tried");
    copy(&from, &tried, limits, &CancellationToken::new()).unwrap();
    assert!(!tried.join("backups/a.zip").exists() && !tried.join(".pb_temp_to_delete").exists());
    let kept = folder.path().join("kept");
    copy(&from, &kept, CopyLimits { is_kept: true, ..limits }, &CancellationToken::new()).unwrap();
    assert!(kept.join("backups/a.zip").exists() && !kept.join(".pb_temp_to_delete").exists());
}

#[test]
fn a_record_of_a_copy_has_its_upload() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("pb_data");
    fs::create_dir(&from).unwrap();
    let open = database(&from, 10);
    // what is copied before takes its time
    let log = Connection::open(from.join("auxiliary.db")).unwrap();
    log.execute_batch("CREATE TABLE log (line BLOB); INSERT INTO log VALUES (randomblob(20000000))").unwrap();
    make(&from.join("storage/c/first"), "a file");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let uploads = from.join("storage/c");
    let uploader = std::thread::spawn(move || {
        let mut n = 0;
        // as PocketBase does: the file first, then its record
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let id = format!("upload{n}");
            fs::write(uploads.join(&id), "a file").unwrap();
            open.execute("INSERT INTO notes VALUES (?1, 'upload')", [&id]).unwrap();
            n += 1;
        }
    });
    for n in 0..5 {
        let to = folder.path().join(n.to_string());
        copy(&from, &to, ALL, &CancellationToken::new()).unwrap();
        let copied = Connection::open(to.join("data.db")).unwrap();
        let mut records = copied.prepare("SELECT id FROM notes WHERE text = 'upload'").unwrap();
        for id in records.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            let file = to.join("storage/c").join(id.unwrap());
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
    drop(stop);
    uploader.join().unwrap();
}

#[test]
fn what_pocketbase_writes_again_in_its_place_is_no_second_name() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("pb_data"), folder.path().join("copy"));
    make(&from.join("storage/c/r/film.mp4"), &"x".repeat(50_000));
    make(&from.join("storage/c/r/film.mp4.attrs"), &"y".repeat(50_000));
    make(&from.join("storage/c/r/small.txt"), "small");
    copy(&from, &to, ALL, &CancellationToken::new()).unwrap();
    for name in ["film.mp4.attrs", "small.txt"] {
        fs::write(from.join("storage/c/r").join(name), "in its place").unwrap();
        assert_ne!(fs::read_to_string(to.join("storage/c/r").join(name)).unwrap(), "in its place", "{name}");
    }
}

#[test]
fn a_copy_of_data_that_is_being_written_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("pb_data");
    fs::create_dir(&from).unwrap();
    let open = database(&from, 0);
    open.execute_batch("CREATE TABLE twins (a INTEGER, b INTEGER); INSERT INTO twins VALUES (0, 0)").unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // both or none
            open.execute_batch("BEGIN; UPDATE twins SET a = a + 1; UPDATE twins SET b = b + 1; COMMIT").unwrap();
        }
    });
    for n in 0..20 {
        let to = folder.path().join(n.to_string());
        copy(&from, &to, ALL, &CancellationToken::new()).unwrap();
        let copied = Connection::open(to.join("data.db")).unwrap();
        let (a, b): (u64, u64) =
            copied.query_row("SELECT a, b FROM twins", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(a, b);
    }
    drop(stop);
    writer.join().unwrap();
}

#[test]
fn rows_that_older_data_lacks_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (live, older) = (folder.path().join("live"), folder.path().join("older"));
    fs::create_dir(&live).unwrap();
    let open = database(&live, 10);
    open.execute_batch(
        "CREATE TABLE timed (id TEXT, updated TEXT); INSERT INTO _collections VALUES ('timed');
         INSERT INTO timed VALUES ('a', 'then'), ('b', 'then'), ('c', 'then')",
    )
    .unwrap();
    copy(&live, &older, ALL, &CancellationToken::new()).unwrap();
    assert_eq!(newer(&live, &older).unwrap(), []);
    write(&open, 10, 1010);
    open.execute("DELETE FROM notes WHERE id = 'id3'", []).unwrap();
    open.execute_batch(
        "CREATE TABLE later (id TEXT); INSERT INTO later VALUES ('x'); INSERT INTO _collections VALUES ('later')",
    )
    .unwrap();
    open.execute_batch(
        "ALTER TABLE timed RENAME TO other; CREATE TABLE timed (id TEXT, updated TEXT);
         INSERT INTO timed SELECT id, 'later' FROM other WHERE id = 'a'; INSERT INTO timed SELECT id, updated FROM other WHERE id = 'b'",
    )
    .unwrap();
    let found = |name: &str, rows, changed, deleted| Newer { name: name.to_owned(), rows, changed, deleted };
    let expected = [found("later", 1, 0, 0), found("notes", 1000, 0, 1), found("timed", 0, 1, 1)];
    assert_eq!(newer(&live, &older).unwrap(), expected);
    // what never was PocketBase's has no collections
    assert_eq!(newer(&folder.path().join("nowhere"), &older).unwrap(), []);
    let all = newer(&live, &folder.path().join("nowhere")).unwrap().into_iter();
    assert!(all.map(|it| rows(&it.name, it.rows)).eq(collections(&live).unwrap()));
}

#[test]
fn a_copy_is_bounded_and_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("pb_data"), folder.path().join("copy"));
    make(&from.join("types.d.ts"), "12345");
    make(&from.join("storage/c/r/film.mp4"), "much more than that");
    let refused = copy(&from, &to, CopyLimits { max_bytes: 4, is_kept: false }, &CancellationToken::new());
    assert!(matches!(refused, Err(DataError::TooLarge { bytes: 5, limit: 4 })), "{refused:?}");
    assert!(!to.exists());
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    assert!(matches!(copy(&from, &to, ALL, &cancelled), Err(DataError::Cancelled)));
}

#[test]
fn a_copy_that_would_fill_the_disk_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (from, small) = (folder.path().join("pb_data"), folder.path().join("small"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&small).unwrap();
    drop(database(&from, 100));
    // a small disk that only this thread and what it starts see
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let mounts = "mount --make-rprivate / && mount -t tmpfs -o size=32m none \"$0\"";
        let mounted = std::process::Command::new("sh").args(["-c", mounts]).arg(&small).status().unwrap();
        assert!(mounted.success());
        let refused = copy(&from, &small.join("copy"), ALL, &CancellationToken::new());
        assert!(matches!(refused, Err(DataError::NoSpace { free: ..=33_554_432, .. })), "{refused:?}");
        assert!(!small.join("copy").exists());
        // one that is thrown away has its own bound
        copy(&from, &small.join("copy"), CopyLimits { is_kept: false, ..ALL }, &CancellationToken::new()).unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn a_broken_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("pb_data"), folder.path().join("copy"));
    fs::create_dir(&from).unwrap();
    drop(database(&from, 2000));
    let path = from.join("data.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let wrong = check(&from).unwrap();
    assert!(!wrong.is_empty() && wrong[0].starts_with("data.db: "), "{wrong:?}");
    let copied = copy(&from, &to, ALL, &CancellationToken::new());
    assert!(matches!(copied, Err(DataError::Database { action: "copy", .. })), "{copied:?}");
}
