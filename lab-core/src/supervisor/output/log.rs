//! An app's log on disk: one line each, with its time, rotated by size.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use crate::{app::AppName, supervisor::LogLine};

/// How many lines a slow follower may be behind before it misses some.
const FOLLOW_BACKLOG: usize = 4096;
/// The most lines that are read back at once.
const MAX_TAIL: usize = 100_000;
const CHUNK: usize = 64 << 10;

/// `<logs>/<app>.log`, `<app>.log.1` (newer) …
#[derive(Debug)]
pub(super) struct AppLog {
    path: PathBuf,
    max_bytes: u64,
    kept: usize,
    /// Held on threads for blocking work, while lines are written or the end is read.
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: fs::File,
    /// The file's, in bytes.
    size: u64,
    /// There while somebody follows: its backlog is a quarter of a megabyte, which a thousand apps would each have.
    followers: Option<broadcast::Sender<LogLine>>,
}

impl Written {
    fn tell(&mut self, line: LogLine) {
        // an error means that the last follower has gone
        if self.followers.as_ref().is_some_and(|followers| followers.send(line).is_err()) {
            self.followers = None;
        }
    }
}

impl AppLog {
    pub(super) fn open(folder: &Path, app: &AppName, max_bytes: u64, kept: usize) -> io::Result<Self> {
        let path = crate::supervisor::file(folder, app, "log");
        let file = open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, max_bytes, kept, written: Mutex::new(Written { file, size, followers: None }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines and tells the followers. Blocks.
    pub(super) fn append(&self, lines: Vec<String>) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut guard = self.written();
        let written = &mut *guard;
        let (time, mut batch) = (Timestamp::now(), String::new());
        for text in lines {
            let before = batch.len();
            batch.extend([time.to_string().as_str(), " ", &text, "\n"]);
            if written.size + batch.len() as u64 > self.max_bytes && written.size + before as u64 > 0 {
                let next = batch.split_off(before);
                written.file.write_all(batch.as_bytes())?;
                batch = next;
                self.rotate()?;
                written.file = open(&self.path)?;
                written.size = 0;
            }
            written.tell(LogLine { time, text });
        }
        written.file.write_all(batch.as_bytes())?;
        written.size += batch.len() as u64;
        Ok(())
    }

    fn rotated(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&self) -> io::Result<()> {
        if self.kept == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (0..self.kept).rev() {
            match fs::rename(self.rotated(number), self.rotated(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The last `count` lines, oldest first. Blocks.
    pub(super) fn tail(&self, count: usize) -> io::Result<Vec<LogLine>> {
        // so that no rotation comes between two files
        let _guard = self.written();
        self.tail_unlocked(count.min(MAX_TAIL))
    }

    fn tail_unlocked(&self, count: usize) -> io::Result<Vec<LogLine>> {
        let mut lines: VecDeque<LogLine> = VecDeque::new();
        for number in 0..=self.kept {
            if lines.len() >= count {
                break;
            }
            let text = match last_lines(&self.rotated(number), count - lines.len()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            for line in text.lines().rev().filter_map(parse).take(count - lines.len()) {
                lines.push_front(line);
            }
        }
        Ok(lines.into())
    }

    /// The last `count` lines, then those that come. Blocks until the former are read.
    pub(super) fn follow(&self, count: usize) -> io::Result<BoxStream<'static, LogLine>> {
        // while this is held no line is written: what is read and what will be told have neither gap nor overlap
        let mut written = self.written();
        let followers = written.followers.get_or_insert_with(|| broadcast::Sender::new(FOLLOW_BACKLOG));
        let new = BroadcastStream::new(followers.subscribe());
        let old = self.tail_unlocked(count.min(MAX_TAIL))?;
        let new = new.map(|line| match line {
            Ok(line) => line,
            Err(BroadcastStreamRecvError::Lagged(missed)) => LogLine {
                time: Timestamp::now(),
                text: format!("… {missed} lines are left out here: the reader was too slow"),
            },
        });
        Ok(stream::iter(old).chain(new).boxed())
    }

    /// Deletes the log and its rotated parts. Blocks.
    pub(super) fn delete(&self) -> io::Result<()> {
        let _guard = self.written();
        (0..=self.kept).try_for_each(|number| crate::durable::remove(&self.rotated(number)))
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn parse(line: &str) -> Option<LogLine> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    Some(LogLine { time: time.parse().ok()?, text: text.to_owned() })
}

/// The end of the file with at least `count` lines, where it has as many.
fn last_lines(path: &Path, count: usize) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut start = file.metadata()?.len();
    let mut end = Vec::new();
    let ends = |text: &[u8]| text.split(|b| *b == b'\n').count() - 1;
    while start > 0 && ends(&end) <= count {
        let size = CHUNK.min(usize::try_from(start).unwrap_or(CHUNK));
        start -= size as u64;
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = vec![0; size];
        file.read_exact(&mut chunk)?;
        chunk.extend(end);
        end = chunk;
    }
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_bytes: u64, kept: usize) -> AppLog {
        AppLog::open(folder, &"app".parse().expect("name"), max_bytes, kept).expect("open")
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_last_lines_come_back_across_rotated_files_and_the_size_is_bounded() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = log(dir.path(), 1000, 2);
        for n in 0..200 {
            log.append(vec![format!("line {n}")]).expect("append");
        }
        let files: Vec<u64> =
            fs::read_dir(dir.path()).expect("dir").map(|e| e.expect("entry").metadata().expect("meta").len()).collect();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|size| *size <= 1000), "{files:?}");
        let lines = log.tail(40).expect("tail");
        let expected: Vec<String> = (160..200).map(|n| format!("line {n}")).collect();
        assert_eq!(texts(&lines), expected.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(log.tail(0).expect("tail"), []);
    }

    #[tokio::test]
    async fn following_has_no_gap_while_the_log_rotates() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = log(dir.path(), 2000, 1);
        log.append((0..10).map(|n| n.to_string()).collect()).expect("append");
        let follower = log.follow(5).expect("follow");
        log.append((10..1010).map(|n| n.to_string()).collect()).expect("append");
        let lines: Vec<LogLine> = follower.take(1005).collect().await;
        let expected: Vec<String> = (5..1010).map(|n| n.to_string()).collect();
        assert_eq!(texts(&lines), expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_follower_that_is_too_slow_is_told_so() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = log(dir.path(), 1 << 20, 1);
        let mut follower = log.follow(0).expect("follow");
        log.append((0..FOLLOW_BACKLOG + 100).map(|n| n.to_string()).collect()).expect("append");
        let first = follower.next().await.expect("a line");
        assert!(first.text.contains("left out"), "{}", first.text);
    }

    #[tokio::test]
    async fn nothing_is_kept_for_followers_that_are_gone() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = log(dir.path(), 1 << 20, 1);
        let follower = log.follow(0).expect("follow");
        log.append(vec!["one".to_owned()]).expect("append");
        assert!(log.written().followers.is_some());
        drop(follower);
        log.append(vec!["two".to_owned()]).expect("append");
        assert!(log.written().followers.is_none());
        let follower = log.follow(1).expect("follow");
        log.append(vec!["three".to_owned()]).expect("append");
        let lines: Vec<LogLine> = follower.take(2).collect().await;
        assert_eq!(texts(&lines), ["two", "three"]);
    }
}
