//! How processes ended. supervisord tells it in its log only: over XML-RPC a process that did not stay has no exit code.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    str::FromStr,
};

use nix::sys::signal::Signal;

use crate::supervisor::Exit;

/// How much of the log's end is read.
const TAIL: u64 = 256 << 10;

/// The last exit of each process that the end of the log tells of. Blocks.
pub(super) fn last_exits(log: &Path) -> HashMap<String, Exit> {
    let mut rotated = log.as_os_str().to_owned();
    rotated.push(".1");
    // it may have been rotated just now
    let texts = [Path::new(&rotated), log].map(|path| tail(path).unwrap_or_default());
    texts.iter().flat_map(|text| text.lines()).filter_map(parse).collect()
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `2026-11-23 17:41:00,123 WARN exited: one (exit status 7; not expected)`, as `Subprocess.finish` writes it.
fn parse(line: &str) -> Option<(String, Exit)> {
    let (_, told) = line.split_once(" exited: ")?;
    let (name, how) = told.split_once(" (")?;
    let how = how.split([';', '(']).next()?.trim();
    let exit = match (how.strip_prefix("exit status "), how.strip_prefix("terminated by ")) {
        (Some(code), _) => Exit::Code(code.parse().ok()?),
        (_, Some(signal)) => match signal.strip_prefix("signal ") {
            Some(number) => Exit::Signal(number.parse().ok()?),
            None => Exit::Signal(Signal::from_str(signal).ok()? as i32),
        },
        _ => Exit::Unknown,
    };
    Some((name.to_owned(), exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_is_read_and_the_last_one_counts() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = dir.path().join("supervisord.log");
        fs::write(dir.path().join("supervisord.log.1"), "x WARN exited: old (exit status 3; not expected)\n")
            .expect("write");
        let text = "2026-11-23 17:41:00,123 INFO spawned: 'one' with pid 12\n\
            2026-11-23 17:41:00,123 WARN exited: one (exit status 7; not expected)\n\
            2026-11-23 17:41:01,123 WARN exited: two (terminated by SIGKILL; not expected)\n\
            2026-11-23 17:41:01,123 WARN exited: three (terminated by signal 34 (core dumped); not expected)\n\
            2026-11-23 17:41:02,123 INFO exited: one (exit status 0; expected)\n\
            2026-11-23 17:41:02,123 INFO exited: odd (unknown termination cause 0x0099; not expected)\n exited: ";
        fs::write(&log, text).expect("write");
        let exits = last_exits(&log);
        let expected = [
            ("old", Exit::Code(3)),
            ("one", Exit::Code(0)),
            ("two", Exit::Signal(9)),
            ("three", Exit::Signal(34)),
            ("odd", Exit::Unknown),
        ];
        assert_eq!(exits, expected.map(|(name, exit)| (name.to_owned(), exit)).into());
        assert!(last_exits(Path::new("/no/such/log")).is_empty());
    }
}
