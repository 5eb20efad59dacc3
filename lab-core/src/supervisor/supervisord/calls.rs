//! What the lab asks for: an app's process started, stopped, forgotten.

use std::{io, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Fault, SupervisordError,
    app::App,
    launch,
    rpc::{Call, Info},
    shared::Shared,
    xml::Value,
};
use crate::{
    app::AppName,
    blocking::blocking,
    supervisor::{KILL_LIMIT, ProcessSpec, ProcessState, SupervisorError, failed},
};

/// How often a process that is being stopped is looked at, at first; it doubles up to the second.
const LOOK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];
/// How long a new process may take to run its own program.
const BEGINS: Duration = Duration::from_secs(1);
/// What supervisord's own tick of a second may add to a stop.
const TICKS: Duration = Duration::from_secs(3);

impl Shared {
    pub(super) async fn start(&self, spec: ProcessSpec) -> Result<(), SupervisorError> {
        let name = spec.app.clone();
        let app = self.known_or_new(&name)?;
        let _call = app.calls.lock().await;
        let is_same = app.spec().is_some_and(|known| known == spec);
        if is_same && matches!(self.info(name.as_str()).await, Ok(Some(info)) if info.pid > 0) && is_running(&app) {
            return Ok(());
        }
        self.end(&app).await?;
        let checked = blocking({
            let spec = spec.clone();
            move || launch::check(&spec)
        });
        let begun = match checked.await {
            Ok(()) => self.begin(&app, &spec).await,
            Err(source) => {
                // what its files say would come back with the next supervisord
                self.unwant(&app).await?;
                Err(Begin::Cannot(source))
            }
        };
        match begun {
            Ok(info) => {
                let state = app.started(info);
                self.set(&app, state);
                Ok(())
            }
            Err(Begin::Cannot(source)) => {
                let reason = format!("`{}` cannot be started: {source}", spec.program.display());
                self.set(&app, ProcessState::Failed { reason, last_lines: Vec::new() });
                Err(SupervisorError::Start { app: name, program: spec.program, source })
            }
            Err(Begin::Failed(error)) => Err(failed("start", &name)(error)),
        }
    }

    pub(super) async fn stop(&self, name: &AppName) -> Result<(), SupervisorError> {
        let Some(app) = self.app(name) else { return Ok(()) };
        let _call = app.calls.lock().await;
        self.stop_one(&app).await
    }

    pub(super) async fn remove(&self, name: &AppName) -> Result<(), SupervisorError> {
        let Some(app) = self.app(name) else { return Ok(()) };
        let _call = app.calls.lock().await;
        self.stop_one(&app).await?;
        let (files, output, named) = (self.files.clone(), app.output.clone(), name.clone());
        let deleted = blocking(move || {
            files.remove(&named)?;
            output.delete()
        });
        deleted.await.map_err(failed("forget", name))?;
        self.drop_program(name.as_str()).await.map_err(failed("forget", name))?;
        self.apps().remove(name);
        Ok(())
    }

    fn known_or_new(&self, name: &AppName) -> Result<Arc<App>, SupervisorError> {
        let mut apps = self.apps();
        if let Some(app) = apps.get(name) {
            return Ok(app.clone());
        }
        let app = self.make(name, None, false).map_err(failed("open the output of", name))?;
        apps.insert(name.clone(), app.clone());
        Ok(app)
    }

    async fn stop_one(&self, app: &App) -> Result<(), SupervisorError> {
        // first, so that a supervisord that starts just now leaves it alone
        self.unwant(app).await?;
        self.end(app).await?;
        if app.state() != ProcessState::Stopped {
            self.set(app, ProcessState::Stopped);
        }
        Ok(())
    }

    /// Writes that supervisord is not to start the app by itself.
    async fn unwant(&self, app: &App) -> Result<(), SupervisorError> {
        let Some(spec) = app.spec().filter(|_| app.is_wanted()) else { return Ok(()) };
        let (files, unwanted) = (self.files.clone(), spec.clone());
        blocking(move || files.write_wanted(&unwanted, false)).await.map_err(failed("record", &app.name))?;
        app.want(spec, false);
        Ok(())
    }

    /// Ends the app's process and everything it started.
    async fn end(&self, app: &App) -> Result<(), SupervisorError> {
        let name = &app.name;
        let grace = app.spec().map_or(Duration::ZERO, |spec| spec.stop_grace);
        if matches!(app.state(), ProcessState::Running { .. } | ProcessState::BackingOff { .. }) {
            self.set(app, ProcessState::Stopping);
        }
        let limit = grace + KILL_LIMIT + TICKS;
        self.end_program(name.as_str(), limit).await.map_err(|error| match error {
            End::WillNot => SupervisorError::WillNotEnd { app: name.clone(), waited: KILL_LIMIT },
            End::Failed(error) => failed("stop", name)(error),
        })?;
        app.ended();
        app.output.spool.process_ended();
        self.end_leftovers(vec![name.clone()]).await;
        Ok(())
    }

    /// Has supervisord end a program's process, and waits until it is gone.
    async fn end_program(&self, name: &str, limit: Duration) -> Result<(), End> {
        let begun = Instant::now();
        let stop = Call("supervisor.stopProcess", vec![Value::Text(name.to_owned()), Value::Bool(false)]);
        let [mut pause, longest] = LOOK;
        let mut is_told = false;
        loop {
            match self.info(name).await? {
                None => return Ok(()),
                Some(info) if info.pid == 0 && info.is_at_rest() => return Ok(()),
                // one that ended just now is started again by the next tick: told to stop before that, it says no
                Some(info) if info.is_stopping() => {}
                Some(info) if !is_told => {
                    begins(info.pid).await;
                    match self.client.call(&stop).await {
                        Ok(_) => is_told = true,
                        Err(SupervisordError::Fault { code: Fault::NOT_RUNNING | Fault::BAD_NAME, .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                // it was started again in between, by a supervisord that was
                Some(info) if info.pid > 0 => is_told = false,
                Some(_) => {}
            }
            if begun.elapsed() > limit {
                return Err(End::WillNot);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Writes the app's files and has supervisord start the process they say.
    async fn begin(&self, app: &App, spec: &ProcessSpec) -> Result<Info, Begin> {
        let name = spec.app.as_str();
        let files = self.files.clone();
        let program = files.program(spec, true);
        // an earlier lab may have died before it had a changed file read
        let is_as_before = app.take_loaded().is_some_and(|loaded| loaded == program);
        let written = blocking({
            let (files, spec) = (files.clone(), spec.clone());
            move || files.write(&spec, true)
        });
        written.await.map_err(|source| match source.kind() {
            io::ErrorKind::InvalidInput => Begin::Cannot(source),
            _ => Begin::Failed(SupervisordError::File {
                action: "write a file in",
                path: files.programs.clone(),
                source,
            }),
        })?;
        app.want(spec.clone(), true);
        let is_loaded = self.info(name).await?.is_some();
        let mut calls = Vec::new();
        if !is_loaded || !is_as_before {
            self.reload().await?;
            if is_loaded {
                calls.push(Call::named("supervisor.removeProcessGroup", name));
            }
            calls.push(Call::named("supervisor.addProcessGroup", name));
        }
        calls.push(Call("supervisor.startProcess", vec![Value::Text(name.to_owned()), Value::Bool(false)]));
        calls.push(Call::named("supervisor.getProcessInfo", name));
        let mut answers = self.client.calls(&calls).await?;
        if answers.iter().any(is_still_running) {
            // a supervisord that was started again in between has started it by itself
            self.end_program(name, spec.stop_grace + KILL_LIMIT + TICKS).await.map_err(|error| match error {
                End::WillNot => Begin::Cannot(io::Error::other("its earlier process does not end")),
                End::Failed(error) => error.into(),
            })?;
            answers = self.client.calls(&calls).await?;
        }
        let info = answers.pop();
        for answer in answers {
            match answer {
                // a call that was done twice, or a supervisord that has just read the files by itself
                Err(SupervisordError::Fault { code: Fault::ALREADY_STARTED | Fault::ALREADY_ADDED, .. }) | Ok(_) => {}
                Err(SupervisordError::Fault { code: 20 | 21 | Fault::SPAWN_ERROR, text, .. }) => {
                    return Err(Begin::Cannot(io::Error::other(text)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        app.set_loaded(program);
        let info = info.ok_or_else(|| self.client.odd("it did not say what became of a start"))??;
        Info::parse(&info).ok_or_else(|| self.client.odd("it tells of a program in an unknown way").into())
    }

    /// What supervisord says of one program; `None` where it has none of that name.
    async fn info(&self, name: &str) -> Result<Option<Info>, SupervisordError> {
        match self.client.call(&Call::named("supervisor.getProcessInfo", name)).await {
            Ok(value) => {
                let info = Info::parse(&value);
                info.map(Some).ok_or_else(|| self.client.odd("it tells of a program in an unknown way"))
            }
            Err(SupervisordError::Fault { code: Fault::BAD_NAME, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a program and has supervisord forget it.
    pub(super) async fn drop_program(&self, name: &str) -> Result<(), SupervisordError> {
        match self.end_program(name, Duration::from_mins(1)).await {
            // removing what still runs is a fault, which says so
            Ok(()) | Err(End::WillNot) => {}
            Err(End::Failed(error)) => return Err(error),
        }
        match self.client.call(&Call::named("supervisor.removeProcessGroup", name)).await {
            Err(SupervisordError::Fault { code: Fault::BAD_NAME, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits until a process that was made just now runs its own program: until then it has supervisord's handlers, which
/// swallow a SIGTERM.
async fn begins(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    let exe = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe"));
    let begun = Instant::now();
    while pid > 0 && begun.elapsed() < BEGINS {
        // one look at two links of the kernel's own, which no disk is behind
        let parent = crate::procfs::parent(pid).map(exe);
        match (exe(pid), parent) {
            (Ok(its), Some(Ok(parents))) if its == parents => tokio::time::sleep(LOOK[0]).await,
            _ => return,
        }
    }
}

fn is_still_running(answer: &Result<Value, SupervisordError>) -> bool {
    matches!(answer, Err(SupervisordError::Fault { code: Fault::STILL_RUNNING, .. }))
}

fn is_running(app: &App) -> bool {
    matches!(app.state(), ProcessState::Running { .. })
}

/// Why a process did not begin.
enum Begin {
    /// There is nothing that could be started.
    Cannot(io::Error),
    Failed(SupervisordError),
}

impl From<SupervisordError> for Begin {
    fn from(error: SupervisordError) -> Self {
        Self::Failed(error)
    }
}

/// Why a process did not end.
enum End {
    WillNot,
    Failed(SupervisordError),
}

impl From<SupervisordError> for End {
    fn from(error: SupervisordError) -> Self {
        Self::Failed(error)
    }
}
