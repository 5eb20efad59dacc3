//! Runs a program with a time limit, and ends all it started.

use std::{io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

/// As much of each stream as is kept.
const MAX_OUTPUT: u64 = 1 << 18;

/// "Text file busy": another thread's child still has the file open for writing, for a moment.
const ETXTBSY: i32 = 26;

/// What a program left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Kills the process group unless disarmed: also the children's children, which `kill_on_drop` misses.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // it may be gone already
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs `command` in a process group of its own; after `limit`, or when the future is dropped, the group is killed.
pub(crate) async fn run(mut command: Command, limit: Duration) -> io::Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
    let mut tries = 0;
    let mut child = loop {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(ETXTBSY) && tries < 50 => tries += 1,
            spawned => break spawned?,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.map(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr, status) = tokio::join!(read(stdout), read(stderr), child.wait());
        Ok::<_, io::Error>(Finished { success: status?.success(), stdout: stdout?, stderr: stderr? })
    };
    let finished = tokio::time::timeout(limit, work).await;
    let Ok(finished) = finished else {
        let message = format!("it took longer than {} s", limit.as_secs_f32());
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    };
    group.0 = None;
    finished
}

/// Reads to the end and keeps the beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut kept = Vec::new();
    (&mut stream).take(MAX_OUTPUT).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_time_limit_ends_the_children_too() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mark = dir.path().join("mark");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("(sleep 1; touch {0}) & sleep 60", mark.display()));
        let started = Instant::now();
        let error = run(command, Duration::from_millis(200)).await.expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!mark.exists(), "a grandchild went on");
    }
}
