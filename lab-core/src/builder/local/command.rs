//! Runs one command of a build.

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use rustix::process::{Resource, Rlimit, prlimit};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::timeout,
};

use super::{
    hints::hint,
    log::{Lines, Log},
    processes::{Family, MARKER},
    stop::Stop,
    watch::Watch,
};
use crate::builder::BuildError;

/// How long what was printed may take to arrive after all processes have ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A command that is ready to run.
#[derive(Debug)]
pub(super) struct Prepared {
    /// As a person writes it.
    pub shown: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// It is stopped when it prints more.
    pub max_printed_bytes: u64,
    /// It is stopped when it uses more.
    pub watch: Watch,
}

/// How the reading of a command's output came to its end.
enum Ending {
    Exited(io::Result<ExitStatus>),
    Stopped(BuildError),
    TooMuch(String),
}

impl Prepared {
    /// Runs it to its end; no process of it is left afterwards, whatever happened.
    pub(super) async fn run(self, log: &Log, stop: &Stop) -> Result<(), BuildError> {
        stop.check()?;
        log.next_command();
        log.say(&format!("$ {}", self.shown));
        let (mut child, mut output) = self.spawn().map_err(|source| self.failed(source))?;
        // a child that was not waited for has a number
        let leader = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let leader = leader.ok_or_else(|| self.failed(io::Error::other("the process has no number")))?;
        let family = Family::new(leader, self.env.get(MARKER).map_or("", String::as_str));
        let mut lines = Lines::default();
        let ending = self.follow(&mut child, &mut output, &mut lines, &family, log, stop).await;
        if matches!(ending, Ending::TooMuch(_)) {
            // what takes too much gets no time to take more
            family.kill(family.count().await).await;
        }
        let others = family.end(self.grace).await;
        if matches!(ending, Ending::Exited(_)) && others > 0 {
            log.say(&format!("{others} processes that `{}` left behind were ended", self.shown));
        }
        if !matches!(ending, Ending::Exited(_)) {
            // killed above: waiting leaves no zombie
            let _ = timeout(LAST_WORDS, child.wait()).await;
        }
        family.let_go();
        let _ = timeout(LAST_WORDS, drain(&mut output, &mut lines, log)).await;
        lines.finish_last(|line| log.printed(line));
        match ending {
            Ending::Exited(Ok(status)) if status.success() => Ok(()),
            Ending::Exited(Ok(status)) => Err(self.ended(status, log)),
            Ending::Exited(Err(source)) => Err(self.failed(source)),
            Ending::Stopped(why) => Err(why),
            Ending::TooMuch(what) => Err(BuildError::CommandFailed {
                command: self.shown,
                status: "stopped".to_owned(),
                last_lines: log.tail(),
                hint: Some(what),
            }),
        }
    }

    fn spawn(&self) -> io::Result<(Child, Receiver)> {
        // one pipe for both, so that the lines keep their order
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.env)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .kill_on_drop(true);
        let child = command.spawn()?;
        self.limit(&child);
        Ok((child, Receiver::from_owned_fd(OwnedFd::from(reader))?))
    }

    /// The kernel's own limits, for what happens between two looks at the command; its first moments may escape them.
    fn limit(&self, child: &Child) {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        for (resource, value) in [(Resource::Fsize, self.watch.max_disk_bytes), (Resource::Core, 0)] {
            let limit = Rlimit { current: Some(value), maximum: Some(value) };
            // one that the server's own limit forbids is not needed
            let _ = pid.map(|pid| prlimit(Some(pid), resource, limit));
        }
    }

    async fn follow(
        &self,
        child: &mut Child,
        output: &mut Receiver,
        lines: &mut Lines,
        family: &Family,
        log: &Log,
        stop: &Stop,
    ) -> Ending {
        let mut buffer = vec![0; 64 << 10];
        let mut printed: u64 = 0;
        let mut is_open = true;
        let must_stop = stop.wait();
        let exceeded = self.watch.exceeded(family);
        tokio::pin!(must_stop, exceeded);
        loop {
            tokio::select! {
                why = &mut must_stop => return Ending::Stopped(why),
                what = &mut exceeded => return Ending::TooMuch(what),
                status = child.wait() => return Ending::Exited(status),
                read = output.read(&mut buffer), if is_open => match read {
                    Ok(0) | Err(_) => is_open = false,
                    Ok(count) => {
                        printed += count as u64;
                        lines.feed(&buffer[..count], |line| log.printed(line));
                        if printed > self.max_printed_bytes {
                            let most = self.max_printed_bytes >> 20;
                            return Ending::TooMuch(format!("it printed more than {most} MiB"));
                        }
                    }
                },
            }
        }
    }

    fn ended(self, status: ExitStatus, log: &Log) -> BuildError {
        let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
        let described = match (status.code(), signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => signal.as_str().to_owned(),
            (None, None) => status.to_string(),
        };
        // a shell tells of a killed command by 128 + 9
        let was_killed = signal == Some(Signal::SIGKILL) || status.code() == Some(137);
        let hint = hint(&self.shown, &log.printed_last(), was_killed);
        let last_lines = log.tail();
        BuildError::CommandFailed { command: self.shown, status: described, last_lines, hint }
    }

    fn failed(&self, source: io::Error) -> BuildError {
        BuildError::Io { action: "run", path: Path::new(&self.program).to_owned(), source }
    }
}

/// Reads what is still in the pipe.
async fn drain(output: &mut Receiver, lines: &mut Lines, log: &Log) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        lines.feed(&buffer[..count], |line| log.printed(line));
    }
}
