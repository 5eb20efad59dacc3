//! `restart`: from `kill -9` of an app until it is healthy again.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lab_core::{
    Port,
    health::{HealthProbe, http::HttpProbe},
    supervisor::{
        ProcessSpec, ProcessState, ProcessSupervisor, RestartPolicy,
        native::{NativeSettings, NativeSupervisor},
        supervisord::{SupervisordSettings, SupervisordSupervisor},
    },
    testing::ports::leased_range,
};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{
    Outcome, median, millis,
    peers::supervisord,
    processes::{Program, runs, signal},
    results::{Better, Line, Results},
};
use crate::parts::{end_processes, folder, pocketbase};

/// How far beyond the app's own boot a restart may be, in milliseconds.
const BEYOND: f64 = 10.0;
/// How many times less than supervisord's that must be.
const TIMES: f64 = 20.0;
/// What asking every millisecond can tell apart.
const RESOLUTION: f64 = 1.0;
/// After this an app has written what its start writes: a process that is killed while it waits for the disk stays until
/// then, which is nobody's overhead.
const SETTLED: Duration = Duration::from_millis(500);
/// How many kills by hand and under the native supervisor come to one under supervisord, whose start takes so long: what
/// the kernel takes to end a process differs most, see the note.
const MORE: u64 = 3;
/// After this an app counts as started with supervisord (`startsecs`), which looks at it once a second.
const STARTED: Duration = Duration::from_millis(2100);
/// What those looks add to `startsecs`.
const LOOK: Duration = Duration::from_millis(1100);

pub async fn run(is_quick: bool) -> Outcome<Results> {
    let rounds: u64 = if is_quick { 3 } else { 20 };
    let dir = folder();
    let _end = EndApps(dir.path());
    let (mut ports, _lease) = leased_range();
    let mut app = |name: &str| App::new(name, dir.path(), ports.next().and_then(Port::new));
    let (alone, native, supervised, production) =
        (app("alone")?, app("native")?, app("supervised")?, app("production")?);

    let supervisor = NativeSupervisor::open(NativeSettings::new(dir.path().join("run"), dir.path().join("logs")))?;
    let supervisord = supervisord::start(&supervised.spec, dir.path())?;
    let labs = SupervisordSettings::new(dir.path().join("labs"), dir.path().join("labs-logs"));
    labs.prepare()?;
    let _labs_supervisord = supervisord::run(&labs.config_file())?;
    let labs = SupervisordSupervisor::open(labs).await?;
    labs.start(production.spec.clone()).await?;
    let mut began = Instant::now();
    let [mut boot, mut hand, mut lab, mut peer, mut with_labs] = [const { Vec::new() }; 5];
    for round in 0..rounds {
        for _ in 0..MORE {
            let (booted, restarted) = alone.by_hand(dir.path()).await?;
            boot.push(booted);
            hand.push(restarted);
            lab.push(native.kill_under_native(&supervisor).await?);
        }
        // at any moment of its tick
        let moment = Duration::from_millis(round * 370 % 1000);
        peer.push(supervised.kill_under_supervisord(&supervisord, moment).await?);
        // one that is not started well is started again later
        sleep(production.spec.restart.stable_after.saturating_sub(began.elapsed()) + LOOK + moment).await;
        with_labs.push(production.kill_under(&labs).await?);
        began = Instant::now();
    }
    labs.remove(&production.spec.app).await?;
    labs.shutdown().await;
    supervisor.remove(&native.spec.app).await?;
    supervisor.shutdown().await;

    let [boot, hand, lab, peer, with_labs] =
        [boot, hand, lab, peer, with_labs].map(|mut times| millis(median(&mut times)));
    let beyond = |whole: f64| (whole - boot).max(RESOLUTION);
    let named = |values: &[(&str, f64)]| values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let values = named(&[("boot alone", boot), ("by hand", hand), ("supervisord", peer), ("production", with_labs)]);
    let overhead =
        || named(&[("by hand", beyond(hand)), ("supervisord", beyond(peer)), ("production", beyond(with_labs))]);
    let supervisord = &["supervisord"];
    let lines = vec![
        Line::new("restart: kill -9 until healthy", "ms", Better::Lower, lab, values).against(
            Better::Lower,
            supervisord,
            1.0,
        ),
        Line::at_most("restart: beyond the app's own boot", "ms", beyond(lab), BEYOND, overhead()),
        Line::new("restart: beyond the app's own boot, supervisord", "ms", Better::Lower, beyond(lab), overhead())
            .against(Better::Lower, supervisord, TIMES),
    ];
    let note = format!(
        "restart: the median of {} times `kill -9` of an idle PocketBase with data ({rounds} with either supervisord), until \
         `/api/health` is 200, asked every millisecond. `boot alone` is the same program's start after a `kill -9`, without \
         any supervisor; `by hand` begins with the kill and waits until the kernel has taken the old process down, which \
         nobody can skip: two processes on one folder of data must never run. That takes 2 to 20 ms: PocketBase from 0.38 \
         on has an inotify instance (`core/notify_watcher.go`), and the kernel ends that at its next grace period only. \
         What is beyond the boot is at least {RESOLUTION} ms, which is what asking can tell apart. {} with its defaults and \
         `autorestart=true`; `production` is the same supervisord under Lab's `SupervisordSupervisor`.",
        rounds * MORE,
        supervisord::version()?
    );
    Ok(Results { lines, notes: vec![note] })
}

/// Ends the apps, which outlive their native supervisor.
struct EndApps<'a>(&'a Path);

impl Drop for EndApps<'_> {
    fn drop(&mut self) {
        // the supervisor was dropped before, and its tasks end soon: then nothing starts them again
        std::thread::sleep(Duration::from_millis(100));
        end_processes(self.0);
    }
}

/// A PocketBase with data of its own.
struct App {
    spec: ProcessSpec,
    port: Port,
}

impl App {
    fn new(name: &str, folder: &Path, port: Option<Port>) -> Outcome<Self> {
        let port = port.ok_or("a lease is long enough")?;
        let program = pocketbase().join("0.40.6/pocketbase");
        let home = folder.join(name);
        let data = home.join("pb_data");
        std::fs::create_dir_all(&data)?;
        // without one PocketBase makes a token for the first one at each start, which takes longer than the start
        let superuser = ["superuser", "upsert", "bench@example.com", "a long password"];
        let made = Command::new(&program).args(superuser).arg("--dir").arg(&data).output()?;
        if !made.status.success() {
            return Err(format!("no superuser: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let path = |name: &str| home.join(name).display().to_string();
        let args = ["serve", "--http", &format!("127.0.0.1:{port}"), "--hooksWatch=false"].map(str::to_owned);
        let folders = ["--dir", &path("pb_data"), "--hooksDir", &path("hooks"), "--migrationsDir", &path("migrations")]
            .map(str::to_owned);
        let spec = ProcessSpec {
            app: name.parse()?,
            program,
            args: args.into_iter().chain(folders).collect(),
            directory: home.clone(),
            // by which it is found again, see `end_processes`
            env: BTreeMap::from([("DB_DIR".to_owned(), path("pb_data"))]),
            stop_grace: Duration::from_secs(5),
            restart: RestartPolicy::default(),
        };
        Ok(Self { spec, port })
    }

    async fn healthy(&self) -> Outcome<()> {
        let begun = Instant::now();
        while let Err(error) = HttpProbe::new().probe(self.port, "/api/health", Duration::from_secs(1)).await {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("`{}` does not become healthy: {error}", self.spec.app).into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Kills its process and waits until it is healthy again.
    async fn kill(&self, pid: u32) -> Outcome<Duration> {
        let begun = Instant::now();
        signal(pid, Signal::SIGKILL);
        // what answers until then is the process that is being killed
        while runs(pid) {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err(format!("process {pid} survives its SIGKILL").into());
            }
            // a spin would take the core that the kernel ends the process on
            sleep(Duration::from_millis(1)).await;
        }
        self.healthy().await?;
        Ok(begun.elapsed())
    }

    /// Its boot alone, and a restart by hand: from the kill, as soon as the old process is gone.
    async fn by_hand(&self, folder: &Path) -> Outcome<(Duration, Duration)> {
        let start = || {
            let mut command = Command::new(&self.spec.program);
            command.args(&self.spec.args).env_clear().envs(&self.spec.env).current_dir(&self.spec.directory);
            Program::start(&mut command, &folder.join("alone.log"))
        };
        let mut old = start()?;
        self.healthy().await?;
        sleep(SETTLED).await;
        let killed = Instant::now();
        old.kill()?;
        let started = Instant::now();
        let _killed_when_dropped = start()?;
        self.healthy().await?;
        Ok((started.elapsed(), killed.elapsed()))
    }

    async fn kill_under_native(&self, supervisor: &NativeSupervisor) -> Outcome<Duration> {
        // stopped before: the supervisor counts restarts, and a second one would wait
        supervisor.stop(&self.spec.app).await?;
        supervisor.start(self.spec.clone()).await?;
        self.healthy().await?;
        sleep(SETTLED).await;
        self.kill_under(supervisor).await
    }

    async fn kill_under(&self, supervisor: &dyn ProcessSupervisor) -> Outcome<Duration> {
        match supervisor.state(&self.spec.app).await? {
            Some(ProcessState::Running { pid, .. }) => self.kill(pid).await,
            other => Err(format!("it does not run: {other:?}").into()),
        }
    }

    async fn kill_under_supervisord(&self, supervisord: &Program, moment: Duration) -> Outcome<Duration> {
        self.healthy().await?;
        sleep(STARTED + moment).await;
        match supervisord.descendants()[..] {
            [pid] => self.kill(pid).await,
            ref others => Err(format!("supervisord should run one process, not {others:?}").into()),
        }
    }
}
