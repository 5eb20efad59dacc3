//! What the calls and the task that looks for changes share.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Call, Files, SupervisordError, SupervisordSettings, app::App, poll, rpc::Client};
use crate::{
    app::AppName,
    blocking::blocking,
    procfs,
    supervisor::{
        EVENT_BACKLOG, ProcessEvent, ProcessSpec, ProcessState,
        marked::{self, Marked},
        output::{OutputSettings, Outputs},
    },
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: SupervisordSettings,
    pub(super) client: Client,
    pub(super) files: Files,
    outputs: Outputs,
    pub(super) events: broadcast::Sender<ProcessEvent>,
    pub(super) stopping: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Guards the map only; never held across an await.
    apps: Mutex<BTreeMap<AppName, Arc<App>>>,
    /// Since when supervisord has not answered the task that looks for changes.
    away: Mutex<Option<Instant>>,
    /// supervisord's process id, as it was said last.
    pid: AtomicI32,
    /// Held while the files are read anew.
    reloading: tokio::sync::Mutex<()>,
    /// How often that was begun, and which was the last that went well.
    reloads: AtomicU64,
    reloaded: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: SupervisordSettings) -> Result<Self, SupervisordError> {
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let outputs = OutputSettings {
            spool_dir: settings.spools(),
            log_dir: settings.log_dir.clone(),
            max_log_bytes: settings.max_log_bytes,
            kept_logs: settings.kept_logs,
        };
        let outputs = Outputs::open(outputs, &tasks, &stopping).map_err(|source| SupervisordError::File {
            action: "make",
            path: settings.log_dir.clone(),
            source,
        })?;
        Ok(Self {
            client: Client::new(&settings.socket(), &settings.log_file(), settings.patience)?,
            files: Files::new(&settings),
            settings,
            outputs,
            events: broadcast::Sender::new(EVENT_BACKLOG),
            stopping,
            tasks,
            apps: Mutex::default(),
            away: Mutex::default(),
            pid: AtomicI32::default(),
            reloading: tokio::sync::Mutex::default(),
            reloads: AtomicU64::default(),
            reloaded: AtomicU64::default(),
        })
    }

    /// Learns what supervisord runs, and what it runs that is no app's goes; supervisord's process id.
    pub(super) async fn meet(&self, known: Vec<(ProcessSpec, bool)>) -> Result<i64, SupervisordError> {
        self.check_version().await?;
        for (spec, wanted) in known {
            let name = spec.app.clone();
            let app = self.make(&name, Some(spec), wanted).map_err(|source| SupervisordError::File {
                action: "open the output of an app below",
                path: self.settings.dir.clone(),
                source,
            })?;
            self.apps().insert(name, app);
        }
        // before the processes are looked at: what ends meanwhile is seen as a change
        let asked = Instant::now();
        let (pid, infos) = poll::look(&self.client).await?;
        self.note_pid(pid);
        for info in &infos {
            if info.name.parse::<AppName>().is_ok_and(|name| self.app(&name).is_some()) {
                continue;
            }
            tracing::warn!(program = info.name, "supervisord has a program that is no app's: it is removed");
            self.drop_program(&info.name).await?;
        }
        poll::take(self, infos, asked).await;
        Ok(pid)
    }

    async fn check_version(&self) -> Result<(), SupervisordError> {
        let version = self.client.call(&Call("supervisor.getSupervisorVersion", Vec::new())).await?;
        super::diagnose::check_version(&self.client, &version).map(drop)
    }

    pub(super) fn make(&self, name: &AppName, spec: Option<ProcessSpec>, wanted: bool) -> io::Result<Arc<App>> {
        let output = self.outputs.add(name, &self.tasks, &self.stopping)?;
        Ok(Arc::new(App::new(name.clone(), output, spec, wanted)))
    }

    pub(super) fn apps(&self) -> MutexGuard<'_, BTreeMap<AppName, Arc<App>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn app(&self, name: &AppName) -> Option<Arc<App>> {
        self.apps().get(name).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<AppName, Arc<App>> {
        self.apps().clone()
    }

    /// Records what is observed of an app and tells of it.
    pub(super) fn set(&self, app: &App, state: ProcessState) {
        app.set(state.clone());
        self.tell(app, state);
    }

    pub(super) fn tell(&self, app: &App, state: ProcessState) {
        // nobody listens: fine
        let _ = self.events.send(ProcessEvent { app: app.name.clone(), state });
    }

    /// Whether what was seen last can still be trusted.
    pub(super) fn is_in_touch(&self) -> Result<(), SupervisordError> {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_some_and(|since| since.elapsed() > self.settings.patience) {
            return Err(SupervisordError::NotRunning { socket: self.settings.socket(), log: self.settings.log_file() });
        }
        Ok(())
    }

    /// Whether it answered when it was asked last.
    pub(super) fn is_answering(&self) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Notes whether supervisord answers; whether that is new.
    pub(super) fn note_touch(&self, answers: bool) -> bool {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = away.is_some() == answers;
        if is_new {
            *away = (!answers).then(Instant::now);
        }
        is_new
    }

    pub(super) fn note_pid(&self, pid: i64) {
        // none has the id 0
        self.pid.store(i32::try_from(pid).unwrap_or_default(), Ordering::SeqCst);
    }

    /// Has supervisord read its files, all of them, after something in them was written. One reading serves all who wait.
    pub(super) async fn reload(&self) -> Result<(), SupervisordError> {
        let written = self.reloads.load(Ordering::SeqCst);
        let _guard = self.reloading.lock().await;
        if self.reloaded.load(Ordering::SeqCst) > written {
            // one began after ours was written, and went well
            return Ok(());
        }
        let this = self.reloads.fetch_add(1, Ordering::SeqCst) + 1;
        self.client.call(&Call("supervisor.reloadConfig", Vec::new())).await?;
        self.reloaded.store(this, Ordering::SeqCst);
        Ok(())
    }

    /// Ends what was left of runs of these apps that are over. What supervisord runs now stays, with all that it started,
    /// also where that began a moment ago.
    pub(super) async fn end_leftovers(&self, apps: Vec<AppName>) {
        let launches: Vec<_> = apps.iter().map(|name| self.files.launch(name)).collect();
        let supervisord = self.pid.load(Ordering::SeqCst);
        let ended = blocking(move || marked::kill_found(|| leftovers(&launches, supervisord)));
        match ended.await {
            Ok(0) => {}
            Ok(count) => tracing::info!(?apps, count, "processes that outlived their app were ended"),
            Err(error) => tracing::warn!(?apps, %error, "processes that outlived their app were not looked for"),
        }
    }
}

/// The processes of these launch files that are of no run that goes on. Blocks.
fn leftovers(launches: &[PathBuf], supervisord: i32) -> io::Result<Vec<Marked>> {
    let mut found = marked::all()?;
    found.retain(|process| launches.iter().any(|launch| process.is_of(launch)));
    if found.is_empty() {
        return Ok(found);
    }
    // after they were found: a process that has its own mark only now had nothing with that mark before
    let is_run = |pid: i32| procfs::parent(pid) == Some(supervisord);
    let runs: Vec<Marked> = procfs::pids()?.into_iter().filter(|pid| is_run(*pid)).filter_map(Marked::of).collect();
    if procfs::parent(supervisord).is_none() {
        // another one has its place: what is the new one's cannot be told yet, and is told at the next look
        return Ok(Vec::new());
    }
    found.retain(|process| !is_run(process.pid) && runs.iter().all(|run| run.mark != process.mark));
    Ok(found)
}
