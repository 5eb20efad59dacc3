//! The release at work on the copy, on a thread that may leave the machine's network.

use std::{
    collections::VecDeque,
    io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{RehearsalError, RehearsalJob, changes::Schema, confine, local::failed, namespace};
use crate::{
    Port,
    health::{Answers, HealthError, HealthProbe, http::HttpProbe},
    lab::superuser,
    layout::AppDirs,
    pocketbase::thrown,
    release::Flags,
    supervisor::{Lines, ProcessSpec, marked},
};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// So many collections are asked for, and no further one after so long.
const MOST_COLLECTIONS: usize = 500;
const ASKING: Duration = Duration::from_mins(1);
/// So much of what the app prints last is kept, in bytes.
const PRINTED: usize = 64 << 10;
/// So many of its last lines are in an error.
const LAST_LINES: usize = 20;
/// How long what it printed last may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long it may take to be gone after SIGKILL.
const KILLED: Duration = Duration::from_secs(2);

/// What came of a trial.
pub(super) enum Ended {
    /// It ran.
    Done(Result<Trial, RehearsalError>),
    /// The kernel refuses to keep the thread from others. Nothing was started.
    NotIsolated(io::Error),
}

/// How the app is kept from reaching others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// By a network of its own.
    InNetwork,
    /// By TCP, in the machine's network.
    FromTcp,
    /// Not at all.
    Not,
}

/// What a trial that went well told.
#[derive(Debug)]
pub(super) struct Trial {
    /// From its start until it was healthy.
    pub(super) healthy: Duration,
    /// How many collections answered.
    pub(super) asked: usize,
    /// What is worth knowing.
    pub(super) told: Vec<String>,
}

/// Runs it on a thread of its own.
pub(super) async fn run(
    job: Arc<RehearsalJob>,
    dirs: AppDirs,
    kept: Kept,
    cancel: CancellationToken,
) -> Result<Ended, RehearsalError> {
    let (send, receive) = oneshot::channel();
    let work = move || {
        if kept == Kept::InNetwork
            && let Err(error) = namespace::leave()
        {
            return Ended::NotIsolated(error);
        }
        let port = match free_port() {
            Ok(port) => port,
            Err(error) => return Ended::Done(Err(failed("find a port")(error))),
        };
        if kept == Kept::FromTcp
            && let Err(error) = confine::confine(port)
        {
            return Ended::NotIsolated(error);
        }
        // a thread that left its process namespace can start no other: everything happens on this one
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ended::Done(match runtime {
            Ok(runtime) => runtime.block_on(trial(&job, &dirs, port, &cancel)),
            Err(error) => Err(failed("start a runtime")(error)),
        })
    };
    let thread = std::thread::Builder::new().name("rehearsal".to_owned());
    // who asked may be gone
    thread.spawn(move || drop(send.send(work()))).map_err(failed("start a thread"))?;
    receive.await.map_err(|_| failed("run a thread")(io::Error::other("it panicked")))
}

async fn trial(
    job: &RehearsalJob,
    dirs: &AppDirs,
    port: Port,
    cancel: &CancellationToken,
) -> Result<Trial, RehearsalError> {
    let mut process = job.release.process(dirs, port, &job.env, job.stop_grace);
    process.env.extend(marked::marks(&job.work));
    let mut app = App::start(&process).map_err(failed("start the app"))?;
    let tried = tokio::select! {
        tried = app.tried(job, dirs, &process, port) => tried,
        () = cancel.cancelled() => Err(RehearsalError::Cancelled),
    };
    app.end(job.stop_grace, &job.work).await.map_err(failed("end the app"))?;
    let trial = tried?;
    match thrown::find(app.lines().iter().map(String::as_str)) {
        Some((_, what)) if job.release.run.flags == Flags::OfficialWatching => {
            Ok(Trial { told: [vec![what], trial.told].concat(), ..trial })
        }
        Some((begin, _)) => {
            Err(RehearsalError::Hooks { lines: app.lines().into_iter().skip(begin).take(LAST_LINES).collect() })
        }
        None => Ok(trial),
    }
}

/// A port that is free in this network.
fn free_port() -> io::Result<Port> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Port::new(port).ok_or_else(|| io::Error::other("the kernel gave port 0"))
}

/// The process.
struct App {
    child: Child,
    printed: Arc<Mutex<Printed>>,
    reading: JoinHandle<()>,
}

/// What it printed last, without secrets.
#[derive(Default)]
struct Printed {
    lines: Lines,
    kept: VecDeque<String>,
    /// Of those that are kept.
    bytes: usize,
}

impl Printed {
    fn take(&mut self, printed: &[u8]) {
        for line in self.lines.take(printed) {
            self.bytes += line.len();
            self.kept.push_back(line);
        }
        while self.bytes > PRINTED || self.kept.len() > PRINTED {
            self.bytes -= self.kept.pop_front().map_or(self.bytes, |line| line.len());
        }
    }

    fn lines(&self) -> Vec<String> {
        // a last line without an end too
        let lines = self.kept.iter().cloned().chain(self.lines.clone().finish());
        lines.filter(|line| !line.trim().is_empty()).collect()
    }
}

impl App {
    fn start(process: &ProcessSpec) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let child = Command::new(&process.program)
            .args(&process.args)
            .current_dir(&process.directory)
            .env_clear()
            .envs(&process.env)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .kill_on_drop(true)
            .spawn()?;
        let printed = Arc::new(Mutex::new(Printed::default()));
        let reading = tokio::spawn(keep(Receiver::from_owned_fd(OwnedFd::from(reader))?, printed.clone()));
        Ok(Self { child, printed, reading })
    }

    fn lines(&self) -> Vec<String> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }

    /// The last lines; of a hook file that threw the first ones, which a long trace follows.
    fn last_lines(&self) -> Vec<String> {
        let lines = self.lines();
        let thrown = thrown::find(lines.iter().map(String::as_str)).map(|(begin, _)| begin);
        let begin = thrown.unwrap_or(lines.len().saturating_sub(LAST_LINES));
        lines.into_iter().skip(begin).take(LAST_LINES).collect()
    }

    async fn tried(
        &mut self,
        job: &RehearsalJob,
        dirs: &AppDirs,
        process: &ProcessSpec,
        port: Port,
    ) -> Result<Trial, RehearsalError> {
        let begun = Instant::now();
        let mut told: Vec<String> = self.healthy(job, port, begun).await?.into_iter().collect();
        let healthy = begun.elapsed();
        let up_until = tokio::time::Instant::now() + job.limits.stays_up;
        let asked = tokio::select! {
            status = self.child.wait() => return Err(self.ended(status).await),
            asked = ask(job, dirs, process, port, &mut told) => asked?,
        };
        let asked = asked.map_err(|(collection, source)| RehearsalError::Collection {
            collection,
            last_lines: self.last_lines(),
            source,
        })?;
        tokio::select! {
            status = self.child.wait() => Err(self.ended(status).await),
            () = tokio::time::sleep_until(up_until) => Ok(Trial { healthy, asked, told }),
        }
    }

    /// Waits until it answers; what is to be told of that.
    async fn healthy(
        &mut self,
        job: &RehearsalJob,
        port: Port,
        begun: Instant,
    ) -> Result<Option<String>, RehearsalError> {
        let limit = Duration::from_secs(job.health.timeout_secs);
        let mut answers = Answers::default();
        loop {
            let left = limit.saturating_sub(begun.elapsed()).clamp(Duration::from_millis(100), Duration::from_secs(5));
            let probe = HttpProbe::new();
            let probed = tokio::select! {
                status = self.child.wait() => return Err(self.ended(status).await),
                probed = probe.probe(port, &job.health.path, left) => probed,
            };
            match answers.judge(&job.health, probed) {
                Ok(warning) => return Ok(warning),
                Err(source) if begun.elapsed() >= limit => {
                    let (last_lines, source) = (self.last_lines(), source.explained(self.child.id()));
                    return Err(RehearsalError::Unhealthy { limit_secs: limit.as_secs(), last_lines, source });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn ended(&mut self, status: io::Result<ExitStatus>) -> RehearsalError {
        let how = match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => status.to_string(),
            },
            Err(error) => error.to_string(),
        };
        // what it printed last is still in the pipe, which what it left behind may hold open
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.reading).await;
        RehearsalError::Ended { how, last_lines: self.last_lines() }
    }

    /// Ends it and all that it started.
    async fn end(&mut self, grace: Duration, work: &Path) -> io::Result<()> {
        use nix::{
            sys::signal::{Signal, killpg},
            unistd::Pid,
        };
        // in order: it writes its log then
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGTERM);
            if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
                self.child.start_kill()?;
            }
        }
        // it may wait for a disk
        let _ = tokio::time::timeout(KILLED, self.child.wait()).await;
        marked::kill(|process| process.is_of(work)).map(drop)
    }
}

/// Keeps what is printed last.
async fn keep(mut output: Receiver, printed: Arc<Mutex<Printed>>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        printed.lock().unwrap_or_else(PoisonError::into_inner).take(&buffer[..count]);
    }
}

/// Which collection fails, and how.
type Wrong = (String, HealthError);

/// Asks for a page of each collection; how many answered, or which one fails.
async fn ask(
    job: &RehearsalJob,
    dirs: &AppDirs,
    process: &ProcessSpec,
    port: Port,
    told: &mut Vec<String>,
) -> Result<Result<usize, Wrong>, RehearsalError> {
    // a superuser of the copy sees every collection; without one it is asked as a visitor would
    let token = match superuser::token_of_a_new_one(&job.release, process, port).await {
        Ok(token) => Some(token),
        Err(why) => {
            told.push(format!("collections were asked as a visitor would: {why}"));
            None
        }
    };
    let schema = Schema::read(&dirs.data())?;
    let client = superuser::client(REQUEST).map_err(|error| failed("make a client")(io::Error::other(error)))?;
    let (mut asked, begun) = (0, Instant::now());
    for name in schema.names().take(MOST_COLLECTIONS) {
        if begun.elapsed() > ASKING {
            told.push(format!("only {asked} collections were asked: they took longer than {} s", ASKING.as_secs()));
            break;
        }
        // a name of PocketBase's holds letters, digits and `_` only
        let path = format!("/api/collections/{name}/records?perPage=1&skipTotal=1");
        let mut request = client.get(format!("http://127.0.0.1:{port}{path}"));
        if let Some(token) = &token {
            request = request.header("Authorization", token.expose());
        }
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(status @ 500..) => return Ok(Err((name.to_owned(), HealthError::Status { path, status }))),
            Ok(status @ 400..) if token.is_some() => {
                told.push(format!("the records of `{name}` answer {status}"));
            }
            Ok(_) => {}
            Err(error) => {
                let reason = error.without_url().to_string();
                return Ok(Err((name.to_owned(), HealthError::NoAnswer { path, reason })));
            }
        }
        asked += 1;
    }
    Ok(Ok(asked))
}
