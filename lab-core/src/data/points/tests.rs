use rusqlite::Connection;

use super::*;
use crate::durable::crashes::Crash;

/// An app's folder whose data has so many rows.
fn app(folder: &Path, rows: u64) -> AppDirs {
    let dirs = AppDirs::at(folder);
    fs::create_dir_all(dirs.data()).unwrap();
    let tables = "CREATE TABLE _collections (name TEXT); INSERT INTO _collections VALUES ('notes');
                  CREATE TABLE notes (id INTEGER PRIMARY KEY)";
    database(&dirs.data()).execute_batch(tables).unwrap();
    write_rows(&dirs, rows);
    dirs
}

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("data.db")).unwrap()
}

fn write_rows(dirs: &AppDirs, more: u64) {
    for _ in 0..more {
        database(&dirs.data()).execute("INSERT INTO notes DEFAULT VALUES", []).unwrap();
    }
}

fn rows(folder: &Path) -> u64 {
    database(folder).query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
}

fn taken(dirs: &AppDirs) -> DataPoint {
    let never = CancellationToken::new();
    take(dirs, &"app".parse().unwrap(), PointReason::Asked, None, &never).unwrap()
}

fn prepared(dirs: &AppDirs, point: &DataPoint) -> Restore {
    Restore::prepare(dirs, point, None, &CancellationToken::new()).unwrap()
}

#[test]
fn what_a_restore_could_not_keep_is_kept_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = app(folder.path(), 1);
    let point = taken(&dirs);
    write_rows(&dirs, 1);
    let first = prepared(&dirs, &point);
    first.exchange().unwrap();
    // it is never kept: the disk is full
    write_rows(&dirs, 2);
    let second = prepared(&dirs, &point);
    second.exchange().unwrap();
    // nor is this one, whose mark is in the data now
    recover(&dirs, &"app".parse().unwrap(), |_| Fate::Stays).unwrap();
    let mut kept: Vec<u64> = list(&dirs).unwrap().iter().map(|point| rows(&data_of(&dirs, point.id))).collect();
    kept.sort_unstable();
    assert_eq!((kept, rows(&dirs.data())), (vec![1, 2, 3], 1));
}

#[test]
fn recovery_never_deletes_data_that_a_restore_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = app(folder.path(), 1);
    let point = taken(&dirs);
    write_rows(&dirs, 1);
    let restore = prepared(&dirs, &point);
    restore.exchange().unwrap();
    fs::write(dirs.data().join(MARK), DataPointId::new().to_string()).unwrap();
    recover(&dirs, &"app".parse().unwrap(), |_| Fate::Stays).unwrap();
    let replaced = read(&dirs, restore.replaced()).unwrap().unwrap();
    assert_eq!(rows(&data_of(&dirs, replaced.id)), 2);
    // what was only prepared is no data point
    let prepared = prepared(&dirs, &point);
    recover(&dirs, &"app".parse().unwrap(), |_| Fate::Stays).unwrap();
    assert_eq!(read(&dirs, prepared.replaced()).unwrap(), None);
    assert_eq!(fs::read_dir(dirs.points()).unwrap().count(), 2);
}

#[test]
fn a_crash_while_an_old_data_point_is_deleted_leaves_none_that_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = app(folder.path(), 1);
    let (old, new) = (taken(&dirs), taken(&dirs));
    for changes in 0.. {
        let crash = Crash::after(changes, folder.path(), || {});
        let pruned = prune(&dirs, 1, Timestamp::UNIX_EPOCH, |_| false);
        drop(crash);
        for point in list(&dirs).unwrap() {
            assert_eq!(rows(&data_of(&dirs, point.id)), 1, "after {changes} changes");
        }
        if pruned.is_ok() {
            break;
        }
        durable::sweep(&dirs.points()).unwrap();
        let on_disk = fs::read_dir(dirs.points()).unwrap().count();
        assert_eq!(on_disk, list(&dirs).unwrap().len(), "after {changes} changes");
    }
    assert!(!dirs.point(old.id).exists() && dirs.point(new.id).exists());
}
