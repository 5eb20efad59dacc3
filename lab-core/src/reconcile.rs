//! Brings what is on disk and what runs in line with the registry: after a start of the lab, and after a deployment that
//! failed. The registry's record is the truth; everything here can be done again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    App, AppName, Error, Lab, LabEvent, Port, ReleaseId,
    blocking::blocking,
    data::{
        aside,
        points::{self, Fate},
    },
    deploy::{DeployAction, DeployState, DeployStep, Deployment, store},
    durable,
    lab::activity::{Activity, Doing},
    layout::{AppDirs, DataDir},
    lifecycle::{Desired, Event},
    rehearsal,
    release::Release,
    supervisor::ProcessState,
};

/// How many apps are brought back at once, each until it is healthy. A hundred at once would double the median app's wait
/// on two cores; with very few, some apps that never become healthy would hold up all the others.
const AT_ONCE: usize = 8;

/// The part of opening a lab that must be done before anything else: no process is touched, and the routes are in force
/// when this returns, so that apps that never stopped are reachable at once. Returns the apps to bring back.
pub(crate) async fn on_open(lab: &Lab) -> Result<Vec<(App, Option<Deployment>)>, Error> {
    let data = lab.settings().data.clone();
    blocking(move || make_data_dirs(&data)).await?;
    let mut apps = Vec::new();
    for app in lab.backends().registry.list().await? {
        let dirs = lab.dirs(&app.name);
        let serves = app.release;
        let interrupted = blocking(move || {
            for folder in [dirs.root().to_owned(), dirs.releases(), dirs.points()] {
                durable::sweep(&folder).map_err(Error::storage("clear", &folder))?;
            }
            close_cut(&dirs, serves)
        })
        .await?;
        apps.push((app, interrupted));
    }
    assign_ports(lab, &mut apps).await?;
    for (app, _) in &apps {
        let (current, serves) = (lab.dirs(&app.name).current(), app.release.map(|id| id.to_string()));
        // a release that does not count may still run: nobody is led to it before that is taken back
        if serves.is_some_and(|serves| fs::read_link(&current).is_ok_and(|now| !now.ends_with(serves))) {
            lab.hold_only(&app.name);
        }
    }
    lab.apply_routes().await?;
    Ok(apps)
}

/// An app to bring back, with the right to do so.
pub(crate) type Begun = (App, Option<Deployment>, Activity);

/// Makes each app busy before anybody can call, so that nothing comes between.
pub(crate) fn begin_all(lab: &Lab, apps: Vec<(App, Option<Deployment>)>) -> Vec<Begun> {
    apps.into_iter()
        .filter_map(|(app, interrupted)| {
            let activity = lab.begin(&app.name, Doing::Recovering).ok()?;
            Some((app, interrupted, activity))
        })
        .collect()
}

/// Brings back each app, then ends what belongs to none.
pub(crate) async fn bring_back(lab: Lab, begun: Vec<Begun>) {
    let known: BTreeSet<AppName> = begun.iter().map(|(app, ..)| app.name.clone()).collect();
    stream::iter(begun)
        .for_each_concurrent(AT_ONCE, |(app, interrupted, activity)| {
            let lab = &lab;
            async move {
                if let Err(error) = bring_back_one(lab, &app, interrupted.as_ref(), &activity.cancel).await {
                    lab.warn(&app.name, format!("it could not be brought back: {}", error.report()));
                }
                if lab.lift(&app.name)
                    && let Err(error) = lab.apply_routes().await
                {
                    lab.warn(&app.name, format!("the routes could not be applied: {}", error.report()));
                }
                drop(activity);
                lab.observe(&app.name).await;
            }
        })
        .await;
    let running = lab.backends().supervisor.list().await.unwrap_or_default();
    for name in running.into_keys().filter(|name| !known.contains(name)) {
        // deployed meanwhile, or a leftover
        if matches!(lab.backends().registry.get(&name).await, Ok(None))
            && let Err(error) = lab.backends().supervisor.remove(&name).await
        {
            lab.warn(&name, format!("a process of an app that is gone could not be ended: {error}"));
        }
    }
}

async fn bring_back_one(
    lab: &Lab,
    app: &App,
    interrupted: Option<&Deployment>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    if matches!(app.desired, Desired::Removed | Desired::Purged) {
        return lab.finish_removal(&app.name, app.desired == Desired::Purged).await;
    }
    let undone = Mutex::new(Vec::new());
    let tell = |what: String| {
        tracing::info!(app = %app.name, "{what}");
        undone.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    };
    let settled = settle(lab, &app.name, interrupted, &tell).await;
    let undone = undone.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(interrupted) = interrupted
        && !undone.is_empty()
    {
        let (dirs, id) = (lab.dirs(&app.name), interrupted.id);
        blocking(move || store::keep_undone(&dirs, id, undone)).await?;
    }
    let app = settled?;
    if app.desired == Desired::Running
        && let Some(release) = serving_release(&lab.dirs(&app.name), &app).await?
    {
        let healthy = lab.wait_healthy(&app, &release, cancel).await;
        lab.lift(&app.name);
        lab.note_start(&app.name, &healthy).await?;
        return healthy;
    }
    lab.apply_routes().await
}

/// Brings back an app that should run and was stopped by something else than the lab, unless something is being done to it.
pub(crate) async fn bring_back_stopped(lab: &Lab, name: &AppName) {
    let Ok(activity) = lab.begin(name, Doing::Recovering) else { return };
    let brought = async {
        let app = lab.record(name).await?;
        if app.desired != Desired::Running || app.release.is_none() {
            return Ok(());
        }
        lab.warn(name, "its process was stopped by something else than the lab; it is started again".to_owned());
        if lab.note(name, Event::Crashed).await? {
            lab.apply_routes().await?;
        }
        bring_back_one(lab, &app, None, &activity.cancel).await
    };
    let brought = brought.await;
    if let Err(error) = &brought {
        lab.warn(name, format!("it could not be brought back: {}", error.report()));
        // not tried again
        if let Err(error) = lab.note_start(name, &brought).await {
            lab.warn(name, format!("its status could not be recorded: {}", error.report()));
        }
    }
    drop(activity);
    lab.observe(name).await;
}

/// Brings one app in line with its record. `ended`: the deployment that failed or was interrupted, if any; what it left is
/// deleted. `tell` hears of everything that was taken back.
pub(crate) async fn settle(
    lab: &Lab,
    name: &AppName,
    ended: Option<&Deployment>,
    tell: &(dyn Fn(String) + Sync),
) -> Result<App, Error> {
    let app = lab.record(name).await?;
    let dirs = lab.dirs(name);
    let supervisor = &lab.backends().supervisor;
    if let Some(ended) = ended.filter(|ended| app.release != Some(ended.release)) {
        take_data_back(lab, name, ended, tell).await?;
    } else {
        let (dirs, name) = (dirs.clone(), name.clone());
        blocking(move || points::recover(&dirs, &name, |_| Fate::Stays)).await?;
    }
    let serving = serving_release(&dirs, &app).await?;
    if serving.is_none() || app.desired == Desired::Stopped {
        let state = supervisor.state(name).await?;
        supervisor.stop(name).await?;
        if matches!(state, Some(ProcessState::Running { .. } | ProcessState::BackingOff { .. })) {
            tell("its process was stopped".to_owned());
        }
    }
    if let Some(release) = &serving {
        point_current(&dirs, release.id).await?;
        if app.desired == Desired::Running {
            // the same specification again changes nothing: an app that never stopped does not notice
            let app = lab.with_free_port(name).await?;
            lab.start_release(&app, release).await?;
        }
    }
    if let Some(ended) = ended {
        let (data, dirs, ended, serves) = (lab.settings().data.clone(), dirs.clone(), ended.clone(), app.release);
        for what in blocking(move || delete_leftovers(&data, &dirs, &ended, serves)).await? {
            tell(what);
        }
    }
    if serving.is_some() {
        return lab.record(name).await;
    }
    if app.release.is_some() {
        lab.warn(name, "the release it should run is not on disk; deploy it again".to_owned());
    }
    let current = dirs.current();
    blocking(move || durable::remove(&current).map_err(Error::storage("delete", &current))).await?;
    if app.port.is_some() {
        lab.modify(name, &|app: &mut App| app.port = None).await?;
        lab.backends().ports.release(name).await?;
        tell("its port was released".to_owned());
    }
    lab.note(name, Event::DeployFailed { serving: false }).await?;
    lab.record(name).await
}

/// The data goes back with the release. What a release has run with is kept as a data point.
async fn take_data_back(
    lab: &Lab,
    name: &AppName,
    ended: &Deployment,
    tell: &(dyn Fn(String) + Sync),
) -> Result<(), Error> {
    let dirs = lab.dirs(name);
    let (replaced, has_run) = (ended.replaced, ended.has_begun(DeployStep::Start));
    let aside = ended.aside.filter(|_| has_run);
    let kept = match (replaced, aside) {
        (Some(id), _) if points::is_exchanged(&dirs, id) => Some(id),
        (_, Some(id)) if aside::is_whole(&dirs, id) => Some(id),
        _ => None,
    };
    if kept.is_some() {
        lab.backends().supervisor.stop(name).await?;
    }
    let fate = move |id| match id {
        id if Some(id) == replaced => Fate::TakenBack { has_run },
        id if Some(id) == aside => Fate::PutBack,
        _ => Fate::Stays,
    };
    {
        let name = name.clone();
        blocking(move || points::recover(&dirs, &name, fate)).await?;
    }
    match (kept, ended.point) {
        (Some(id), _) if has_run => {
            tell(format!("its data is what it was; what the release made of it is data point `{id}`"));
        }
        (Some(_), _) => tell("its data is what it was".to_owned()),
        (None, Some(point)) if has_run && ended.undone.is_empty() => tell(format!(
            "its data stays as the release left it, as there is no copy from just before it was started; \
             `lab data {name} restore {point}` brings back what was there before the deployment"
        )),
        (None, _) => {}
    }
    Ok(())
}

/// The release that the record says serves, where it is on disk.
pub(crate) async fn serving_release(dirs: &AppDirs, app: &App) -> Result<Option<Release>, Error> {
    let Some(id) = app.release else { return Ok(None) };
    let dirs = dirs.clone();
    blocking(move || Release::read(&dirs, id)).await
}

fn delete_leftovers(
    data: &DataDir,
    dirs: &AppDirs,
    ended: &Deployment,
    serves: Option<ReleaseId>,
) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    let mut delete = |path: &Path, what: &str| {
        if fs::symlink_metadata(path).is_ok() {
            durable::remove(path).map_err(Error::storage("delete", path))?;
            done.push(format!("{what} was deleted"));
        }
        Ok::<(), Error>(())
    };
    delete(&data.work(ended.id), "its checkout")?;
    if serves != Some(ended.release) && ended.action != DeployAction::Rollback && !ended.reused {
        delete(&dirs.release(ended.release), "its release")?;
    }
    if serves.is_none() && ended.fresh_data {
        delete(&dirs.data(), "the data it had begun")?;
        delete(&dirs.home(), "its home folder")?;
        delete(&dirs.tmp(), "its temporary folder")?;
        // deleted once: data that somebody puts there later is not this deployment's
        if let Some(mut record) = store::read(dirs, ended.id)?.filter(|record| record.fresh_data) {
            record.fresh_data = false;
            store::write_record(dirs, &record)?;
        }
    }
    Ok(done)
}

/// Points `current` to a release.
pub(crate) async fn point_current(dirs: &AppDirs, release: ReleaseId) -> Result<(), Error> {
    let link = dirs.current();
    blocking(move || {
        let target = Path::new("releases").join(release.to_string());
        if fs::read_link(&link).is_ok_and(|now| now == target) {
            return Ok(());
        }
        durable::replace_symlink(&link, &target).map_err(Error::storage("switch", &link))
    })
    .await
}

/// Makes the folders that an app's process needs, which only the lab's user may read. Blocks.
pub(crate) fn make_app_dirs(dirs: &AppDirs) -> Result<(), Error> {
    for path in [dirs.data(), dirs.home(), dirs.tmp()] {
        make_dir(&path)?;
    }
    Ok(())
}

fn make_data_dirs(data: &DataDir) -> Result<(), Error> {
    for path in [data.apps(), data.logs(), data.run(), data.trash(), data.build_cache()] {
        make_dir(&path)?;
    }
    // nothing is being deployed yet, so every checkout is a leftover
    let work = data.work_root();
    rehearsal::end_leftovers(&work).map_err(Error::storage("end what runs in", &work))?;
    durable::remove(&work).map_err(Error::storage("delete", &work))?;
    make_dir(&work)?;
    for folder in [data.path().to_owned(), data.trash(), data.apps()] {
        durable::sweep(&folder).map_err(Error::storage("clear", &folder))?;
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<(), Error> {
    durable::create_private_dir(path).map_err(Error::storage("create", path))
}

/// Deletes all but the one that serves, the one that served before, and the newest of the others: at most `keep` in all,
/// and no more than fit into `max_bytes`. Blocks.
pub(crate) fn prune_releases(
    dirs: &AppDirs,
    serving: ReleaseId,
    previous: Option<ReleaseId>,
    keep: usize,
    max_bytes: u64,
) -> Result<(), Error> {
    let size = |id| store::readable(Release::read(dirs, id)).and_then(|release| release.bytes).unwrap_or(0);
    let mut bytes = size(serving);
    let mut others: Vec<ReleaseId> = Release::ids(dirs)?.into_iter().filter(|id| *id != serving).collect();
    // it may be older than all others, where they were rolled back
    others.sort_by_key(|id| Some(*id) != previous);
    for (n, id) in others.into_iter().enumerate() {
        bytes = bytes.saturating_add(size(id));
        // one to go back to stays, however large
        if n + 1 >= keep || (n > 0 && bytes > max_bytes) {
            let path = dirs.release(id);
            durable::remove(&path).map_err(Error::storage("delete", &path))?;
        }
    }
    Ok(())
}

/// Ends the record of the app's deployment that was under way when the lab ended; returns it, where it is to be taken back.
/// Blocks.
fn close_cut(dirs: &AppDirs, serves: Option<ReleaseId>) -> Result<Option<Deployment>, Error> {
    let mut newest = None;
    // it need not be the newest: the clock may have gone back
    for id in store::ids(dirs)? {
        let Some(mut record) = store::readable(store::read(dirs, id)) else { continue };
        if record.state == DeployState::Running {
            let stands = record.has_begun(DeployStep::Publish) && serves == Some(record.release);
            store::end_cut(dirs, &mut record, stands)?;
            return Ok((!stands).then_some(record));
        }
        newest = newest.or(Some(record));
    }
    // its end was recorded, but perhaps not what a failure left was deleted
    Ok(newest.filter(|record| record.state != DeployState::Succeeded))
}

/// Makes the allocations what the records say. Of two records with one port, which only a hand can write, the second gets
/// another.
async fn assign_ports(lab: &Lab, apps: &mut [(App, Option<Deployment>)]) -> Result<(), Error> {
    let mut wanted: BTreeMap<AppName, Port> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut without = Vec::new();
    for (index, (app, _)) in apps.iter().enumerate() {
        match app.port {
            Some(port) if used.insert(port) => {
                wanted.insert(app.name.clone(), port);
            }
            _ if app.release.is_some() => without.push(index),
            _ => {}
        }
    }
    let ports = &lab.backends().ports;
    if ports.list().await? != wanted {
        ports.assign(wanted).await?;
    }
    for index in without {
        let Some((app, _)) = apps.get_mut(index) else { continue };
        let port = ports.allocate(&app.name).await?;
        *app = lab.modify(&app.name, &|app: &mut App| app.port = Some(port)).await?;
    }
    Ok(())
}

/// Deletes what has been in the trash for longer than the settings say. Blocks.
pub(crate) fn empty_trash(data: &DataDir, now: Timestamp, keep: std::time::Duration) -> Result<(), Error> {
    let folder = data.trash();
    let oldest = now.as_second().saturating_sub(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX));
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::storage("read", &folder))?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let since = name.to_str().and_then(|name| name.split_once('-')).and_then(|(time, _)| time.parse::<i64>().ok());
        // a name that is not ours is left alone
        if since.is_some_and(|since| since < oldest) {
            let path = entry.path();
            durable::remove(&path).map_err(Error::storage("delete", &path))?;
        }
    }
    Ok(())
}

/// Deletes now and then what is too old, in the trash and of the data points, until the lab ends.
pub(crate) async fn delete_what_is_old(lab: Lab, stopping: CancellationToken) {
    stopping.run_until_cancelled(lab.idle()).await;
    let mut hourly = tokio::time::interval(std::time::Duration::from_hours(1));
    while stopping.run_until_cancelled(hourly.tick()).await.is_some() {
        let (data, keep) = (lab.settings().data.clone(), lab.settings().trash_for);
        if let Err(error) = blocking(move || empty_trash(&data, Timestamp::now(), keep)).await {
            tracing::warn!(error = error.report(), "the trash could not be emptied");
        }
        for app in lab.backends().registry.list().await.unwrap_or_default() {
            let (dirs, since) = (lab.dirs(&app.name), Timestamp::now() - lab.settings().points_for);
            let is_any_old = blocking(move || points::is_any_old(&dirs, since)).await.unwrap_or(false);
            // an app that something is done to has its turn in an hour
            if is_any_old && let Ok(_activity) = lab.begin(&app.name, Doing::Copying) {
                lab.prune_points(&app.name).await;
            }
        }
    }
}

impl Lab {
    /// Tells the operator about an app.
    pub(crate) fn warn(&self, app: &AppName, message: String) {
        tracing::warn!(app = %app, "{message}");
        self.tell(LabEvent::Warning { app: Some(app.clone()), message });
    }
}
